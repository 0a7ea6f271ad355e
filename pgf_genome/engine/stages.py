"""A causal model as a chain of stages, each of them a causal model of its own.

    (h_s, state_s) -> (h_{s+1}, state_s')        h_0 = X

so that tiles can be in work side by side, in different stages. Here is what a stage does with a
tile of one lane, and what a `Grid` of lanes and stages hands to its threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from pgf_genome.engine.lanes import Workers, lanes_of
from pgf_genome.engine.objective import Objective, Tile
from pgf_genome.engine.plan import Plan
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.state import State
from pgf_genome.scan import Dual

Given = TypeVar("Given")

# Of a single sequence: threads, tiles that are given out to them, and stages at most. Two threads
# rarely find nothing to do in three tiles.
THREADS, TILES, MOST_STAGES = 2, 3, 16


@dataclass(frozen=True)
class Stage:
    """Blocks ``first .. stop - 1``; the first stage embeds, the last one predicts."""

    model: CausalMamba
    first: int
    stop: int

    @property
    def embeds(self) -> bool:
        return self.first == 0

    @property
    def predicts(self) -> bool:
        return self.stop == len(self.model.layers)

    def part(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """This stage's tensors of a whole state; the last prediction belongs to the last stage."""
        n = len(self.model.config.mixer.state)
        return [*tensors[n * self.first : n * self.stop], *(tensors[-1:] if self.predicts else ())]

    def __call__(
        self, h: Tensor | Dual, state: Sequence[Tensor | Dual]
    ) -> tuple[Tensor | Dual, list[Tensor | Dual]]:
        """Hidden layer after this stage, normalised after the last, and the layers' new states."""
        h = self.model.embed(h) if self.embeds else h
        shapes = self.model.config.mixer.state
        rest, end = iter(state), []
        for block in self.model.layers[self.first : self.stop]:
            h, after = block(h, type(shapes)(*islice(rest, len(shapes))))
            end += after
        return self.model.norm_f(h) if self.predicts else h, end


