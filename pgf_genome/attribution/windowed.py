"""Scores of a segment under a bidirectional model: window by window, each on its own.

Only windows that hold a base to write are computed. A killed run keeps those that were done.
What the halos leave out is measured on a few cores of every segment.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from pgf_genome.attribution.task import Progress, Task
from pgf_genome.engine import windows as engine
from pgf_genome.engine.spool import RecordFile, nbytes

LOCI = 3  # cores of a segment on which the halo is doubled
_BLANK = torch.empty(len(engine.HaloError._fields), dtype=torch.float64)


def compute(task: Task, scores: RecordFile, folder: Path, progress: Progress) -> Tensor:
    """As ``causal.compute``; F is the sum over the cores that are computed."""
    total = torch.zeros(len(task.objectives), dtype=torch.float64)
    with RecordFile(folder / "values", nbytes([total]), task.identity()) as values:
        for k in task.tiles:
            found = values.read(k, [total])
            if found is None:
                found = [_window(task, scores, k)]
                values.write(k, found)
            total = total + found[0]
            progress(task.work_on(k))
        _measure_halos(task, folder)
    (folder / "values").unlink()
    return total


def _windows(task: Task) -> engine.Windows:
    return task.layout.windows(task.segment.length)


def _window(task: Task, scores: RecordFile, k: int) -> Tensor:
    origins, bases = task.origins(), list(task.model.vocabulary.base_ids)
    tile = engine.adjoint(task.model, task.one_hot, _windows(task), task.objectives, k, origins)
    log_p = task.of_observed(tile.log_p, *task.plan.bounds(k))
    scores.write(k, [tile.gradient[..., bases], log_p])
    return tile.values.cpu()


def _measure_halos(task: Task, folder: Path) -> None:
    windows, objectives = _windows(task), task.objectives
    with _errors_file(task, folder) as file:
        for i, core in enumerate(_loci(task)):
            if file.read(i, [_BLANK]) is None:
                error = engine.halo_error(
                    task.model, task.one_hot, windows, objectives, core, task.origins()
                )
                file.write(i, [torch.tensor(error, dtype=torch.float64)])


def _loci(task: Task) -> list[tuple[int, int]]:
    return engine.loci_to_check(_windows(task), task.tiles, LOCI)


def halo_errors(task: Task, folder: Path) -> list[engine.HaloError]:
    """What was measured, at places of the contig."""
    with _errors_file(task, folder) as file:
        found = [file.require(i, [_BLANK])[0].tolist() for i in range(len(_loci(task)))]
    segment = task.segment
    places = [
        (segment.start + int(start), segment.start + int(stop))
        if task.settings.strands[0] == "+"
        else (segment.stop - int(stop), segment.stop - int(start))
        for start, stop, *_ in found
    ]
    return [engine.HaloError(*place, *row[2:]) for place, row in zip(places, found, strict=True)]


def _errors_file(task: Task, folder: Path) -> RecordFile:
    return RecordFile(folder / "halos", nbytes([_BLANK]), task.identity())
