"""The three sweeps of Phase Gradient Flow (arXiv 2512.23068) over a stream of tiles.

A causal model is a function of a tile and a state, (y_k, s_{k+1}) = M(x_k, s_k). Derivatives
travel over the tile boundaries as the state does, so memory is that of one tile:

    primal    s_{k+1}           = M(x_k, s_k)
    tangent   s_{k+1}, ds_{k+1} = jvp of M at (x_k, s_k) along (dx_k, ds_k)
    adjoint   for k = last .. 0: replay M from s_k with a tape of one tile;
              (g_k, l_k) = vjp of (F_k, s_{k+1}) with cotangents (1, l_{k+1})

``read(start, stop)`` gives the one-hot input of positions start .. stop - 1, shape
(batch, stop - start, V); it is called once per tile and sweep.

The sweeps hand their work to a `Grid`, which cuts it into sequences of the batch and
stages of the model, for as many threads as there are. What is handed on are futures, and the sweeps
read as if one thread did it all. No number depends on it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pgf_genome.engine.objective import Objective
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.spool import RecordFile, nbytes
from pgf_genome.engine.stages import Grid
from pgf_genome.errors import IntegrityError
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.state import State
from pgf_genome.scan import Dual

Reader = Callable[[int, int], Tensor]


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
    """One step of the adjoint sweep, from the last tile to the first."""

    k: int
    gradient: Tensor  # (batch, T, V): dF / dX
    log_p: Tensor  # (batch, T, V): row t is log p(. | X_<t)
    values: Tensor  # (batch,) float64: this tile's share of F
    cotangent: State  # dF / d(state before the tile)
    weights: tuple[Tensor, ...]  # this tile's share of dF / d(parameters), of the whole batch


def primal(
    model: CausalMamba,
    read: Reader,
    plan: Plan,
    state: State,
    first: int = 0,
    stop: int | None = None,
) -> Iterator[PrimalTile]:
    """Run the model over the tiles first, .., stop - 1 from the state before them."""
    grid = Grid.of(model, plan, state)

    def given() -> Iterator[tuple[int, list[list[Future]]]]:
        before: Sequence = grid.parts(state)
        for k in range(first, plan.tiles if stop is None else stop):
            before = grid.forward(read(*plan.bounds(k)), before)
            yield k, before

    for k, steps in grid.in_turn(given()):
        yield _primal_tile(grid, k, steps)


def _primal_tile(grid: Grid, k: int, steps: list[list[Future]]) -> PrimalTile:
    done = [[step.result() for step in chain] for chain in steps]
    log_probs = torch.cat([chain[-1].output for chain in done])
    return PrimalTile(k, log_probs, grid.whole([[step.end for step in chain] for chain in done]))


def tangent(
    model: CausalMamba, read: Reader, read_directions: Reader, plan: Plan, state: State
) -> Iterator[TangentTile]:
    """Derivatives of all predictions along directions in X, from a state; nothing is stored.

    Parameters
    ----------
    read_directions : callable
        As ``read``, with a leading axis of directions: (directions, batch, T, V). All of them
        share one primal.
    """
    grid = Grid.of(model, plan, state)

    def given() -> Iterator[tuple[int, list[list[Future]]]]:
        before: Sequence = grid.parts(state)
        for k in range(plan.tiles):
            x = Dual(read(*plan.bounds(k)), read_directions(*plan.bounds(k)))
            before = grid.forward(x, before)
            yield k, before

    for k, steps in grid.in_turn(given()):
        moved = torch.cat([chain[-1].result().output for chain in steps], dim=-3)
        yield TangentTile(k, moved.value, moved.dots)


def adjoint(
    model: CausalMamba,
    read: Reader,
    plan: Plan,
    objectives: Sequence[Objective],
    states: RecordFile,
    cotangent: State,
    last: int | None = None,
    origins: Sequence[int] = (),
    parameters: Sequence[Tensor] = (),
) -> Iterator[AdjointTile]:
    """Gradient of the sum of F over the batch, from tile ``last`` down to tile 0.

    Parameters
    ----------
    objectives : sequence of Objective
        One per sequence of the batch.
    states : RecordFile
        Boundary states by tile; the one before tile 0 need not be there.
    cotangent : State
        dF / d(state after tile ``last``); zeros at the end of the sequence.
    origins : sequence of int
        What the objectives call the first position of each sequence; 0 if not given.
    parameters : sequence of Tensor
        Weights of the model, which require gradients, to differentiate with respect to as well.
        The gradient of F is the sum of ``weights`` over the tiles: backpropagation through the
        whole sequence, in the memory of one tile.

    Raises
    ------
    IntegrityError
        When a replayed tile does not end in the stored state, bit by bit.
    """
    blank = model.initial_state(len(objectives))
    grid = Grid.of(model, plan, blank)
    tapes: dict[int, list[list[Future]]] = {}  # by tile

    def record(first: int, last: int) -> None:
        before: Sequence = grid.parts(_stored(states, first, blank) if first else blank)
        for k in range(first, last + 1):
            start, stop = plan.bounds(k)
            starts = [origin + start for origin in origins or [0] * len(objectives)]
            before = tapes[k] = grid.record(read(start, stop), before, objectives, starts)

    def given() -> Iterator[tuple[int, list[list[Future]], list[list[Future]]]]:
        after: Sequence = grid.parts(cotangent)
        for k in range(plan.tiles - 1 if last is None else last, -1, -1):
            if k not in tapes:
                record(min(plan.replayed, k), k)
            after = grid.pull(tapes[k], after, parameters)
            yield k, tapes.pop(k), after

    for k, taped, pulled in grid.in_turn(given()):
        yield _adjoint_tile(grid, k, taped, pulled, plan, states, parameters)


def _adjoint_tile(
    grid: Grid,
    k: int,
    tapes: list[list[Future]],
    pulled: list[list[Future]],
    plan: Plan,
    stored: RecordFile,
    parameters: Sequence[Tensor],
) -> AdjointTile:
    """Put lanes and stages together."""
    taped = [[tape.result() for tape in chain] for chain in tapes]
    down = [[share.result() for share in chain] for chain in pulled]
    if k < plan.replayed:
        end = grid.whole([[tape.end for tape in chain] for chain in taped]).detached()
        _check_replay(end, _stored(stored, k + 1, end), k)
    gradient = torch.cat([c[0].h if c[-1].x is None else c[0].h + c[-1].x for c in down])
    values = torch.cat([chain[-1].output for chain in taped]).detach().double()
    log_p = torch.cat([chain[-1].log_p for chain in taped])
    cotangent = grid.whole([[p.state for p in chain] for chain in down])
    shares = zip(parameters, *(p.weights for chain in down for p in chain), strict=True)
    weights = tuple(
        sum((part for part in parts if part is not None), torch.zeros_like(parameter))
        for parameter, *parts in shares
    )
    return AdjointTile(k, gradient, log_p, values, cotangent, weights)


def there_and_back(
    model: CausalMamba,
    read: Reader,
    plan: Plan,
    objectives: Sequence[Objective],
    parameters: Sequence[Tensor] = (),
) -> Iterator[AdjointTile]:
    """A primal sweep from the blank state, its states in a temporary file, and the adjoint sweep.

    Parameters and tiles as for `adjoint`.
    """
    blank = model.initial_state(len(objectives))
    with (
        tempfile.TemporaryDirectory(prefix="pgf-") as scratch,
        RecordFile(Path(scratch) / "states", nbytes(blank.tensors()), "adjoint") as states,
    ):
        for step in primal(model, read, plan, blank, stop=plan.replayed):
            states.write(step.k + 1, step.k + 1, step.state.tensors())
        yield from adjoint(model, read, plan, objectives, states, blank, parameters=parameters)


def _stored(states: RecordFile, k: int, like: State) -> State:
    return like.filled(states.require(k, like.tensors()))


def _check_replay(end: State, stored: State, k: int) -> None:
    for replayed, spooled in zip(end.tensors(), stored.tensors(), strict=True):
        if not torch.equal(replayed, spooled):
            raise IntegrityError(
                f"tile {k}: the replayed state differs from the stored one; the arithmetic of this "
                "machine is not reproducible, or the stored states are not of this run: run again "
                "with --restart"
            )
