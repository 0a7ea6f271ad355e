"""Scores of a segment under a bidirectional model: whole, or window by window, each on its own.

Only windows that hold a base to write are computed. A killed run keeps the windows that were done.
The error from sequence beyond the halos is measured on a few cores of every segment.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from pgf_genome.attribution import whole
from pgf_genome.attribution.place import Place
from pgf_genome.attribution.task import Progress, Takes, Task
from pgf_genome.engine import windows as engine
from pgf_genome.engine.layout import WindowLayout
from pgf_genome.engine.spool import RecordFile, nbytes
from pgf_genome.mamba.bidirectional import BidirectionalMamba

LOCI = 3  # cores of a segment on which the halo's error is measured, by doubling the halo
_BLANK = torch.empty(len(engine.HaloError._fields), dtype=torch.float64)


def compute(task: Task, scores: RecordFile, place: Place, progress: Progress) -> Tensor:
    """Do what `fill` does, and measure the error of the halos."""
    values = fill(task, scores, place, progress)
    measure_halos(task, place)
    return values


def fill(task: Task, scores: Takes, place: Place, progress: Progress) -> Tensor:
    """Fill ``scores`` as `causal.fill` does; F is the sum over the cores that are computed."""
    if task.layout.whole(task.segment.length):
        return whole.fill(task, scores, place, progress)
    total = torch.zeros(len(task.objectives), dtype=torch.float64)
    with RecordFile(place.path("values"), nbytes([total]), place.identity) as values:
        for k in task.pieces:
            record = values.read(k, [total])
            if record is None:
                record = [_window(task, scores, k)]
                values.write(k, record)
            total = total + record[0]
            progress(task.work_on(k))
    return total


# `running_of` has found the model of the task to be bidirectional, and given its layout.
def _windows(task: Task) -> engine.Windows:
    return cast(WindowLayout, task.layout).windows(task.segment.length)


def _bidirectional(task: Task) -> BidirectionalMamba:
    return cast(BidirectionalMamba, task.model)


def _window(task: Task, scores: Takes, k: int) -> Tensor:
    origins, bases = task.origins(), list(task.model.vocabulary.base_ids)
    given = _bidirectional(task), task.one_hot, _windows(task), task.objectives
    tile = engine.adjoint(*given, k, origins, task.threads)
    start, _ = task.plan.bounds(k)
    for b, gradient in enumerate(tile.gradient):
        log_p = task.observed_log_p(b, tile.log_p[b], start)
        scores.write(task.record(b, k), [gradient[:, bases], log_p])
    return tile.values.cpu()


def measure_halos(task: Task, place: Place) -> None:
    """Write `LOCI` records; those that find no core to measure are NaN."""
    windows, objectives, loci = _windows(task), task.objectives, _loci(task)
    with _errors_file(place) as file:
        for i, number in enumerate(_numbers(place)):
            if file.read(number, [_BLANK]) is not None:
                continue
            error = torch.full_like(_BLANK, torch.nan)
            if i < len(loci):
                given = _bidirectional(task), task.one_hot, windows, objectives, loci[i]
                measured = engine.halo_error(*given, task.origins(), task.threads)
                error = torch.tensor(measured, dtype=torch.float64)
            file.write(number, [error])


def _loci(task: Task) -> list[tuple[int, int]]:
    written = sorted(map(task.strands[0].of_contig, task.segment.write))
    return engine.loci_to_check(_windows(task), task.pieces, LOCI, written)


def halo_errors(task: Task, place: Place) -> list[engine.HaloError]:
    """Read the measured errors of the halos, at coordinates of the contig."""
    with _errors_file(place) as file:
        rows = [file.require(number, [_BLANK])[0] for number in _numbers(place)]
    errors = [row.tolist() for row in rows if not row.isnan().any()]
    strand = task.strands[0]  # the cores are counted along it
    spans = [strand.in_contig((int(start), int(stop))) for start, stop, *_ in errors]
    return [engine.HaloError(*span, *row[2:]) for span, row in zip(spans, errors, strict=True)]


def _numbers(place: Place) -> range:
    """The records of a segment among the errors of all halos."""
    return range(LOCI * place.number, LOCI * (place.number + 1))


def _errors_file(place: Place) -> RecordFile:
    return RecordFile(place.path("halos"), nbytes([_BLANK]), place.identity)
