"""Quantiles of the values of a track: of all bases, of soft-masked and of other ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pgf_genome.runs.record import Quantiles
from pgf_genome.tracks import BlockConsumer, Mask
from pgf_genome.tracks.histogram import Histogram

LEVELS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
# The groups of bases, as readers and run.json name them.
ALL, SOFT_MASKED, OTHER, SHUFFLED = "all", "soft_masked", "other", "shuffled"


class Spread(BlockConsumer):
    """Consumer that finds the quantiles of a track; its memory does not depend on its length.

    Parameters
    ----------
    sizes : mapping of str to int
        Length of every contig in bases, in FASTA order.
    soft_masked : callable, optional
        Says which bases are soft-masked.
    """

    def __init__(self, sizes: Mapping[str, int], soft_masked: Mask | None = None) -> None:
        super().__init__("quantiles", sizes)
        self._names, self._soft_masked = list(self.sizes), soft_masked
        self._every, self._masked = Histogram(), Histogram()

    def _consume(self, rank: int, start: int, block: np.ndarray) -> None:
        scored = ~np.isnan(block)
        self._every.add(block[scored])
        if self._soft_masked is not None:
            masked = self._soft_masked(self._names[rank], start, start + len(block))
            if masked.any():
                self._masked.add(block[scored & masked])

    def result(self) -> dict[str, Quantiles]:
        """Return quantiles by group; call it once, after the last `add`.

        Soft-masked and other bases are groups of their own if there are both.
        """
        self._flush()
        groups = {ALL: self._every}
        if 0 < self._masked.total < self._every.total:
            groups |= {SOFT_MASKED: self._masked, OTHER: self._every - self._masked}
        return {name: _quantiles(each) for name, each in groups.items() if each.total}


def _quantiles(histogram: Histogram) -> Quantiles:
    values = (float(f"{value:.6g}") for value in histogram.quantiles(LEVELS))
    return Quantiles(histogram.total, LEVELS, tuple(values))
