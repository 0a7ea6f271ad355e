"""Values of tracks, from the scores of the strands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pgf_genome.attribution.methods import EFFECTS, HYPOTHETICAL, TISM, Gradient, method_of
from pgf_genome.sequence import N_CODE


@dataclass(frozen=True)
class Scores:
    """Raw results for n consecutive positions of one contig.

    Attributes
    ----------
    by_base : ndarray, (n, 4)
        What the method gives for A, C, G, T on the plus strand: dF/dX, or effects.
    log_p : ndarray, (n,)
        Natural log-probability of the observed base; NaN where nothing predicts it.
    codes : ndarray of uint8, (n,)
        Observed bases.
    """

    by_base: np.ndarray
    log_p: np.ndarray
    codes: np.ndarray


def tracks_of(scores: Scores, names: Sequence[str], method: str = "corrected") -> np.ndarray:
    """Compute the named tracks, (tracks, n) float32; NaN where a position has no row."""
    by_base = scores.by_base.astype(np.float64)
    rows = np.arange(len(scores.codes))
    observed = np.minimum(scores.codes, N_CODE - 1)
    effects = by_base - by_base[rows, observed][:, None]
    chosen = method_of(method)
    slope = chosen.apply(by_base) if isinstance(chosen, Gradient) else by_base
    values = {
        "sensitivity": lambda: np.sqrt(np.square(slope).sum(axis=1)),
        "contribution": lambda: slope[rows, observed],
        "ig": lambda: attributions(scores),
        "importance": lambda: -effects.sum(axis=1) / (len(EFFECTS) - 1),
        "surprisal": lambda: -scores.log_p.astype(np.float64) / np.log(2),
    } | {
        name: lambda a=a, rows=rows: rows[:, a]
        for group, rows in (
            (TISM, effects),
            (EFFECTS, effects),
            (HYPOTHETICAL, by_base - by_base.mean(axis=1, keepdims=True)),
        )
        for a, name in enumerate(group)
    }
    table = np.stack([values[name]() for name in names]).astype(np.float32)
    table[:, scores.codes == N_CODE] = np.nan
    return table


def attributions(scores: Scores) -> np.ndarray:
    """Attributions to the observed bases, (n,) float64: sum_a (X - X0)[a] v[a], 0 at other tokens.

    X0 is 1/4 in the row of each base, see `pgf_genome.engine.path`; v the mean gradient.
    """
    by_base = scores.by_base.astype(np.float64)
    observed = np.minimum(scores.codes, N_CODE - 1)
    values = by_base[np.arange(len(observed)), observed] - by_base.mean(axis=1)
    return np.where(scores.codes == N_CODE, 0.0, values)


def mean_of_strands(strands: Sequence[Scores]) -> Scores:
    """Average one or two strands: what is there for every base, and the log-probability.

    Both are in plus-strand order. A base that only one strand predicts, at the end of a segment,
    keeps that strand's log-probability.
    """
    if len(strands) == 1:
        return strands[0]
    plus, minus = strands
    both = np.stack([plus.log_p, minus.log_p])
    predicted = ~np.isnan(both)
    total = np.where(predicted, both, 0).sum(axis=0)
    count = predicted.sum(axis=0)
    log_p = np.where(count, total / np.maximum(count, 1), np.nan)
    return Scores((plus.by_base + minus.by_base) / 2, log_p, plus.codes)
