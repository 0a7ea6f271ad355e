"""The three sweeps of Phase Gradient Flow (arXiv 2512.23068) over a stream of tiles.

A causal model is a function of a tile and a state, (y_k, s_{k+1}) = M(x_k, s_k). Derivatives
travel over the tile boundaries as the state does, so memory is that of one tile:

    primal    s_{k+1}           = M(x_k, s_k)
    tangent   s_{k+1}, ds_{k+1} = jvp of M at (x_k, s_k) along (dx_k, ds_k)
    adjoint   for k = last .. 0: replay M from s_k with a tape of one tile;
              (g_k, l_k) = vjp of (F_k, s_{k+1}) with cotangents (1, l_{k+1})

``read(start, stop)`` gives the one-hot input of positions start .. stop - 1, shape
(batch, stop - start, V); it is called once per tile and sweep.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pgf_genome.errors import IntegrityError
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.state import State
from pgf_genome.pgf.lanes import lanes_of, side_by_side
from pgf_genome.pgf.objective import Objective, Tile
from pgf_genome.pgf.plan import Plan
from pgf_genome.pgf.spool import RecordFile, nbytes

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
    for k in range(first, plan.tiles if stop is None else stop):
        x = read(*plan.bounds(k))
        step = partial(_primal_step, model, x, state)
        log_probs, states = zip(*side_by_side(step, lanes_of(x)), strict=True)
        state = State.joined(states)
        yield PrimalTile(k, torch.cat(log_probs), state)


def _primal_step(model: CausalMamba, x: Tensor, state: State, lane: slice) -> tuple[Tensor, State]:
    with torch.no_grad():
        return model(x[lane], state.part(lane))


def tangent(
    model: CausalMamba, read: Reader, read_directions: Reader, plan: Plan, batch: int
) -> Iterator[TangentTile]:
    """Derivatives of all predictions along directions in X; nothing is stored.

    Parameters
    ----------
    read_directions : callable
        As ``read``, with a leading axis of directions: (directions, batch, T, V). All of them
        share one primal.
    """
    state, moving = model.initial_state(batch), None
    for k in range(plan.tiles):
        x, dx = read(*plan.bounds(k)), read_directions(*plan.bounds(k))
        if moving is None:
            moving = State.from_tensors(
                [t.new_zeros(dx.shape[0], *t.shape) for t in state.tensors()]
            )
        along = _pushforward(model, x, state)
        with torch.no_grad():
            (log_probs, state), (tangents, moving) = torch.func.vmap(along, out_dims=(None, 0))(
                dx, moving
            )
        yield TangentTile(k, log_probs, tangents)


def _pushforward(model: CausalMamba, x: Tensor, state: State):
    """(dx, ds) -> (M(x, s), derivative of M along them)."""
    return lambda dx, ds: torch.func.jvp(model, (x, state), (dx, ds))


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
    batch = len(objectives)
    blank = model.initial_state(batch)
    tapes: list[list[_Tape]] = []  # of tiles up to k, for each of them by lane
    for k in range(plan.tiles - 1 if last is None else last, -1, -1):
        if not tapes:
            first = min(plan.replayed, k)
            before = _stored(states, first, blank) if first else blank
            starts = origins or [0] * batch
            tapes = _record(model, read, plan, range(first, k + 1), before, objectives, starts)
            if k < plan.replayed:
                _check_replay(tapes[0], _stored(states, k + 1, blank), k)
        step = partial(_pull_back, k, cotangent, parameters)
        tiles = side_by_side(step, tapes.pop())
        cotangent = State.joined([tile.cotangent for tile in tiles])
        gradient, log_p, values = (
            torch.cat(t) for t in zip(*(tile[1:4] for tile in tiles), strict=True)
        )
        weights = tuple(sum(parts) for parts in zip(*(t.weights for t in tiles), strict=True))
        yield AdjointTile(k, gradient, log_p, values, cotangent, weights)


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
    return State.from_tensors(states.require(k, like.tensors()))


class _Tape(NamedTuple):
    """One tile of some sequences of the batch, run forward with what the backward pass needs."""

    lane: slice
    inputs: list[Tensor]  # X, and the tensors of the state before
    values: Tensor  # (batch,)
    end: State  # after the tile
    log_p: Tensor


def _record(
    model: CausalMamba,
    read: Reader,
    plan: Plan,
    tiles: range,
    before: State,
    objectives: Sequence[Objective],
    origins: Sequence[int],
) -> list[list[_Tape]]:
    """Run consecutive tiles from the state before them, with a tape of each."""
    tapes = []
    for k in tiles:
        start, stop = plan.bounds(k)
        x, starts = read(start, stop), [origin + start for origin in origins]
        step = partial(_record_lane, model, x, before, objectives, starts)
        tapes.append(side_by_side(step, lanes_of(x)))
        before = State.joined([tape.end for tape in tapes[-1]]).detached()
    return tapes


def _record_lane(
    model: CausalMamba,
    x: Tensor,
    before: State,
    objectives: Sequence[Objective],
    starts: Sequence[int],
    lane: slice,
) -> _Tape:
    inputs = [t.requires_grad_() for t in (x[lane], *before.part(lane).tensors())]
    with torch.enable_grad():
        tiles, end = _observe(model, inputs[0], State.from_tensors(inputs[1:]), starts[lane])
        values = torch.stack([f(tile) for f, tile in zip(objectives[lane], tiles, strict=True)])
    return _Tape(lane, inputs, values, end, torch.stack([tile.log_p.detach() for tile in tiles]))


def _pull_back(k: int, cotangent: State, parameters: Sequence[Tensor], tape: _Tape) -> AdjointTile:
    """Pull (1, cotangent) back through one tile of a lane."""
    with torch.enable_grad():
        # one sum: for outputs that come with cotangents torch imports sympy, which takes a second
        handed = zip(tape.end.tensors(), cotangent.part(tape.lane).tensors(), strict=True)
        total = tape.values.sum() + sum((s * bar).sum() for s, bar in handed)
    inputs = [*tape.inputs, *parameters]
    gradient, *bars = torch.autograd.grad(total, inputs, materialize_grads=True)
    carried, weights = bars[: len(tape.inputs) - 1], bars[len(tape.inputs) - 1 :]
    values, before = tape.values.detach().double(), State.from_tensors(carried)
    return AdjointTile(k, gradient, tape.log_p, values, before, tuple(weights))


def _observe(
    model: CausalMamba, x: Tensor, state: State, starts: Sequence[int]
) -> tuple[list[Tile], State]:
    """Run one tile and show each sequence of the batch to its objective."""
    hidden, layers = model.hidden(x, state)
    logits = model.logits(hidden)
    log_probs = torch.log_softmax(logits, dim=-1)  # (batch, T, V)
    # The prediction of the tile's first base was made at the end of the tile before.
    log_p = torch.cat([state.log_probs[:, None], log_probs[:, :-1]], dim=1)
    bases = model.vocabulary.base_ids
    parts = zip(starts, x, log_p, logits, hidden, strict=True)
    tiles = [Tile(*part, bases) for part in parts]
    return tiles, State(layers, log_probs[:, -1])


def _check_replay(tapes: Sequence[_Tape], stored: State, k: int) -> None:
    end = State.joined([tape.end for tape in tapes]).detached()
    for replayed, spooled in zip(end.tensors(), stored.tensors(), strict=True):
        if not torch.equal(replayed, spooled):
            raise IntegrityError(
                f"tile {k}: the replayed state differs from the stored one; the arithmetic of this "
                "machine is not reproducible, or the stored states are not of this run: run again "
                "with --restart"
            )
