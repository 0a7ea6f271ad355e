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
    i, j = np.triu_indices(len(cells), min_distance)
    value = np.maximum(cells[i, j], cells[j, i])
    chosen = np.flatnonzero(value > 0)  # NaN is not
    if len(chosen) > count:
        least = np.partition(value[chosen], -count)[-count] if count else np.inf
        chosen = chosen[value[chosen] >= least]
    order = chosen[np.argsort(-value[chosen], kind="stable")][:count]
    return [
        Pair(int(a), int(b), float(cells[a, b]), float(cells[b, a]))
        for a, b in zip(i[order], j[order], strict=True)
    ]


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
