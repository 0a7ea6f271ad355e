"""A contig at several resolutions, each of which keeps every extreme of the finer one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pgf_genome.tracks import Envelope

FACTOR = 4
# The page draws the finest level with at most this many bins in view, about two to a pixel.
IN_VIEW = 2400


@dataclass(frozen=True)
class Level:
    """A contig in bins of equal width (the last may be shorter).

    Attributes
    ----------
    width : int
        Bases per bin; bin i starts at position ``i * width`` (0-based).
    minimum, maximum, mean : ndarray of float32, (n,)
        NaN where nothing was scored. All three are equal where a bin is a base.
    """

    width: int
    minimum: np.ndarray
    maximum: np.ndarray
    mean: np.ndarray

    def __len__(self) -> int:
        return len(self.mean)

    def numbers(self) -> np.ndarray:
        """The values of single bases, (n,), or minima, maxima and means, (3 n,); float32."""
        if self.width == 1:
            return self.mean
        return np.concatenate([self.minimum, self.maximum, self.mean])


def levels(envelope: Envelope) -> Iterator[Level]:
    """Make the levels of a contig, finest first; the last has at most `IN_VIEW` bins."""
    width = envelope.bin_width
    count = np.array(envelope.count, np.int64)
    minimum = np.array(envelope.minimum, np.float32)
    maximum = np.array(envelope.maximum, np.float32)
    mean = np.array(envelope.mean, np.float32)
    total = np.where(count > 0, mean, 0) * count.astype(np.float64)
    while True:
        yield Level(width, minimum, maximum, mean)
        if len(mean) <= IN_VIEW:
            return
        starts = np.arange(0, len(mean), FACTOR)
        width *= FACTOR
        minimum = np.fmin.reduceat(minimum, starts)
        maximum = np.fmax.reduceat(maximum, starts)
        count = np.add.reduceat(count, starts)
        total = np.add.reduceat(total, starts)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
