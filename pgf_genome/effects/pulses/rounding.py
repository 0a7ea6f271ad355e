"""How far rounding puts a prediction off: the floor below which a response is noise."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from pgf_genome.engine import sweep
from pgf_genome.engine.equations import Reader
from pgf_genome.engine.plan import TILE_LENGTH, Plan
from pgf_genome.mamba.model import CausalMamba

# Predictions that are compared.
SAMPLE = 4096


@dataclass(frozen=True)
class Rounding:
    """Errors of predictions: norms over A, C, G, T of log p less log p in float64, in nats.

    Attributes
    ----------
    dtype : str
        The type whose rounding this is.
    predictions : int
        Predictions that were compared.
    rms, largest : float
    """

    dtype: str
    predictions: int
    rms: float
    largest: float

    @property
    def floor(self) -> float:
        """The most that two predictions can seem to differ: both are off by the largest error."""
        return 2 * self.largest


def rounding(
    model: CausalMamba, read: Reader, length: int, position: int, threads: int | None = None
) -> Rounding:
    """Measure it on the `SAMPLE` bases around a position, read from a blank state.

    Notes
    -----
    float64 has nothing better beside it. Its errors are taken to be those of float32 in proportion
    to the spacing of numbers. While this runs there are two copies of the weights.
    """
    start = min(max(position - SAMPLE // 2, 0), max(length - SAMPLE, 0))
    count = min(SAMPLE, length - start)
    doubled = model.dtype == torch.float64
    twin = deepcopy(model).to(torch.float32 if doubled else torch.float64)
    twin.precision = twin.dtype
    columns = list(model.vocabulary.base_ids)

    def predicted(each: CausalMamba) -> Tensor:
        def here(first: int, last: int) -> Tensor:
            return read(start + first, start + last).to(each.dtype)

        plan = Plan(count, TILE_LENGTH)
        tiles = sweep.primal(each, here, plan, each.initial_state(1), threads=threads)
        return torch.cat([tile.log_probs[0][:, columns].double() for tile in tiles])

    errors = (predicted(model) - predicted(twin)).norm(dim=1)
    if doubled:
        errors *= torch.finfo(torch.float64).eps / torch.finfo(torch.float32).eps
    return Rounding(
        str(model.precision).removeprefix("torch."),
        count,
        errors.square().mean().sqrt().item(),
        errors.max().item(),
    )
