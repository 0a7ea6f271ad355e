"""Counts of float32 values by magnitude, in bounded memory, and quantiles from them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

# A float32's bit pattern shifted right by this is the number of its bin: 128 bins to an octave,
# each 0.8 % wide at most, negative values in the upper half.
SHIFT = 16
BINS = 2 ** (32 - SHIFT)
# From here on, adding to all bins at once is faster than adding value by value.
MANY = 4096
LARGEST = np.finfo(np.float32).max


class Histogram:
    """Number of values in each of `BINS` bins; memory and result do not depend on their order."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)

    def add(self, values: np.ndarray) -> None:
        """Count values, float32 (n,), none of them NaN."""
        bins = values.view(np.uint32) >> SHIFT
        if len(values) < MANY:
            np.add.at(self.counts, bins, 1)
        else:
            self.counts += np.bincount(bins, minlength=BINS)

    def __sub__(self, other: Histogram) -> Histogram:
        """The histogram of the values of this one without those of another."""
        rest = Histogram()
        rest.counts = self.counts - other.counts
        return rest

    @property
    def total(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    def coarse(self, shift: int) -> np.ndarray:
        """Counts in bins of bit patterns shifted right by ``shift`` >= `SHIFT`."""
        return self.counts.reshape(-1, 2 ** (shift - SHIFT)).sum(axis=1)

    def quantiles(self, levels: Iterable[float]) -> list[float]:
        """Values below which a part of all lies, to the width of a bin, interpolated within it.

        Parameters
        ----------
        levels : iterable of float
            The parts, more than 0 and less than 1.

        Raises
        ------
        ValueError
            If there is no value.
        """
        if not self.total:
            raise ValueError("there are no quantiles of no values")
        edges = _edges(np.arange(BINS // 2 + 1))
        low = np.concatenate([-edges[:0:-1], edges[:-1]])
        high = np.concatenate([-edges[-2::-1], edges[1:]])
        counts = np.concatenate([self.counts[: BINS // 2 - 1 : -1], self.counts[: BINS // 2]])
        reached = np.cumsum(counts)
        found = []
        for level in levels:
            rank = level * self.total
            at = int(np.searchsorted(reached, rank))
            within = (rank - (reached[at] - counts[at])) / counts[at]
            found.append(float(low[at] + within * (high[at] - low[at])))
        return found


def _edges(bins: np.ndarray) -> np.ndarray:
    """Lower ends of bins of positive values; that of the first one that is none is the largest."""
    patterns = bins.astype(np.uint32) << SHIFT
    return np.fmin(patterns.view(np.float32), LARGEST).astype(np.float64)
