"""Substitution effects: F with another base at a position, less F of the sequence.

    effect[t, a] = F(x with a at t) - F(x)

for every position t and every base a, in one adjoint sweep. ``near`` positions, the substituted one
the first of them, are run again for each of the three bases, from the exact state before t; what
lies beyond is first-order in the state (see ``branches.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pgf_genome.effects import branches, windowed
from pgf_genome.effects.strand import Boundaries, Strand, signs_of
from pgf_genome.engine import sweep
from pgf_genome.engine.along import STRETCH_PASSES, SWEEP_PASSES, Stretch
from pgf_genome.engine.arrays import Ids, reader_of
from pgf_genome.engine.objective import Likelihood, Objective
from pgf_genome.engine.plan import TILE_LENGTH, Plan
from pgf_genome.engine.running import require_causal, running_of
from pgf_genome.engine.threads import side_by_side
from pgf_genome.errors import UsageError
from pgf_genome.intervals import Span, overlaps
from pgf_genome.mamba.bidirectional import BidirectionalMamba
from pgf_genome.mamba.model import LanguageModel
from pgf_genome.mamba.state import State


class Effects(NamedTuple):
    """Effects of consecutive positions."""

    start: int
    stop: int
    values: np.ndarray  # (stop - start, 4) float64: A, C, G, T; NaN where the base is none of them
    log_probs: Tensor  # (stop - start, V): what is predicted there


def substitution_effects(
    model: LanguageModel,
    ids: Ids,
    start: int,
    stop: int,
    near: int | None = 16,
    strand: str = "+",
    objective: Objective | None = None,
    tile_length: int = TILE_LENGTH,
    threads: int | None = None,
) -> np.ndarray:
    """Effects of all substitutions at some positions: F(x with a at t) - F(x).

    Parameters
    ----------
    model : CausalMamba or BidirectionalMamba
    ids : LongTensor (L,) or str
        The whole sequence, as token ids or as text.
    start, stop : int
        Positions, 0-based half-open, on the plus strand.
    near : int, optional
        Positions, from the substituted one on, that are run again; what lies beyond is first-order
        in the state. None is to run to the end of the sequence, which is exact. 0 is first-order
        in the input: g[t, a] - g[t, observed], with g the gradient of F. A bidirectional model
        takes None only: the window around the position is run again, as in `variant_effects`.
    strand : "+", "-" or "both"
        The minus strand is the reverse complement, mapped back; both are the mean of the two.
    objective : Objective, optional
        Default: ``Likelihood()``, or the pseudo-likelihood of the bases for a bidirectional model.
        With fixed targets these are the bases of ``ids``, at a substituted position too.
    tile_length, threads
        As for `adjoint`; the result does not depend on them, to rounding.

    Returns
    -------
    ndarray of float64, (stop - start, 4)
        A, C, G, T, in the unit of the objective: nats by default. 0 at the observed base, NaN where
        it is none of the four.

    Raises
    ------
    SequenceError
        If ``ids`` are no token ids of this vocabulary.
    UsageError
        If the model does not go with the objective or with ``near``; if positions, ``near`` or
        ``strand`` are out of their ranges.

    Notes
    -----
    Cost, in forward passes of one base, per strand: one per base before ``stop``, 3 per base after
    it, about 7 + 3 near per position. Exact: 3 for each position after a substituted one. Memory is
    that of an adjoint sweep, (near + 1) states and some 128 MiB, whatever the length. A
    bidirectional model runs four windows per position.
    """
    running = running_of(model)
    default = Likelihood() if running.streams else windowed.BASES
    chosen = default if objective is None else objective
    running.check(chosen)
    read, length = reader_of(model, ids, tokens_only=True)
    if not 0 <= start <= stop <= length:
        raise UsageError(
            f"positions {start}..{stop} (`start`, `stop`) are not within a sequence of {length}"
        )
    if near is not None and near < 0:
        raise UsageError(f"`near` must be a number of positions, or None for all, not {near}")
    signs = signs_of(strand)
    if isinstance(model, BidirectionalMamba):
        span = start, stop
        return windowed.substitution_effects(model, ids, span, near, signs, chosen, threads)
    causal = require_causal(model, "substitution_effects")
    plus, plan = Strand(causal, read, length, chosen), Plan(length, tile_length)

    def of_strand(sign: str) -> np.ndarray:
        if sign == "+":
            return effects_at(plus, plan, (start, stop), near)
        return effects_at(plus.reverse(), plan, (length - stop, length - start), near)[::-1, ::-1]

    return np.mean(side_by_side(of_strand, signs, threads), axis=0)


def effects_at(strand: Strand, plan: Plan, span: Span, near: int | None) -> np.ndarray:
    """Effects at consecutive positions of one strand, (stop - start, 4)."""
    values = np.full((span[1] - span[0], len("ACGT")), np.nan)
    for part in effects_of(strand, plan, [span], near):
        values[part.start - span[0] : part.stop - span[0]] = part.values
    return values


def effects_of(
    strand: Strand,
    plan: Plan,
    spans: Sequence[Span],
    near: int | None,
    size: int | None = None,
    threads: int | None = None,
    boundaries: Boundaries | None = None,
    progress: Callable[[float], object] = lambda passes: None,
    before: int | None = None,
) -> Iterator[Effects]:
    """Effects at the positions of spans, in parts from the last position to the first.

    Parameters
    ----------
    plan : Plan
        Tiles of the adjoint sweep.
    spans : sequence of (start, stop)
        Sorted and without overlap.
    size : int, optional
        Positions whose states are in memory at a time; None is for us to choose.
    boundaries, progress
        As for `Strand.stretches`; not for ``near`` 0, which needs no states within tiles.
    before : int, optional
        Only positions before this one are left to be done. With ``boundaries`` of a sweep that was
        stopped their effects are, bit for bit, those that it would have given.
    """
    spans = [span for span in spans if span[0] < span[1]]
    left = overlaps(spans, 0, strand.length if before is None else before)
    if not left:
        return
    if near == 0:
        yield from _first_order(strand, plan, left, threads)
        return
    length, start = strand.length, spans[0][0]
    reach = length if near is None else near
    to_the_end = start + reach >= length
    # where branches are left to first order, and the last position that one leaves from
    ends = [] if to_the_end else [Stretch.past_the_end(strand.model, length, reach)]

    def seen(part: Span) -> Span:
        return part[0], part[1] if to_the_end else min(part[1] + reach, length)

    for stretch in strand.stretches(
        plan, [*map(seen, spans)], size, threads, boundaries, progress, seen(left[-1])[1]
    ):
        ends = [] if to_the_end else [stretch, *ends]
        for first, last in reversed(overlaps(left, stretch.start, stretch.stop)):
            values = _near(strand, reach, stretch, ends, (first, last), threads)
            yield Effects(first, last, values, stretch.part(first, last).states.log_probs)
            progress(len("CGT") * min(reach, length - first) * (last - first))
        ends = _held(ends, (stretch.start, stretch.start + reach))


def passes_run_again(length: int, spans: Sequence[Span], near: int | None) -> float:
    """Work on changed sequences, about, in forward passes of one base."""
    reach = length if near is None else near
    return len("CGT") * sum((b - a) * min(reach, length - (a + b) / 2) for a, b in spans)


def passes_of(plan: Plan, spans: Sequence[Span], near: int | None) -> float:
    """Work of `effects_of`, about, in forward passes of one base."""
    reach = plan.length if near is None else near
    seen = [(start, min(stop + reach, plan.length)) for start, stop in spans]
    stretched = len(plan.meeting(seen)) * plan.tile_length
    swept = plan.length - spans[0][0] - stretched
    forth = plan.bounds(plan.replayed)[0]
    back = SWEEP_PASSES * max(swept, 0) + STRETCH_PASSES * stretched
    return forth + back + passes_run_again(plan.length, spans, near)


def _first_order(
    strand: Strand, plan: Plan, spans: Sequence[Span], threads: int | None
) -> Iterator[Effects]:
    """g[t, a] - g[t, observed]."""
    model = strand.model
    bases = list(model.vocabulary.base_ids)
    back = sweep.there_and_back(model, strand.read, plan, [strand.objective], threads=threads)
    with closing(back) as tiles:
        for tile in tiles:
            start, stop = plan.bounds(tile.k)
            if stop <= spans[0][0]:
                return
            for first, last in reversed(overlaps(spans, start, stop)):
                inside = slice(first - start, last - start)
                gradient = tile.gradient[0, inside, bases].double()
                observed = strand.read(first, last)[0][:, bases].double()
                values = gradient - (gradient * observed).sum(dim=1, keepdim=True)
                values[~observed.any(dim=1)] = torch.nan
                yield Effects(first, last, values.cpu().numpy(), tile.log_p[0, inside])


def _near(
    strand: Strand,
    reach: int,
    stretch: Stretch,
    ends: list[Stretch],
    span: Span,
    threads: int | None,
) -> np.ndarray:
    """Effects at positions of a stretch, (n, 4), a few thousand branches at a time."""
    first, last = span
    count = max(1, branches.ROWS // (3 * min(reach, branches.STEP)))
    cuts = [(at, min(at + count, last)) for at in range(first, last, count)]
    work = partial(_substitute, strand, reach, stretch, ends)
    return np.concatenate(side_by_side(work, cuts, threads))


def _held(ends: list[Stretch], span: Span) -> list[Stretch]:
    """What is needed further on, in memory of its own, so that the rest can be freed."""
    parts = ((end, end.part(*span)) for end in ends)
    return [part if part is end else part.copied() for end, part in parts if len(part.x)]


def _substitute(
    strand: Strand, reach: int, stretch: Stretch, ends: list[Stretch], cut: Span
) -> np.ndarray:
    """Effects at the positions of a cut, (n, 4)."""
    model, (first, last) = strand.model, cut
    bases = list(model.vocabulary.base_ids)
    here = stretch.part(first, last)
    observed = here.x[:, bases] == 1
    effects = torch.full(observed.shape, torch.nan, dtype=torch.float64, device=observed.device)
    known = observed.any(dim=1)
    effects[known] = 0
    rows, others = (known[:, None] & ~observed).nonzero(as_tuple=True)
    if not len(rows):
        return effects.cpu().numpy()
    starts = first + rows
    lengths = (strand.length - starts).clamp(max=reach)
    changed = model.one_hot(torch.tensor(bases, device=rows.device)[others])

    def read(offset: int, end: int) -> tuple[Tensor, Tensor]:
        seen = strand.padded(first + offset, last + end - 1)
        targets = seen.unfold(0, end - offset, 1).transpose(1, 2)[rows]
        x = targets.clone()
        if offset == 0:
            x[:, 0] = changed
        return x, targets

    before = model.shared(_where(here.states, known), len(bases) - 1)
    values, after = branches.run(model, strand.objective, read, before, starts, lengths)
    values -= here.remaining[rows]
    if ends:
        parts = (end.part(first + reach, last + reach) for end in ends)
        end = Stretch.joined([part for part in parts if len(part.x)])
        values += end.remaining[rows]
        states, cotangents = (_where(s, known) for s in (end.states, end.cotangents))
        values += branches.to_come(after, states, cotangents).flatten()
    effects[rows, others] = values
    return effects.cpu().numpy()


def _where(state: State, known: Tensor) -> State:
    return state if known.all() else state.map(lambda t: t[known])
