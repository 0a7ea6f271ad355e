"""The memory function of any features of a model, estimated from second moments.

The target is the base k positions back as three contrasts (purine, strong, amino). The estimate

    MF(k) = tr( Sigma_k^-1 R_k^T S^+ R_k ) / 3

with S the covariance of the features, R_k their covariance with the base at lag k and Sigma_k
that base's own, is the fraction of it that a linear readout of the features recovers. All moments
are centred sums in float64 that add over tiles, so memory does not grow with the sequence.

For white input and features that are independent of the target, the mean of MF is rank / samples:
the *bias*. Neighbouring bases of a real genome predict each other; the same estimate from the last
bases alone, the *floor*, is what can be predicted without memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pgf_genome.errors import IntegrityError

# Rows A, C, G, T, N: purine (A, G), strong (C, G), amino (A, C); N is neither.
CONTRASTS = np.array([[1, -1, 1], [-1, 1, 1], [1, 1, -1], [-1, -1, -1], [0, 0, 0]], float)
# The floor is estimated from the contrasts of this many last bases.
FLOOR_BASES = 16


def lagged_bases(codes: np.ndarray, start: int, stop: int, lags: np.ndarray) -> np.ndarray:
    """Look up the contrasts of the base at every lag before positions start .. stop - 1.

    Parameters
    ----------
    codes : ndarray of uint8, (L,)
    start, stop : int
        0-based half-open; ``start`` is at least the longest lag.
    lags : ndarray of int, (K,)

    Returns
    -------
    ndarray of float64, (stop - start, K, 3)
    """
    return CONTRASTS[codes[np.arange(start, stop)[:, None] - lags]]


@dataclass(frozen=True)
class Moments:
    """Centred second moments of features x and lagged targets y; add those of tiles with ``+``.

    Attributes
    ----------
    count : int
        Samples.
    x_mean : ndarray, (.., p)
        Leading axes are separate feature sets, all for the same targets.
    y_mean : ndarray, (K, m)
    xx : ndarray, (.., p, p)
    xy : ndarray, (.., p, K, m)
    yy : ndarray, (K, m, m)
        Moments of every lag with itself.
    """

    count: int
    x_mean: np.ndarray
    y_mean: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> Moments:
        """Compute the moments of one tile: features (.., T, p), float64, and targets (T, K, m)."""
        # torch's threads do not spin; with NumPy's the products took a hundred times as long
        features, targets = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(y)
        x_mean, y_mean = features.mean(dim=-2), targets.mean(dim=0)
        features, targets = features - x_mean[..., None, :], targets - y_mean
        turned = features.mT
        xy = (turned @ targets.flatten(1)).unflatten(-1, y_mean.shape)
        yy = (targets[..., :, None] * targets[..., None, :]).sum(dim=0)
        sums = (x_mean, y_mean, turned @ features, xy, yy)
        return cls(len(y), *(t.numpy() for t in sums))

    def __add__(self, other: Moments) -> Moments:
        # Chan, Golub and LeVeque 1983, The American Statistician 37:242
        count = self.count + other.count
        x, y = other.x_mean - self.x_mean, other.y_mean - self.y_mean
        share, weight = other.count / count, self.count * other.count / count
        return Moments(
            count,
            self.x_mean + share * x,
            self.y_mean + share * y,
            self.xx + other.xx + weight * x[..., :, None] * x[..., None, :],
            self.xy + other.xy + weight * x[..., None, None] * y,
            self.yy + other.yy + weight * y[:, :, None] * y[:, None, :],
        )

    def explained(self, precision: float) -> tuple[np.ndarray, np.ndarray]:
        """Compute MF (.., K), in [0, 1], and the numerical rank (..) of the features.

        Parameters
        ----------
        precision : float
            Relative precision of the features. Directions whose variance is below p times its
            square, relative to the strongest direction, are rounding errors and are dropped.

        Raises
        ------
        IntegrityError
            If a feature is not finite.
        """
        scale = np.sqrt(np.einsum("...ii->...i", self.xx))
        if not np.isfinite(scale).all():
            raise IntegrityError(
                "a state or layer is not finite; the model overflows on this sequence: check the "
                "checkpoint, or measure it on another"
            )
        scale[scale == 0] = 1
        correlation = self.xx / (scale[..., :, None] * scale[..., None, :])
        values, vectors = np.linalg.eigh(correlation)
        tolerance = values.shape[-1] * max(np.finfo(float).eps, precision**2)
        kept = values > tolerance * values[..., -1:]
        whiten = vectors * np.where(kept, 1 / np.sqrt(np.where(kept, values, 1)), 0)[..., None, :]
        p, K, m = self.xy.shape[-3:]
        flat = (self.xy / scale[..., None, None]).reshape(*self.xy.shape[:-3], p, K * m)
        white = np.swapaxes(whiten, -1, -2) @ flat
        white = white.reshape(*white.shape[:-1], K, m)
        inverse = np.linalg.pinv(self.yy, hermitian=True)
        dimensions = np.linalg.matrix_rank(self.yy, hermitian=True)  # 2 where a base never occurs
        recovered = np.einsum("...pki,kij,...pkj->...k", white, inverse, white, optimize=True)
        return np.clip(recovered / np.maximum(dimensions, 1), 0, 1), kept.sum(axis=-1)


@dataclass(frozen=True)
class MemoryFunction:
    """An estimated memory function.

    Attributes
    ----------
    lags : tuple of int
        Positions back, ascending from 0; the base at lag 0 is the last that was read.
    values : tuple of float
        MF at these lags as estimated, with bias and floor in it.
    rank : int
        Numerical rank of the features.
    count : int
        Positions that it was estimated from.
    floor : tuple of float, optional
        MF at the same lags of the last `FLOOR_BASES` bases alone; 0 at lags below that, where
        they are the target itself.
    """

    lags: tuple[int, ...]
    values: tuple[float, ...]
    rank: int
    count: int
    floor: tuple[float, ...] = ()

    @property
    def bias(self) -> float:
        """Mean score on white input of features that are independent of it."""
        return self.rank / self.count

    @property
    def noise(self) -> float:
        """Three standard deviations of the score of such features."""
        # The score is a mean of three contrasts, each chi-squared with ``rank`` degrees of freedom.
        return 3 * math.sqrt(2 * self.rank / 3) / self.count

    @property
    def excess(self) -> np.ndarray:
        """Values less the larger of bias and floor, (K,); 0 where that is within the noise."""
        floor = np.array(self.floor) if self.floor else np.zeros(len(self.lags))
        above = np.array(self.values) - np.maximum(floor, self.bias)
        return np.where(above > self.noise, above, 0)

    def length(self, level: float) -> int | None:
        """Return the first measured lag whose excess is below a level; None if there is none."""
        below = np.flatnonzero(self.excess < level)
        return self.lags[below[0]] if len(below) else None

    @property
    def capacity(self) -> float:
        """Memory in bases: the excess summed over all lags, linear between those measured.

        It is a lower bound, because directions of the state below rounding count as lost.
        """
        every = np.arange(self.lags[-1] + 1)
        return float(np.interp(every, self.lags, self.excess).sum())


def log_lags(longest: int, per_decade: int = 8) -> np.ndarray:
    """Return lags 0, 1, .. ``longest``, evenly spaced in their logarithm but for rounding."""
    steps = int(np.ceil(per_decade * np.log10(max(longest, 1)))) + 1
    spaced = np.rint(np.geomspace(1, max(longest, 1), steps)).astype(int)
    return np.unique([0, *spaced.tolist()])


def functions_of(
    moments: Moments,
    lags: Sequence[int] | np.ndarray,
    precision: float,
    floor: Sequence[float] = (),
) -> list[MemoryFunction]:
    """Estimate a memory function for every feature set of the leading axis (n, p)."""
    values, ranks = moments.explained(precision)
    each = zip(values.reshape(-1, len(lags)).tolist(), np.ravel(ranks).tolist(), strict=True)
    where = tuple(map(int, lags))
    return [MemoryFunction(where, tuple(v), r, moments.count, tuple(floor)) for v, r in each]
