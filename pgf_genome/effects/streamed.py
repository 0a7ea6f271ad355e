"""Effects of changes under a causal model: branches, run from the states of one pass.

    effect = F(x_0 .. x_{t-1} ALT x_r ..) - F(x),    REF = x_t .. x_{r-1}

The sums run over REF and over ALT, and then over the same following bases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from pgf_genome.effects import branches
from pgf_genome.effects.changes import Change
from pgf_genome.effects.strand import Strand
from pgf_genome.engine.along import STRETCH_PASSES, SWEEP_PASSES, Stretch
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.threads import side_by_side
from pgf_genome.intervals import Span


def effects_of(
    strand: Strand,
    plan: Plan,
    changes: Sequence[Change],
    near: int | None,
    size: int | None = None,
    threads: int | None = None,
    report: Callable[[float], object] = lambda share: None,
) -> np.ndarray:
    """Effects of changes on one strand, in one pass over it.

    Parameters
    ----------
    near : int, optional
        Positions that are run again, the last changed one the first of them; what follows is
        first-order in the state. The changed ones are always run, so that 0 is the same as 1. None
        is all.
    size : int, optional
        Positions whose states are in memory at a time; None is for us to choose.
    report : callable
        Called with the share of the work that was done since the last call.

    Returns
    -------
    ndarray of float64, (n,)
    """
    jobs = [_Job.of(strand, i, change, near) for i, change in enumerate(changes)]
    effects = np.zeros(len(jobs))
    # both from the end on, as the sweep meets them
    to_leave = sorted(jobs, key=lambda job: job.change.leave)
    to_end = sorted((job for job in jobs if job.end < strand.length), key=lambda job: job.end)
    ends: dict[int, Stretch] = {}  # where pending branches are left to first order, by number
    places = {job.change.leave for job in to_leave} | {job.end for job in to_end}
    seen = [(place, place + 1) for place in sorted(places)]
    passes = _passes(plan, seen) + sum(job.steps for job in jobs)

    def progress(done: float) -> None:
        report(done / passes)

    for stretch in strand.stretches(plan, seen, size, threads, progress=progress):
        while to_end and to_end[-1].end >= stretch.start:
            job = to_end.pop()
            ends[job.number] = stretch.part(job.end, job.end + 1).copied()
        here = []
        while to_leave and to_leave[-1].change.leave >= stretch.start:
            here.append(to_leave.pop())
        batches = list(_batches(here, strand.length))
        work = partial(_run, strand, stretch, ends, progress)
        for batch, values in zip(batches, side_by_side(work, batches, threads), strict=True):
            for job, value in zip(batch, values, strict=True):
                effects[job.number] = value
                ends.pop(job.number, None)
    return effects


def _passes(plan: Plan, seen: Sequence[Span]) -> float:
    """Work of the sweeps, in forward passes of one base."""
    cut = plan.meeting(seen)
    swept = plan.length - plan.bounds(cut[0])[0]
    more = sum(stop - start for start, stop in map(plan.bounds, cut))
    forth = plan.replayed * plan.tile_length
    return forth + SWEEP_PASSES * swept + (STRETCH_PASSES - SWEEP_PASSES) * more


@dataclass(frozen=True)
class _Job:
    """A branch to be run, up to a position of the reference."""

    number: int
    change: Change
    end: int

    @property
    def steps(self) -> int:
        return len(self.change.bases) + self.end - self.change.rejoin

    @classmethod
    def of(cls, strand: Strand, number: int, change: Change, near: int | None) -> _Job:
        length = strand.length
        if change.leave == length:  # no state is kept there, but before the last base
            last = strand.read(length - 1, length)[0].argmax(dim=-1)
            change = Change(length - 1, (int(last), *change.bases), change.rejoin)
        beyond = length if near is None else max(near - 1, 0)
        return cls(number, change, min(change.rejoin + beyond, length))


def _batches(jobs: Sequence[_Job], length: int) -> Iterator[list[_Job]]:
    """Jobs that can be run side by side: all to the end of the sequence, or all of one length."""

    def kind(job: _Job) -> int:
        return -1 if job.end == length else job.steps

    for _, group in groupby(sorted(jobs, key=lambda job: (kind(job), job.steps)), key=kind):
        alike = list(group)
        while alike:
            count = max(1, branches.ROWS // max(1, min(alike[-1].steps, branches.STEP)))
            yield alike[-count:]
            del alike[-count:]


def _run(
    strand: Strand,
    stretch: Stretch,
    ends: dict[int, Stretch],
    progress: Callable[[float], object],
    jobs: Sequence[_Job],
) -> list[float]:
    """Effects of jobs that leave within a stretch."""
    device = stretch.x.device
    rows = torch.tensor([job.change.leave - stretch.start for job in jobs], device=device)
    lengths = torch.tensor([job.steps for job in jobs], device=device)

    def read(first: int, last: int) -> tuple[Tensor, Tensor]:
        x = torch.stack([_bases(strand, job.change, first, last) for job in jobs])
        return x, x

    before = stretch.states.map(lambda t: t[rows])
    starts = torch.zeros_like(rows)  # all positions count alike
    values, after = branches.run(strand.model, strand.objective, read, before, starts, lengths)
    values -= stretch.remaining[rows]
    if jobs[0].number in ends:
        end = Stretch.joined([ends[job.number] for job in jobs])
        values += end.remaining + branches.to_come(after, end.states, end.cotangents)[:, 0]
    progress(sum(job.steps for job in jobs))
    return values.tolist()


def _bases(strand: Strand, change: Change, first: int, last: int) -> Tensor:
    """What a branch reads at its positions first .. last - 1; zeros past the end."""
    own = torch.tensor(change.bases[first:last], dtype=torch.int64)
    start = change.rejoin + max(first - len(change.bases), 0)
    rest = strand.padded(start, start + last - first - len(own))
    return torch.cat([strand.model.one_hot(own), rest])
