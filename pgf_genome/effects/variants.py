"""Variant effects: F of the changed sequence less F of the sequence, for changes of any length.

    effect = F(x_0 .. x_{t-1} ALT x_r ..) - F(x),    REF = x_t .. x_{r-1}

The sums run over REF and over ALT, and then over the same following bases. A change that can be
written in several ways is the same branch in all of them: it leaves where the leftmost of them
begins, and rejoins where the rightmost ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from pgf_genome.effects import branches
from pgf_genome.effects.strand import Strand, signs_of
from pgf_genome.engine.along import Stretch
from pgf_genome.engine.arrays import Ids, reader_of
from pgf_genome.engine.objective import Likelihood
from pgf_genome.engine.plan import TILE_LENGTH, Plan
from pgf_genome.engine.running import require_causal, running_of
from pgf_genome.engine.threads import side_by_side
from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.intervals import Span
from pgf_genome.mamba.model import LanguageModel


@dataclass(frozen=True)
class Branch:
    """A changed sequence.

    Attributes
    ----------
    leave, rejoin : int
        It is the reference before ``leave``, and from ``rejoin`` on.
    bases : tuple of int
        The token ids between.
    """

    leave: int
    bases: tuple[int, ...]
    rejoin: int

    def on_minus_strand(self, length: int, paired: Sequence[int]) -> Branch:
        """The same change on the reverse complement of a sequence of that length."""
        bases = tuple(paired[base] for base in reversed(self.bases))
        return Branch(length - self.rejoin, bases, length - self.leave)


def variant_effects(
    model: LanguageModel,
    sequence: Ids,
    variants: Iterable[tuple[int, str, str]],
    near: int | None = None,
    strand: str = "both",
    tile_length: int = TILE_LENGTH,
    threads: int | None = None,
) -> np.ndarray:
    """Effects of variants: log-likelihood of the changed sequence less that of the sequence.

    Parameters
    ----------
    model : CausalMamba
    sequence : LongTensor (L,) or str
        The whole sequence, as token ids or as text.
    variants : iterable of (position, ref, alt)
        0-based position of the first base of ``ref`` on the plus strand, and texts of A, C, G, T,
        of any lengths. Each is scored by itself.
    near : int, optional
        Bases that are run again beyond the change; what follows them is first-order in the state.
        None is to run to the end of the sequence, which is exact.
    strand : "+", "-" or "both"
        The minus strand is the reverse complement; both are the mean of the two.
    tile_length, threads
        As for `adjoint`.

    Returns
    -------
    ndarray of float64, (n,)
        In nats, in the order of the variants. No correction is made for a change of the length.

    Raises
    ------
    SequenceError
        If a ``ref`` is not what the sequence has there, or there are letters that are no bases.
    UsageError
        If the model is bidirectional, or an argument is out of its range.

    Notes
    -----
    Cost, in forward passes of one base, per strand: one per base before the last variant, 7 per
    base between the first and the last, 3 per base after it, and for each variant its own bases and
    those that are run again. Memory is that of an adjoint sweep, and two states for each variant
    that is within ``near`` bases of another.
    """
    causal = require_causal(model, "variant_effects")
    objective = Likelihood()
    running_of(model).check(objective)
    read, length = reader_of(model, sequence, tokens_only=True)
    if near is not None and near < 0:
        raise UsageError(f"`near` must be a number of bases, or None for all, not {near}")
    signs, plan = signs_of(strand), Plan(length, tile_length)
    plus = Strand(causal, read, length, objective)
    changes = [branch_of(plus, *variant) for variant in variants]
    if not changes:
        return np.zeros(0)
    paired = causal.vocabulary.complement

    def of_strand(sign: str) -> np.ndarray:
        if sign == "+":
            return effects_of(plus, plan, changes, near)
        mirrored = [change.on_minus_strand(length, paired) for change in changes]
        return effects_of(plus.reverse(), plan, mirrored, near)

    return np.mean(side_by_side(of_strand, signs, threads), axis=0)


def branch_of(strand: Strand, position: int, ref: str, alt: str) -> Branch:
    """The branch of a variant, the same for all ways to write it."""
    name = f"variant {position} {ref}>{alt}"
    bases, length = strand.model.vocabulary.base_ids, strand.length
    if not 0 <= position <= position + len(ref) <= length:
        raise SequenceError(f"{name}: not within a sequence of {length} bases")
    for letters in (ref, alt):
        if set(letters.upper()) - set("ACGT"):
            raise SequenceError(f"{name}: {letters!r} has letters other than A, C, G, T")
    old, new = (tuple(bases["ACGT".index(b)] for b in v.upper()) for v in (ref, alt))
    stop = position + len(old)
    if _ids(strand, position, stop) != old:
        raise SequenceError(f"{name}: the sequence has other bases there than {ref!r}")
    while old and new and old[0] == new[0]:
        position, old, new = position + 1, old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        stop, old, new = stop - 1, old[:-1], new[:-1]
    left, right = (0, 0) if old and new else _repeats(strand, position, stop, old or new)
    before, after = _ids(strand, position - left, position), _ids(strand, stop, stop + right)
    return Branch(position - left, before + new + after, stop + right)


def _repeats(strand: Strand, start: int, stop: int, unit: tuple[int, ...]) -> Span:
    """Positions by which an insertion or a deletion can be moved, to the left and to the right."""
    left = right = 0
    while unit and left < start and _base(strand, start - 1 - left) == unit[-1 - left % len(unit)]:
        left += 1
    while (
        unit and stop + right < strand.length
        and _base(strand, stop + right) == unit[right % len(unit)]
    ):  # fmt: skip
        right += 1
    return left, right


def _base(strand: Strand, position: int) -> int:
    return _ids(strand, position, position + 1)[0]


def _ids(strand: Strand, start: int, stop: int) -> tuple[int, ...]:
    """Token ids of some positions."""
    return tuple(strand.read(start, stop)[0].argmax(dim=-1).tolist()) if start < stop else ()


def effects_of(
    strand: Strand,
    plan: Plan,
    changes: Sequence[Branch],
    near: int | None,
    size: int | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """Effects of branches on one strand, in one pass over it.

    Parameters
    ----------
    near : int, optional
        Positions from ``rejoin`` to where a branch is left to first order; None is all.
    size : int, optional
        Positions whose states are in memory at a time; None is for us to choose.
    """
    jobs = [_Job.of(strand, i, change, near) for i, change in enumerate(changes)]
    effects = np.zeros(len(jobs))
    # both from the end on, as the sweep meets them
    to_leave = sorted(jobs, key=lambda job: job.branch.leave)
    to_end = sorted((job for job in jobs if job.end < strand.length), key=lambda job: job.end)
    last = max(job.branch.leave if job.end == strand.length else job.end for job in jobs)
    ends: dict[int, Stretch] = {}  # where pending branches are left to first order, by number
    seen = [(to_leave[0].branch.leave, last + 1)]
    for stretch in strand.stretches(plan, seen, size, threads):
        while to_end and to_end[-1].end >= stretch.start:
            job = to_end.pop()
            ends[job.number] = stretch.part(job.end, job.end + 1).copied()
        here = []
        while to_leave and to_leave[-1].branch.leave >= stretch.start:
            here.append(to_leave.pop())
        batches = list(_batches(here, strand.length))
        found = side_by_side(partial(_run, strand, stretch, ends), batches, threads)
        for batch, values in zip(batches, found, strict=True):
            for job, value in zip(batch, values, strict=True):
                effects[job.number] = value
                ends.pop(job.number, None)
    return effects


@dataclass(frozen=True)
class _Job:
    """A branch to be run, up to a position of the reference."""

    number: int
    branch: Branch
    end: int

    @property
    def steps(self) -> int:
        return len(self.branch.bases) + self.end - self.branch.rejoin

    @classmethod
    def of(cls, strand: Strand, number: int, branch: Branch, near: int | None) -> _Job:
        if branch.leave == strand.length:  # no state is kept there, but before the last base
            bases = _ids(strand, branch.leave - 1, branch.leave) + branch.bases
            branch = Branch(branch.leave - 1, bases, branch.rejoin)
        length = strand.length
        return cls(number, branch, length if near is None else min(branch.rejoin + near, length))


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
    strand: Strand, stretch: Stretch, ends: dict[int, Stretch], jobs: Sequence[_Job]
) -> list[float]:
    """Effects of jobs that leave within a stretch."""
    device = stretch.x.device
    rows = torch.tensor([job.branch.leave - stretch.start for job in jobs], device=device)
    lengths = torch.tensor([job.steps for job in jobs], device=device)

    def read(first: int, last: int) -> tuple[Tensor, Tensor]:
        x = torch.stack([_bases(strand, job.branch, first, last) for job in jobs])
        return x, x

    before = stretch.states.map(lambda t: t[rows])
    starts = torch.zeros_like(rows)  # all positions count alike
    values, after = branches.run(strand.model, strand.objective, read, before, starts, lengths)
    values -= stretch.remaining[rows]
    if jobs[0].number in ends:
        end = Stretch.joined([ends[job.number] for job in jobs])
        values += end.remaining + branches.to_come(after, end.states, end.cotangents)[:, 0]
    return values.tolist()


def _bases(strand: Strand, branch: Branch, first: int, last: int) -> Tensor:
    """What a branch reads at its positions first .. last - 1; zeros past the end."""
    own = torch.tensor(branch.bases[first:last], dtype=torch.int64)
    start = branch.rejoin + max(first - len(branch.bases), 0)
    rest = strand.padded(start, start + last - first - len(own))
    return torch.cat([strand.model.one_hot(own), rest])
