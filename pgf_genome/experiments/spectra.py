"""Initial poles of diagonal state-space models.

A continuous pole p and a step size delta give the discrete pole exp(delta p). The spectra of S4D
follow Gu et al. 2022 (arXiv 2206.11893), HiPPO-LegS follows Gu et al. 2020 (arXiv 2008.07669).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def real(states: int) -> np.ndarray:
    """S4D-Real, -(n + 1); also the default of Mamba."""
    return -np.arange(1.0, states + 1)


def linear(states: int) -> np.ndarray:
    """S4D-Lin, -1/2 + i pi n, one of each conjugate pair; its first pole is real."""
    return -0.5 + 1j * np.pi * np.arange(states // 2)


def inverse(states: int) -> np.ndarray:
    """S4D-Inv, -1/2 + i (N / pi) (N / (2 n + 1) - 1), one of each conjugate pair."""
    n = np.arange(states // 2)
    return -0.5 + 1j * states / np.pi * (states / (2 * n + 1) - 1)


def legs(states: int) -> np.ndarray:
    """Eigenvalues of HiPPO-LegS with its rank-one correction, one of each conjugate pair."""
    n = np.arange(states)
    root = np.sqrt(2 * n + 1)
    hippo = -np.tril(root[:, None] * root, -1) - np.diag(n + 1.0)
    poles = np.linalg.eigvals(hippo + np.outer(root, root) / 2)
    return poles[poles.imag > 0]


SPECTRA: dict[str, Callable[[int], np.ndarray]] = {
    "S4D-Real (Mamba)": real,
    "S4D-Lin": linear,
    "S4D-Inv": inverse,
    "LegS": legs,
}


def is_real(poles: np.ndarray) -> bool:
    """Return whether a real-valued A, such as Mamba's, can express the poles."""
    return not np.iscomplexobj(poles) or bool((poles.imag == 0).all())
