"""Finished tracks, read piece by piece from bigWig, or from bedGraph if there is no bigWig."""

from __future__ import annotations

import csv
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pgf_genome.errors import IntegrityError, ResourceError
from pgf_genome.intervals import Interval

# in order of preference: bigWig is the fastest to read
SUFFIXES = ("bw", "bedgraph.gz", "bedgraph")
PIECE = 1 << 20
ROWS = 1 << 18

Piece = tuple[str, int, np.ndarray]


def track_path(prefix: str | os.PathLike[str], track: str) -> Path:
    """Find the file that holds a track of a run.

    Raises
    ------
    ResourceError
        If there is no such file.
    """
    paths = [Path(f"{os.fspath(prefix)}.{track}.{suffix}") for suffix in SUFFIXES]
    existing = next((path for path in paths if path.is_file()), None)
    if existing is None:
        raise ResourceError(
            f"{paths[0]}: not found, nor as {SUFFIXES[1]} or {SUFFIXES[2]}; give the prefix of a "
            "finished run whose tracks are beside its run.json"
        )
    return existing


def read_track(
    path: Path, sizes: Mapping[str, int], windows: Sequence[Interval] | None = None
) -> Iterator[Piece]:
    """Read a track in successive pieces, as `BlockConsumer.add` takes them.

    Parameters
    ----------
    path : Path
        ``.bw``, ``.bedgraph.gz`` or ``.bedgraph``, 0-based half-open, in the order of ``sizes``.
    sizes : mapping of str to int
        Length of every contig in bases.
    windows : sequence of Interval, optional
        Stretches that the pieces have to cover; everything if None. bigWig is read there only,
        bedGraph from end to end.

    Yields
    ------
    (str, int, ndarray of float32)
        Contig, 0-based start and values (n,), NaN where there is no row.

    Raises
    ------
    IntegrityError
        If the file cannot be read, or its contigs are not those of ``sizes``.
    """
    try:
        if path.suffix == ".bw":
            yield from _bigwig(path, sizes, _whole(sizes) if windows is None else windows)
        else:
            yield from _bedgraph(path, sizes)
    except (OSError, EOFError, RuntimeError, ValueError, zlib.error) as error:
        raise IntegrityError(f"{path}: cannot be read ({error}); run attribute again") from error


def _whole(sizes: Mapping[str, int]) -> Iterator[Interval]:
    return (Interval(contig, 0, length) for contig, length in sizes.items())


def _bigwig(path: Path, sizes: Mapping[str, int], windows: Iterable[Interval]) -> Iterator[Piece]:
    import pyBigWig

    with pyBigWig.open(str(path)) as file:
        if file.chroms() != dict(sizes):
            raise IntegrityError(f"{path}: its contigs are not those of the run; run it again")
        for window in windows:
            for start in range(window.start, window.stop, PIECE):
                stop = min(start + PIECE, window.stop)
                yield window.contig, start, file.values(window.contig, start, stop, numpy=True)


def _bedgraph(path: Path, sizes: Mapping[str, int]) -> Iterator[Piece]:
    for rows in _rows(path):
        for contig, part in rows.groupby("contig", sort=False):
            if contig not in sizes:
                raise IntegrityError(f"{path}: contig {contig!r} is not one of the run's")
            columns = (part[name].to_numpy() for name in ("start", "stop", "value"))
            for start, values in _dense(*columns):
                yield contig, start, values


def _rows(path: Path) -> Iterator[Any]:
    """Successive rows as data frames."""
    import pandas as pd

    types = {"contig": "str", "start": "int64", "stop": "int64", "value": "float64"}
    with _text(path) as file:
        if not file.readline().startswith(b"track "):
            file.seek(0)
        # an empty file is a track without scores
        with suppress(pd.errors.EmptyDataError):
            yield from pd.read_csv(
                file, sep="\t", names=list(types), dtype=types, chunksize=ROWS, na_filter=False,
                quoting=csv.QUOTE_NONE,
            )  # fmt: skip


def _text(path: Path) -> Any:
    if path.suffix == ".gz":
        from isal import igzip

        return igzip.open(path, "rb")
    return path.open("rb")


def _dense(
    starts: np.ndarray, stops: np.ndarray, values: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Expand rows (n,) to one value per base, NaN between them, `PIECE` bases at most at a time."""
    blocks = starts // PIECE
    count = (stops - 1) // PIECE - blocks + 1
    row = np.repeat(np.arange(len(starts)), count)
    within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    block = blocks[row] + within
    starts = np.maximum(starts[row], block * PIECE)
    stops = np.minimum(stops[row], (block + 1) * PIECE)
    edges = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(block)]
    for first, last in pairwise(edges):
        origin = int(starts[first])
        dense = np.full(int(stops[last - 1]) - origin, np.nan, np.float32)
        lengths = (stops - starts)[first:last]
        skipped = starts[first:last] - origin - (np.cumsum(lengths) - lengths)
        at = np.repeat(skipped, lengths) + np.arange(int(lengths.sum()))
        dense[at] = np.repeat(values[row[first:last]], lengths)
        yield origin, dense
