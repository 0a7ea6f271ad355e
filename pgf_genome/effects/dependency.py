"""Dependency maps: what every base of a region does to every prediction in it.

    J[i, a, j, b] = log p_j(b | x with a at i) - log p_j(b | x)

The model has read all that lies before the region. Positions are taken some at a time: from the
state before the first of them the sequence is run to the end of the region, together with a branch
for each base that could stand at one of them, or with a derivative along each of these changes.

    before the region | .. first  ..  last .. | stop
                 state    x x x a x x x x x x    a branch for each a of each position

A causal model predicts a base from those before it, so the plus strand fills i < j. The minus
strand fills i > j: it sees the region from its other end, with all axes of J reversed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pgf_genome.effects.definitions import DEFINITIONS, Definition
from pgf_genome.effects.strand import Strand, signs_of
from pgf_genome.engine import sweep
from pgf_genome.engine.arrays import Ids, reader_of
from pgf_genome.engine.objective import Likelihood
from pgf_genome.engine.plan import TILE_LENGTH, Plan
from pgf_genome.engine.running import require_causal, running_of
from pgf_genome.engine.threads import side_by_side
from pgf_genome.errors import UsageError
from pgf_genome.intervals import Span
from pgf_genome.mamba.model import CausalMamba, LanguageModel
from pgf_genome.mamba.state import State

# Positions that branches run at a time, and positions of all branches that run together.
STEP, ROWS = 64, 4096


class Map(NamedTuple):
    """A dependency map; rows are the substituted positions."""

    cells: np.ndarray  # (n, n) float64; NaN where there is no base
    blocks: np.ndarray | None  # (n, 4, n, 4) in the model's dtype, if they are kept


@dataclass(frozen=True)
class Approach:
    """A region as one strand comes to it.

    Attributes
    ----------
    sign : str
        "+" or "-".
    x : Tensor, (1, n, V)
        The region, one-hot, in the direction of reading.
    state : State
        What the model knows of everything before it.
    """

    sign: str
    x: Tensor
    state: State

    def view(self, array: np.ndarray) -> np.ndarray:
        """An array of positions and bases on the plus strand, as this strand reads it."""
        return array if self.sign == "+" else np.flip(array)


def dependency_map(
    model: LanguageModel,
    ids: Ids,
    start: int,
    stop: int,
    definition: str = "logodds-max",
    first_order: bool = False,
    blocks: bool = False,
    strand: str = "both",
    tile_length: int = TILE_LENGTH,
    threads: int | None = None,
) -> np.ndarray:
    """What every base of a region does to every prediction in it, in its full context.

    Parameters
    ----------
    model : CausalMamba
    ids : LongTensor (L,) or str
        The whole sequence, as token ids or as text.
    start, stop : int
        The region, 0-based half-open, on the plus strand.
    definition : str
        ``"logodds-max"`` (the largest change of the log2 odds of a base, bits; Tomaz da Silva et
        al. 2025), ``"jacobian-inf"`` (the largest change of log p, nats, the mean of both
        directions; GPN-Star) or ``"frobenius-apc"`` (Frobenius norm of centred changes, symmetric,
        with the average product correction; Zhang et al. 2024). See ``definitions.py``.
    first_order : bool
        Derivatives along the change of a base, in the place of changes.
    blocks : bool
        Return J, the changes of log p themselves.
    strand : "+", "-" or "both"
        The plus strand fills i < j, the minus strand i > j; a triangle that is not filled is 0.
    tile_length, threads
        As for `adjoint`; the result does not depend on them, to rounding.

    Returns
    -------
    ndarray of float64, (n, n); or with ``blocks`` of the model's dtype, (n, 4, n, 4)
        ``[i, j]``: substitution at ``start + i``, prediction at ``start + j``; bases A, C, G, T, in
        the order of the plus strand. J is 0 for the observed base and for i = j; NaN in rows and
        columns where the base is none of the four.

    Raises
    ------
    SequenceError
        If ``ids`` are no token ids of this vocabulary.
    UsageError
        If the model is bidirectional or has no head, or an argument is out of its range.

    Notes
    -----
    Cost, in forward passes of one base, per strand: one per base before the region, and then
    3 n n / 2. Memory: that of the map, 8 n n bytes, and a few hundred MiB; with blocks, and for
    frobenius-apc, which needs them, 16 n n numbers more (256 MiB for 2 kb in float32).
    """
    causal = require_causal(model, "dependency_map")
    running_of(model).require_head("there is nothing that depends; use a model with a head")
    chosen = definition_of(definition)
    read, length = reader_of(model, ids, tokens_only=True)
    if not 0 <= start < stop <= length:
        raise UsageError(
            f"a region {start}..{stop} (`start`, `stop`) is not within a sequence of {length}"
        )
    plus = Strand(causal, read, length, Likelihood())

    def approach(sign: str) -> Approach:
        return next(approaches(plus, sign, [(start, stop)], tile_length, threads))

    both = side_by_side(approach, signs_of(strand), threads)
    found = region_map(causal, both, chosen, first_order, blocks, threads)
    return found.cells if found.blocks is None else found.blocks


def definition_of(name: str) -> Definition:
    """A definition by its name.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if name not in DEFINITIONS:
        raise UsageError(f"`definition` {name!r}: choose from {', '.join(DEFINITIONS)}")
    return DEFINITIONS[name]


