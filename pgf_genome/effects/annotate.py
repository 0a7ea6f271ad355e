"""A VCF with the effect of every record: read twice, scored contig by contig in between.

1. Every record is checked, and its alternative alleles are numbered. Those that can be scored go
   to a file by contig (``by_contig.py``); all get a row in the file of scores.
2. The variants of each contig are scored together; the effects go to the rows of their numbers.
3. The VCF is read again, and written with its effects: every record, in order.

Memory is the same for any number of records; scratch is some 50 bytes for each allele.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pgf_genome.effects.by_contig import ByContig, OfContig, Variant
from pgf_genome.effects.consequence import Consequences
from pgf_genome.effects.reference import Reference
from pgf_genome.effects.settings import COMPRESSED, MASKED
from pgf_genome.effects.vcf import MEANINGS, Flag, Record, Source, Vcf, flag_of_allele, is_snv
from pgf_genome.effects.writing import (
    Allele,
    Meaning,
    Scored,
    index,
    is_table,
    tsv_file,
    vcf_file,
    withdraw,
)
from pgf_genome.errors import IntegrityError, ResourceError, SequenceError
from pgf_genome.files import naming

log = logging.getLogger("pgf_genome")

# Effects of all variants of a contig, in their order. The last argument is called with the number
# of variants, or the part of one, that the work since its last call was worth.
Scorer = Callable[[str, Sequence[Variant], Callable[[float], object]], Iterable[float]]
# Called with the variants done since its last call, and with all of them.
Progress = Callable[[float, float], object]

# What is known of an allele, by its number; and how many are read or written at a time.
SCORE = np.dtype([("effect", "<f8"), ("flag", "u1"), ("check", "<u4")])
BLOCK = 1 << 16
# fractions of 2**64, whose bits look random: the golden ratio, and the square root of 3
_ODD = np.array([0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B], "<u8")


@dataclass
class Summary:
    """What became of a VCF.

    Attributes
    ----------
    records : int
    contigs : Counter of str
        Number of records by contig, as the VCF names it.
    flags : Counter of Flag
        Number of alternative alleles by what became of them; a record without any counts as one.
    is_sorted : bool
        Whether it can be indexed: contigs one after the other, positions ascending.
    last : int
        The last position, 1-based, at which a REF ends.
    checksum : int
        CRC-32 of all records.
    """

    records: int = 0
    contigs: Counter[str] = field(default_factory=Counter)
    flags: Counter[Flag] = field(default_factory=Counter)
    is_sorted: bool = True
    last: int = 0
    checksum: int = 0
    _before: tuple[str, int] = ("", 0)

    def note(self, record: Record, flags: Sequence[Flag]) -> None:
        """Count a record."""
        contig, position = self._before
        follows = (
            position <= record.position
            if contig == record.contig
            else (record.contig not in self.contigs)
        )
        self.is_sorted = self.is_sorted and follows
        self._before = record.contig, record.position
        self.last = max(self.last, record.position + len(record.ref))
        self.records += 1
        self.checksum = zlib.crc32(record.line, self.checksum)
        self.contigs[record.contig] += 1
        self.flags.update(flags)

    @property
    def alleles(self) -> int:
        """Number of alternative alleles."""
        return self.flags.total()

    @property
    def not_scored(self) -> dict[Flag, int]:
        """Number of alleles that are not scored, by the reason."""
        return {flag: self.flags[flag] for flag in MEANINGS if self.flags[flag]}

    def facts(self) -> dict[str, object]:
        """The counts in plain types."""
        return {
            "records": self.records,
            "alleles": self.alleles,
            "scored": self.flags[Flag.SCORED],
            "not_scored": {str(flag): count for flag, count in self.not_scored.items()},
            "contigs": dict(self.contigs),
            "sorted": self.is_sorted,
        }

    def lines(self) -> list[str]:
        """The counts in words, a line for all and one for each reason."""
        return [
            f"{self.records:,} records, {self.alleles:,} alternative alleles, of which "
            f"{self.flags[Flag.SCORED]:,} are scored",
            *(f"not scored: {n:,} {why} ({MEANINGS[why]})" for why, n in self.not_scored.items()),
        ]


def annotate(
    vcf: str | os.PathLike[str],
    reference: Reference,
    score: Scorer,
    meaning: Meaning,
    outputs: Sequence[str],
    scratch: Path,
    consequences: Consequences | None = None,
    aliases: Mapping[str, str] | None = None,
    progress: Progress = lambda done, total: None,
) -> Summary:
    """Write a VCF again with the effect of every record that can be scored.

    Parameters
    ----------
    vcf : path-like
        Plain, gzip or bgzip; ``"-"`` is standard input.
    reference : Reference
        The sequence to which the records refer.
    score : callable
        Gives the effects of all variants of a contig: it is called once for each contig that has
        any, in the order of the FASTA.
    meaning : Meaning
        What the effects are, for the header.
    outputs : sequence of str
        Names of the files: ``.tsv`` is a table, ``.gz`` is bgzip, with an index if it is a VCF that
        is sorted; ``"-"`` is a VCF on standard output.
    scratch : Path
        A folder for temporary files.
    consequences : Consequences, optional
        Adds genes and consequences.
    aliases : mapping of str to str, optional
        The FASTA's name for other names of contigs.
    progress : callable, optional

    Returns
    -------
    Summary

    Raises
    ------
    SequenceError
        If the VCF cannot be read, or none of its contigs is in the FASTA.
    IntegrityError
        If an effect is not a finite number, or the VCF has changed in the meantime.
    ResourceError
        If an output or a temporary file cannot be written.
    """
    source, scores = Source.of(vcf, scratch), scratch / "scores"
    checked = Checked(reference, aliases or {}, meaning.scoring.score == MASKED)
    with naming(scratch), ByContig(scratch / "variants") as variants:
        with source.opened() as read, scores.open("wb") as file:
            summary = _read(read, checked, variants, file)
        if summary.contigs and not any(map(checked.contig, summary.contigs)):
            raise _no_contig(source.where, summary.contigs, reference.lengths)
        _score(variants.variants(), reference, score, scores, progress)
    with ExitStack() as stack:
        read = stack.enter_context(source.opened())
        fields, takers = meaning.fields(consequences is not None), []
        for path in outputs:
            withdraw(path)
            table = is_table(path)
            sink = tsv_file(path, meaning.key) if table else vcf_file(path, read, fields)
            takers.append(stack.enter_context(sink))
        again = Summary()
        for scored in _scored(read, scores, checked, consequences):
            if scored.record.alts:
                again.note(scored.record, ())
            for take in takers:
                take(scored)
        if again.checksum != summary.checksum:
            raise _changed(read)
    for path in outputs:
        index_sorted(path, summary)
    return summary


class Checked:
    """Records, checked against the reference.

    Parameters
    ----------
    reference : Reference
    aliases : mapping of str to str
        The reference's name for other names of contigs.
    only_snvs : bool
        Whether nothing else has a score.
    """

    def __init__(
        self, reference: Reference, aliases: Mapping[str, str], only_snvs: bool = False
    ) -> None:
        self._reference, self._only_snvs = reference, only_snvs
        self._names = {**aliases, **{name: name for name in reference.lengths}}

    def contig(self, name: str) -> str | None:
        """The reference's name of a contig, None if it is not there."""
        return self._names.get(name)

    def flags(self, record: Record) -> list[Flag]:
        """What is to be said of each alternative allele."""
        flags = [self._flag_of_allele(record.ref, alt) for alt in record.alts]
        if Flag.SCORED not in flags:
            return flags
        site = self._flag_of_site(record)
        return [flag or site for flag in flags]

    def _flag_of_allele(self, ref: str, alt: str) -> Flag:
        flag = flag_of_allele(ref, alt)
        return Flag.NOT_SNV if not flag and self._only_snvs and not is_snv(ref, alt) else flag

    def _flag_of_site(self, record: Record) -> Flag:
        contig = self.contig(record.contig)
        start, stop = record.position, record.position + len(record.ref)
        if contig is None:
            return Flag.UNKNOWN_CONTIG
        if not 0 <= start < stop <= self._reference.lengths[contig]:
            return Flag.OUTSIDE_CONTIG
        if self._reference.letters(contig, start, stop) != record.ref.upper():
            return Flag.REF_DIFFERS
        return Flag.SCORED


