"""Integrated gradients: gradients along a straight path to the input from a baseline.

    attribution[t, a] = (X - X0)[t, a] * int_0^1 dF/dX[t, a] at X0 + s (X - X0) ds

Sundararajan, Taly and Yan (2017), ICML. All attributions add up to F(X) - F(X0), but for the error
of the quadrature, which is that of Gauss and Legendre: with K nodes it is exact where F is a
polynomial of degree 2 K along the path. The baseline X0 has 1/4 in the row of each of the four
bases where X has a base, and is X where it has another token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from torch import Tensor

from pgf_genome.engine.arrays import Ids, reader_of
from pgf_genome.engine.equations import Reader
from pgf_genome.engine.objective import Objective, Tile, unit_of
from pgf_genome.engine.plan import STEPS, TILE_LENGTH, Plan
from pgf_genome.engine.running import running_of
from pgf_genome.mamba.model import LanguageModel
from pgf_genome.notebook import Row, html_table
from pgf_genome.quantities import whole_number
from pgf_genome.torch_modes import in_ordinary_modes


class Node(NamedTuple):
    """A place on the path, 0 at the baseline and 1 at the input, and its weight in the integral."""

    at: float
    weight: float


def nodes(steps: int) -> list[Node]:
    """The nodes of Gauss and Legendre on 0 .. 1, ascending; their weights add up to 1."""
    places, weights = np.polynomial.legendre.leggauss(steps)
    return [Node(float(p + 1) / 2, float(w) / 2) for p, w in zip(places, weights, strict=True)]


def on_path(x: Tensor, bases: Sequence[int], at: float) -> Tensor:
    """X0 + at (X - X0) for an input X, (.., V)."""
    rows = list(bases)
    mixed = x.clone()
    even = x[..., rows].mean(dim=-1, keepdim=True)
    mixed[..., rows] = even + at * (x[..., rows] - even)
    return mixed


def with_targets(objective: Objective, read: Reader) -> Objective:
    """The objective with its fixed targets, if it has such, in the input at the end of the path.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` gives that input of one sequence, (1, stop - start, V), at positions
        as the objective counts them.
    """

    def held(tile: Tile) -> Tensor:
        targets = read(tile.start, tile.start + len(tile.x))[0]
        return objective(replace(tile, targets=targets))

    return held


@dataclass(frozen=True)
class IntegratedGradients:
    """Attributions to the observed bases of one sequence.

    Attributes
    ----------
    attribution : ndarray of float64, (L, 4)
        Of A, C, G and T; their sum at a position is what its base contributes.
    value, baseline_value : float
        F of the input and of the baseline.
    unit : str
        The unit of all of them.
    """

    attribution: np.ndarray
    value: float
    baseline_value: float
    unit: str = "units"

    @property
    def gap(self) -> float:
        """By how much the attributions miss the change of F, the error of the quadrature."""
        return float(self.attribution.sum()) - (self.value - self.baseline_value)

    def _repr_html_(self) -> str:
        said = (
            f"F = {self.value:.6g}, of the baseline {self.baseline_value:.6g}, gap {self.gap:.3g} "
            f"{self.unit}"
        )
        return html_table(said, [Row.of("attribution", self.attribution.sum(axis=1), self.unit)])


@in_ordinary_modes
def integrated_gradients(
    model: LanguageModel,
    ids: Ids,
    steps: int = STEPS,
    objective: Objective | None = None,
    tile_length: int = TILE_LENGTH,
    threads: int | None = None,
) -> IntegratedGradients:
    """Attribute the change of an objective, from a sequence of no base in particular, to the bases.

    Parameters
    ----------
    model, ids, objective, tile_length, threads
        As for `adjoint`. Fixed targets are those of ``ids`` all along the path.
    steps : int
        Nodes of the quadrature.

    Raises
    ------
    SequenceError
        If ``ids`` is neither token ids nor an input of this vocabulary.
    UsageError
        If the objective is not defined for this kind of model, or ``steps`` is below 1.

    Notes
    -----
    Cost: ``steps`` + 2 times that of `adjoint`, in its memory.
    """
    running = running_of(model)
    chosen: Objective = running.likelihood() if objective is None else objective
    running.check(chosen)
    read, length = reader_of(model, ids)
    plan, bases = Plan(length, tile_length), model.vocabulary.base_ids
    held = with_targets(chosen, read)

    def adjoint(at: float) -> tuple[float, np.ndarray]:
        def mixed(start: int, stop: int) -> Tensor:
            return on_path(read(start, stop), bases, at)

        value, gradient = running.adjoint(mixed, plan, held, threads)
        return value, gradient[:, list(bases)].double().cpu().numpy()

    total = np.zeros((length, len(bases)))
    for node in nodes(whole_number(steps, "steps", 1)):
        total += node.weight * adjoint(node.at)[1]
    x = read(0, length)[0][:, list(bases)].double().cpu().numpy()
    total *= x - x.mean(axis=1, keepdims=True)
    return IntegratedGradients(total, adjoint(1.0)[0], adjoint(0.0)[0], unit_of(chosen))
