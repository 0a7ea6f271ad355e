"""Genes of a run: the values of its tracks on every feature, beside windows like it.

``PREFIX.genes.tsv`` has a row for each type of feature that a gene has (its CDS, its exons ..),
and for each feature that belongs to no gene. Its first six columns are those of BED.

What is usual for a feature is told by windows of its length and composition. On every contig
`WINDOWS` places are drawn for each class of length, evenly over the bases that were written, by a
generator that is seeded with the contig's name and the length: the same in every run. Lengths of
one class differ by 5 % from its windows at most. The windows of a feature are those of its class
whose share of G and C is within `TOLERANCE` of its own, that have a score at half of their bases
or more, and that do not reach into it. They lie in genes and between them, as they come. z is the
distance of the feature's mean from the mean of their means, in standard deviations of these, and p
the share of the windows, the feature among them, whose mean is at least as large. With fewer than
`LEAST` of them there is neither.

Everything is summed up while the scores pass by once. Memory is that of the features, and of the
windows of one contig: some 50 bytes each, 250,000 of them where features have every length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from pgf_genome.files import atomic_write_text
from pgf_genome.intervals import Span
from pgf_genome.sequence import BASES, Genome
from pgf_genome.sequence.parts import Parts
from pgf_genome.tracks import BlockConsumer

WINDOWS, TOLERANCE, LEAST = 4096, 0.02, 20
# Part of the bases of a window that have a score at least, and ratio of lengths between classes.
SCORED, RATIO = 0.5, 1.1
GC = tuple(BASES.index(base) for base in "CG")

WINDOW = np.dtype(
    [("start", "<i8"), ("stop", "<i8"), ("length", "<i8"), ("gc", "<f8"), ("mean", "<f8")]
)

COLUMNS = ("#contig", "start", "end", "gene", "rank", "strand", "feature", "bases", "scored", "gc")
COMPARED = ("windows", "window_mean", "window_sd", "z", "p")


@dataclass(frozen=True)
class Usual:
    """The means of the windows that are like a feature.

    Attributes
    ----------
    windows : int
        Their number.
    mean, deviation : float
        Of their means.
    at_least : int
        Windows whose mean is at least that of the feature.
    """

    windows: int
    mean: float
    deviation: float
    at_least: int


@dataclass(frozen=True)
class Measured:
    """A feature with the values of one track on it.

    Attributes
    ----------
    contig : str
    parts : Parts
    scored : int
        Bases with a value.
    gc : float
        Share of G and C among them; NaN without the sequence.
    mean, highest : float
        Mean, and largest magnitude with its sign.
    highest_at : int
        Position of the latter, 0-based.
    usual : Usual or None
    """

    contig: str
    parts: Parts
    scored: int
    gc: float
    mean: float
    highest: float
    highest_at: int
    usual: Usual | None

    @property
    def z(self) -> float:
        """Distance from what is usual in standard deviations; NaN if that is not known."""
        if self.usual is None or not self.usual.deviation:
            return np.nan
        return (self.mean - self.usual.mean) / self.usual.deviation

    @property
    def p(self) -> float:
        """Share of windows, the feature among them, with at least its mean; NaN if not known."""
        return (
            np.nan if self.usual is None else (1 + self.usual.at_least) / (1 + self.usual.windows)
        )


class _Sums:
    """Sums of several numbers a base over spans of one contig, from left to right.

    Parameters
    ----------
    spans : ndarray of int64, (n, 2)
        By start.
    numbers : int
    """

    def __init__(self, spans: np.ndarray, numbers: int) -> None:
        self._starts, self._stops = spans[:, 0], spans[:, 1]
        self._reach = np.maximum.accumulate(self._stops)
        self.totals = np.zeros((numbers, len(spans)))

    def reached(self, start: int, stop: int) -> tuple[slice, np.ndarray, np.ndarray]:
        """Spans that may overlap a stretch, and from where to where they lie in it."""
        first = int(np.searchsorted(self._reach, start, side="right"))
        at = slice(first, int(np.searchsorted(self._starts, stop)))
        low, high = (
            np.clip(ends[at] - start, 0, stop - start) for ends in (self._starts, self._stops)
        )
        return at, low, high

    def add(self, start: int, numbers: np.ndarray) -> None:
        """Take the numbers (numbers, n) of successive bases."""
        at, low, high = self.reached(start, start + numbers.shape[1])
        before = np.zeros((len(numbers), numbers.shape[1] + 1))
        np.cumsum(numbers, axis=1, out=before[:, 1:])
        self.totals[:, at] += before[:, high] - before[:, low]


class _OfContig:
    """The features of one contig, and windows like them, while the scores pass by."""

    def __init__(
        self, contig: str, parts: Sequence[Parts], written: Sequence[Span], compared: bool
    ) -> None:
        self.contig, self.parts = contig, parts
        spans = [(*span, i) for i, each in enumerate(parts) for span in each.spans]
        self._spans = np.array(sorted(spans), np.int64)
        self._sums = _Sums(self._spans, 3)
        self._highest = np.zeros(len(parts))
        self._highest_at = np.full(len(parts), -1)
        self._bases = np.array([sum(b - a for a, b in each.spans) for each in parts])
        self._class = np.rint(np.log(self._bases) / np.log(RATIO)).astype(np.int64)
        lengths = np.unique(self._class).tolist() if compared else []
        drawn = [_windows(contig, each, written) for each in lengths]
        windows = np.concatenate([np.empty((0, 3), np.int64), *drawn])
        self._windows = windows[np.argsort(windows[:, 0], kind="stable")]
        self._window_sums = _Sums(self._windows, 3)

    def add(self, start: int, block: np.ndarray, is_gc: np.ndarray | None) -> None:
        scored = ~np.isnan(block)
        values = np.where(scored, block, 0).astype(np.float64)
        numbers = np.stack([scored, values, scored & (np.False_ if is_gc is None else is_gc)])
        self._sums.add(start, numbers)
        if is_gc is not None:
            self._window_sums.add(start, numbers)
        at, low, high = self._sums.reached(start, start + len(block))
        magnitude = np.abs(values)
        for part, a, b in zip(
            self._spans[at, 2].tolist(), low.tolist(), high.tolist(), strict=True
        ):
            if a < b and magnitude[here := a + int(magnitude[a:b].argmax())] > abs(
                self._highest[part]
            ):
                self._highest[part], self._highest_at[part] = values[here], start + here

    def measured(self, with_gc: bool) -> list[Measured]:
        totals = np.zeros((len(self.parts), 3))
        np.add.at(totals, self._spans[:, 2], self._sums.totals.T)
        scored, mean, gc = _shares(totals.T)
        likeness = _Likeness(self._windows, self._window_sums.totals) if with_gc else None
        found = []
        for i in np.flatnonzero(scored).tolist():
            usual = None
            if likeness is not None and scored[i] >= SCORED * self._bases[i]:
                extent = self.parts[i].extent
                usual = likeness.to(int(self._class[i]), gc[i], mean[i], extent)
            found.append(
                Measured(
                    *(self.contig, self.parts[i], int(scored[i]), gc[i] if with_gc else np.nan),
                    *(mean[i], self._highest[i], int(self._highest_at[i]), usual),
                )
            )
        return found


class _Likeness:
    """Windows by class and share of G and C, with their means."""

    def __init__(self, windows: np.ndarray, totals: np.ndarray) -> None:
        scored, mean, gc = _shares(totals)
        rows = np.zeros(len(windows), WINDOW)
        for name, values in zip(WINDOW.names or (), (*windows.T, gc, mean), strict=True):
            rows[name] = values
        rows = rows[scored >= SCORED * (rows["stop"] - rows["start"])]
        rows = rows[np.lexsort((rows["gc"], rows["length"]))]
        ends = np.flatnonzero(np.diff(rows["length"])) + 1
        self._by_class = {
            int(part["length"][0]): part for part in np.split(rows, ends) if len(part)
        }

    def to(self, length: int, gc: float, mean: float, extent: Span) -> Usual | None:
        """What is usual for a feature; None if too few windows are like it."""
        if length not in self._by_class:
            return None
        rows = self._by_class[length]
        low, high = np.searchsorted(rows["gc"], (gc - TOLERANCE, gc + TOLERANCE))
        rows = rows[low:high]
        means = rows["mean"][(rows["stop"] <= extent[0]) | (rows["start"] >= extent[1])]
        if len(means) < LEAST:
            return None
        at_least = int(np.count_nonzero(means >= mean))
        return Usual(len(means), float(means.mean()), float(means.std()), at_least)


def _shares(totals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of bases with a score, their mean, and the share of G and C among them."""
    scored, values, gc = totals
    least = np.maximum(scored, 1)
    return scored, values / least, gc / least