def approaches(
    plus: Strand,
    sign: str,
    spans: Sequence[Span],
    tile_length: int = TILE_LENGTH,
    threads: int | None = None,
    progress: Callable[[float], object] = lambda passes: None,
) -> Iterator[Approach]:
    """Come to regions of one sequence, in one sweep over it.

    Parameters
    ----------
    plus : Strand
        The plus strand of the sequence.
    sign : str
        The strand to be swept.
    spans : sequence of (start, stop)
        Regions on the plus strand, in the order in which this strand comes to them: ascending
        starts on the plus strand, descending stops on the minus strand.
    progress : callable
        Called after every tile with the work on it, in forward passes of one base.
    """
    strand = plus if sign == "+" else plus.reverse()
    state, at = strand.model.initial_state(1), 0
    for start, stop in spans:
        first, last = (start, stop) if sign == "+" else (plus.length - stop, plus.length - start)
        if at < first:
            here, plan = partial(_read_from, strand, at), Plan(first - at, tile_length)
            for step in sweep.primal(strand.model, here, plan, state, threads=threads):
                state = step.state
                progress(step.log_probs.shape[1])
        at = first
        yield Approach(sign, strand.read(first, last), state)


def _read_from(strand: Strand, origin: int, start: int, stop: int) -> Tensor:
    return strand.read(origin + start, origin + stop)


