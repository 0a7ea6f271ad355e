"""Dependency maps of blocks: three published ways to make one number of a 4 x 4 block.

Blocks are J[i, a, j, b] = log p_j(b | x with a at i) - log p_j(b | x), bases in the order A, C, G,
T; 0 where a is the observed base. Rows of a map are the substituted positions. A position without
a base is NaN throughout, and takes no part in any mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

# What is added to probabilities before they are odds.
FLOOR = 1e-10
# Four times exp of this is a number still.
LARGEST = 700.0

# changes (.., 4, m, 4) and log p of the sequence (m, 4) -> cells (.., m)
Cells = Callable[[np.ndarray, Any], np.ndarray]


def log_odds_max(changes: np.ndarray, log_p: np.ndarray) -> np.ndarray:
    """The largest absolute change of the log2 odds of a base, over what is substituted and read.

    Odds are p / (1 - p), after `FLOOR` is added and A, C, G and T are normalised among themselves.

    Parameters
    ----------
    changes : ndarray, (.., 4, m, 4)
        Blocks J of some substituted positions.
    log_p : ndarray, (m, 4)
        log p_j(b | x), natural.

    Returns
    -------
    ndarray, (.., m)

    Notes
    -----
    Tomaz da Silva et al. 2025, Nature Genetics, "Nucleotide dependency analysis of genomic language
    models detects functional elements"; the notebook of gagneurlab/dependencies_DNALM.
    """
    reference = log_p.astype(np.float64)
    moved = _log2_odds(reference + changes) - _log2_odds(reference)
    return np.abs(moved).max(axis=(-3, -1))


def _log2_odds(log_p: np.ndarray) -> np.ndarray:
    # derivatives may lead far beyond what is a probability
    p = np.exp(np.minimum(log_p, LARGEST)) + FLOOR
    # what is not b is added up, because 1 - p would lose the digits of a p close to 1
    others = np.stack([np.delete(p, b, axis=-1).sum(axis=-1) for b in range(p.shape[-1])], axis=-1)
    return np.log2(p / others)


def largest(changes: np.ndarray, log_p: object = None) -> np.ndarray:
    """The largest absolute entry of each block; see `log_odds_max`."""
    return np.abs(changes).max(axis=(-3, -1)).astype(np.float64)


def symmetric(cells: np.ndarray) -> np.ndarray:
    """The mean of what i does to j and j to i; what a single strand cannot see counts as 0."""
    return (cells + cells.T) / 2


def frobenius_apc(blocks: np.ndarray) -> np.ndarray:
    """Frobenius norm of centred blocks with the average product correction.

    J is centred along its four axes in turn; the norm over substituted and read base is made
    symmetric, its diagonal 0, and from cell (i, j) is taken (sum of i) x (sum of j) / (sum of all).

    Parameters
    ----------
    blocks : ndarray, (n, 4, n, 4)

    Returns
    -------
    ndarray of float64, (n, n)
        May be negative.

    Notes
    -----
    Zhang et al. 2024, PNAS, the categorical Jacobian; Dunn, Wahl and Gloor 2008, the correction.
    """
    known = ~np.isnan(blocks).all(axis=(1, 2, 3))
    centred = blocks[known][:, :, known].astype(np.float64)
    for axis in range(centred.ndim):
        if centred.size:
            centred -= centred.mean(axis=axis, keepdims=True)
    norm = symmetric(np.sqrt(np.square(centred).sum(axis=(1, 3))))
    np.fill_diagonal(norm, 0)
    total = norm.sum()
    if total > 0:
        norm -= np.outer(norm.sum(axis=1), norm.sum(axis=0)) / total
    cells = np.full((len(blocks), len(blocks)), np.nan)
    cells[np.ix_(known, known)] = norm
    return cells


@dataclass(frozen=True)
class Definition:
    """How a map is made.

    Attributes
    ----------
    title, unit : str
        What a cell is, in words; "" for a number without a unit.
    cells : callable, optional
        Cells of some rows from their blocks. None if blocks of all rows are needed at once.
    finish : callable
        The map from all cells, (n, n), or without ``cells`` from all blocks.
    """

    title: str
    unit: str
    cells: Cells | None
    finish: Callable[[np.ndarray], np.ndarray]

    def of_blocks(self, blocks: np.ndarray, log_p: np.ndarray | None = None) -> np.ndarray:
        """The map of all blocks (n, 4, n, 4); ``log_p`` is for odds alone."""
        return self.finish(blocks if self.cells is None else self.cells(blocks, log_p))


DEFINITIONS = {
    "logodds-max": Definition(
        "largest change of log2 odds", "bits", log_odds_max, lambda cells: cells
    ),
    "jacobian-inf": Definition("largest change of log p", "nats", largest, symmetric),
    "frobenius-apc": Definition(
        "Frobenius norm of centred changes, corrected", "nats", None, frobenius_apc
    ),
}
