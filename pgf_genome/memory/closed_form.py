"""Memory functions in closed form, for recurrences that do not change with time.

    x_t = diag(poles) x_{t-1} + b u_t,    |pole| < 1
    MF(k) = 1 - min_w E (w . x_t - u_{t-k})^2 / E u^2

is the fraction of the input k steps ago that a linear readout finds in the state (Jaeger 2001;
Dambre et al. 2012, Scientific Reports 2:514). For white input it depends on the poles alone:
neither b nor an invertible change of the state's coordinates matters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pgf_genome.errors import UsageError

# Poles closer than this count as one pole that was rounded in two ways.
SAME_POLE = 1e-12


def memory_function(poles: ArrayLike, lags: int) -> np.ndarray:
    """Compute MF at lags 0 .. lags - 1 of a controllable system with these poles, for white input.

    Parameters
    ----------
    poles : array_like of float or complex, (N,)
        With their multiplicity: a delay line of N taps has N poles at zero. For a diagonal system
        give its `reachable_poles`, because states with the same pole hold the same.
    lags : int

    Returns
    -------
    ndarray, (lags,)
        Values between 0 and 1 that never rise; over all lags they sum to N.

    Raises
    ------
    UsageError
        If there is no pole, or one lies on the unit circle or outside.

    Notes
    -----
    The states span the complement of B H^2, with the all-pass filter (Blaschke product)
    B(z) = prod_i (z - conj(p_i)) / (1 - p_i z) = sum_j beta_j z^j, so that
    MF(k) = sum_{j>k} |beta_j|^2. An impulse goes through N lossless sections, every section one
    step behind the one before it, so that a step is one vector operation: O(N + lags) of them,
    and no matrix that could be singular.
    """
    p = _stable(poles)
    outputs, inputs = np.zeros_like(p), np.zeros_like(p)
    beta = np.empty(lags, complex)
    for step in range(lags + len(p) - 1):
        arriving = np.concatenate([[step == 0], outputs[:-1]])
        outputs = p * outputs + inputs - p.conj() * arriving
        inputs = arriving
        beta[max(step - len(p) + 1, 0)] = outputs[-1]
    return np.clip(1 - np.cumsum(np.abs(beta) ** 2), 0, 1)


def memory_function_by_moments(poles: ArrayLike, lags: int, correlation: float = 0.0) -> np.ndarray:
    """Compute MF at lags 0 .. lags - 1 for input with correlation ``correlation**h`` at distance h.

    The method is the definition, by the covariance of the state and its covariances with the
    lagged input; `memory_function` is checked against it. Correlated input (a first-order
    autoregression) may be remembered at more lags than there are states, and better at some lag
    than at the one before. Do not use it with many real poles: its matrix is singular to rounding.

    Raises
    ------
    UsageError
        As for `memory_function`, or if ``correlation`` is not between -1 and 1.
    """
    p, phi = _stable(poles), correlation
    if not abs(phi) < 1:
        raise UsageError(f"the correlation of successive inputs must lie in (-1, 1), not {phi}")
    products = p[:, None] * p.conj()
    ends = (1 - p * phi)[:, None] * (1 - p.conj() * phi)
    covariance = (1 - products * phi**2) / ((1 - products) * ends)
    cross = np.empty((len(p), lags), complex)
    older = np.zeros_like(p)  # sum over j <= k of pole^j phi^(k-j)
    for k in range(lags):
        older = phi * older + p**k
        cross[:, k] = older + p ** (k + 1) * phi / (1 - p * phi)
    inverse = np.linalg.pinv(covariance, hermitian=True)
    return np.einsum("ik,ij,jk->k", cross.conj(), inverse, cross).real


def random_gate(
    retention: ArrayLike, intake: ArrayLike, probability: ArrayLike, lags: int
) -> np.ndarray:
    """Compute MF of one state whose pair (a_t, b_t) is drawn at every step, whatever the input.

    The state is x_t = a_t x_{t-1} + b_t u_t with white u. Selection that does not depend on the
    input moves capacity out of linear memory, so that the sum over all lags falls below 1.

    Parameters
    ----------
    retention, intake, probability : array_like of float, (m,)
        The values of a and of b, pair by pair, and the probability of each pair.
    lags : int
    """
    a, b, weight = (np.asarray(v, float) for v in (retention, intake, probability))
    a_mean, b_mean, a_square, b_square = (weight @ v for v in (a, b, a**2, b**2))
    fading = a_mean ** (2 * np.arange(lags))
    return (1 - a_square) * b_mean**2 / b_square * fading


def reachable_poles(poles: ArrayLike) -> np.ndarray:
    """Return the poles that count in a diagonal system whose readout takes real parts.

    A complex state brings its conjugate along; states with the same pole count once.

    Returns
    -------
    ndarray of complex, (n,)
        At most 2 N poles.
    """
    given = np.atleast_1d(np.asarray(poles, complex))
    both = np.concatenate([given, given.conj()])
    same = np.abs(both[:, None] - both) < SAME_POLE
    return both[~np.tril(same, -1).any(axis=1)]


def _stable(poles: ArrayLike) -> np.ndarray:
    p = np.atleast_1d(np.asarray(poles, complex))
    if not len(p) or not np.abs(p).max() < 1:
        raise UsageError(
            f"poles {p.tolist()}: a memory function needs at least one, all of them inside "
            "the unit circle"
        )
    return p
