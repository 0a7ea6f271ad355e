"""One segment of a contig, both strands in lock-step, from sequence to track values.

A segment's folder holds, while it runs, the boundary states of the primal sweep, the scores of
the tiles that the adjoint sweep has left behind, and a journal with its cotangent. All of them
are checksummed records, so that a killed run goes on where it stopped and yields the same bytes.
When the segment is done only its track values stay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pgf_genome import __version__
from pgf_genome.attribution.values import (
    Scores,
    mean_of_strands,
    reverse_complement_scores,
    tracks_of,
)
from pgf_genome.errors import IntegrityError
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.state import State
from pgf_genome.pgf import sweep
from pgf_genome.pgf.objective import Objective
from pgf_genome.pgf.plan import Plan
from pgf_genome.pgf.spool import RecordFile, nbytes
from pgf_genome.sequence import Genome, reverse_complement

# Positions per record of track values.
BLOCK = 65_536
# Of the work on a base, the share of the primal sweep; replay and backward pass are the rest.
PRIMAL_SHARE = 0.25

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Segment:
    """A stretch of a contig that the model sees in one go, and the parts of it to write.

    Attributes
    ----------
    contig : str
    start, stop : int
        What the model sees, 0-based half-open.
    write : tuple of (start, stop)
        Sorted, disjoint, inside the segment; contig coordinates.
    """

    contig: str
    start: int
    stop: int
    write: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        edges = [self.start, *(edge for span in self.write for edge in span), self.stop]
        if edges != sorted(edges) or self.start >= self.stop:
            raise ValueError(f"segment {self.contig}:{self.start}-{self.stop} writes {self.write}")

    @property
    def length(self) -> int:
        return self.stop - self.start

    def blocks(self) -> list[tuple[int, int]]:
        """The parts to write, in pieces of at most ``BLOCK`` positions."""
        return [
            (at, min(at + BLOCK, stop))
            for start, stop in self.write
            for at in range(start, stop, BLOCK)
        ]


@dataclass(frozen=True)
class Settings:
    """What decides the values of a segment, besides model, sequence and objective."""

    strands: str
    tracks: tuple[str, ...]
    method: str
    tile_length: int


class Task(NamedTuple):
    """A segment with everything needed to compute it."""

    model: CausalMamba
    genome: Genome
    segment: Segment
    objectives: tuple[Objective, ...]  # one per strand
    settings: Settings

    def identity(self) -> str:
        """Digest of all that the result depends on; names the segment's folder."""
        contig = self.genome.contig(self.segment.contig)
        parts = (
            __version__,
            self.model.digest,
            str(self.model.dtype),
            str(self.model.precision),
            str(self.model.device),
            torch.get_num_threads(),
            contig.digest,
            self.segment,
            self.objectives,
            self.settings,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    @property
    def plan(self) -> Plan:
        return Plan(self.segment.length, self.settings.tile_length)

    def origins(self) -> list[int]:
        """Position of each strand's first base, in that strand's coordinates of the contig."""
        length = self.genome.contig(self.segment.contig).length
        starts = {"+": self.segment.start, "-": length - self.segment.stop}
        return [starts[strand] for strand in self.settings.strands]

    def codes(self, start: int, stop: int) -> np.ndarray:
        """Base codes at positions of the segment, (strands, stop - start)."""
        name, first, last = self.segment.contig, self.segment.start, self.segment.stop
        read = {
            "+": lambda: self.genome.codes(name, first + start, first + stop),
            "-": lambda: reverse_complement(self.genome.codes(name, last - stop, last - start)),
        }
        return np.stack([read[strand]() for strand in self.settings.strands])

    def one_hot(self, start: int, stop: int) -> Tensor:
        """The model's input at positions of the segment, (strands, stop - start, V)."""
        return self.model.one_hot(self.model.vocabulary.encode(self.codes(start, stop)))


class Result(NamedTuple):
    """A finished segment: its objective, and where its track values lie."""

    task: Task
    value: float
    folder: Path

    def tracks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Start position and values (tracks, n) of successive pieces, ascending."""
        with _values_file(self.task, self.folder) as file:
            for i, (start, stop) in enumerate(self.task.segment.blocks()):
                like = [torch.empty(len(self.task.settings.tracks), stop - start)]
                yield start, file.require(i, like)[0].numpy()


def run_segment(task: Task, scratch: Path, progress: Progress) -> Result:
    """Compute a segment, or what is left of it after a run that was killed.

    Parameters
    ----------
    scratch : Path
        Folder of the run; the segment gets one of its own in it.
    progress : callable
        Called with the bases done since the last call; fractions of a base are fine.
    """
    folder = scratch / task.identity()[:24]
    folder.mkdir(parents=True, exist_ok=True)
    done = _finished_value(task, folder)
    if done is None:
        with ExitStack() as files:
            states, scores, journal = (files.enter_context(f) for f in _sweep_files(task, folder))
            values = _sweep(task, states, scores, journal, progress)
            _derive(task, scores, folder)
        with _value_file(task, folder) as file:
            file.write(0, 0, [values])
        for name in ("states", "scores", "journal"):
            (folder / name).unlink()
        done = values.mean().item()
    else:
        progress(task.segment.length)
    return Result(task, done, folder)


def _sweep_files(task: Task, folder: Path) -> Iterator[RecordFile]:
    identity, batch = task.identity(), len(task.objectives)
    state = nbytes(task.model.initial_state(batch).tensors())
    yield RecordFile(folder / "states", state, identity)
    yield RecordFile(folder / "scores", nbytes(_score_template(task, 0)), identity)
    yield RecordFile(folder / "journal", state + 8 * batch, identity)


def _values_file(task: Task, folder: Path) -> RecordFile:
    return RecordFile(folder / "tracks", 4 * BLOCK * len(task.settings.tracks), task.identity())


def _value_file(task: Task, folder: Path) -> RecordFile:
    return RecordFile(folder / "objective", 8 * len(task.objectives), task.identity())


def _finished_value(task: Task, folder: Path) -> float | None:
    with _value_file(task, folder) as file:
        found = file.read(0, [torch.empty(len(task.objectives), dtype=torch.float64)])
    return None if found is None else found[1][0].mean().item()


def _score_template(task: Task, k: int) -> list[Tensor]:
    """Shapes of tile k's scores: gradient over the bases, log-probability of the base."""
    start, stop = task.plan.bounds(k)
    batch, dtype = len(task.objectives), task.model.dtype
    return [
        torch.empty(batch, stop - start, 4, dtype=dtype),
        torch.empty(batch, stop - start, dtype=dtype),
    ]


def _sweep(
    task: Task, states: RecordFile, scores: RecordFile, journal: RecordFile, progress: Progress
) -> Tensor:
    """Primal and adjoint sweep from wherever the records end; the objective of each strand."""
    plan, batch = task.plan, len(task.objectives)
    blank = task.model.initial_state(batch)
    values = torch.zeros(batch, dtype=torch.float64)
    cotangent, last = blank, plan.tiles - 1
    found = [journal.read(slot, [values, *blank.tensors()]) for slot in (0, 1)]
    if any(found):
        k, (values, *bars) = min((f for f in found if f), key=lambda f: f[0])
        cotangent, last = State.from_tensors(bars), k - 1
        progress((1 - PRIMAL_SHARE) * (plan.length - plan.bounds(k)[0]))
        progress(PRIMAL_SHARE * plan.length)
    else:
        _store_states(task, states, blank, progress)
    objectives, origins = task.objectives, task.origins()
    bases = list(task.model.vocabulary.base_ids)
    for tile in sweep.adjoint(
        task.model, task.one_hot, plan, objectives, states, cotangent, last, origins
    ):
        start, stop = plan.bounds(tile.k)
        rows = task.model.vocabulary.encode(task.codes(start, stop))[..., None].to(
            tile.log_p.device
        )
        log_p = tile.log_p.gather(2, rows)[..., 0]
        if tile.k == 0:
            log_p[:, 0] = torch.nan  # nothing predicts the first base
        scores.write(tile.k, tile.k, [tile.gradient[..., bases], log_p])
        values = values + tile.values.cpu()
        journal.write(tile.k % 2, tile.k, [values, *tile.cotangent.tensors()])
        progress((1 - PRIMAL_SHARE) * (stop - start))
    return values


def _store_states(task: Task, states: RecordFile, blank: State, progress: Progress) -> None:
    """The primal sweep, from the last boundary state that is whole; the last tile needs none."""
    plan = task.plan
    state, first = blank, 0
    while first + 1 < plan.tiles:
        found = states.read(first + 1, blank.tensors())
        if found is None or found[0] != first + 1:
            break
        state, first = State.from_tensors(found[1]), first + 1
    progress(PRIMAL_SHARE * plan.bounds(first)[0])
    if first + 1 < plan.tiles:
        ahead = Plan((plan.tiles - 1) * plan.tile_length, plan.tile_length)
        for step in sweep.primal(task.model, task.one_hot, ahead, state, first):
            states.write(step.k + 1, step.k + 1, step.state.tensors())
            progress(PRIMAL_SHARE * plan.tile_length)
    start, stop = plan.bounds(plan.tiles - 1)
    progress(PRIMAL_SHARE * (stop - start))


def _derive(task: Task, scores: RecordFile, folder: Path) -> None:
    """Turn scores of tiles into track values of blocks."""
    rows = _score_rows(task, scores)
    segment, settings = task.segment, task.settings
    with _values_file(task, folder) as file:
        for i, (start, stop) in enumerate(segment.blocks()):
            codes = task.genome.codes(segment.contig, start, stop)
            ahead, behind = start - segment.start, segment.stop - stop
            strands = {"+": None, "-": None}
            for b, strand in enumerate(settings.strands):
                at = ahead if strand == "+" else behind  # in that strand's own order
                found = Scores(*rows(b, at, at + stop - start), codes)
                strands[strand] = (
                    found if strand == "+" else reverse_complement_scores(found, codes)
                )
            merged = mean_of_strands(strands["+"], strands["-"])
            if not np.isfinite(merged.gradient).all():
                raise IntegrityError(
                    f"{segment.contig}:{start + 1}-{stop}: the gradient is not finite; the model "
                    "overflows on this sequence: try --dtype float64"
                )
            table = tracks_of(merged, settings.tracks, settings.method)
            file.write(i, i, [torch.from_numpy(table)])


def _score_rows(task: Task, scores: RecordFile):
    """(strand, start, stop) -> gradient and log-probability at positions of that strand."""
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
