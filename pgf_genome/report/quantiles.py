"""Quantiles of the values of a track: of all bases, of soft-masked and of other ones."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np

from pgf_genome.report.text import number, short, table
from pgf_genome.runs.record import Quantiles, Record
from pgf_genome.tracks import BlockConsumer, Mask
from pgf_genome.tracks.histogram import Histogram

LEVELS = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
# The groups of bases, as readers and run.json name them.
ALL, SOFT_MASKED, OTHER, SHUFFLED = "all", "soft_masked", "other", "shuffled"
WORDS = {
    ALL: "all bases",
    SOFT_MASKED: "soft-masked",
    OTHER: "not soft-masked",
    SHUFFLED: "shuffled sequence",
}
# The levels that one line of the log has.
HALF, MOST = 0.5, 0.99


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


def quantiles_in_words(record: Record, track: str) -> str:
    """Say in one line below what the values of a track are, and those of shuffled sequence."""
    groups = record.quantiles.get(track, {})
    if ALL not in groups:
        return f"{track}: no base has a value"
    half, most = (_at(groups[ALL], level) for level in (HALF, MOST))
    said = f"{track}: half of the values are below {half:.3g}, {100 * MOST:.0f} % below {most:.3g}"
    if SHUFFLED in groups:
        half, most = (_at(groups[SHUFFLED], level) for level in (HALF, MOST))
        said += f"; on shuffled sequence, {half:.3g} and {most:.3g}"
    return said


def _at(quantiles: Quantiles, level: float) -> float:
    return quantiles.values[quantiles.levels.index(level)]


def quantiles_table(record: Record) -> str:
    """Make heading, note and table, with a row for every track and group of bases."""
    rows = [
        [escape(record.tracks[track].title), WORDS.get(group, escape(group)), number(each.bases),
         *map(short, each.values)]
        for track, groups in record.quantiles.items() if track in record.tracks
        for group, each in groups.items()
    ]  # fmt: skip
    if not rows:
        return ""
    head = ["Track", "Bases", "Number", *(f"{level:.4g}" for level in LEVELS)]
    shuffled = any(SHUFFLED in groups for groups in record.quantiles.values())
    more = (
        " Shuffled sequence has the same dinucleotides in random order, so it shows what values "
        "composition alone gives."
    )
    return (
        '<h3>Quantiles</h3><p class="note">The value below which a part of the bases lies.'
        f"{more if shuffled else ''}</p>{table(head, rows, frozenset(range(2, 3 + len(LEVELS))))}"
    )
