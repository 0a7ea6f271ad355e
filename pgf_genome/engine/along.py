"""The adjoint sweep with the states, and their cotangents, at every position.

An adjoint sweep carries the cotangent of the state from tile to tile. Inside a tile it is there at
every position as well, at

    s_t    the state before position t
    l_t    dF / d(s_t), by those terms of F that stand at t and after it

so that whatever changes the state can be followed from any position, and to first order be left at
any position. Both take as much memory as a state each, so that tiles are cut once more: into
stretches, whose boundary states are computed again from that of the tile and kept in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from pgf_genome.engine import sweep
from pgf_genome.engine.equations import Reader, States, inner_product
from pgf_genome.engine.objective import Objective, Tile, sums
from pgf_genome.engine.plan import Cost, Plan
from pgf_genome.engine.spool import StoredCotangents
from pgf_genome.intervals import Span, overlaps
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.state import State

# Memory for what is kept of a stretch.
STRETCH_BYTES = 128 * 2**20
# Work on a position, in forward passes of one base: of a tile that is swept, and of one that is cut
# into stretches.
SWEEP_PASSES, STRETCH_PASSES = 3, 6


class Stretch(NamedTuple):
    """Consecutive positions of one sequence."""

    start: int
    x: Tensor  # (n, V): one-hot input
    states: State  # (n, ..): before every position
    cotangents: State  # (n, ..): dF / d(states), by the terms of F at a position and after it
    remaining: Tensor  # (n,) float64: the sum of those terms

    @property
    def stop(self) -> int:
        return self.start + len(self.x)

    def part(self, start: int, stop: int) -> Stretch:
        """As much as there is of the positions start .. stop - 1."""
        start, stop = max(start, self.start), min(stop, self.stop)
        if (start, stop) == (self.start, self.stop):
            return self
        chosen = slice(start - self.start, max(stop, start) - self.start)
        return Stretch(
            start,
            self.x[chosen],
            self.states.part(chosen),
            self.cotangents.part(chosen),
            self.remaining[chosen],
        )

    def copied(self) -> Stretch:
        """The same numbers in memory of their own."""
        states, cotangents = (s.map(torch.clone) for s in (self.states, self.cotangents))
        return Stretch(self.start, self.x.clone(), states, cotangents, self.remaining.clone())

    @staticmethod
    def joined(parts: list[Stretch]) -> Stretch:
        """One stretch of several that follow each other."""
        if len(parts) == 1:
            return parts[0]
        return Stretch(
            parts[0].start,
            torch.cat([p.x for p in parts]),
            State.joined([p.states for p in parts]),
            State.joined([p.cotangents for p in parts]),
            torch.cat([p.remaining for p in parts]),
        )

    @staticmethod
    def past_the_end(model: CausalMamba, length: int, count: int) -> Stretch:
        """Positions after the last one, where nothing is read and no term of F stands."""
        one = model.initial_state(1).map(torch.zeros_like)
        rows = one.map(lambda t: t.expand(count, *t.shape[1:]))
        x = one.log_probs.new_zeros(count, model.config.vocab_rows)
        return Stretch(length, x, rows, rows, torch.zeros(count, dtype=torch.float64).to(x.device))


def positions_at_once(model: CausalMamba) -> int:
    """Positions of a stretch, by the memory that they take."""
    cost = Cost.of(model.config, 0, 1, model.dtype.itemsize)
    # states, what is added to them, cotangents, and the cotangents of what comes out as states
    return max(1, STRETCH_BYTES // (4 * cost.state + cost.tape_per_base))


def stretches(
    model: CausalMamba,
    read: Reader,
    plan: Plan,
    objective: Objective,
    states: States,
    cotangents: StoredCotangents,
    spans: Sequence[Span],
    size: int | None = None,
    threads: int | None = None,
    progress: Callable[[float], object] = lambda passes: None,
    before: int | None = None,
) -> Iterator[Stretch]:
    """Sweep back over one sequence; yield the stretches that meet spans, from the last on.

    Parameters
    ----------
    read, plan, states, threads
        As for `sweep.adjoint`.
    cotangents : StoredCotangents
        Takes what the sweep comes to at every tile. The sweep begins as near to the last position
        that is needed as what is there already allows.
    spans : sequence of (start, stop)
        Positions, at least one; sorted by start and by stop. Tiles without any of them are swept as
        usual; those before the first span not at all.
    size : int, optional
        Positions of a stretch; None is for us to choose.
    progress : callable
        Called after every tile with the work on it, in forward passes of one base.
    before : int, optional
        Positions of the spans that are needed are before this one; None is all of them. Which tiles
        are swept as usual does not depend on it, so that a stopped sweep ends in the same bits.
    """
    wanted = plan.meeting(spans)
    last = wanted[-1] if before is None else (before - 1) // plan.tile_length
    top, (remaining, cotangent) = _furthest(plan, last, cotangents, model.initial_state(1))
    cut = set(wanted)
    for is_cut, run in groupby(range(top, wanted[0] - 1, -1), cut.__contains__):
        if not is_cut:
            for tile in sweep.adjoint(
                model, read, plan, [objective], states, cotangent, list(run), threads=threads
            ):
                cotangent, remaining = tile.cotangent, remaining + tile.values[0]
                cotangents[tile.k] = remaining, cotangent
                progress(SWEEP_PASSES * len(tile.gradient[0]))
            continue
        for k in run:
            for first, end, state in _cut(model, read, plan, k, states[k], size, threads):
                here = _stretch(model, read, (first, end), state, objective, cotangent, remaining)
                cotangent, remaining = here.cotangents.part(slice(0, 1)), here.remaining[0]
                if overlaps(spans, first, end):
                    yield here
                progress(STRETCH_PASSES * (end - first))
            cotangents[k] = remaining, cotangent


def _furthest(
    plan: Plan, last: int, cotangents: StoredCotangents, blank: State
) -> tuple[int, tuple[Tensor, State]]:
    """The tile to begin with, at or after ``last``, and what is known of all that follows it."""
    for k in range(last, plan.tiles - 1):
        known = cotangents[k + 1]
        if known is not None:
            return k, known
    zeros = torch.zeros((), dtype=torch.float64, device=blank.log_probs.device)
    return plan.tiles - 1, (zeros, blank.map(torch.zeros_like))


def _cut(
    model: CausalMamba,
    read: Reader,
    plan: Plan,
    k: int,
    state: State,
    size: int | None,
    threads: int | None,
) -> Iterator[tuple[int, int, State]]:
    """Start and stop of the stretches of a tile, and the state before each, from the last on."""
    start, stop = plan.bounds(k)
    inner = Plan(stop - start, size or positions_at_once(model))

    def here(first: int, last: int) -> Tensor:
        return read(start + first, start + last)

    steps = sweep.primal(model, here, inner, state, range(inner.replayed), threads)
    states = [state, *(step.state for step in steps)]
    for j in range(inner.tiles - 1, -1, -1):
        first, last = inner.bounds(j)
        yield start + first, start + last, states.pop()


def _stretch(
    model: CausalMamba,
    read: Reader,
    bounds: Span,
    before: State,
    objective: Objective,
    cotangent: State,
    remaining: Tensor,
) -> Stretch:
    """Run a stretch from the state before it; what comes after is in cotangent and remaining."""
    start, stop = bounds
    x, length = read(start, stop), stop - start
    # the same at every position, where its gradient is the cotangent of the state
    placed = before.map(
        lambda t: t.detach()[:, None].expand(-1, length, *t.shape[1:]).requires_grad_()
    )
    with torch.enable_grad():
        hidden, layers = model.along(x, placed.layers)
        logits = model.logits(hidden)
        log_probs = torch.log_softmax(logits, dim=-1)
        carried = torch.cat([before.log_probs[:, None], log_probs[:, :-1]], dim=1)
        log_p = carried + (placed.log_probs - placed.log_probs.detach())
        # every position is a tile of its own
        rows = [t[0][:, None] for t in (x, log_p, logits, hidden)]
        tiles = Tile(start, rows[0], rows[1], rows[2], rows[3], model.vocabulary.base_ids)
        starts = torch.arange(start, stop, device=x.device)
        terms = sums(objective, tiles, starts, torch.ones_like(starts))
        ends = tuple(type(layer)(*map(_Last.apply, layer)) for layer in layers)
        after = State(ends, log_probs[:, -1])
        onward = terms.sum() + inner_product(after, cotangent)
    bars = torch.autograd.grad(onward, placed.tensors(), materialize_grads=True)
    states = State(layers, log_p).map(lambda t: t.detach()[0, :length])
    ahead = terms.detach().flip(0).cumsum(0).flip(0) + remaining
    return Stretch(start, x[0], states, placed.filled([bar[0] for bar in bars]), ahead)


class _Last(Function):
    """The state after a stretch, the last row of those that `Mixer.along` gives.

    Of their cotangents no other row is read, so that this one stands for all of them, where torch
    would fill as much memory with zeros.
    """

    @staticmethod
    def forward(ctx, states: Tensor) -> Tensor:
        ctx.rows = states.shape[1]
        return states[:, -1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, bar):
        return bar[:, None].expand(-1, ctx.rows, *bar.shape[1:])
