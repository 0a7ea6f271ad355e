"""Item (e): effects of substitutions against changed sequences that are run from end to end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pgf_genome.effects.settings import MUTAGENESIS_NEAR
from pgf_genome.effects.substitutions import substitution_effects
from pgf_genome.engine.running import running_of
from pgf_genome.runs.certificate import Check
from pgf_genome.verification.excerpt import Excerpt, largest_difference

EXACT = 1e-8
# Neighbouring bases that are substituted, and bases of the excerpt that hold them.
SUBSTITUTED, LENGTH = 6, 96


def effects(excerpts: Sequence[Excerpt]) -> Check:
    """Exact effects, and those that are not, against F(changed) - F, in float64."""
    pairs, others = [], []
    for excerpt in (each.exact() for each in excerpts[:1]):
        short = excerpt.shortened(min(LENGTH, len(excerpt.ids)))
        start = len(short.ids) // 4
        stop = min(start + SUBSTITUTED, len(short.ids))
        given = short.model, short.ids, start, stop
        brute = _brute_force(short, start, stop)
        exact = substitution_effects(*given, near=None, objective=short.objective)
        pairs.append(_known(exact, brute))
        if running_of(short.model).streams:
            for near in (0, MUTAGENESIS_NEAR):
                found = substitution_effects(*given, near=near, objective=short.objective)
                others.append(largest_difference([_known(found, brute)]))
    said = "; largest error of first-order effects {:.2g}, of near {} {:.2g}"
    return Check.of(
        "effects",
        EXACT,
        largest_difference(pairs),
        f"exact effects of {SUBSTITUTED} bases against changed sequences run by themselves, "
        "float64, largest difference of the largest effect"
        + (said.format(others[0], MUTAGENESIS_NEAR, others[1]) if others else ""),
    )


def _brute_force(excerpt: Excerpt, start: int, stop: int) -> np.ndarray:
    """F(x with a at t) - F(x), (stop - start, 4); NaN where there is no base."""
    bases = excerpt.model.vocabulary.base_ids
    x = excerpt.one_hot()
    unchanged = excerpt.value(x)
    values = np.full((stop - start, len(bases)), np.nan)
    for t in range(start, stop):
        if int(excerpt.ids[t]) not in bases:
            continue
        for a, row in enumerate(bases):
            changed = x.clone()
            changed[t] = 0
            changed[t, row] = 1
            values[t - start, a] = excerpt.value(changed) - unchanged
    return values


def _known(found: np.ndarray, brute: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same places of both; one that only one of them has is infinitely far off."""
    alike = np.isnan(found) == np.isnan(brute)
    return np.where(alike, np.nan_to_num(found), np.inf), np.nan_to_num(brute)
