"""Short stretches of a run's own sequence, on which derivatives are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from pgf_genome.attribution.prepare import Prepared
from pgf_genome.attribution.task import Task
from pgf_genome.engine.arrays import Adjoint, adjoint
from pgf_genome.engine.objective import Objective, counted_from
from pgf_genome.engine.path import with_targets
from pgf_genome.intervals import Span
from pgf_genome.mamba.model import LanguageModel

# Excerpts of a run, bases of each, and tiles in which they are swept at least.
COUNT, LENGTH, TILES = 2, 256, 4

Model = TypeVar("Model", bound=LanguageModel)


@dataclass(frozen=True, eq=False)
class Excerpt:
    """A stretch of one strand as a sequence of its own: nothing comes before it or after it.

    Attributes
    ----------
    model : LanguageModel
    ids : Tensor of int64, (L,)
    objective : Objective
        The run's, as it counts this stretch; fixed targets are those of ``ids``.
    tile_length : int
        Short enough for several tiles.
    """

    model: LanguageModel
    ids: Tensor
    objective: Objective
    tile_length: int

    def exact(self) -> Excerpt:
        """The same under the model in float64."""
        return replace(self, model=in_double(self.model))

    def shortened(self, length: int) -> Excerpt:
        """Its first bases, in one tile."""
        return replace(self, ids=self.ids[:length], tile_length=length)

    def one_hot(self) -> Tensor:
        """The input X, (L, V)."""
        return self.model.one_hot(self.ids)

    def adjoint(self, x: Tensor | None = None) -> Adjoint:
        """F and dF/dX by the sweeps of the run, at its own input or another one."""
        given = self.model, self.ids if x is None else x, self.objective
        return adjoint(*given, self.tile_length, threads=1)

    def value(self, x: Tensor) -> float:
        """F of an input, in one tile, because F does not depend on them."""
        return replace(self, tile_length=len(self.ids)).adjoint(x).value


def in_double(model: Model) -> Model:
    """A copy of a model in float64."""
    if model.dtype == model.precision == torch.float64:
        return model
    exact = deepcopy(model).double()
    exact.precision = torch.float64
    return exact


def excerpts(plan: Prepared) -> tuple[Excerpt, ...]:
    """Draw excerpts from what a run writes, or from its targets if it has any."""
    rng = np.random.default_rng(8)
    spans = [(task, span) for task in plan.tasks for span in _of_interest(plan, task)]
    if not spans:
        return ()
    weights = np.array([stop - start for _, (start, stop) in spans], float)
    drawn = rng.choice(len(spans), COUNT, p=weights / weights.sum())
    return tuple(_around(spans[i][0], spans[i][1], rng) for i in drawn.tolist())


def _of_interest(plan: Prepared, task: Task) -> Iterator[Span]:
    segment = task.segment
    spans = segment.write if plan.targets is None else plan.targets[segment.contig]
    for start, stop in spans:
        if max(start, segment.start) < min(stop, segment.stop):
            yield max(start, segment.start), min(stop, segment.stop)


def _around(task: Task, span: Span, rng: np.random.Generator) -> Excerpt:
    """An excerpt around a base of the span, on one of the strands."""
    segment, b = task.segment, int(rng.integers(len(task.strands)))
    at = int(rng.integers(*span))
    start = max(min(at - LENGTH // 2, segment.stop - LENGTH), segment.start)
    strand = task.strands[b]
    first, last = strand.of_contig((start, min(start + LENGTH, segment.stop)))
    ids = task.model.vocabulary.encode(strand.codes(first, last))
    objective = counted_from(task.objectives[b], strand.origin + first)

    def read(start: int, stop: int) -> Tensor:
        return task.model.one_hot(ids[None, start:stop])

    tile = max(min(task.plan.tile_length, len(ids) // TILES), 1)
    return Excerpt(task.model, ids, with_targets(objective, read), tile)


def largest_difference(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """The largest difference in any pair, as a part of the largest entry of its second array."""
    errors = [0.0]
    for found, expected in pairs:
        scale = np.abs(expected).max(initial=0.0)
        error = np.abs(found - expected).max(initial=0.0)
        errors.append(float(error / scale) if scale else float(error))
    return float(np.max(errors))
