"""The sweeps of ``equations.py`` with tiles, layers and sequences side by side in threads.

A batch falls into *lanes*, single sequences that do not know each other. A model falls into
*stages*, groups of layers, each a function of a tile and a state:

    (h_s, state_s) -> (h_{s+1}, state_s')        h_0 = X

So stage s can work on tile k while stage s + 1 works on tile k - 1. Lanes use two threads by
themselves; stages are for a single sequence. What is cut does not depend on the threads, so every
number is the same, bit for bit, as far as a matrix product is that on more threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from pgf_genome.engine.equations import (
    AdjointTile,
    PrimalTile,
    Reader,
    States,
    TangentTile,
    inner_product,
)
from pgf_genome.engine.objective import Objective, observe
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.threads import Workers
from pgf_genome.mamba.model import CausalMamba, Stage
from pgf_genome.mamba.state import State
from pgf_genome.scan import Dual

Given = TypeVar("Given")
# What is done with a tile: a future for every lane and stage.
Cells = Sequence[Sequence[Future]]

# Limits for a single sequence: threads, tiles given to them at a time, and stages. Two threads
# rarely find nothing to do in three tiles.
THREADS, TILES, MOST_STAGES = 2, 3, 16


def lanes_of(x: Tensor) -> list[slice]:
    """Parts of a batch that run side by side: single sequences on a CPU, all at once elsewhere.

    They do not depend on the number of threads, so that equal plans give equal bytes.
    """
    size = 1 if x.is_cpu else len(x)
    return [slice(b, b + size) for b in range(0, len(x), size)]


def stages_of(model: CausalMamba, plan: Plan, lanes: int, threads: int | None) -> list[Stage]:
    """Several stages where a single sequence on a CPU has tiles for two threads, else one."""
    alone = lanes == 1 and plan.tiles > 1 and model.device.type == "cpu"
    several = alone and (threads or torch.get_num_threads()) > 1
    return model.stages(min(MOST_STAGES, len(model.layers)) if several else 1)


class Pipeline:
    """Sweeps of one model over one plan.

    Parameters
    ----------
    state : State
        Any state of the batch.
    threads : int, optional
        Threads in all; torch's count if None.
    """

    def __init__(
        self, model: CausalMamba, plan: Plan, state: State, threads: int | None = None
    ) -> None:
        self.plan = plan
        self.lanes = lanes_of(state.log_probs)
        self.stages = stages_of(model, plan, len(self.lanes), threads)
        self._workers = Workers(max(len(self.lanes), min(len(self.stages), THREADS)), threads)

    @property
    def is_sequential(self) -> bool:
        """True if there is nothing to do side by side: the equations then do the same."""
        return len(self.lanes) == len(self.stages) == 1 and self._workers.inline

    def primal(self, read: Reader, state: State, tiles: Sequence[int]) -> Iterator[PrimalTile]:
        """Do what `equations.primal` does."""
        for k, steps in self._in_turn(self._forward(read, state, tiles)):
            done = _results(steps)
            log_probs = torch.cat([chain[-1].output for chain in done])
            yield PrimalTile(k, log_probs, _whole([[s.state for s in chain] for chain in done]))

    def tangent(self, read: Reader, read_directions: Reader, state: State) -> Iterator[TangentTile]:
        """Do what `equations.tangent` does."""

        def both(start: int, stop: int) -> Dual:
            return Dual(read(start, stop), read_directions(start, stop))

        for k, steps in self._in_turn(self._forward(both, state, range(self.plan.tiles))):
            moved = [chain[-1].output for chain in _results(steps)]
            log_probs = torch.cat([lane.value for lane in moved])
            yield TangentTile(k, log_probs, torch.cat([lane.dots for lane in moved], dim=1))

    def adjoint(
        self,
        read: Reader,
        objectives: Sequence[Objective],
        states: States,
        cotangent: State,
        tiles: Sequence[int],
        origins: Sequence[int] | None,
        parameters: Sequence[Tensor],
    ) -> Iterator[AdjointTile]:
        """Do what `equations.adjoint` does, with the tapes of the plan's last tiles kept."""
        tapes: dict[int, Cells] = {}  # by tile

        def record(first: int, last: int) -> None:
            before: Sequence = self._parts(states[first])
            for k in range(first, last + 1):
                start, stop = self.plan.bounds(k)
                starts = [origin + start for origin in origins or [0] * len(objectives)]
                before = tapes[k] = self._record(read(start, stop), before, objectives, starts)

        def given() -> Iterator[tuple[int, Cells, Cells]]:
            after: Sequence = self._parts(cotangent)
            for k in tiles:
                if k not in tapes:
                    record(min(self.plan.replayed, k), k)
                after = self._pull(tapes[k], after, parameters)
                yield k, tapes.pop(k), after

        for k, taped, pulled in self._in_turn(given()):
            yield _adjoint_tile(k, _results(taped), _results(pulled), parameters)

    def _parts(self, state: State) -> list[list[State]]:
        """A state, or its cotangent, by lane and stage."""
        return [[stage.part(state.part(lane)) for stage in self.stages] for lane in self.lanes]

    def _in_turn(self, given: Iterator[Given]) -> Iterator[Given]:
        """Yield tiles in order, with up to `TILES` of them in work where there are stages."""
        most = 1 if len(self.stages) == 1 else TILES
        held: deque[Given] = deque()
        for tile in given:
            held.append(tile)
            if len(held) == most:
                yield held.popleft()
        yield from held

    def _forward(
        self, read: Callable[[int, int], Tensor | Dual], state: State, tiles: Sequence[int]
    ) -> Iterator[tuple[int, Cells]]:
        """Every tile with its `_Step` in every cell; each tile goes on from the one before."""
        before: Sequence = self._parts(state)
        for k in tiles:
            x = read(*self.plan.bounds(k))
            before = [
                self._climb(x[..., lane, :, :], states)
                for lane, states in zip(self.lanes, before, strict=True)
            ]
            yield k, before

    def _climb(self, h: Tensor | Dual, states: Sequence) -> list[Future]:
        steps: list[Future] = []
        for stage, state in zip(self.stages, states, strict=True):
            steps.append(self._workers.submit(_forward, stage, steps[-1] if steps else h, state))
        return steps

    def _record(
        self, x: Tensor, before: Sequence, objectives: Sequence[Objective], starts: Sequence[int]
    ) -> Cells:
        """A `_Tape` of every cell."""
        tapes: list[list[Future]] = []
        for lane, states in zip(self.lanes, before, strict=True):
            shown = x[lane], objectives[lane], starts[lane]
            chain: list[Future] = []
            for stage, state in zip(self.stages, states, strict=True):
                h = chain[-1] if chain else x[lane]
                chain.append(self._workers.submit(_record, stage, h, state, *shown))
            tapes.append(chain)
        return tapes

    def _pull(self, tapes: Cells, after: Sequence, parameters: Sequence[Tensor]) -> Cells:
        """The `_Pulled` of every cell, from the cotangents, or from those of the next tile."""
        pulled: list[list[Future]] = []
        for taped, later in zip(tapes, after, strict=True):
            chain: list[Future] = []
            for tape, bar in zip(reversed(taped), reversed(later), strict=True):
                above = chain[-1] if chain else None
                chain.append(self._workers.submit(_pull, tape, above, bar, parameters))
            pulled.append(chain[::-1])
        return pulled


