"""Scores of a segment under a causal model: one sweep forward, one back.

During the sweeps the run's folder holds the boundary states of the primal sweep and a journal with
the cotangent of the adjoint sweep, so that a killed run can continue where it stopped.
"""

from __future__ import annotations

import logging
from typing import cast

import torch
from torch import Tensor

from pgf_genome.attribution.place import Place
from pgf_genome.attribution.task import Progress, Takes, Task
from pgf_genome.attribution.witness import Witnesses
from pgf_genome.engine import sweep
from pgf_genome.engine.spool import Journal, StoredStates, nbytes
from pgf_genome.mamba.model import CausalMamba

# Share of the primal sweep in the work on a base; replay and backward pass are the rest.
PRIMAL_SHARE = 0.25

log = logging.getLogger("pgf_genome")


def fill(task: Task, scores: Takes, place: Place, progress: Progress) -> Tensor:
    """Fill ``scores`` with gradient over the bases and log-probability of the base, by tile.

    Returns
    -------
    Tensor, (strands,) float64
        The objective.
    """
    batch = len(task.objectives)
    blank = _causal(task).initial_state(batch)
    size = nbytes(blank.tensors()) + 8 * batch
    with (
        StoredStates(place.path("states"), blank, place.identity) as states,
        Journal(place.path("journal"), size, place.identity) as journal,
        Witnesses(place, _causal(task), batch) as witnesses,
    ):
        return _sweep(task, states, scores, journal, witnesses, progress)


def _sweep(
    task: Task,
    states: StoredStates,
    scores: Takes,
    journal: Journal,
    witnesses: Witnesses,
    progress: Progress,
) -> Tensor:
    """Run both sweeps from wherever the records end; return the objective of each strand."""
    model, plan, batch = _causal(task), task.plan, len(task.objectives)
    blank = model.initial_state(batch)
    values = torch.zeros(batch, dtype=torch.float64)
    cotangent, last = blank, plan.tiles - 1
    records = journal.records([values, *blank.tensors()])
    if records:
        k, (values, *bars) = min(records.items())
        cotangent, last = blank.filled(bars), k - 1
        _log_where(task, "back", plan.length - plan.bounds(k)[0])
        progress((1 - PRIMAL_SHARE) * (plan.length - plan.bounds(k)[0]))
        progress(PRIMAL_SHARE * plan.length)
    else:
        _store_states(task, states, progress)
    objectives, origins = task.objectives, task.origins()
    bases = list(model.vocabulary.base_ids)
    rest = range(last, -1, -1)
    for tile in sweep.adjoint(
        model,
        task.one_hot,
        plan,
        objectives,
        states,
        cotangent,
        rest,
        origins,
        threads=task.threads,
    ):
        start, stop = plan.bounds(tile.k)
        for b, gradient in enumerate(tile.gradient):
            log_p = task.observed_log_p(b, tile.log_p[b], start)
            scores.write(task.record(b, tile.k), [gradient[:, bases], log_p])
        for each in task.witnessed:
            if each.k == tile.k:
                witnesses.keep(each, states[tile.k], cotangent)
        cotangent = tile.cotangent
        values = values + tile.values.cpu()
        journal.write(tile.k, [values, *tile.cotangent.tensors()])
        progress((1 - PRIMAL_SHARE) * (stop - start))
    return values


def _store_states(task: Task, states: StoredStates, progress: Progress) -> None:
    """Run the primal sweep from the last boundary state that is whole."""
    plan = task.plan
    first = states.whole(plan.replayed)
    if first:
        _log_where(task, "forth", plan.bounds(first)[0])
    progress(PRIMAL_SHARE * plan.bounds(first)[0])
    model, rest = _causal(task), range(first, plan.replayed)
    for step in sweep.primal(model, task.one_hot, plan, states[first], rest, task.threads):
        states[step.k + 1] = step.state
        progress(PRIMAL_SHARE * plan.tile_length)
    progress(PRIMAL_SHARE * (plan.length - plan.bounds(plan.replayed)[0]))


def _causal(task: Task) -> CausalMamba:
    """The model of the task, which `running_of` has found to be causal."""
    return cast(CausalMamba, task.model)


def _log_where(task: Task, direction: str, done: int) -> None:
    log.info(
        "%s: the sweep %s goes on where it stopped: %s of %s bases are done",
        *(task.segment.contig, direction, f"{done:,}", f"{task.segment.length:,}"),
    )
