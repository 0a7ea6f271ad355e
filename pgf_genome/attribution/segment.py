"""One segment of a contig, both strands in lock-step, from sequence to track values.

While a segment is computed, the folder of the run holds the scores of its finished tiles and the
state of its sweep. All of it is checksummed records, so that a killed run continues where it
stopped and yields the same bytes. When the segment is done, only its track values, its objective
and what was measured of its halos count.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pgf_genome.attribution import (
    causal,
    integrated,
    substituted,
    substituted_windows,
    windowed,
)
from pgf_genome.attribution.integrated import Completeness
from pgf_genome.attribution.methods import IntegratedGradients, method_of, runs_again
from pgf_genome.attribution.place import Place
from pgf_genome.attribution.prepare import Prepared
from pgf_genome.attribution.task import Progress, Task
from pgf_genome.attribution.values import (
    Scores,
    mean_of_strands,
    tracks_of,
)
from pgf_genome.engine.running import running_of
from pgf_genome.engine.spool import DamagedError, RecordFile, nbytes, record_bytes
from pgf_genome.engine.windows import HaloError
from pgf_genome.errors import IntegrityError
from pgf_genome.sequence import N_CODE

log = logging.getLogger("pgf_genome")


class Result(NamedTuple):
    """A finished segment: its objective, where its track values lie, and how exact they are."""

    task: Task
    place: Place
    value: float
    halo_errors: list[HaloError]
    completeness: Completeness | None = None

    def tracks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield start position and values (tracks, n) of successive pieces, ascending."""
        with _tracks_file(self.task, self.place) as file:
            for i, (start, stop) in enumerate(self.task.segment.blocks()):
                like = [torch.empty(len(self.task.settings.tracks), stop - start)]
                yield start, file.require(i, like)[0].numpy()


@dataclass(frozen=True)
class Results:
    """The finished segments of a run, read from its folder whenever they are gone through."""

    plan: Prepared
    folder: Path

    def __iter__(self) -> Iterator[Result]:
        for task, place in places(self.plan, self.folder):
            yield result_of(task, place)


def run_segments(plan: Prepared, folder: Path, progress: Progress) -> Results:
    """Compute all segments of a run, or what is left of them after a killed run."""
    for task, place in places(plan, folder):
        run_segment(task, place, progress)
    return Results(plan, folder)


def result_of(task: Task, place: Place) -> Result:
    """Read what is there of a finished segment."""
    with _objective_file(task, place) as file:
        value = file.require(place.number, _objective_template(task))[0].mean().item()
    method = method_of(task.settings.method)
    cut = not running_of(task.model).streams and not runs_again(method)
    halos = windowed.halo_errors(task, place) if cut else []
    is_path = isinstance(method, IntegratedGradients)
    return Result(task, place, value, halos, integrated.completeness(place) if is_path else None)


def places(plan: Prepared, folder: Path) -> Iterator[tuple[Task, Place]]:
    """The segments of a run, each with its place in the run's folder."""
    at = 0
    for number, task in enumerate(plan.tasks):
        place = Place(folder, folder.name, number, at)
        yield task, place
        at += len(task.segment.blocks()) * record_bytes(_block_bytes(task))


def run_segment(task: Task, place: Place, progress: Progress) -> None:
    """Compute a segment, or what is left of it after a killed run.

    Parameters
    ----------
    progress : callable
        Called with the bases done since the last call; fractions of a base are fine.
    """
    segment = task.segment
    where = f"{segment.contig}:{segment.start + 1}-{segment.stop}"
    if is_done(task, place) and _is_whole(task, place):
        log.debug("segment %s: done before the run was stopped", where)
        progress(task.work)
        return
    log.debug("segment %s: %d pieces to compute, in %s", where, len(task.pieces), place.folder)
    try:
        _compute(task, place, progress)
    except DamagedError as error:
        log.warning("%s is computed anew: %s", where, error)
        place.forget()
        _compute(task, place, progress)


def _compute(task: Task, place: Place, progress: Progress) -> None:
    """Compute a segment from wherever its records end; its objective is written last."""
    size = nbytes(task.blank_scores(0))
    with RecordFile(place.path("scores"), size, place.identity) as scores:
        values = _compute_of(task)(task, scores, place, progress)
        _derive(task, scores, place)
    with _objective_file(task, place) as file:
        file.write(place.number, [values])


def _compute_of(task: Task) -> Callable[[Task, RecordFile, Place, Progress], Tensor]:
    """What fills the scores of a segment, and gives the objective of each strand."""
    method = method_of(task.settings.method)
    if isinstance(method, IntegratedGradients):
        return integrated.compute
    if runs_again(method):
        streams = running_of(task.model).streams
        return substituted.fill if streams else substituted_windows.fill
    return causal.fill if running_of(task.model).streams else windowed.compute


def is_done(task: Task, place: Place) -> bool:
    """Return whether a segment has been computed; its objective is written last."""
    with _objective_file(task, place) as file:
        return file.read(place.number, _objective_template(task)) is not None


def _is_whole(task: Task, place: Place) -> bool:
    """Whether all records of a segment that is done can be read."""
    try:
        for _ in result_of(task, place).tracks():
            pass
    except DamagedError as error:
        log.warning("%s", error)
        return False
    return True


def _objective_template(task: Task) -> list[Tensor]:
    return [torch.empty(len(task.objectives), dtype=torch.float64)]


def _objective_file(task: Task, place: Place) -> RecordFile:
    return RecordFile(place.path("objective"), nbytes(_objective_template(task)), place.identity)


def _tracks_file(task: Task, place: Place) -> RecordFile:
    return RecordFile(place.path("tracks"), _block_bytes(task), place.identity, place.tracks_at)


def _block_bytes(task: Task) -> int:
    """Bytes of the track values of the longest block."""
    longest = max(stop - start for start, stop in task.segment.blocks())
    return 4 * longest * len(task.settings.tracks)


def _derive(task: Task, scores: RecordFile, place: Place) -> None:
    """Derive the track values of every block from the scores of the tiles."""
    rows = _score_rows(task, scores)
    segment, settings = task.segment, task.settings
    with _tracks_file(task, place) as file:
        for i, (start, stop) in enumerate(segment.blocks()):
            codes = task.genome.codes(segment.contig, start, stop)
            strands = []
            for b, strand in enumerate(task.strands):
                by_base, log_p = rows(b, *strand.of_contig((start, stop)))
                strands.append(Scores(strand.on_plus(by_base), strand.on_plus(log_p), codes))
            merged = mean_of_strands(strands)
            if not np.isfinite(merged.by_base[codes != N_CODE]).all():
                raise IntegrityError(
                    f"{segment.contig}:{start + 1}-{stop}: the numbers are not finite; the model "
                    "overflows on this sequence: try `dtype` float64"
                )
            table = tracks_of(merged, settings.tracks, settings.method)
            file.write(i, [torch.from_numpy(table)])


def _score_rows(
    task: Task, scores: RecordFile
) -> Callable[[int, int, int], tuple[np.ndarray, np.ndarray]]:
    """A function of (strand, start, stop): numbers by base, log-probability at its positions."""
    plan = task.plan

    @lru_cache(maxsize=4)
    def tile(b: int, k: int) -> list[Tensor]:
        return scores.require(task.record(b, k), task.blank_scores(k))

    def rows(b: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        pieces = []
        for k in range(start // plan.tile_length, (stop - 1) // plan.tile_length + 1):
            first = plan.bounds(k)[0]
            part = slice(max(start - first, 0), stop - first)
            pieces.append([t[part].numpy() for t in tile(b, k)])
        by_base, log_p = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        return by_base, log_p

    return rows