class _Step(NamedTuple):
    """A stage after a tile, without history."""

    output: Tensor | Dual  # (batch, T, D); of the last stage log-probabilities, (batch, T, V)
    state: State  # the stage's part


class _Tape(NamedTuple):
    """A stage after a tile, with what the backward pass needs."""

    h: Tensor  # the input
    x: Tensor | None  # X, which the objective sees beside h in the last of several stages
    before: State
    output: Tensor  # h of the next stage; of the last stage F, (batch,)
    state: State  # after the tile
    log_p: Tensor  # (batch, T, V) of the last stage; empty otherwise


class _Pulled(NamedTuple):
    """Cotangents of what went into a stage."""

    h: Tensor
    x: Tensor | None
    state: State
    weights: tuple[Tensor | None, ...]


def _forward(stage: Stage, h: Tensor | Dual | _Step, state: State | _Step) -> _Step:
    """Run a stage over a tile."""
    below: Any = h.output if isinstance(h, _Step) else h  # a model's types are those of tensors
    state = state.state if isinstance(state, _Step) else state
    with torch.no_grad():
        h, layers = stage(below, state.layers)
        if not stage.is_last:
            return _Step(h, State(layers, state.log_probs))
        log_probs = torch.log_softmax(stage.model.logits(h), dim=-1)
    return _Step(log_probs, State(layers, log_probs[..., -1, :]))


