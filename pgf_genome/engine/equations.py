"""Phase Gradient Flow (arXiv 2512.23068) as it is written: three sweeps, one tile after another.

A causal model is a function of a tile and a state, (y_k, s_{k+1}) = M(x_k, s_k). Derivatives cross
tile boundaries as the state does, so memory is that of one tile, whatever the length:

    primal    s_{k+1}           = M(x_k, s_k)
    tangent   s_{k+1}, ds_{k+1} = jvp of M at (x_k, s_k) along (dx_k, ds_k)
    adjoint   for k = last .. 0: run M again from s_k, with a tape of one tile;
              (g_k, l_k) = vjp of (F_k, s_{k+1}) with cotangents (1, l_{k+1})

F is a sum over positions, F_k the share of tile k, g_k = dF / dx_k, and l_k = dF / ds_k the
cotangent of the state. This module is the truth that everything faster is held to; ``sweep.py``
has the same functions for everyday use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pgf_genome.engine.objective import Objective, observe
from pgf_genome.engine.plan import Plan
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.state import State
from pgf_genome.scan import Dual

# read(start, stop): the one-hot input of these positions, (batch, stop - start, V). A sweep calls
# it once per tile.
Reader = Callable[[int, int], Tensor]


class States(Protocol):
    """The states before the tiles, by tile."""

    def __getitem__(self, k: int) -> State: ...


class PrimalTile(NamedTuple):
    """One step of the primal sweep."""

    k: int
    log_probs: Tensor  # (batch, T, V): row t is log p(next base | X_<=t)
    state: State  # after the tile


class TangentTile(NamedTuple):
    """One step of the tangent sweep."""

    k: int
    log_probs: Tensor  # (batch, T, V)
    tangents: Tensor  # (directions, batch, T, V): derivatives of log_probs


class AdjointTile(NamedTuple):
    """One step of the adjoint sweep."""

    k: int
    gradient: Tensor  # (batch, T, V): dF / dX
    log_p: Tensor  # (batch, T, V): row t is log p(. | X_<t)
    values: Tensor  # (batch,) float64: this tile's share of F
    end: State  # after the tile, as it was run again
    cotangent: State  # dF / d(state before the tile)
    weights: tuple[Tensor, ...]  # this tile's share of dF / d(parameters), of the whole batch


def primal(
    model: CausalMamba, read: Reader, plan: Plan, state: State, tiles: Sequence[int] | None = None
) -> Iterator[PrimalTile]:
    """Run the model over consecutive tiles (default: all) from the state before them."""
    for k in range(plan.tiles) if tiles is None else tiles:
        with torch.no_grad():
            log_probs, state = model(read(*plan.bounds(k)), state)
        yield PrimalTile(k, log_probs, state)


def tangent(
    model: CausalMamba, read: Reader, read_directions: Reader, plan: Plan, state: State
) -> Iterator[TangentTile]:
    """Differentiate all predictions along directions in X, from a state that does not move.

    ``read_directions`` is as ``read`` with a leading axis, (directions, batch, T, V). A model of
    `Dual` numbers computes its derivatives beside its values, so all directions share one primal.
    """
    for k in range(plan.tiles):
        x = Dual(read(*plan.bounds(k)), read_directions(*plan.bounds(k)))
        with torch.no_grad():
            log_probs, state = model(x, state)
        yield TangentTile(k, log_probs.value, log_probs.dots)


def adjoint(
    model: CausalMamba,
    read: Reader,
    plan: Plan,
    objectives: Sequence[Objective],
    states: States,
    cotangent: State,
    tiles: Sequence[int] | None = None,
    origins: Sequence[int] | None = None,
    parameters: Sequence[Tensor] = (),
) -> Iterator[AdjointTile]:
    """Differentiate the sum of F over the batch, over descending tiles; see `sweep.adjoint`."""
    for k in reversed(range(plan.tiles)) if tiles is None else tiles:
        start, stop = plan.bounds(k)
        x = read(start, stop).detach().requires_grad_()
        state = states[k].map(lambda t: t.detach().requires_grad_())
        with torch.enable_grad():
            hidden, layers = model.hidden(x, state)
            starts = [origin + start for origin in origins or [0] * len(objectives)]
            seen, predicted = observe(model, x, hidden, state.log_probs, starts)
            values = torch.stack([f(tile) for f, tile in zip(objectives, seen, strict=True)])
            end = State(layers, predicted)
            # its derivative is that of F_k and of everything after the tile
            onward = values.sum() + inner_product(end, cotangent)
        inputs = [x, *state.tensors(), *parameters]
        gradient, *bars = torch.autograd.grad(onward, inputs, materialize_grads=True)
        split = len(bars) - len(parameters)
        cotangent, weights = state.filled(bars[:split]), tuple(bars[split:])
        log_p = torch.stack([tile.log_p.detach() for tile in seen])
        values = values.detach().double()
        yield AdjointTile(k, gradient, log_p, values, end.detached(), cotangent, weights)


def inner_product(state: State, cotangent: State) -> Tensor:
    """The sum of all products of corresponding numbers."""
    pairs = zip(state.tensors(), cotangent.tensors(), strict=True)
    return torch.stack([(s * bar).sum() for s, bar in pairs]).sum()