def _windows(contig: str, length: int, written: Sequence[Span]) -> np.ndarray:
    """Start, stop and class of windows of one class of length, (n, 3) int64."""
    width = max(round(RATIO**length), 1)
    spans = np.array([span for span in written if span[1] - span[0] >= width], np.int64)
    if not len(spans):
        return np.empty((0, 3), np.int64)
    places = np.cumsum(spans[:, 1] - spans[:, 0] - width + 1)
    drawn = np.random.default_rng([*contig.encode(), length]).integers(0, places[-1], WINDOWS)
    drawn = np.unique(drawn)
    which = np.searchsorted(places, drawn, side="right")
    starts = spans[which, 1] - width + 1 - (places[which] - drawn)
    return np.stack([starts, starts + width, np.full_like(starts, length)], axis=1)


class OnFeatures(BlockConsumer):
    """Consumer that measures a track on all features.

    Parameters
    ----------
    sizes : mapping of str to int
        Length of every contig in bases, in FASTA order.
    parts : mapping of str to sequence of Parts
        Features by contig.
    written : mapping of str to sequence of (int, int), optional
        Spans that were written, by contig, 0-based half-open; None if all were.
    genome : Genome, optional
        The sequence. Without it nothing is known of composition, and nothing of what is usual.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        parts: Mapping[str, Sequence[Parts]],
        written: Mapping[str, Sequence[Span]] | None = None,
        genome: Genome | None = None,
    ) -> None:
        super().__init__("features", sizes)
        self._names, self._parts, self._genome = list(self.sizes), parts, genome
        self._written = written or {name: ((0, size),) for name, size in self.sizes.items()}
        self._now: _OfContig | None = None
        self._measured: list[Measured] = []

    def _consume(self, rank: int, start: int, block: np.ndarray) -> None:
        contig = self._names[rank]
        if contig not in self._parts:
            return
        if self._now is None or self._now.contig != contig:
            self._finish()
            about = self._parts[contig], self._written[contig], self._genome is not None
            self._now = _OfContig(contig, *about)
        is_gc = None
        if self._genome is not None:
            is_gc = np.isin(self._genome.codes(contig, start, start + len(block)), GC)
        self._now.add(start, block, is_gc)

    def _finish(self) -> None:
        if self._now is not None:
            self._measured += self._now.measured(self._genome is not None)
            self._now = None

    def result(self) -> list[Measured]:
        """Return the features with a score, in their order; call it once, after the last `add`."""
        self._flush()
        self._finish()
        return self._measured


def write_genes(path: Path, measured: Mapping[str, Sequence[Measured]], leading: str) -> None:
    """Write the table of genes: what differs most from what is usual first.

    Parameters
    ----------
    measured : mapping of str to sequence of Measured
        By track.
    leading : str
        The track by which features are ranked.

    Raises
    ------
    ResourceError
        If the file cannot be written.
    """
    known = {
        name: {(each.contig, each.parts.family, each.parts.kind): each for each in rows}
        for name, rows in measured.items()
    }
    highest = (f"max_{leading}", "max_at")
    head = (*COLUMNS, *(f"mean_{name}" for name in measured), *highest, *COMPARED)
    lines = ["\t".join(head)]
    ranks: dict[str, count[int]] = {}
    order = sorted(
        measured[leading], key=lambda each: (-np.nan_to_num(each.z, nan=-np.inf), -each.mean)
    )
    for each in order:
        parts, usual = each.parts, each.usual
        start, stop = parts.extent
        key = each.contig, parts.family, parts.kind
        means = (rows[key].mean if key in rows else np.nan for rows in known.values())
        cells = (
            *(
                each.contig,
                start,
                stop,
                _word(parts.name),
                next(ranks.setdefault(parts.kind, count(1))),
            ),
            *(parts.strand if parts.strand in ("+", "-") else ".", _word(parts.kind)),
            *(sum(b - a for a, b in parts.spans), each.scored, each.gc, *means),
            *(each.highest, each.highest_at),
            *((usual.windows, usual.mean, usual.deviation) if usual else ("", "", "")),
            *(each.z, each.p),
        )
        lines.append("\t".join(map(_cell, cells)))
    atomic_write_text(path, "\n".join(lines) + "\n")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.6g}"
    return str(value)


def _word(text: str) -> str:
    """A name without tabs and line ends."""
    return " ".join(text.split())