def _record(
    stage: Stage,
    h: Tensor | _Tape,
    state: State | _Tape,
    x: Tensor,
    objectives: Sequence[Objective],
    starts: Sequence[int],
) -> _Tape:
    """Run a stage over a tile with a tape; the last stage shows the tile to the objectives."""
    h = h.output if isinstance(h, _Tape) else h
    state = state.state if isinstance(state, _Tape) else state
    # leaves of their own, because other stages differentiate by the same numbers
    h, before = _leaf(h), state.map(_leaf)
    with torch.enable_grad():
        out, layers = stage(h, before.layers)
        if not stage.is_last:
            return _Tape(h, None, before, out, State(layers, before.log_probs), h[:0].detach())
        beside = None if stage.is_first else _leaf(x)
        shown = h if beside is None else beside
        tiles, predicted = observe(stage.model, shown, out, before.log_probs, starts)
        values = torch.stack([f(tile) for f, tile in zip(objectives, tiles, strict=True)])
    log_p = torch.stack([tile.log_p.detach() for tile in tiles])
    return _Tape(h, beside, before, values, State(layers, predicted), log_p)


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_()


def _pull(
    tape: _Tape, above: _Pulled | None, after: State | _Pulled, parameters: Sequence[Tensor]
) -> _Pulled:
    """Pull the cotangents of a stage's output and of its state after the tile back through it.

    Parameters
    ----------
    above : _Pulled or None
        What the next stage pulled back for the same tile. The output of the last stage is F, whose
        cotangent is 1.
    after
        The cotangent of the state after the tile, or what was pulled back from the next tile.
    """
    bar = after.state if isinstance(after, _Pulled) else after
    with torch.enable_grad():
        own = tape.output if above is None else tape.output * above.h
        onward = own.sum() + inner_product(tape.state, bar)
    beside = [] if tape.x is None else [tape.x]
    inputs = [tape.h, *beside, *tape.before.tensors()]
    found = torch.autograd.grad(onward, [*inputs, *parameters], allow_unused=True)
    # only of weights, of which a stage uses a part, nothing is better than zeros
    bars = [
        torch.zeros_like(i) if bar is None else bar for i, bar in zip(inputs, found, strict=False)
    ]
    state = tape.before.filled(bars[1 + len(beside) :])
    return _Pulled(bars[0], bars[1] if beside else None, state, found[len(inputs) :])


def _results(cells: Cells) -> list[list]:
    return [[cell.result() for cell in chain] for chain in cells]


def _whole(parts: Sequence[Sequence[State]]) -> State:
    """A state from its parts by lane and stage."""
    return State.joined([State.chained(stages) for stages in parts])


def _adjoint_tile(
    k: int,
    tapes: list[list[_Tape]],
    pulled: list[list[_Pulled]],
    parameters: Sequence[Tensor],
) -> AdjointTile:
    """Put lanes and stages together."""
    gradient = [c[0].h if c[-1].x is None else c[0].h + c[-1].x for c in pulled]
    shares = zip(parameters, *(p.weights for chain in pulled for p in chain), strict=True)
    weights = tuple(
        sum((part for part in parts if part is not None), torch.zeros_like(parameter))
        for parameter, *parts in shares
    )
    return AdjointTile(
        k,
        torch.cat(gradient),
        torch.cat([chain[-1].log_p for chain in tapes]),
        torch.cat([chain[-1].output for chain in tapes]).detach().double(),
        _whole([[tape.state.detached() for tape in chain] for chain in tapes]),
        _whole([[p.state for p in chain] for chain in pulled]),
        weights,
    )
