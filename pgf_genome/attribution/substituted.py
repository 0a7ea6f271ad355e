"""Scores of a segment by changed sequences: the effects of all substitutions at every base.

During the sweeps the run's folder holds, for each strand, the states of the primal sweep and the
cotangents of the adjoint sweep at the boundaries of the tiles, so that a killed run can continue
where it stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import cast

import torch
from torch import Tensor

from pgf_genome.attribution.methods import Substitutions, method_of
from pgf_genome.attribution.place import Place
from pgf_genome.attribution.task import Progress, Task
from pgf_genome.effects.strand import Boundaries, Strand
from pgf_genome.effects.substitutions import (
    Effects,
    effects_at,
    effects_of,
    passes_of,
    passes_run_again,
)
from pgf_genome.engine.objective import counted_from
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.spool import RecordFile
from pgf_genome.engine.threads import side_by_side
from pgf_genome.intervals import Span, overlaps
from pgf_genome.mamba.model import CausalMamba

# Length of the sequence by which time is expected, and bases of it that are run again at most.
SAMPLE = 512, 64

log = logging.getLogger("pgf_genome")


def fill(task: Task, scores: RecordFile, place: Place, progress: Progress) -> Tensor:
    """Fill ``scores`` with effects and the log-probability of the base, by strand and tile.

    Only bases to write get a number, and only tiles that hold one are written.

    Returns
    -------
    Tensor, (strands,) float64
        The objective; NaN if the sweep back ended before the first base of the segment.
    """
    lock = Lock()

    def report(bases: float) -> None:
        with lock:
            progress(bases)

    strands = range(len(task.strands))
    work = partial(_strand, task, scores, place, report)
    return torch.stack(side_by_side(work, strands, task.threads))


def _strand(
    task: Task, scores: RecordFile, place: Place, report: Callable[[float], None], b: int
) -> Tensor:
    """Compute one strand, or what is left of it, in its own coordinates."""
    plan, method = task.plan, cast(Substitutions, method_of(task.settings.method))
    spans = sorted(task.strands[b].of_contig(span) for span in task.segment.write)
    left = _left(task, scores, b, spans)
    meter = _Meter(task, b, spans, left, method.near, report)

    def path(name: str) -> Path:
        return place.path(f"{name}.{task.settings.strands[b]}")

    strand = strand_of(task, b, (task.segment.start, task.segment.stop))
    with Boundaries.open(strand.model, path, place.identity) as boundaries:
        parts = effects_of(
            *(strand, plan, spans, method.near),
            boundaries=boundaries, progress=meter.advance, before=left[-1][1] if left else 0,
        )  # fmt: skip
        _store(task, scores, b, spans, parts)
        meter.finish()
        reached = boundaries.cotangents[0]
    return torch.tensor(torch.nan, dtype=torch.float64) if reached is None else reached[0].cpu()


def _left(task: Task, scores: RecordFile, b: int, spans: Sequence[Span]) -> list[Span]:
    """What is left of the spans of a strand; effects are computed from the end on."""
    tiles = task.plan.meeting(spans)
    while tiles and scores.read(task.record(b, tiles[-1]), task.blank_scores(tiles[-1])):
        tiles.pop()
    return overlaps(spans, 0, task.plan.bounds(tiles[-1])[1]) if tiles else []


def _store(
    task: Task, scores: RecordFile, b: int, spans: Sequence[Span], parts: Iterable[Effects]
) -> None:
    """Write the scores of every tile as soon as it has the first of its bases, the last to come."""
    plan, blank = task.plan, task.blank_scores(0)
    for part in parts:
        k = part.start // plan.tile_length
        start, stop = plan.bounds(k)
        if part.stop == overlaps(spans, start, stop)[-1][1]:
            blank = [torch.full_like(t, torch.nan) for t in task.blank_scores(k)]
        by_base, log_p = (t[part.start - start : part.stop - start] for t in blank)
        by_base[:] = torch.from_numpy(part.values)
        log_p[:] = task.observed_log_p(b, part.log_probs, part.start)
        if part.start == overlaps(spans, start, stop)[0][0]:
            scores.write(task.record(b, k), blank)


class _Meter:
    """Work on one strand, reported as bases of the segment."""

    def __init__(
        self,
        task: Task,
        b: int,
        spans: Sequence[Span],
        left: Sequence[Span],
        near: int | None,
        report: Callable[[float], None],
    ) -> None:
        self._report = report
        self._remaining = task.work / len(task.strands)
        todo, whole = (sum(stop - start for start, stop in s) for s in (left, spans))
        if todo < whole:
            log.info(
                "%s, strand %s: goes on where it stopped: %s of %s bases are done",
                *(task.segment.contig, task.settings.strands[b], f"{whole - todo:,}", f"{whole:,}"),
            )
            self._advance(self._remaining * (1 - todo / whole))
        self._scale = self._remaining / passes_of(task.plan, left, near) if left else 0.0

    def advance(self, passes: float) -> None:
        """Report work that is done, in forward passes of one base."""
        self._advance(passes * self._scale)

    def finish(self) -> None:
        """Report what the estimate of the work left over."""
        self._advance(self._remaining)

    def _advance(self, bases: float) -> None:
        bases = min(bases, self._remaining)
        self._remaining -= bases
        self._report(bases)


def seconds(tasks: Iterable[Task], near: int | None) -> float:
    """Expected time of the changed sequences of one strand, besides its sweeps."""
    passes, sample = 0.0, None
    for task in tasks:
        segment = task.segment
        spans = [(start - segment.start, stop - segment.start) for start, stop in segment.write]
        passes += passes_run_again(segment.length, spans, near)
        sample = sample or task
    return passes * _seconds_per_pass(sample, near) if sample else 0.0


def _seconds_per_pass(task: Task, near: int | None) -> float:
    """Time per base that is run again, measured on a short random sequence."""
    model, (length, most) = cast(CausalMamba, task.model), SAMPLE
    ids = torch.randint(4, (length,), generator=torch.Generator().manual_seed(0))
    x = model.one_hot(torch.tensor(model.vocabulary.base_ids)[ids])[None]
    strand = Strand(model, lambda start, stop: x[:, start:stop], length, task.objectives[0])
    reach = most if near is None else min(near, most)
    plan, span = Plan(length, length), (0, length)
    effects_at(strand, plan, (0, reach), reach)  # compiles the kernels
    started = time.monotonic()
    effects_at(strand, plan, span, reach)
    return (time.monotonic() - started) / passes_run_again(length, [span], reach)


def strand_of(task: Task, b: int, span: Span) -> Strand:
    """A strand of a stretch of the segment, as the sweeps read it.

    Parameters
    ----------
    b : int
        Number of the strand.
    span : (start, stop)
        The stretch, in coordinates of the contig.
    """
    model, whole = cast(CausalMamba, task.model), task.strands[b]
    first, last = whole.of_contig(span)

    def read(start: int, stop: int) -> Tensor:
        codes = whole.codes(first + start, first + stop)
        return model.one_hot(model.vocabulary.encode(codes[None]))

    objective = counted_from(task.objectives[b], whole.origin + first)
    return Strand(model, read, last - first, objective)
