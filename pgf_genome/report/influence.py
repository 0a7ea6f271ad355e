"""Curves of influence against distance, and their computation from a track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pgf_genome.runs.run import APART
from pgf_genome.tracks import BlockConsumer, Strongest

PER_DECADE = 8
# Sites outside the target that are listed.
SITES = 20


@dataclass(frozen=True)
class Influence:
    """A curve of influence against distance.

    Attributes
    ----------
    label : str
        Name of the curve.
    distance : tuple of float, (n,)
        Distances in bases, at least 1, ascending.
    mean : tuple of float, (n,)
        Mean influence at each distance.
    maximum : tuple of float, (n,), optional
        Largest influence at each distance.
    """

    label: str
    distance: tuple[float, ...]
    mean: tuple[float, ...]
    maximum: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Site:
    """A position outside the target.

    Attributes
    ----------
    contig : str
    position : int
        0-based.
    distance : int
        Bases to the nearest target; negative where the target has larger coordinates.
    value : float
    """

    contig: str
    position: int
    distance: int
    value: float


class TargetDistance(BlockConsumer):
    """Consumer that makes curves of a track against the distance to the nearest target.

    Positions before and after the target have a curve each. Distances are binned, eight bins to a
    decade, and a bin is placed at the mean of its distances. Memory grows with the targets alone.

    Parameters
    ----------
    sizes : mapping of str to int
        Length of every contig in bases, in FASTA order.
    targets : mapping of str to sequence of (int, int)
        Spans by contig, 0-based half-open.
    """

    def __init__(self, sizes: Mapping[str, int], targets: Mapping[str, Any]) -> None:
        super().__init__("distance to the target", sizes)
        self._outside = Strongest(sizes, SITES, APART)
        self._spans = {
            self._ranks[contig]: np.array(sorted(map(tuple, spans)), np.int64)
            for contig, spans in targets.items()
            if len(spans)
        }
        decades = np.log10(max(sizes.values(), default=1)) + 1
        edges = np.floor(10 ** (np.arange(int(decades * PER_DECADE) + 1) / PER_DECADE))
        self._edges = np.unique(edges.astype(np.int64))
        shape = (2, len(self._edges))
        self._count = np.zeros(shape, np.int64)
        self._sum = np.zeros(shape)
        self._distance = np.zeros(shape)
        self._maximum = np.zeros(shape)
        self._inside = np.zeros(2)

    def _consume(self, rank: int, start: int, block: np.ndarray) -> None:
        spans = self._spans.get(rank)
        if spans is None:
            return
        at = np.flatnonzero(~np.isnan(block))
        before, after = _distances(spans, start + at)
        side = (after < before).astype(np.int64)
        distance = np.minimum(before, after)
        outside = distance > 0
        inside = block[at][~outside]
        self._inside[:] += len(inside), inside.sum(dtype=np.float64)
        masked = np.full_like(block, np.nan)
        masked[at[outside]] = block[at[outside]]
        self._outside.add(list(self.sizes)[rank], start, masked)
        cell = np.searchsorted(self._edges, distance[outside], side="right") - 1
        cell += side[outside] * len(self._edges)
        values = block[at][outside].astype(np.float64)
        size = self._count.size
        self._count += np.bincount(cell, minlength=size).reshape(self._count.shape)
        self._sum += np.bincount(cell, values, size).reshape(self._sum.shape)
        self._distance += np.bincount(cell, distance[outside], size).reshape(self._sum.shape)
        np.maximum.at(self._maximum.reshape(-1), cell, values)

    def result(self) -> tuple[Influence, ...]:
        """Return a curve for each side that has values; call it once, after the last `add`."""
        self._flush()
        curves = []
        for side, label in enumerate(("before the target", "after the target")):
            filled = np.flatnonzero(self._count[side])
            if len(filled):
                sums = (self._distance[side, filled], self._sum[side, filled])
                middle, mean = (each / self._count[side, filled] for each in sums)
                columns = (middle, mean, self._maximum[side, filled])
                curves.append(Influence(label, *(tuple(c.tolist()) for c in columns)))
        return tuple(curves)

    @property
    def inside(self) -> float | None:
        """Mean inside the targets, after `result`; None if nothing is scored or all of it is 0."""
        count, total = self._inside.tolist()
        return total / count if count and total else None

    def sites(self) -> tuple[Site, ...]:
        """Return the strongest positions outside, strongest first; call it once, after `result`."""
        found = []
        for peak in self._outside.result():
            spans = self._spans[self._ranks[peak.contig]]
            before, after = (each.item() for each in _distances(spans, np.array([peak.position])))
            signed = -before if before <= after else after
            found.append(Site(peak.contig, peak.position, signed, peak.value))
        return tuple(found)


def _distances(spans: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bases to the nearest target with larger and with smaller coordinates; 0 inside a target."""
    far = np.iinfo(np.int64).max
    starts, stops = spans[:, 0], np.maximum.accumulate(spans[:, 1])
    following = np.searchsorted(starts, positions, side="right")
    ahead = np.append(starts, far)[following]
    reached = np.append(-1, stops)[following]
    after = np.where(following > 0, np.maximum(positions - reached + 1, 0), far)
    before = np.where(after == 0, 0, np.where(ahead == far, far, ahead - positions))
    return before, after
