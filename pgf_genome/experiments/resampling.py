"""Effect sizes with confidence intervals, by resampling whole genes (cluster bootstrap).

Bases of one gene are not independent, but genes nearly are. A resample gives every gene a count,
its weight. The first row of weights is all ones and yields the estimate itself (Davison and Hinkley
1997, Bootstrap Methods and their Application, 3.8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

LEVEL = 0.95


class Estimate(NamedTuple):
    """A statistic, its 95 % interval, and the number of values."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, eq=False)
class Sample:
    """Values and the gene (or stretch between genes) that each belongs to; NaN is dropped.

    Attributes
    ----------
    values : ndarray, (n,)
    unit : ndarray of int, (n,)
    """

    values: np.ndarray
    unit: np.ndarray

    def __post_init__(self) -> None:
        known = ~np.isnan(self.values)
        object.__setattr__(self, "unit", np.asarray(self.unit)[known])
        object.__setattr__(self, "values", np.asarray(self.values, np.float64)[known])

    def moments(self, weights: np.ndarray) -> np.ndarray:
        """Compute count, sum and sum of squares under each row of weights, (rows, 3)."""
        units, powers = weights.shape[1], (np.ones_like(self.values), self.values, self.values**2)
        sums = [np.bincount(self.unit, power, minlength=units) for power in powers]
        return weights @ np.stack(sums, axis=1)


def weights_of(units: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the count of each unit in every resample, (1 + resamples, units); first row all ones."""
    drawn = rng.multinomial(units, np.full(units, 1 / units), size=resamples)
    return np.concatenate([np.ones((1, units)), drawn])


def mean(sample: Sample, weights: np.ndarray) -> Estimate:
    """Estimate the mean of all values."""
    count, total, _ = sample.moments(weights).T
    return _estimate(_ratio(total, count), len(sample.values))


def difference(sample: Sample, other: Sample, weights: np.ndarray) -> Estimate:
    """Estimate the difference of the means."""
    (n, x, _), (m, y, _) = (each.moments(weights).T for each in (sample, other))
    return _estimate(_ratio(x, n) - _ratio(y, m), len(sample.values))


def cohens_d(sample: Sample, other: Sample, weights: np.ndarray) -> Estimate:
    """Estimate the difference of the means in units of the pooled standard deviation."""
    parts = [each.moments(weights).T for each in (sample, other)]
    means = [_ratio(total, count) for count, total, _ in parts]
    inner = [np.maximum(squares - _ratio(total**2, count), 0) for count, total, squares in parts]
    freedom = parts[0][0] + parts[1][0] - 2
    spread = np.sqrt(_ratio(inner[0] + inner[1], freedom))
    return _estimate(_ratio(means[0] - means[1], spread), len(sample.values))


def auroc(lower: Sample, higher: Sample, weights: np.ndarray) -> Estimate:
    """Estimate the probability that a value of ``lower`` is below one of ``higher``; ties half."""
    both = np.concatenate([lower.values, higher.values])
    unit = np.concatenate([lower.unit, higher.unit])
    levels, rank = np.unique(both, return_inverse=True)
    split = len(lower.values)

    def area(row: np.ndarray) -> float:
        weight = row[unit]
        low = np.bincount(rank[:split], weight[:split], minlength=len(levels))
        high = np.bincount(rank[split:], weight[split:], minlength=len(levels))
        above = high.sum() - high.cumsum() + high / 2
        pairs = low.sum() * high.sum()
        return float(low @ above / pairs) if pairs else np.nan

    return _estimate(np.array([area(row) for row in weights]), split)


def average_precision(lower: Sample, higher: Sample, weights: np.ndarray) -> Estimate:
    """Estimate the mean precision over all of ``higher``, called from the largest value down.

    The area under the curve of precision against recall, as steps; equal values are called at once.
    """
    both = np.concatenate([lower.values, higher.values])
    unit = np.concatenate([lower.unit, higher.unit])
    levels, rank = np.unique(-both, return_inverse=True)
    split = len(lower.values)

    def area(row: np.ndarray) -> float:
        weight = row[unit]
        false = np.bincount(rank[:split], weight[:split], minlength=len(levels)).cumsum()
        found = np.bincount(rank[split:], weight[split:], minlength=len(levels))
        true = found.cumsum()
        precision = _ratio(true, true + false)
        return float(np.nansum(found * precision) / true[-1]) if true[-1] else np.nan

    return _estimate(np.array([area(row) for row in weights]), split)


def correlation(
    x: np.ndarray, y: np.ndarray, unit: np.ndarray, weights: np.ndarray, method: str
) -> Estimate:
    """Estimate a correlation; ``method`` is ``"pearson"`` or ``"spearman"``."""
    table = pd.DataFrame({"x": x, "y": y})

    def of(row: np.ndarray) -> float:
        drawn = np.repeat(np.arange(len(table)), row[unit].astype(np.int64))
        return table.iloc[drawn].corr(method).iloc[0, 1]

    return _estimate(np.array([of(row) for row in weights]), len(table))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide; NaN where the divisor is zero."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def _estimate(values: np.ndarray, n: int) -> Estimate:
    drawn = values[1:][~np.isnan(values[1:])]
    tails = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    low, high = np.quantile(drawn, tails) if len(drawn) else (np.nan, np.nan)
    return Estimate(float(values[0]), float(low), float(high), n)
