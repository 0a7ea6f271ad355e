"""Scores of a segment by integrated gradients: one run of the sweeps for every node of the path.

After a node, the sum of the weighted gradients so far lies in one of two files that take turns, so
that a killed run goes on in the node in which it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor

from pgf_genome.attribution import causal, windowed
from pgf_genome.attribution.methods import IntegratedGradients, method_of
from pgf_genome.attribution.place import Place
from pgf_genome.attribution.task import Progress, Task
from pgf_genome.attribution.values import Scores, attributions
from pgf_genome.engine.objective import Objective
from pgf_genome.engine.path import Node, nodes, with_targets
from pgf_genome.engine.running import running_of
from pgf_genome.engine.spool import RecordFile, nbytes

_BLANK = torch.empty(3, dtype=torch.float64)


class Completeness(NamedTuple):
    """What the attributions of a segment add up to, and F of the input and of the baseline."""

    attributed: float
    value: float
    baseline: float


def compute(task: Task, scores: RecordFile, place: Place, progress: Progress) -> Tensor:
    """Fill ``scores`` as `causal.fill` does, with the mean gradient along the path.

    Returns
    -------
    Tensor, (strands,) float64
        The objective, of the sequence itself.
    """
    method = cast(IntegratedGradients, method_of(task.settings.method))
    # the last node gives the log-probabilities, too
    path = [Node(0.0, 0.0), *nodes(method.steps), Node(1.0, 0.0)]
    like = torch.zeros(len(task.objectives), dtype=torch.float64)
    values = []
    with RecordFile(place.path("nodes"), nbytes([like]), place.identity) as done:
        for number, node in enumerate(path):
            record = done.read(number, [like])
            if record is None:
                target = scores if node is path[-1] else None
                share = partial(_scaled, progress, len(path))
                record = [_node(task, place, number, node, target, share)]
                done.write(number, record)
            else:
                progress(task.work / len(path))
            values.append(record[0])
    if not running_of(task.model).streams:
        windowed.measure_halos(task, place)
    found = Completeness(
        _attributed(task, scores), *(v.mean().item() for v in (values[-1], values[0]))
    )
    with _completeness_file(place) as file:
        file.write(place.number, [torch.tensor(found, dtype=torch.float64)])
    return values[-1]


def _scaled(progress: Progress, parts: int, bases: float) -> None:
    progress(bases / parts)


def _node(
    task: Task, place: Place, number: int, node: Node, target: RecordFile | None, progress: Progress
) -> Tensor:
    """Add what a node gives to the sum of those before it; return the objective there."""
    here, kind = _of_node(place, number), causal if running_of(task.model).streams else windowed
    size = nbytes(task.blank_scores(0))
    with (
        RecordFile(here.path(f"sum{number % 2}"), size, here.identity) as own,
        RecordFile(here.path(f"sum{(number - 1) % 2}"), size,
                   _of_node(place, number - 1).identity) as before,
    ):  # fmt: skip
        added = _Added(task, before if number else None, target or own, node.weight)
        held = tuple(_held(task, b) for b in range(len(task.objectives)))
        at_node = replace(task, at=node.at, objectives=held, witnessed=())
        return kind.fill(at_node, added, here, progress)


def _held(task: Task, b: int) -> Objective:
    """The objective of a strand, with its fixed targets in the sequence itself."""
    strand, model = task.strands[b], task.model

    def read(start: int, stop: int) -> Tensor:
        codes = strand.codes(start - strand.origin, stop - strand.origin)
        return model.one_hot(model.vocabulary.encode(codes[None]))

    return with_targets(task.objectives[b], read)


def _of_node(place: Place, number: int) -> Place:
    """The place of what is stored for one node alone."""
    return replace(place, run=f"{place.run} node {number}")


@dataclass(frozen=True)
class _Added:
    """Takes the scores of a node, and stores their sum with those before it."""

    task: Task
    before: RecordFile | None
    target: RecordFile
    weight: float

    def write(self, number: int, tensors: Sequence[Tensor]) -> None:
        gradient, log_p = tensors
        total = self.weight * gradient.cpu()
        if self.before is not None:
            total += self.before.require(number, [total, log_p])[0]
        self.target.write(number, [total, log_p])


def _attributed(task: Task, scores: RecordFile) -> float:
    """The sum of all attributions, mean of the strands."""
    total = 0.0
    for b, strand in enumerate(task.strands):
        for k in task.pieces:
            start, stop = task.plan.bounds(k)
            by_base, log_p = scores.require(task.record(b, k), task.blank_scores(k))
            each = Scores(by_base.numpy(), log_p.numpy(), strand.codes(start, stop))
            total += attributions(each).sum().item()
    return total / len(task.strands)


def completeness(place: Place) -> Completeness:
    """Read what a finished segment adds up to."""
    with _completeness_file(place) as file:
        return Completeness(*file.require(place.number, [_BLANK])[0].tolist())


def _completeness_file(place: Place) -> RecordFile:
    return RecordFile(place.path("completeness"), nbytes([_BLANK]), place.identity)
