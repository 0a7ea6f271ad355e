"""Intervals of contigs: region strings, sites, BED files, merging, cutting.

Inside the program, every coordinate is 0-based half-open, as in BED. Region strings are 1-based
inclusive, as in samtools, and so are sites; they are converted here and nowhere else.
"""

from __future__ import annotations

import os
import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Integral
from typing import Any

from pgf_genome.errors import SequenceError
from pgf_genome.lines import text_lines

_BRACED = re.compile(r"\{(?P<contig>.+)\}(?::(?P<range>.*))?")
_RANGE = re.compile(r"(?P<first>\d[\d,]{0,30})(?:-(?P<last>\d[\d,]{0,30})?)?", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,30}", re.ASCII)
_SITE = re.compile(
    r"(?P<contig>.+):(?P<position>\d[\d,]{0,30})(?::(?P<ref>[^:>]+)>(?P<alt>[^:>]+))?", re.ASCII
)
TABLE_COLUMNS = ("chrom", "start", "end")
# Intervals of a BED file, which are held in memory.
MOST = 10_000_000


# start and stop of positions, 0-based half-open
Span = tuple[int, int]


@dataclass(frozen=True, order=True, slots=True)
class Interval:
    """The bases ``start <= position < stop`` of a contig (0-based half-open, never empty).

    Raises
    ------
    SequenceError
        Unless ``0 <= start < stop``.
    """

    contig: str
    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise SequenceError(
                f"interval {self.contig} from {self.start} to {self.stop} (0-based, half-open) is "
                "not valid: the start must be at least 0 and less than the end"
            )

    @property
    def length(self) -> int:
        """Number of bases."""
        return self.stop - self.start

    def __len__(self) -> int:
        return self.length

    def __str__(self) -> str:
        """The interval as a samtools region, 1-based inclusive: ``chr1:1001-2000``."""
        return f"{self.contig}:{self.start + 1}-{self.stop}"


@dataclass(frozen=True, slots=True)
class Stranded:
    """An interval and the strand, "+" or "-", along which it is read."""

    interval: Interval
    strand: str = "+"


@dataclass(frozen=True)
class Site:
    """A position of a contig, and perhaps a change of what is there.

    Attributes
    ----------
    contig : str
    position : int
        0-based.
    ref, alt : str
        What is there, and what replaces it; empty if no change is named.
    """

    contig: str
    position: int
    ref: str = ""
    alt: str = ""

    def __str__(self) -> str:
        """The site as `parse_site` reads it, 1-based: ``chr1:1001:A>G``."""
        place = f"{self.contig}:{self.position + 1}"
        return f"{place}:{self.ref}>{self.alt}" if self.ref else place


def parse_site(text: str) -> Site:
    """Read a site: ``chr1:1,001`` or ``chr1:1,001:A>G``, 1-based; letters become capitals.

    Raises
    ------
    SequenceError
        If it is none. Whether the contig has such a position is not known here.
    """
    match = _SITE.fullmatch(text)
    position = int(match["position"].replace(",", "")) if match else 0
    if match is None or position < 1:
        raise SequenceError(
            f"{text!r} is not a site; write chr1:1,001 or 'chr1:1,001:A>G', 1-based, in quotes "
            "because a shell takes > for a redirection"
        )
    ref, alt = ((match[name] or "").upper() for name in ("ref", "alt"))
    return Site(match["contig"], position - 1, ref, alt)


def is_name(text: str) -> bool:
    """Whether a contig can have that name: a word of letters that can be shown."""
    return text.split() == [text] and text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text


def unknown_contig(name: str, known: Collection[str], where: str) -> SequenceError:
    """Make the error for a contig that a genome does not have, with names that were perhaps meant.

    Parameters
    ----------
    name : str
        The name that is not there.
    known : collection of str
        The names that exist, in the order of the genome.
    where : str
        The file or region that names it, or that lacks it; the message starts with this.
    """
    prefixed = [other for other in (f"chr{name}", name.removeprefix("chr")) if other in known]
    close = dict.fromkeys(prefixed + get_close_matches(name, known))
    if close:
        advice = f"did you mean {_listed(close)}? (contigs in all: {len(known)})"
    else:
        advice = f"contigs in all: {len(known)}, the first: {_listed(list(known)[:3])}"
    return SequenceError(f"{where}: there is no contig {name!r}; {advice}")


def parse_region(text: str, lengths: Mapping[str, int]) -> Interval:
    """Read a region in the syntax of samtools: 1-based inclusive, commas allowed.

    ``chr1``, ``chr1:500`` and ``chr1:500-`` (to the end), ``chr1:500-900``. A contig name may hold
    any of ``:-|``: the whole text is tried as a name first, and ``{name}:500-900`` is accepted.

    Parameters
    ----------
    text : str
        The region.
    lengths : mapping of str to int
        Length of every contig in bases.

    Returns
    -------
    Interval
        The same bases, 0-based half-open.

    Raises
    ------
    SequenceError
        If the contig is unknown, or the range is malformed, reversed or past the contig's end.
    """
    contig, extent = _split_region(text, lengths)
    where = f"region {text!r}"
    if contig not in lengths:
        raise unknown_contig(contig, lengths, where)
    length = lengths[contig]
    if extent is None:
        return Interval(contig, 0, length)
    match = _RANGE.fullmatch(extent)
    if match is None:
        raise SequenceError(
            f"{where}: {extent!r} is not a range; write {contig}:START-END, 1-based and inclusive"
        )
    first = int(match["first"].replace(",", ""))
    last = int(match["last"].replace(",", "")) if match["last"] else length
    if not 1 <= first <= last <= length:
        raise SequenceError(
            f"{where}: {first}-{last} is not a range within {contig}, which has {length} bases; "
            f"positions are 1-based and inclusive, from 1 to {length}, start first"
        )
    return Interval(contig, first - 1, last)