def stages_of(model: CausalMamba, plan: Plan, lanes: int) -> list[Stage]:
    """Stages of about equal depth: several where a single sequence has tiles for two threads."""
    layers = len(model.layers)
    alone = lanes == 1 and plan.tiles > 1 and model.device.type == "cpu"
    count = min(MOST_STAGES, layers) if alone and torch.get_num_threads() > 1 else 1
    edges = [layers * i // count for i in range(count + 1)]
    return [Stage(model, a, b) for a, b in pairwise(edges)]


class Step(NamedTuple):
    """A stage after a tile, without history."""

    output: Tensor | Dual  # (batch, T, D), or of the last stage (batch, T, V): log-probabilities
    end: list[Tensor | Dual]  # its part of the state


def forward(stage: Stage, h: Tensor | Dual | Step, state: Sequence[Tensor | Dual] | Step) -> Step:
    """A step of the primal sweep, and, of `Dual` input and state, of the tangent sweep."""
    with torch.no_grad():
        h, end = stage(_input(h), _state(state))
        if stage.predicts:
            h = torch.log_softmax(stage.model.logits(h), dim=-1)
            end = [*end, h[..., -1, :]]
    return Step(h, end)


class Tape(NamedTuple):
    """A stage after a tile, with what the backward pass needs."""

    inputs: list[Tensor]  # h, of the last of several stages X too, and the state before
    output: Tensor  # h, or of the last stage F, (batch,)
    end: list[Tensor]
    log_p: Tensor | None  # of the last stage


def record(
    stage: Stage,
    h: Tensor | Tape,
    x: Tensor,
    state: Sequence[Tensor] | Tape,
    objectives: Sequence[Objective],
    starts: Sequence[int],
) -> Tape:
    """A tile once more, with a tape; the last stage shows it to the objectives."""
    state = _state(state)
    # the last of several stages sees X beside h, for its objective
    beside = [x] if stage.predicts and not stage.embeds else []
    # copies, because other stages differentiate by the same numbers
    inputs = [t.detach().requires_grad_() for t in (_input(h), *beside, *state)]
    before = inputs[1 + len(beside) :]
    with torch.enable_grad():
        out, end = stage(inputs[0], before)
        if not stage.predicts:
            return Tape(inputs, out, end, None)
        tiles, last = _observe(stage.model, inputs[len(beside)], out, before[-1], starts)
        values = torch.stack([f(tile) for f, tile in zip(objectives, tiles, strict=True)])
    return Tape(inputs, values, [*end, last], torch.stack([t.log_p.detach() for t in tiles]))


def _observe(
    model: CausalMamba, x: Tensor, hidden: Tensor, predicted: Tensor, starts: Sequence[int]
) -> tuple[list[Tile], Tensor]:
    """What the objective of each sequence sees of a tile, and the prediction of the next base."""
    logits = model.logits(hidden)
    log_probs = torch.log_softmax(logits, dim=-1)  # (batch, T, V)
    # The prediction of the tile's first base was made at the end of the tile before.
    log_p = torch.cat([predicted[:, None], log_probs[:, :-1]], dim=1)
    parts = zip(starts, x, log_p, logits, hidden, strict=True)
    return [Tile(*part, model.vocabulary.base_ids) for part in parts], log_probs[:, -1]


class Pulled(NamedTuple):
    """Cotangents of what went into a stage."""

    h: Tensor
    x: Tensor | None  # of the last of several stages: what the objective asks of X itself
    state: list[Tensor]
    weights: list[Tensor | None]  # of the parameters that it uses


def pull(
    stage: Stage,
    tape: Tape,
    above: Pulled | None,
    after: Sequence[Tensor] | Pulled,
    parameters: Sequence[Tensor],
) -> Pulled:
    """Pull the cotangents of a stage's output and of its state after the tile back through it.

    Parameters
    ----------
    above : Pulled, optional
        Of the next stage for the same tile. The output of the last stage is F, whose cotangent
        is 1.
    after
        Cotangents of the state after the tile, or what was pulled back from the next tile.
    """
    bars = [None if above is None else above.h]
    bars += after.state if isinstance(after, Pulled) else after
    with torch.enable_grad():
        # one sum: for outputs that come with cotangents torch imports sympy, which takes a second
        outputs = zip([tape.output, *tape.end], bars, strict=True)
        total = sum(out.sum() if bar is None else (out * bar).sum() for out, bar in outputs)
    wanted = [*tape.inputs, *parameters]
    found = torch.autograd.grad(total, wanted, allow_unused=True)
    bars = [
        torch.zeros_like(one) if bar is None else bar
        for one, bar in zip(tape.inputs, found, strict=False)
    ]
    others = len(tape.inputs) - len(tape.end)
    x_bar = bars[1] if others == 2 else None
    return Pulled(bars[0], x_bar, bars[others:], [*found[len(bars) :]])


@dataclass(frozen=True)
class Grid:
    """Lanes of a batch by stages of a model, and who works on what.

    What is done by lane and stage is handed on as futures, ``[lane][stage]``, so that the sweeps
    can be written down in the order of a single thread.
    """

    lanes: list[slice]
    stages: list[Stage]
    workers: Workers
    blank: State

    @classmethod
    def of(cls, model: CausalMamba, plan: Plan, state: State) -> Grid:
        lanes = lanes_of(state.log_probs)
        stages = stages_of(model, plan, len(lanes))
        return cls(lanes, stages, Workers(max(len(lanes), min(len(stages), THREADS))), state)

    def in_turn(self, given: Iterator[Given]) -> Iterator[Given]:
        """Tiles as they are given out, held back while there are others to work on beside them.

        A tile is given out when the next one is asked for.
        """
        most = 1 if len(self.stages) == 1 else TILES
        held: deque[Given] = deque()
        for tile in given:
            held.append(tile)
            if len(held) == most:
                yield held.popleft()
        yield from held

    def parts(self, state: State) -> list[list[list[Tensor]]]:
        """A state, or its cotangent, by lane and stage."""
        by_lane = [state.part(lane).tensors() for lane in self.lanes]
        return [[stage.part(tensors) for stage in self.stages] for tensors in by_lane]

    def whole(self, parts: Sequence[Sequence[list[Tensor]]]) -> State:
        """Inverse of ``parts``; the tensors of a stage end with the last prediction, if at all."""
        return State.joined([self.blank.filled(list(chain(*stages))) for stages in parts])

    def forward(self, x: Tensor | Dual, before: Sequence[Sequence]) -> list[list[Future]]:
        """`Step` of a tile in every stage, from the state, or from the steps of the tile before."""

        def climb(b: int, lane: slice) -> Iterator[Future]:
            h = x[..., lane, :, :]
            for stage, state in zip(self.stages, before[b], strict=True):
                h = self.workers.submit(forward, stage, h, state)
                yield h

        return [list(climb(b, lane)) for b, lane in enumerate(self.lanes)]

    def record(
        self,
        x: Tensor,
        before: Sequence[Sequence],
        objectives: Sequence[Objective],
        starts: Sequence[int],
    ) -> list[list[Future]]:
        """As ``forward``, with a `Tape` of every stage."""

        def climb(b: int, lane: slice) -> Iterator[Future]:
            h, shown = x[lane], (objectives[lane], starts[lane])
            for stage, state in zip(self.stages, before[b], strict=True):
                h = self.workers.submit(record, stage, h, x[lane], state, *shown)
                yield h

        return [list(climb(b, lane)) for b, lane in enumerate(self.lanes)]

    def pull(
        self,
        tapes: Sequence[Sequence[Future]],
        after: Sequence[Sequence],
        parameters: Sequence[Tensor],
    ) -> list[list[Future]]:
        """`Pulled` of a tile by every stage, from the cotangent, or from those of the next tile."""

        def fall(b: int) -> Iterator[Future]:
            above = None
            cells = [*zip(self.stages, tapes[b], after[b], strict=True)]
            for stage, tape, later in reversed(cells):
                above = self.workers.submit(pull, stage, tape, above, later, parameters)
                yield above

        return [[*fall(b)][::-1] for b in range(len(self.lanes))]


def _input(h: Tensor | Dual | Step | Tape) -> Tensor | Dual:
    if isinstance(h, Tape):
        return h.output.detach()
    return h.output if isinstance(h, Step) else h


def _state(state: Sequence[Tensor | Dual] | Step | Tape) -> list[Tensor | Dual]:
    if isinstance(state, Tape):
        return [t.detach() for t in state.end]
    return state.end if isinstance(state, Step) else [*state]
