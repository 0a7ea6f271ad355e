"""Summary of a track in bounded size for the report, computed as the scores pass by."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pgf_genome.intervals import Span
from pgf_genome.tracks.blocks import BlockConsumer
from pgf_genome.tracks.histogram import LARGEST, Histogram

# a float32's bit pattern shifted right by this is the number of its bin, of four to an octave
HISTOGRAM_SHIFT = 21


@dataclass(frozen=True, slots=True)
class Bins:
    """The bins of a contig.

    Attributes
    ----------
    stretches : tuple of (int, int)
        What they cover, 0-based half-open, ascending, without overlap.
    width : int
        Bases per bin; each stretch begins with a bin, and its last may be shorter.
    """

    stretches: tuple[Span, ...]
    width: int

    @property
    def counts(self) -> list[int]:
        """The number of bins of each stretch."""
        return [-(-(stop - start) // self.width) for start, stop in self.stretches]


@dataclass(frozen=True, slots=True)
class Envelope:
    """One contig in bins.

    Attributes
    ----------
    contig : str
    length : int
        Length of the contig in bases.
    bins : Bins
    scored : int
        Positions with a score.
    minimum, maximum, mean : tuple of float or None
        One number per bin, None where no position was scored.
    count : tuple of int
        Positions with a score in each bin.
    """

    contig: str
    length: int
    bins: Bins
    scored: int
    minimum: tuple[float | None, ...]
    maximum: tuple[float | None, ...]
    mean: tuple[float | None, ...]
    count: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class HistogramBin:
    """Number of scores of one sign with ``low <= |score| < high``; 0 counts as positive."""

    negative: bool
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole track in bounded size; ``dataclasses.asdict`` of it is ready for JSON.

    Attributes
    ----------
    scored : int
        Positions with a score.
    minimum, maximum, mean : float or None
        Over all scored positions; None if there are none.
    envelopes : tuple of Envelope
        One for every contig that has bins, in FASTA order.
    histogram : tuple of HistogramBin
        Bins that hold a score, four to an octave, ascending in magnitude.
    """

    scored: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    envelopes: tuple[Envelope, ...]
    histogram: tuple[HistogramBin, ...]


class TrackSummary(BlockConsumer):
    """Consumer that makes a `Summary`; its memory does not depend on the number of scores.

    Parameters
    ----------
    sizes : mapping of str to int
        Length of every contig in bases, in FASTA order.
    bins : mapping of str to Bins, optional
        The bins of contigs; those that are not in it have none.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        bins: Mapping[str, Bins] | None = None,
    ) -> None:
        super().__init__("summary", sizes)
        self._bins = {
            rank: bins[contig] for rank, contig in enumerate(sizes) if bins and contig in bins
        }
        # the first bin of every stretch, and the end of the last
        self._firsts: dict[int, list[int]] = {}
        total = 0
        for rank, each in self._bins.items():
            self._firsts[rank] = np.cumsum([total, *each.counts]).tolist()
            total = self._firsts[rank][-1]
        self._count = np.zeros(total, np.int64)
        self._sum = np.zeros(total)
        self._minimum = np.full(total, np.nan, np.float32)
        self._maximum = np.full(total, np.nan, np.float32)
        self._scored, self._total, self._extremes = 0, 0.0, (np.inf, -np.inf)
        self._histogram = Histogram()

    def _consume(self, rank: int, start: int, block: np.ndarray) -> None:
        scored = ~np.isnan(block)
        values = block[scored]
        self._scored += len(values)
        self._total += float(values.sum(dtype=np.float64))
        low, high = self._extremes
        self._extremes = float(values.min(initial=low)), float(values.max(initial=high))
        if rank in self._bins:
            self._add_to_bins(rank, start, block, scored)
        self._histogram.add(values)

    def _add_to_bins(self, rank: int, start: int, block: np.ndarray, scored: np.ndarray) -> None:
        stretches, width = self._bins[rank].stretches, self._bins[rank].width
        stop = start + len(block)
        touched = bisect_right(stretches, start, key=lambda stretch: stretch[1])
        for (begin, end), first in zip(
            stretches[touched:], self._firsts[rank][touched:], strict=False
        ):
            if begin >= stop:
                break
            low, high = max(begin, start), min(end, stop)
            first_bin, last_bin = (low - begin) // width, (high - 1 - begin) // width
            edges = np.maximum(begin + np.arange(first_bin, last_bin + 1) * width - low, 0)
            at = slice(first + first_bin, first + last_bin + 1)
            part, known = block[low - start : high - start], scored[low - start : high - start]
            self._count[at] += np.add.reduceat(known, edges, dtype=np.int64)
            filled = np.where(known, part, 0)
            self._sum[at] += np.add.reduceat(filled, edges, dtype=np.float64)
            self._minimum[at] = np.fmin(self._minimum[at], np.fmin.reduceat(part, edges))
            self._maximum[at] = np.fmax(self._maximum[at], np.fmax.reduceat(part, edges))

    def result(self) -> Summary:
        """Return the summary of everything added; call it once, after the last `add`."""
        self._flush()
        contigs, scored = list(self.sizes), self._scored
        return Summary(
            scored=scored,
            minimum=self._extremes[0] if scored else None,
            maximum=self._extremes[1] if scored else None,
            mean=self._total / scored if scored else None,
            envelopes=tuple(self._envelope(rank, contigs[rank]) for rank in self._bins),
            histogram=self._histogram_bins(),
        )

    def _envelope(self, rank: int, contig: str) -> Envelope:
        at = slice(self._firsts[rank][0], self._firsts[rank][-1])
        counts = self._count[at]
        mean = np.where(counts > 0, self._sum[at] / np.maximum(counts, 1), np.nan)
        return Envelope(
            contig=contig,
            length=self.sizes[contig],
            bins=self._bins[rank],
            scored=int(counts.sum()),
            minimum=_or_none(self._minimum[at]),
            maximum=_or_none(self._maximum[at]),
            mean=_or_none(mean.astype(np.float32)),
            count=tuple(counts.tolist()),
        )

    def _histogram_bins(self) -> tuple[HistogramBin, ...]:
        counts = self._histogram.coarse(HISTOGRAM_SHIFT)
        magnitudes = len(counts) // 2
        patterns = np.arange(magnitudes + 1, dtype=np.uint32) << HISTOGRAM_SHIFT
        edges = np.fmin(patterns.view(np.float32), LARGEST)
        return tuple(
            HistogramBin(
                negative=bool(i >= magnitudes),
                low=float(edges[i % magnitudes]),
                high=float(edges[i % magnitudes + 1]),
                count=int(counts[i]),
            )
            for i in np.flatnonzero(counts).tolist()
        )


def _or_none(values: np.ndarray) -> tuple[float | None, ...]:
    return tuple(None if value != value else value for value in values.tolist())
