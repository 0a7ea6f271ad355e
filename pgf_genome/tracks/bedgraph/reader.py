"""bedGraph text, plain or compressed, read in chunks of rows."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pgf_genome.errors import IntegrityError
from pgf_genome.tracks.blocks import Piece

# rows in memory at a time
ROWS = 1 << 18


def read_bedgraph(path: Path, sizes: Mapping[str, int], most: int) -> Iterator[Piece]:
    """Read all rows and expand them to pieces of at most ``most`` bases.

    Raises
    ------
    IntegrityError
        If a row is on a contig that ``sizes`` does not have, ends past its end, or does not follow
        the row before it.
    OSError, EOFError, OverflowError, ValueError, zlib.error
        If the file is damaged.
    """
    ranks, reached = {contig: rank for rank, contig in enumerate(sizes)}, (0, 0)
    for rows in _rows(path):
        for contig, part in rows.groupby("contig", sort=False):
            if contig not in ranks:
                raise IntegrityError(f"{path}: contig {contig!r} is not one of the run's")
            starts, stops = part["start"].to_numpy(), part["stop"].to_numpy()
            before = np.append(reached[1] if reached[0] == ranks[contig] else 0, stops[:-1])
            wrong = (starts < before) | (stops <= starts) | (stops > sizes[contig])
            if wrong.any() or ranks[contig] < reached[0]:
                row = int(wrong.argmax())
                raise IntegrityError(
                    f"{path}: {contig} from {starts[row]} to {stops[row]} (0-based) is not a row "
                    "that follows the one before it; run the command again"
                )
            reached = ranks[contig], int(stops[-1])
            for start, values in _dense(part, most):
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


def _dense(rows: Any, most: int) -> Iterator[tuple[int, np.ndarray]]:
    """Expand a data frame of rows to one value per base, NaN between rows, cut every ``most``."""
    starts, stops, values = (rows[name].to_numpy() for name in ("start", "stop", "value"))
    blocks = starts // most
    count = (stops - 1) // most - blocks + 1
    row = np.repeat(np.arange(len(starts)), count)
    within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    block = blocks[row] + within
    starts = np.maximum(starts[row], block * most)
    stops = np.minimum(stops[row], (block + 1) * most)
    edges = [0, *(np.flatnonzero(np.diff(block)) + 1).tolist(), len(block)]
    for first, last in pairwise(edges):
        origin = int(starts[first])
        dense = np.full(int(stops[last - 1]) - origin, np.nan, np.float32)
        lengths = (stops - starts)[first:last]
        skipped = starts[first:last] - origin - (np.cumsum(lengths) - lengths)
        at = np.repeat(skipped, lengths) + np.arange(int(lengths.sum()))
        dense[at] = np.repeat(values[row[first:last]], lengths)
        yield origin, dense
