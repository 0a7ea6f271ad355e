"""Intervals of a contig, found by what they overlap, and by what they are nearest to."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Generic, TypeVar

T = TypeVar("T")


class Overlaps(Generic[T]):
    """Intervals of one contig with a value each, found by what they overlap."""

    def __init__(self, spans: Iterable[tuple[int, int, T]]) -> None:
        self._spans = sorted(spans, key=lambda span: span[:2])
        self._starts = [start for start, _, _ in self._spans]
        # the farthest stop up to each of them, which ascends
        self._reach = list(accumulate((stop for _, stop, _ in self._spans), max))

    def of(self, start: int, stop: int) -> list[tuple[int, int, T]]:
        """Those that share a base with a span, or that hold the place between two bases."""
        first, last = bisect_right(self._reach, start), bisect_left(self._starts, stop)
        return [span for span in self._spans[first:last] if span[1] > start]

    def nearest(self, position: int) -> tuple[int, int, T] | None:
        """One that has the fewest bases between itself and a position; None if there are none."""
        after = bisect_right(self._starts, position)
        nearest = self._spans[after : after + 1]
        if after:
            stop = self._reach[after - 1]
            nearest.append(self._spans[bisect_left(self._reach, stop)])
        return min(nearest, key=lambda span: between(span, position), default=None)


def between(span: tuple[int, int, object], position: int) -> int:
    """Bases from a span to a position, 0 within it and 1 beside it."""
    return max(span[0] - position, position - span[1] + 1, 0)


def by_contig(spans: Mapping[str, list[tuple[int, int, T]]]) -> dict[str, Overlaps[T]]:
    """Make the `Overlaps` of every contig."""
    return {contig: Overlaps(each) for contig, each in spans.items()}
