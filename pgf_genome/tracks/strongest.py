"""The strongest scores of a track, found in bounded memory as the scores pass by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pgf_genome.tracks.blocks import BLOCK, BlockConsumer

PEAK = np.dtype([("rank", "<i8"), ("position", "<i8"), ("value", "<f4")])
NO_CELL = np.array([(-1, -1, 0)], PEAK)

# Contig, start and stop (0-based half-open) -> which of these positions, bool (stop - start,)
Mask = Callable[[str, int, int], np.ndarray]


@dataclass(frozen=True, slots=True)
class Peak:
    """A position (0-based) whose score is the largest in magnitude around it."""

    contig: str
    position: int
    value: float


class Strongest(BlockConsumer):
    """Consumer that keeps the strongest scores; its memory does not depend on their number.

    Parameters
    ----------
    sizes : mapping of str to int
        Length of every contig in bases, in FASTA order.
    count : int
        Number of peaks to keep.
    min_distance : int
        Fewest bases between two peaks of a contig, a power of two up to `BLOCK`. Peaks are the
        strongest scores of cells of this width; of two in neighbouring cells that are closer than
        this, the weaker is dropped.
    without : callable, optional
        Gives the positions that can be no peak.

    Raises
    ------
    ValueError
        If ``min_distance`` does not divide `BLOCK`.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        count: int,
        min_distance: int,
        without: Mask | None = None,
    ) -> None:
        if min_distance < 1 or BLOCK % min_distance:
            raise ValueError(f"min_distance must divide {BLOCK}, got {min_distance}")
        super().__init__("strongest", sizes)
        self._limit, self._min_distance, self._without = count, min_distance, without
        self._names = list(self.sizes)
        self._peaks = np.zeros(0, PEAK)
        self._cells = NO_CELL

    def _consume(self, rank: int, start: int, block: np.ndarray) -> None:
        scores = np.nan_to_num(block)
        if self._without is not None:
            scores[self._without(self._names[rank], start, start + len(block))] = 0
        self._add_cells(rank, start, scores)

    def _add_cells(self, rank: int, start: int, scores: np.ndarray) -> None:
        """Reduce the block to the strongest score of each cell and settle all but the last."""
        width = self._min_distance
        padded = np.zeros(-(-len(scores) // width) * width, np.float32)
        padded[: len(scores)] = scores
        cells = padded.reshape(-1, width)
        strongest = np.abs(cells).argmax(axis=1)
        candidates = np.zeros(len(cells), PEAK)
        candidates["rank"] = rank
        candidates["position"] = start + np.arange(len(cells)) * width + strongest
        candidates["value"] = cells[np.arange(len(cells)), strongest]
        self._settle(candidates)

    def _settle(self, candidates: np.ndarray) -> None:
        """Keep the cells that no close neighbour beats; the last waits for its right neighbour."""
        # the first cell is settled already and is here as a left neighbour only
        cells = np.concatenate([self._cells, candidates])
        height = np.abs(cells["value"])
        near = (np.diff(cells["rank"]) == 0) & (np.diff(cells["position"]) < self._min_distance)
        beaten = height == 0
        # of equal neighbours the first stays
        beaten[1:] |= near & (height[:-1] >= height[1:])
        beaten[:-1] |= near & (height[1:] > height[:-1])
        self._peaks = np.concatenate([self._peaks, cells[1:-1][~beaten[1:-1]]])
        if len(self._peaks) > 4 * self._limit:
            self._peaks = self._strongest()
        self._cells = cells[-2:]

    def _strongest(self) -> np.ndarray:
        peaks = self._peaks
        order = np.lexsort((peaks["position"], peaks["rank"], -np.abs(peaks["value"])))
        return peaks[order[: self._limit]]

    def result(self) -> tuple[Peak, ...]:
        """Return the peaks, strongest first; call it once, after the last `add`."""
        self._flush()
        self._settle(NO_CELL)
        return tuple(
            Peak(self._names[rank], position, value)
            for rank, position, value in self._strongest().tolist()
        )
