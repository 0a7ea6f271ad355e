"""Error of the sweeps against float64 over lengths and tiles (paper, Fig. 2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pgf_genome.engine.arrays import adjoint, tangent
from pgf_genome.engine.objective import Likelihood
from pgf_genome.experiments.trial import Trial
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.pretrain.initial import TOKENS

ADJOINT, TANGENT = "adjoint", "tangent"
OBJECTIVE = Likelihood(targets="fixed")
# Types of weights, states and sums, and of the products inside the blocks.
TYPES = {
    "float64": (torch.float64, None),
    "float32": (torch.float32, None),
    "bfloat16 products": (torch.float32, torch.bfloat16),
}
QUICK: Mapping[str, Any] = {"lengths": (256, 1024), "tiles": (16, 256), "width": 8}


@dataclass(frozen=True, kw_only=True)
class Settings(Trial):
    """Options of the experiment.

    Attributes
    ----------
    lengths, tiles : tuple of int
        The grid; a tile longer than the sequence is cut to it.
    """

    LEAST: ClassVar[Mapping[str, float]] = {**Trial.LEAST, "lengths": 2, "tiles": 1}

    lengths: Sequence[int] = (1024, 8192, 65_536)
    tiles: Sequence[int] = (64, 1024, 16_384)
    layers: int = 2
    width: int = 32


def rows(settings: Settings, scratch: Path) -> Iterator[dict[str, Any]]:
    """Compute both derivatives over the grid."""
    facts = settings.facts()
    yield from (row | facts for row in _rows(settings))


def _rows(settings: Settings) -> Iterator[dict[str, Any]]:
    draws = np.random.default_rng(settings.seed)
    for length in settings.lengths:
        ids = torch.from_numpy(draws.integers(0, 4, length))
        # One substitution near the start: all that follows may respond.
        place = length // 8
        direction = torch.zeros(length, len(TOKENS), dtype=torch.float64)
        direction[place, ids[place]], direction[place, (ids[place] + 1) % 4] = -1, 1
        truth = None
        for name in TYPES:
            model = _model(settings, name)
            for tile in sorted({min(tile, length) for tile in settings.tiles}, reverse=True):
                computed = derivatives(model, ids, direction, tile)
                # The longest tile in float64 comes first, and is the truth for all others.
                truth = truth or computed
                for method, value in computed.items():
                    yield {
                        "method": method,
                        "type": name,
                        "length": length,
                        "tile": tile,
                        **_errors(value, truth[method]),
                    }


def _model(settings: Settings, name: str) -> CausalMamba:
    """Make the model, always with the same weights, rounded to the type."""
    dtype, products = TYPES[name]
    model = settings.model().to(settings.device, dtype).requires_grad_(False)
    if products is not None:
        model.precision = products
    return model


def derivatives(
    model: CausalMamba, ids: Tensor, direction: Tensor, tile: int
) -> dict[str, np.ndarray]:
    """Compute the gradient of the likelihood, and the response to a direction; both (L, V)."""
    return {
        ADJOINT: adjoint(model, ids, OBJECTIVE, tile).gradient.astype(np.float64),
        TANGENT: tangent(model, ids, direction, tile).astype(np.float64),
    }


def _errors(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Errors relative to the largest entry, and of the median position relative to its own size."""
    gap, size = np.linalg.norm(found - truth, axis=1), np.linalg.norm(truth, axis=1)
    known = size > 1e-6 * size.max()
    return {
        "error": float(np.abs(found - truth).max() / np.abs(truth).max()),
        "median_error": float(np.median(gap[known] / size[known])),
    }
