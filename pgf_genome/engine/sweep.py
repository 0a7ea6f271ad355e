"""The three sweeps of ``equations.py``, as fast as the machine allows.

The functions have the arguments and the results of the equations. They hand their work to a
`Pipeline` where sequences or layers can be worked on side by side, and to the equations themselves
where nothing can. Numbers depend on neither, but for the last bit of large matrix products.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from pgf_genome.engine import equations
from pgf_genome.engine.equations import AdjointTile, PrimalTile, Reader, States, TangentTile
from pgf_genome.engine.objective import Objective
from pgf_genome.engine.pipeline import Pipeline
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.spool import StoredStates
from pgf_genome.errors import IntegrityError
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.state import State


def primal(
    model: CausalMamba,
    read: Reader,
    plan: Plan,
    state: State,
    tiles: Sequence[int] | None = None,
    threads: int | None = None,
) -> Iterator[PrimalTile]:
    """Run the model over tiles, forwards.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` gives the one-hot input, (batch, stop - start, V).
    state : State
        The state before the first of the tiles.
    tiles : sequence of int, optional
        Consecutive tiles, ascending; all of the plan if None.
    threads : int, optional
        Threads in all; torch's count if None.
    """
    side_by_side = Pipeline(model, plan, state, threads)
    if side_by_side.is_sequential:
        return equations.primal(model, read, plan, state, tiles)
    return side_by_side.primal(read, state, range(plan.tiles) if tiles is None else tiles)


def tangent(
    model: CausalMamba,
    read: Reader,
    read_directions: Reader,
    plan: Plan,
    state: State,
    threads: int | None = None,
) -> Iterator[TangentTile]:
    """Differentiate all predictions along directions in X, from a state; nothing is stored.

    Parameters
    ----------
    read, state, threads
        As for `primal`.
    read_directions : callable
        As ``read``, with a leading axis of directions: (directions, batch, T, V). All of them
        share one primal.
    """
    side_by_side = Pipeline(model, plan, state, threads)
    if side_by_side.is_sequential:
        return equations.tangent(model, read, read_directions, plan, state)
    return side_by_side.tangent(read, read_directions, state)


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
    threads: int | None = None,
) -> Iterator[AdjointTile]:
    """Differentiate the sum of F over the batch, from the last tile down to the first.

    Parameters
    ----------
    read, threads
        As for `primal`.
    objectives : sequence of Objective
        One per sequence of the batch.
    states : StoredStates, or a sequence of State
        The state before every tile up to ``plan.replayed``, of the primal sweep.
    cotangent : State
        dF / d(state after the first tile that is given); zeros at the end of the sequence.
    tiles : sequence of int, optional
        Consecutive tiles, descending; all of the plan if None.
    origins : sequence of int, optional
        What the objectives call the first position of each sequence; 0 if None.
    parameters : sequence of Tensor
        Weights of the model, which require gradients, to differentiate with respect to as well.
        The gradient of F is the sum of ``weights`` over the tiles: backpropagation through the
        whole sequence, in the memory of one tile.

    Raises
    ------
    IntegrityError
        When a tile that is run again does not end in the stored state, bit by bit.
    """
    tiles = range(plan.tiles - 1, -1, -1) if tiles is None else tiles
    side_by_side = Pipeline(model, plan, cotangent, threads)
    if side_by_side.is_sequential and plan.kept == 1:
        run = equations.adjoint(
            model, read, plan, objectives, states, cotangent, tiles, origins, parameters
        )
    else:
        run = side_by_side.adjoint(read, objectives, states, cotangent, tiles, origins, parameters)
    for tile in run:
        if tile.k < plan.replayed:
            _check_replay(tile, states[tile.k + 1])
        yield tile


def there_and_back(
    model: CausalMamba,
    read: Reader,
    plan: Plan,
    objectives: Sequence[Objective],
    parameters: Sequence[Tensor] = (),
    threads: int | None = None,
) -> Generator[AdjointTile]:
    """Sweep a whole sequence forwards, its states into a temporary file, and back.

    Parameters and tiles are those of `adjoint`.
    """
    blank = model.initial_state(len(objectives))
    with (
        tempfile.TemporaryDirectory(prefix="pgf-") as scratch,
        StoredStates(Path(scratch) / "states", blank, "adjoint") as states,
    ):
        states.path.unlink()  # the system removes it even if this process is killed
        for step in primal(model, read, plan, blank, range(plan.replayed), threads):
            states[step.k + 1] = step.state
        yield from adjoint(
            model, read, plan, objectives, states, blank, parameters=parameters, threads=threads
        )


def _check_replay(tile: AdjointTile, stored: State) -> None:
    for replayed, spooled in zip(tile.end.tensors(), stored.tensors(), strict=True):
        if not torch.equal(replayed, spooled):
            raise IntegrityError(
                f"tile {tile.k}: the state that was computed again differs from the stored one; "
                "the arithmetic of this machine is not reproducible, or the stored states are not "
                "of this run: run again with `restart`"
            )