@torch.no_grad()
def region_map(
    model: CausalMamba,
    strands: Sequence[Approach],
    definition: Definition,
    first_order: bool = False,
    keep_blocks: bool = False,
    threads: int | None = None,
    progress: Callable[[float], object] = lambda passes: None,
) -> Map:
    """The map of a region that one or both strands have come to.

    Parameters
    ----------
    progress : callable
        Called, by any thread, with work that is done, in forward passes of one base.
    """
    n = strands[0].x.shape[1]
    known = strands[0].view(_observed(model, strands[0].x).any(dim=1).cpu().numpy())
    blocks = None
    if keep_blocks or definition.cells is None:
        kind = torch.empty(0, dtype=model.dtype).numpy().dtype
        blocks = np.zeros((n, 4, n, 4), kind)
    cells = np.zeros((n, n))
    jobs = [job for strand in strands for job in _jobs(model, strand)]
    change = _first_order if first_order else _exact

    def work(job: _Job) -> None:
        changes = change(model, job).cpu().numpy()
        log_p = job.log_p.cpu().numpy()
        done = None if definition.cells is None else definition.cells(changes, log_p)
        for row, i in enumerate(range(job.first, job.last)):
            # predictions begin with that of the position behind the first
            if blocks is not None:
                job.strand.view(blocks)[i, :, i + 1 :] = changes[row, :, row:]
            if done is not None:
                job.strand.view(cells)[i, i + 1 :] = done[row, row:]
        progress(3.0 * sum(n - i for i in range(job.first, job.last)))

    side_by_side(work, jobs, threads)
    for array in (cells, blocks):
        if array is not None:
            array[~known] = np.nan
            np.moveaxis(array, array.ndim // 2, 0)[~known] = np.nan
    made_of = blocks if blocks is not None and definition.cells is None else cells
    return Map(definition.finish(made_of), blocks if keep_blocks else None)


class _Job(NamedTuple):
    """Positions of a region whose bases are changed together."""

    strand: Approach
    first: int
    last: int
    state: State  # before the first
    log_p: Tensor  # (n - first - 1, 4): predictions of the positions behind it


def _jobs(model: CausalMamba, strand: Approach) -> Iterator[_Job]:
    acting = strand.x.shape[1] - 1  # the last position has none behind it
    if not acting:
        return
    bases = list(model.vocabulary.base_ids)
    plan = Plan(acting, max(1, ROWS // (3 * min(acting, STEP))))
    states, predicted, state = [], [], strand.state
    for k in range(plan.tiles):
        start, stop = plan.bounds(k)
        states.append(state)
        log_probs, state = model(strand.x[:, start:stop], state)
        predicted.append(log_probs[0][:, bases])
    log_p = torch.cat(predicted)
    for k, before in enumerate(states):
        first, last = plan.bounds(k)
        if _observed(model, strand.x[:, first:last]).any():
            yield _Job(strand, first, last, before, log_p[first:])


def _observed(model: CausalMamba, x: Tensor) -> Tensor:
    """Which of the four bases stands at each position, (n, 4); none at an N."""
    return x[0][:, list(model.vocabulary.base_ids)] == 1


def _changes(model: CausalMamba, job: _Job) -> tuple[Tensor, Tensor]:
    """The changes of a job: position, counted from the first, and base."""
    observed = _observed(model, job.strand.x[:, job.first : job.last])
    rows, others = (observed.any(dim=1)[:, None] & ~observed).nonzero(as_tuple=True)
    return rows, others


def _exact(model: CausalMamba, job: _Job) -> Tensor:
    """log p of every branch less log p of the sequence, (positions, 4, predictions, 4)."""
    rows, others = _changes(model, job)
    bases = torch.tensor(model.vocabulary.base_ids, device=rows.device)
    # the sequence itself runs beside its branches, so that rounding is the same in all of them
    x = job.strand.x[:, job.first : -1].repeat(1 + len(rows), 1, 1)
    x[1 + torch.arange(len(rows), device=rows.device), rows] = model.one_hot(bases[others])
    state, parts = model.shared(job.state, len(x)), []
    for tile in x.split(STEP, dim=1):
        log_probs, state = model(tile, state)
        parts.append(log_probs[..., bases])
    log_p = torch.cat(parts, dim=1)
    return _placed(job, rows, others, log_p[1:] - log_p[:1])


def _first_order(model: CausalMamba, job: _Job) -> Tensor:
    """Derivatives of log p along the change of a base; shape as that of `_exact`."""
    rows, others = _changes(model, job)
    bases = torch.tensor(model.vocabulary.base_ids, device=rows.device)
    x = job.strand.x[:, job.first : -1]
    directions = x.new_zeros(len(rows), *x.shape)
    each = torch.arange(len(rows), device=rows.device)
    directions[each, 0, rows] = model.one_hot(bases[others]) - x[0, rows]
    tiles = sweep.tangent(
        model,
        lambda start, stop: x[:, start:stop],
        lambda start, stop: directions[:, :, start:stop],
        Plan(x.shape[1], STEP),
        job.state,
    )
    moved = torch.cat([tile.tangents[:, 0][..., bases] for tile in tiles], dim=1)
    return _placed(job, rows, others, moved)


def _placed(job: _Job, rows: Tensor, others: Tensor, changes: Tensor) -> Tensor:
    """Changes by position and base; 0 for the observed base."""
    placed = changes.new_zeros(job.last - job.first, 4, *changes.shape[1:])
    placed[rows, others] = changes
    return placed