def _read(read: Vcf, checked: Checked, variants: ByContig, scores: BinaryIO) -> Summary:
    """Number and check all alleles, and sort those that can be scored by contig."""
    summary, number, flags_of = Summary(), 0, list[Flag]()
    for record in read:
        if not record.alts:
            continue
        flags, contig = checked.flags(record), checked.contig(record.contig)
        summary.note(record, flags)
        for alt, flag in zip(record.alts, flags, strict=True):
            flags_of.append(flag)
            if not flag and contig is not None:
                change = Variant(record.position, record.ref.upper(), alt.upper())
                variants.add(number, contig, change)
            number += 1
        if len(flags_of) >= BLOCK:
            _begin(scores, number, flags_of)
    _begin(scores, number, flags_of)
    return summary


def _begin(scores: BinaryIO, number: int, flags: list[Flag]) -> None:
    """Write the rows of the last alleles, up to a number, without effects yet; empty the list."""
    rows = np.zeros(len(flags), SCORE)
    rows["effect"], rows["flag"] = np.nan, flags
    rows["check"] = _checks(np.arange(number - len(flags), number), rows)
    scores.write(rows.tobytes())
    flags.clear()


def _checks(numbers: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Checksums of rows, uint32: a row that is changed or in another place has another one."""
    mixed = rows["effect"].copy().view("<u8") ^ (rows["flag"].astype("<u8") << np.uint64(56))
    mixed = (mixed ^ (numbers.astype("<u8") * _ODD[0])) * _ODD[1]
    return (mixed >> np.uint64(32)).astype("<u4")


def _no_contig(where: str, theirs: Collection[str], ours: Collection[str]) -> SequenceError:
    first, second = (", ".join(map(repr, islice(names, 3))) for names in (theirs, ours))
    return SequenceError(
        f"{where}: no record is on a contig of the FASTA: the VCF has {first} ({len(theirs)} in "
        f"all), the FASTA {second} ({len(ours)} in all); give the FASTA of this VCF, or a table of "
        "names as `chrom_alias`"
    )


def _score(
    variants: Mapping[str, OfContig],
    reference: Reference,
    score: Scorer,
    scores: Path,
    progress: Progress,
) -> None:
    """Score each contig, and put the effects into the rows of their numbers."""
    total = sum(map(len, variants.values()))
    for contig in filter(variants.__contains__, reference.lengths):
        of_contig = variants[contig]
        effects, done = iter(score(contig, of_contig, lambda new: progress(new, total))), 0
        for numbers in of_contig.column("number"):
            values = np.fromiter(islice(effects, len(numbers)), float, len(numbers))
            if not np.isfinite(values).all():
                worst = of_contig[done + int(np.flatnonzero(~np.isfinite(values))[0])]
                raise IntegrityError(
                    f"{contig}:{worst.position + 1} {worst.ref}>{worst.alt}: the effect is not a "
                    "finite number; the model overflows here, try `dtype` float64"
                )
            _put(scores, numbers, values)
            done += len(numbers)


def _put(scores: Path, numbers: np.ndarray, values: np.ndarray) -> None:
    """Write the effects of alleles into their rows."""
    try:
        # mapped for a moment only: pages of a map count as memory
        stored = np.memmap(scores, SCORE, "r+")
        rows = stored[numbers]
    except (ValueError, IndexError) as error:  # it has been cut
        raise _damaged(scores) from error
    rows["effect"] = values
    rows["check"] = _checks(numbers, rows)
    stored[numbers] = rows


def _damaged(scores: Path) -> IntegrityError:
    return IntegrityError(
        f"{scores}: the scores are not what was written there; check the disk, then run again"
    )


def _scored(
    read: Vcf, scores: Path, checked: Checked, consequences: Consequences | None
) -> Iterator[Scored]:
    """Every record with what is known of its alleles."""
    known = _alleles(scores)
    for record in read:
        alleles = [Allele(*row) for row in islice(known, len(record.alts))]
        if len(alleles) < len(record.alts):
            raise _changed(read)
        contig = checked.contig(record.contig)
        if consequences is None or contig is None or not record.alts:
            yield Scored(record, alleles)
            continue
        start, stop = record.position, record.position + len(record.ref)
        alleles = [
            allele
            if allele.flag
            else allele._replace(
                consequences=consequences.of(contig, Variant(start, record.ref, alt))
            )
            for alt, allele in zip(record.alts, alleles, strict=True)
        ]
        yield Scored(record, alleles, consequences.genes(contig, start, stop))
    if next(known, None) is not None:
        raise _changed(read)


def _changed(read: Vcf) -> IntegrityError:
    return IntegrityError(f"{read.where}: the VCF has changed during the run; run it again")


def _alleles(scores: Path) -> Iterator[tuple[float, Flag]]:
    number = 0
    with scores.open("rb") as file:
        while len(rows := np.fromfile(file, SCORE, BLOCK)):
            if (rows["check"] != _checks(np.arange(number, number + len(rows)), rows)).any():
                raise _damaged(scores)
            for effect, flag, _ in rows.tolist():
                yield effect, Flag(flag)
            number += len(rows)


def index_sorted(path: str, summary: Summary) -> None:
    """Index an output if it is a compressed VCF; say if that is not possible."""
    if is_table(path) or not path.endswith(COMPRESSED):
        return
    if not summary.is_sorted:
        log.warning("%s has no index: the records are not sorted by contig and position", path)
        return
    try:
        index(path, summary.last)
    except ResourceError as error:
        log.warning(
            "%s has no index (%s): no index takes blank lines, or positions past every contig",
            *(path, error.__cause__),
        )
