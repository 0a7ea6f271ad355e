"""Item (f): what the files of a run hold, against its scores, its indexes and its zoom levels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pgf_genome.errors import PgfError
from pgf_genome.files import quiet_htslib
from pgf_genome.intervals import Interval
from pgf_genome.runs.certificate import Check
from pgf_genome.runs.run import Run
from pgf_genome.tracks.bedgraph.index import index_fault
from pgf_genome.tracks.bigwig.checking import Part, Zooms
from pgf_genome.tracks.bigwig.zoom import RECORD
from pgf_genome.tracks.cutting import cut
from pgf_genome.tracks.reading import read_track
from pgf_genome.verification.excerpt import largest_difference

# Of sums of float32 numbers, as parts of themselves.
SUMS = 1e-4
# What damaged files raise beside our own errors.
DAMAGE = (PgfError, OSError, EOFError, ValueError, KeyError, IndexError, struct.error, zlib.error)

Values = Callable[[str, Interval], np.ndarray]  # of a track in a place


def track_files(run: Run) -> Iterator[tuple[str, Path]]:
    """Every track with each of its files."""
    files = run.files
    for track in run.tracks:
        for kind in ("bigwig", "bedgraph"):
            if f"{track}.{kind}" in files:
                yield track, files[f"{track}.{kind}"]


def values_of(path: Path, run: Run, place: Interval) -> np.ndarray:
    """Values in a place, float32 (n,), found by the file's own index; NaN where no row is."""
    if path.suffix == ".gz":
        return _by_tabix(path, place)
    pieces = ((name, at, row[None]) for name, at, row in read_track(path, run.sizes, [place]))
    return next(iter(cut([place], pieces, 1)))[0]


def _by_tabix(path: Path, place: Interval) -> np.ndarray:
    import pysam

    values = np.full(place.length, np.nan, np.float32)
    with quiet_htslib(), pysam.TabixFile(str(path)) as file:
        if place.contig not in file.contigs:
            return values
        for row in file.fetch(place.contig, place.start, place.stop):
            _, start, stop, value = row.split("\t")
            first, last = max(int(start), place.start), min(int(stop), place.stop)
            values[first - place.start : last - place.start] = value
    return values


def contents(run: Run, places: Sequence[Interval], scores: Values | None) -> Check:
    """Files against the scores of the run, or if these are gone against each other, bit for bit."""
    name = "track files"
    different, compared = 0, 0
    for place in places:
        for track in run.tracks:
            held = {}
            for path in (path for each, path in track_files(run) if each == track):
                try:
                    held[path.name] = values_of(path, run, place)
                except DAMAGE as error:
                    return Check(name, 0.0, None, False, f"{path.name}: {error}")
            rows = [*held.values()]
            if scores is not None:
                rows.append(scores(track, place))
            for row in rows[1:]:
                compared += len(row)
                alike = (row == rows[0]) | (np.isnan(row) & np.isnan(rows[0]))
                different += int(np.count_nonzero(~alike))
    if not compared:
        return Check.without(name, "a run has one file of each track, and its scores are gone")
    against = "against each other" if scores is None else "against the scores of the run"
    return Check.of(
        name, 0.0, different, f"{compared:,} values read by index {against}: those that differ"
    )


def indexes(run: Run) -> Check:
    """Every index against the file that it is of."""
    faults, checked = [], 0
    for _, path in track_files(run):
        if path.suffix == ".bedgraph":
            continue
        checked += 1
        try:
            fault = index_fault(path) if path.suffix == ".gz" else Zooms(path).fault()
        except DAMAGE as error:
            fault = f"{path.name}: {error}"
        if fault:
            faults.append(fault)
    if not checked:
        return Check.without("indexes", "the run has no file with an index")
    said = f"; {faults[0]}" if faults else ""
    return Check.of("indexes", 0.0, len(faults), f"faults of the indexes of {checked} files{said}")


def zoom_levels(run: Run, places: Sequence[Interval]) -> Check:
    """The bins that hold the places, in every zoom level, against the level below or the values."""
    name = "zoom levels"
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for _, path in track_files(run):
        if path.suffix != ".bw":
            continue
        try:
            zooms = Zooms(path)
            for place in places:
                pairs += _levels(zooms, run, path, place)
        except DAMAGE as error:
            return Check(name, SUMS, None, False, f"{path.name}: {error}")
    if not pairs:
        return Check.without(name, "the run has no bigWig with zoom levels")
    return Check.of(
        name,
        SUMS,
        largest_difference(pairs),
        f"{len(pairs)} bins of all zoom levels against the level below: count, extremes and sums, "
        "largest difference of the largest number",
    )


def _levels(
    zooms: Zooms, run: Run, path: Path, place: Interval
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Numbers of the bin of each zoom level that holds the first base, and what they should be."""
    rank, length = list(run.sizes).index(place.contig), run.sizes[place.contig]
    below: Part | None = None
    for part in zooms.parts[1:]:
        start = place.start // part.reduction * part.reduction
        span = start, min(start + part.reduction, length)
        found = zooms.bins(part, rank, place.start, place.start + 1)
        if below is None:
            values = values_of(path, run, Interval(place.contig, *span)).astype(float)
            narrower = _as_bins(values[~np.isnan(values)])
        else:
            narrower = zooms.bins(below, rank, *span)
        yield _numbers(found), _numbers(narrower)
        below = part


def _as_bins(values: np.ndarray) -> np.ndarray:
    """Single values as bins."""
    bins = np.zeros(len(values), RECORD)
    bins["count"] = 1
    for name in ("minimum", "maximum", "sum"):
        bins[name] = values
    bins["squares"] = values**2
    return bins


def _numbers(bins: np.ndarray) -> np.ndarray:
    """Count, extremes and sums over bins; zeros if there are none."""
    if not len(bins):
        return np.zeros(5)
    return np.array(
        [
            *(bins[name].sum(dtype=float) for name in ("count", "sum", "squares")),
            bins["minimum"].min(),
            bins["maximum"].max(),
        ]
    )
