"""Stretches cut out of a stream of values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from pgf_genome.intervals import Interval


def cut(
    windows: Sequence[Interval], pieces: Iterable[tuple[str, int, np.ndarray]], tracks: int
) -> list[np.ndarray]:
    """Cut the values in windows out of longer pieces.

    Parameters
    ----------
    windows : sequence of Interval
        Windows without overlap.
    pieces : iterable of (str, int, ndarray of float32)
        Contig, 0-based start and values (tracks, n) of stretches, in any order.
    tracks : int
        Number of tracks.

    Returns
    -------
    list of ndarray of float32, (tracks, length)
        One array per window, NaN where no piece has a value.
    """
    arrays = [np.full((tracks, window.length), np.nan, np.float32) for window in windows]
    by_contig: dict[str, list[int]] = {}
    for i, window in enumerate(windows):
        by_contig.setdefault(window.contig, []).append(i)
    for contig, start, values in pieces:
        stop = start + values.shape[1]
        for i in by_contig.get(contig, ()):
            first, last = max(start, windows[i].start), min(stop, windows[i].stop)
            if first < last:
                at = slice(first - windows[i].start, last - windows[i].start)
                arrays[i][:, at] = values[:, first - start : last - start]
    return arrays
