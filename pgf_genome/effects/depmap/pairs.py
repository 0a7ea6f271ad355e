"""The strongest pairs of a map, for BEDPE files and tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pgf_genome.intervals import Interval

COLUMNS = (
    *("chrom1", "start1", "end1", "chrom2", "start2", "end2", "name", "score"),
    *("strand1", "strand2", "base1", "base2", "downstream", "upstream"),
)


class Pair(NamedTuple):
    """Two positions of a region, counted from its start, the first upstream of the second.

    Attributes
    ----------
    first, second : int
    downstream, upstream : float
        What a substitution of the first does to the second, and of the second to the first.
    """

    first: int
    second: int
    downstream: float
    upstream: float

    @property
    def score(self) -> float:
        """The larger of the two."""
        return max(self.downstream, self.upstream)


def strongest(cells: np.ndarray, count: int, min_distance: int) -> list[Pair]:
    """The pairs of the largest values above 0, descending; equal ones by position.

    Parameters
    ----------
    cells : ndarray, (n, n)
    count : int
        Pairs at most.
    min_distance : int
        Positions that the two are apart, at least.
    """
    held = np.empty((0, 3))  # value, first, second
    for i in range(len(cells) - min_distance if count else 0):
        ahead = i + min_distance
        value = np.maximum(cells[i, ahead:], cells[ahead:, i])
        above = np.flatnonzero(value > 0)  # NaN is not
        found = np.stack([value[above], np.full(len(above), float(i)), ahead + above], axis=1)
        held = _first(np.concatenate([held, found]), count, room=count)
    return [
        Pair(i, j, float(cells[i, j]), float(cells[j, i]))
        for i, j in _first(held, count)[:, 1:].astype(int).tolist()
    ]


def _first(held: np.ndarray, count: int, room: int = 0) -> np.ndarray:
    """The rows of the largest values, if there are more than ``room`` too many."""
    if room and len(held) <= count + room:
        return held
    return held[np.argsort(-held[:, 0], kind="stable")[:count]]


def line(region: Interval, letters: str, pair: Pair) -> str:
    """A line of a BEDPE file, by `COLUMNS`."""
    ends: list[object] = []
    for place in (pair.first, pair.second):
        at = region.start + place
        ends += [region.contig, at, at + 1]
    bases = letters[pair.first], letters[pair.second]
    name = f"{bases[0]}{region.start + pair.first + 1}-{bases[1]}{region.start + pair.second + 1}"
    values = (f"{value + 0.0:.6g}" for value in (pair.downstream, pair.upstream))
    return "\t".join(map(str, (*ends, name, f"{pair.score:.6g}", ".", ".", *bases, *values))) + "\n"
