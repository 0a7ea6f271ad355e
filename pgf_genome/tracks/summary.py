"""Summary of a track in bounded size for the report, computed as the scores pass by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pgf_genome.tracks.blocks import BlockConsumer
from pgf_genome.tracks.histogram import LARGEST, Histogram

# a float32's bit pattern shifted right by this is the number of its bin, of four to an octave
HISTOGRAM_SHIFT = 21


@dataclass(frozen=True, slots=True)
class Envelope:
    """One contig in bins of equal width (the last may be shorter).

    Attributes
    ----------
    contig : str
    length : int
        Length of the contig in bases.
    bin_width : int
        Positions per bin; bin i starts at position ``i * bin_width`` (0-based).
    scored : int
        Positions with a score.
    minimum, maximum, mean : tuple of float or None
        One number per bin, None where no position was scored.
    count : tuple of int
        Positions with a score in each bin.
    """

    contig: str
    length: int
    bin_width: int
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
        One for every contig of the genome, in FASTA order.
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
    bins_per_contig, bins : int
        Largest number of bins of a contig, and rough number of bins of the genome. Every contig
        has one at least.
    longest : int, optional
        Number of contigs, the longest ones, that share the bins by length; the others have one
        bin each. All contigs share them if None.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        bins_per_contig: int = 2000,
        bins: int = 12_000,
        longest: int | None = None,
    ) -> None:
        super().__init__("summary", sizes)
        lengths = np.array(list(sizes.values()), np.int64)
        share = np.zeros(len(lengths), np.int64)
        sharing = np.argsort(-lengths, kind="stable")[:longest]
        share[sharing] = bins * lengths[sharing] // max(int(lengths[sharing].sum()), 1)
        self._widths = -(-lengths // np.clip(share, 1, bins_per_contig))
        counts = -(-lengths // np.maximum(self._widths, 1))
        self._first_bin = np.concatenate([[0], np.cumsum(counts)])
        total = int(self._first_bin[-1])
        self._count = np.zeros(total, np.int64)
        self._sum = np.zeros(total)
        self._minimum = np.full(total, np.nan, np.float32)
        self._maximum = np.full(total, np.nan, np.float32)
        self._histogram = Histogram()

    def _consume(self, rank: int, start: int, block: np.ndarray) -> None:
        scored = ~np.isnan(block)
        self._add_to_bins(rank, start, block, scored)
        self._histogram.add(block[scored])

    def _add_to_bins(self, rank: int, start: int, block: np.ndarray, scored: np.ndarray) -> None:
        width = int(self._widths[rank])
        first_bin = start // width
        last_bin = (start + len(block) - 1) // width
        edges = np.maximum(np.arange(first_bin, last_bin + 1) * width - start, 0)
        offset = int(self._first_bin[rank])
        at = slice(offset + first_bin, offset + last_bin + 1)
        self._count[at] += np.add.reduceat(scored, edges, dtype=np.int64)
        self._sum[at] += np.add.reduceat(np.where(scored, block, 0), edges, dtype=np.float64)
        self._minimum[at] = np.fmin(self._minimum[at], np.fmin.reduceat(block, edges))
        self._maximum[at] = np.fmax(self._maximum[at], np.fmax.reduceat(block, edges))

    def result(self) -> Summary:
        """Return the summary of everything added; call it once, after the last `add`."""
        self._flush()
        contigs = list(self.sizes)
        scored = int(self._count.sum())
        return Summary(
            scored=scored,
            minimum=float(np.nanmin(self._minimum)) if scored else None,
            maximum=float(np.nanmax(self._maximum)) if scored else None,
            mean=float(self._sum.sum() / scored) if scored else None,
            envelopes=tuple(self._envelope(rank, contig) for rank, contig in enumerate(contigs)),
            histogram=self._histogram_bins(),
        )

    def _envelope(self, rank: int, contig: str) -> Envelope:
        at = slice(int(self._first_bin[rank]), int(self._first_bin[rank + 1]))
        counts = self._count[at]
        mean = np.where(counts > 0, self._sum[at] / np.maximum(counts, 1), np.nan)
        return Envelope(
            contig=contig,
            length=self.sizes[contig],
            bin_width=int(self._widths[rank]),
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
