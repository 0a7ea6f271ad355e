"""Statistics of bins of equal width, for zoom levels and summary tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import TracebackType
from typing import Self

import numpy as np

from pgf_genome.errors import UsageError
from pgf_genome.tracks.blocks import BLOCK, BlockConsumer

STATISTICS = ("minimum", "maximum", "sum", "squares")
PLACE = [("rank", "<u4"), ("start", "<u4"), ("stop", "<u4"), ("count", "<u4")]
BIN = np.dtype(PLACE + [(name, "<f8") for name in STATISTICS])


def bins_of(rank: int, start: int, block: np.ndarray, width: int) -> np.ndarray:
    """Compute statistics of bins at multiples of ``width``; bins without a score are left out.

    Parameters
    ----------
    rank : int
        Place of the contig in the list of contigs.
    start : int
        0-based position of the first value. The bins at either end may be incomplete.
    block : ndarray of float32, (n,)
        NaN where there is no score.
    width : int
        Positions per bin.

    Returns
    -------
    ndarray of `BIN`, (bins,)
        Start and stop are those of the part of a bin within the block.
    """
    first = np.arange(-start % width, len(block), width)
    if start % width:
        first = np.append(0, first)
    scored = ~np.isnan(block)
    filled = np.where(scored, block, 0).astype(np.float64)
    bins = np.zeros(len(first), BIN)
    bins["rank"] = rank
    bins["start"] = start + first
    bins["stop"] = start + np.append(first[1:], len(block))
    bins["count"] = np.add.reduceat(scored, first, dtype=np.int64)
    bins["minimum"] = np.fmin.reduceat(block, first)
    bins["maximum"] = np.fmax.reduceat(block, first)
    bins["sum"] = np.add.reduceat(filled, first)
    bins["squares"] = np.add.reduceat(filled * filled, first)
    return bins[bins["count"] > 0]


class Binning:
    """A stage that joins narrower bins, as they come, into bins at multiples of ``width``.

    Parameters
    ----------
    width : int
        Positions per bin.
    lengths : ndarray of int64, (contigs,)
        Length of every contig in bases; its last bin ends there.
    """

    def __init__(self, width: int, lengths: np.ndarray) -> None:
        self.width = width
        self._lengths = lengths
        self._open = np.zeros(0, BIN)

    def add(self, bins: np.ndarray) -> np.ndarray:
        """Take bins of dtype `BIN`, ascending, and return the wider bins that they complete."""
        if len(bins) == 0:
            return bins
        merged = self._merge(np.concatenate([self._open, bins]))
        complete, self._open = merged[:-1], merged[-1:]
        return complete

    def drain(self) -> np.ndarray:
        """Return the last bin, if there is one, and forget it."""
        last, self._open = self._open, self._open[:0]
        return last

    def _merge(self, bins: np.ndarray) -> np.ndarray:
        place = bins["start"] // self.width
        new = (np.diff(place) != 0) | (np.diff(bins["rank"]) != 0)
        first = np.concatenate([[0], np.flatnonzero(new) + 1])
        merged = bins[first]
        starts = place[first].astype(np.int64) * self.width
        merged["start"] = starts
        merged["stop"] = np.minimum(starts + self.width, self._lengths[merged["rank"]])
        merged["minimum"] = np.minimum.reduceat(bins["minimum"], first)
        merged["maximum"] = np.maximum.reduceat(bins["maximum"], first)
        for field in ("count", "sum", "squares"):
            merged[field] = np.add.reduceat(bins[field], first)
        return merged


class BinnedTrack(BlockConsumer):
    """Mean and maximum of a track in bins, handed on as tracks of their own.

    A bin covers positions ``[k * width, (k + 1) * width)`` of a contig; the last may be shorter.
    Its mean and maximum are over its scored positions alone and are handed on for all of its
    positions, so that a writer makes one row of them; a bin without a score has no row. Means are
    summed in float64.

    As a context manager it hands the last bin on when the block ends without error, so it has to
    be closed before the writers are.

    Parameters
    ----------
    name : str
        Name of the track in error messages.
    sizes : mapping of str to int
        Length of every contig in bases, in FASTA order.
    width : int
        Bases per bin, at least 2.
    mean, maximum : sequence of BlockConsumer
        Consumers of the means and of the maxima.

    Raises
    ------
    UsageError
        If ``width`` is less than 2.
    """

    def __init__(
        self,
        name: str,
        sizes: Mapping[str, int],
        width: int,
        mean: Sequence[BlockConsumer],
        maximum: Sequence[BlockConsumer],
    ) -> None:
        if width < 2:
            raise UsageError(f"a bin must be at least 2 bases wide, not {width}")
        super().__init__(name, sizes)
        self._binning = Binning(width, np.array(list(self.sizes.values()), np.int64))
        self._contigs = list(self.sizes)
        self._mean, self._maximum = tuple(mean), tuple(maximum)

    def close(self) -> None:
        """Hand on the last bin."""
        self._flush()
        self._hand_on(self._binning.drain())

    def _consume(self, rank: int, start: int, block: np.ndarray) -> None:
        self._hand_on(self._binning.add(bins_of(rank, start, block, self._binning.width)))

    def _hand_on(self, bins: np.ndarray) -> None:
        means = (bins["sum"] / bins["count"]).astype(np.float32)
        maxima = bins["maximum"].astype(np.float32)
        apart = (np.diff(bins["rank"]) != 0) | (bins["start"][1:] != bins["stop"][:-1])
        edges = [0, *(np.flatnonzero(apart) + 1).tolist(), len(bins)]
        for first, last in pairwise(edges):
            if first < last:
                self._hand_on_adjacent(bins[first:last], means[first:last], maxima[first:last])

    def _hand_on_adjacent(self, bins: np.ndarray, means: np.ndarray, maxima: np.ndarray) -> None:
        contig, width = self._contigs[bins["rank"][0]], self._binning.width
        start, stop = int(bins["start"][0]), int(bins["stop"][-1])
        for at in range(start, stop, BLOCK):
            place = (np.arange(at, min(at + BLOCK, stop)) - start) // width
            for values, takers in ((means, self._mean), (maxima, self._maximum)):
                for taker in takers:
                    taker.add(contig, at, values[place])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
