"""A response against distance, summarised in bounded memory while it passes by."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

BINS_PER_DECADE = 8
# A float32's bit pattern shifted right by this is the number of its bin, 2048 to an octave.
SHIFT = 12
PATTERNS = 0x7F800000 >> SHIFT  # bins of the finite numbers from 0 on


class Point(NamedTuple):
    """The response of one base."""

    distance: int
    response: float  # norm over A, C, G, T
    change: float  # of the observed base


class DistanceBin(NamedTuple):
    """Responses at the distances ``first`` .. ``last``."""

    first: int
    last: int
    scored: int  # bases that have a value
    largest: Point
    median: float  # to 1 part in 4,000


class Profile:
    """Takes a response by ascending distance.

    Parameters
    ----------
    reach : int
        The largest distance.
    floor : float
        Responses above this are counted, and the furthest of them is kept.

    Attributes
    ----------
    above : int
        Responses above the floor.
    furthest : Point or None
        The furthest of them.
    bins : list of DistanceBin
        By distance, those without a scored base left out.
    """

    def __init__(self, reach: int, floor: float) -> None:
        self.floor = floor
        self.above = 0
        self.furthest: Point | None = None
        self.bins: list[DistanceBin] = []
        self._edges = [*bins(reach + 1)[1:].tolist(), reach + 1]
        self._start_bin()

    @property
    def largest(self) -> Point | None:
        """The largest response; None if nothing responds."""
        points = (each.largest for each in self.bins)
        return max(points, key=lambda point: point.response, default=None)

    def table(self) -> list[Point]:
        """The furthest response above the floor, and the largest of every bin, from there on in."""
        if self.furthest is None:
            return []
        largest = (each.largest for each in reversed(self.bins))
        above = (point for point in largest if point.response > self.floor)
        return list(dict.fromkeys([self.furthest, *above]))

    def add(self, distance: int, response: np.ndarray, change: np.ndarray) -> None:
        """Take the values at consecutive distances.

        Parameters
        ----------
        distance : int
            Of the first value: 1 in the first call, and then where the last one ended.
        response, change : ndarray of float32, (n,)
            NaN where a base is not scored.
        """
        above = np.flatnonzero(response > self.floor)
        self.above += len(above)
        if len(above):
            self.furthest = _point(distance, response, change, above[-1])
        done = 0
        while done < len(response):
            end = min(len(response), self._edges[1] - distance)
            self._count(distance + done, response[done:end], change[done:end])
            if distance + end == self._edges[1]:
                self._close()
            done = end

    def _start_bin(self) -> None:
        self._patterns = np.zeros(PATTERNS, np.int64)
        self._largest: Point | None = None

    def _count(self, distance: int, response: np.ndarray, change: np.ndarray) -> None:
        scored = ~np.isnan(response)
        if not scored.any():
            return
        np.add.at(self._patterns, response[scored].view(np.uint32) >> SHIFT, 1)
        best = _point(distance, response, change, np.nanargmax(response))
        if self._largest is None or best.response > self._largest.response:
            self._largest = best

    def _close(self) -> None:
        first = self._edges.pop(0)
        if self._largest is None:
            return
        scored = int(self._patterns.sum())
        middle = int(np.searchsorted(np.cumsum(self._patterns), (scored + 1) // 2))
        pattern = np.uint32((middle << SHIFT) + (1 << SHIFT >> 1) if middle else 0)
        median = min(float(pattern.view(np.float32)), self._largest.response)
        self.bins.append(DistanceBin(first, self._edges[0] - 1, scored, self._largest, median))
        self._start_bin()


def _point(distance: int, response: np.ndarray, change: np.ndarray, i: np.intp) -> Point:
    return Point(distance + int(i), float(response[i]), float(change[i]))


def bins(lags: int) -> np.ndarray:
    """Return the first lag of every bin of 0 .. lags - 1, eight bins to a decade."""
    powers = np.arange(math.ceil(math.log10(lags) * BINS_PER_DECADE) + 1) / BINS_PER_DECADE
    edges = np.unique([0, *(10**powers).astype(np.int64)])
    return edges[edges < lags]
