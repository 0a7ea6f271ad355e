"""One segment of a contig, both strands in lock-step, from sequence to track values.

While a segment is computed, its folder holds the scores of finished tiles and the state of the
sweep. All of it is checksummed records, so that a killed run continues where it stopped and yields
the same bytes. When the segment is done, only its track values, its objective and what was
measured of its halos stay.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pgf_genome.attribution import causal, windowed
from pgf_genome.attribution.task import BLOCK, Progress, Task
from pgf_genome.attribution.values import (
    Scores,
    mean_of_strands,
    tracks_of,
)
from pgf_genome.engine.running import running_of
from pgf_genome.engine.spool import RecordFile, nbytes
from pgf_genome.engine.windows import HaloError
from pgf_genome.errors import IntegrityError

log = logging.getLogger("pgf_genome")


class Result(NamedTuple):
    """A finished segment: its objective, the folder of its track values, the error of its halos."""

    task: Task
    value: float
    folder: Path
    halo_errors: list[HaloError]

    def tracks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield start position and values (tracks, n) of successive pieces, ascending."""
        with _tracks_file(self.task, self.folder) as file:
            for i, (start, stop) in enumerate(self.task.segment.blocks()):
                like = [torch.empty(len(self.task.settings.tracks), stop - start)]
                yield start, file.require(i, like)[0].numpy()


def run_segment(task: Task, scratch: Path, progress: Progress) -> Result:
    """Compute a segment, or what is left of it after a killed run.

    Parameters
    ----------
    scratch : Path
        Folder of the run; the segment gets its own folder in it.
    progress : callable
        Called with the bases done since the last call; fractions of a base are fine.
    """
    folder, segment = scratch / task.folder_name, task.segment
    where = f"{segment.contig}:{segment.start + 1}-{segment.stop}"
    folder.mkdir(parents=True, exist_ok=True)
    kind = causal if running_of(task.model).streams else windowed
    done = _finished_value(task, folder)
    if done is None:
        log.debug("segment %s: %d pieces to compute, in %s", where, len(task.pieces), folder)
        identity, size = task.identity, nbytes(_score_template(task, 0))
        with RecordFile(folder / "scores", size, identity) as scores:
            values = kind.compute(task, scores, folder, progress)
            _derive(task, scores, folder)
        with _objective_file(task, folder) as file:
            file.write(0, [values])
        for name in ("scores", "states", "journal", "values"):
            (folder / name).unlink(missing_ok=True)
        done = values.mean().item()
    else:
        log.debug("segment %s: done before the run was stopped", where)
        progress(task.work)
    halos = windowed.halo_errors(task, folder) if kind is windowed else []
    return Result(task, done, folder, halos)


def _tracks_file(task: Task, folder: Path) -> RecordFile:
    return RecordFile(folder / "tracks", 4 * BLOCK * len(task.settings.tracks), task.identity)


def _objective_file(task: Task, folder: Path) -> RecordFile:
    return RecordFile(folder / "objective", 8 * len(task.objectives), task.identity)


def _finished_value(task: Task, folder: Path) -> float | None:
    with _objective_file(task, folder) as file:
        record = file.read(0, [torch.empty(len(task.objectives), dtype=torch.float64)])
    return None if record is None else record[0].mean().item()


def _score_template(task: Task, k: int) -> list[Tensor]:
    """Empty tensors in the shapes of tile k's scores: gradient and log-probability."""
    start, stop = task.plan.bounds(k)
    batch, dtype = len(task.objectives), task.model.dtype
    return [
        torch.empty(batch, stop - start, 4, dtype=dtype),
        torch.empty(batch, stop - start, dtype=dtype),
    ]


def _derive(task: Task, scores: RecordFile, folder: Path) -> None:
    """Derive the track values of every block from the scores of the tiles."""
    rows = _score_rows(task, scores)
    segment, settings = task.segment, task.settings
    with _tracks_file(task, folder) as file:
        for i, (start, stop) in enumerate(segment.blocks()):
            codes = task.genome.codes(segment.contig, start, stop)
            strands = []
            for b, strand in enumerate(task.strands):
                gradient, log_p = rows(b, *strand.of_contig((start, stop)))
                strands.append(Scores(strand.on_plus(gradient), strand.on_plus(log_p), codes))
            merged = mean_of_strands(strands)
            if not np.isfinite(merged.gradient).all():
                raise IntegrityError(
                    f"{segment.contig}:{start + 1}-{stop}: the gradient is not finite; the model "
                    "overflows on this sequence: try `dtype` float64"
                )
            table = tracks_of(merged, settings.tracks, settings.method)
            file.write(i, [torch.from_numpy(table)])


def _score_rows(
    task: Task, scores: RecordFile
) -> Callable[[int, int, int], tuple[np.ndarray, np.ndarray]]:
    """A function of (strand, start, stop): gradient and log-probability at its positions."""
    plan = task.plan

    @lru_cache(maxsize=4)
    def tile(k: int) -> list[Tensor]:
        return scores.require(k, _score_template(task, k))

    def rows(b: int, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        pieces = []
        for k in range(start // plan.tile_length, (stop - 1) // plan.tile_length + 1):
            first = plan.bounds(k)[0]
            part = slice(max(start - first, 0), stop - first)
            pieces.append([t[b, part].numpy() for t in tile(k)])
        gradient, log_p = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        return gradient, log_p

    return rows
