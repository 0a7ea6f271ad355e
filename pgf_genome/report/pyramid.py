"""A contig at several resolutions, each of which keeps every extreme of the finer one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pgf_genome.tracks import Bins, Envelope

FACTOR = 4
# The page draws the finest level with at most this many bins in view, about two to a pixel.
IN_VIEW = 2400


@dataclass(frozen=True)
class Level:
    """A contig in bins.

    Attributes
    ----------
    bins : Bins
    minimum, maximum, mean : ndarray of float32, (n,)
        NaN where nothing was scored. All three are equal where a bin is a base.
    """

    bins: Bins
    minimum: np.ndarray
    maximum: np.ndarray
    mean: np.ndarray

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """Start and stop of every bin, (n,) each, 0-based half-open."""
        width = self.bins.width
        starts = [np.arange(start, stop, width) for start, stop in self.bins.stretches]
        ends = zip(starts, self.bins.stretches, strict=True)
        stops = [np.minimum(each + width, stop) for each, (_, stop) in ends]
        return np.concatenate(starts), np.concatenate(stops)

    def numbers(self) -> np.ndarray:
        """The values of single bases, (n,), or minima, maxima and means, (3 n,); float32."""
        if self.bins.width == 1:
            return self.mean
        return np.concatenate([self.minimum, self.maximum, self.mean])


def levels(envelope: Envelope) -> Iterator[Level]:
    """Make the levels of a contig, finest first.

    The last has at most `IN_VIEW` bins, or one for every stretch.
    """
    bins = envelope.bins
    count = np.array(envelope.count, np.int64)
    minimum = np.array(envelope.minimum, np.float32)
    maximum = np.array(envelope.maximum, np.float32)
    mean = np.array(envelope.mean, np.float32)
    total = np.where(count > 0, mean, 0) * count.astype(np.float64)
    while True:
        yield Level(bins, minimum, maximum, mean)
        if len(mean) <= max(IN_VIEW, len(bins.stretches)):
            return
        ends = np.cumsum([0, *bins.counts])
        starts = np.concatenate([np.arange(*pair, FACTOR) for pair in pairwise(ends)])
        bins = Bins(bins.stretches, bins.width * FACTOR)
        minimum = np.fmin.reduceat(minimum, starts)
        maximum = np.fmax.reduceat(maximum, starts)
        count = np.add.reduceat(count, starts)
        total = np.add.reduceat(total, starts)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