def _split_region(text: str, lengths: Mapping[str, int]) -> tuple[str, str | None]:
    """Split a region into the contig name and the text of its range (None: the whole contig)."""
    if text in lengths:
        return text, None
    if braced := _BRACED.fullmatch(text):
        return braced["contig"], braced["range"]
    name, colon, extent = text.rpartition(":")
    if colon and (name in lengths or _RANGE.fullmatch(extent)):
        return name, extent
    return text, None


def read_bed(path: str | os.PathLike[str], lengths: Mapping[str, int]) -> list[Interval]:
    """Read the first three columns of a BED file (plain, gzip or bgzip), in file order.

    Columns are separated by tabs, or by blanks where a line has no tab. Empty lines, comments
    (``#``) and ``track`` and ``browser`` lines are skipped. Coordinates are 0-based half-open.
    Format: the UCSC Genome Browser's FAQ, "BED format".

    Parameters
    ----------
    path : path-like
        The BED file.
    lengths : mapping of str to int
        Length of every contig in bases.

    Raises
    ------
    SequenceError
        If the file cannot be read or holds no interval, or if a line is malformed, names an
        unknown contig, or is negative, empty, reversed or past the contig's end.
    """
    return [each.interval for each in read_stranded_bed(path, lengths)]


def read_stranded_bed(path: str | os.PathLike[str], lengths: Mapping[str, int]) -> list[Stranded]:
    """Read a BED file as `read_bed` does, with strands: "-" if the sixth column is, else "+"."""
    intervals: list[Stranded] = []
    for number, line in enumerate(text_lines(path, "BED file"), start=1):
        first = line.split(maxsplit=1)[:1]
        if first and not line.startswith("#") and first[0] not in ("track", "browser"):
            intervals.append(_bed_interval(line.rstrip(), lengths, f"{path}, line {number}"))
            if len(intervals) > MOST:
                raise SequenceError(f"{path}: more than {MOST:,} intervals; merge or split them")
    if not intervals:
        raise SequenceError(f"{path}: no intervals; a BED line is CONTIG, START, END")
    return intervals


def _bed_interval(line: str, lengths: Mapping[str, int], where: str) -> Stranded:
    fields = line.split("\t") if "\t" in line else line.split()
    if len(fields) < 3:
        raise SequenceError(
            f"{where}: {len(fields)} columns where BED needs three: CONTIG, START, END"
        )
    contig, *coordinates = fields[:3]
    for coordinate in coordinates:
        if not _INTEGER.fullmatch(coordinate):
            raise SequenceError(f"{where}: {coordinate!r} is not an integer coordinate")
    if contig not in lengths:
        raise unknown_contig(contig, lengths, where)
    start, stop = map(int, coordinates)
    if not 0 <= start < stop <= lengths[contig]:
        raise SequenceError(
            f"{where}: {start} to {stop} is not an interval within {contig}, which has "
            f"{lengths[contig]} bases; BED is 0-based half-open, 0 <= START < END <= length"
        )
    strand = "-" if fields[5:6] == ["-"] else "+"
    return Stranded(Interval(sys.intern(contig), start, stop), strand)  # one name for all lines


def is_table(value: object) -> bool:
    """Whether a value is a table with named columns, such as a DataFrame."""
    return hasattr(value, "columns")


def regions_of(table: Any) -> tuple[str, ...]:
    """Read the regions of a table with columns ``chrom``, ``start`` and ``end``, as in bioframe.

    Parameters
    ----------
    table : DataFrame
        One region per row, 0-based half-open as in BED.

    Returns
    -------
    tuple of str
        Regions in the syntax of samtools, 1-based inclusive.

    Raises
    ------
    SequenceError
        If there is no row or a column is missing, or if a row is no interval.
    """
    names = list(map(str, table.columns))
    lacking = [name for name in TABLE_COLUMNS if name not in names]
    if lacking:
        raise SequenceError(
            f"a table of regions needs columns {', '.join(TABLE_COLUMNS)}, 0-based half-open; "
            f"this one has {', '.join(names) or 'none'}"
        )
    regions = []
    for row, ends in enumerate(zip(*(table[name] for name in TABLE_COLUMNS), strict=True)):
        contig, start, stop = ends
        if not isinstance(start, Integral) or not isinstance(stop, Integral):
            raise SequenceError(
                f"row {row} of the table of regions: {start} to {stop} are not whole numbers"
            )
        Interval(str(contig), int(start), int(stop))  # refuses what is no interval
        regions.append(f"{{{contig}}}:{start + 1}-{stop}")
    if not regions:
        raise SequenceError("the table of regions is empty; leave it out to have everything")
    return tuple(regions)


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """Sort intervals and join those that overlap or touch.

    Contigs keep the order in which they first appear; within a contig starts ascend.
    """
    by_contig: dict[str, list[Interval]] = {}
    for interval in intervals:
        by_contig.setdefault(interval.contig, []).append(interval)
    merged: list[Interval] = []
    for contig, group in by_contig.items():
        for interval in sorted(group):
            if merged and merged[-1].contig == contig and interval.start <= merged[-1].stop:
                last = merged.pop()
                interval = Interval(contig, last.start, max(last.stop, interval.stop))
            merged.append(interval)
    return merged


def overlaps(spans: Sequence[Span], start: int, stop: int) -> list[Span]:
    """Cut spans, sorted by start and by stop, to positions start .. stop - 1; none are empty."""
    first = bisect_right(spans, start, key=lambda span: span[1])
    last = bisect_left(spans, stop, key=lambda span: span[0])
    return [(max(a, start), min(b, stop)) for a, b in spans[first:last] if a < b]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
