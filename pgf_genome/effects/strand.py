"""One strand of a sequence in one-hot tiles, as the sweeps read it; no files are known here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from pgf_genome.engine import along, sweep
from pgf_genome.engine.along import Stretch
from pgf_genome.engine.equations import Reader
from pgf_genome.engine.objective import Objective
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.spool import StoredCotangents, StoredStates
from pgf_genome.errors import UsageError
from pgf_genome.intervals import Span
from pgf_genome.mamba.model import CausalMamba

SIGNS = {"+": ("+",), "-": ("-",), "both": ("+", "-")}


def signs_of(strand: str) -> tuple[str, ...]:
    """The strands that an argument asks for.

    Raises
    ------
    UsageError
        If it is none of `SIGNS`.
    """
    if strand not in SIGNS:
        raise UsageError(f"`strand` must be one of {', '.join(SIGNS)}, not {strand!r}")
    return SIGNS[strand]


@dataclass(frozen=True)
class Strand:
    """One strand of a sequence in one-hot tiles, with the objective as it is there.

    Attributes
    ----------
    read : callable
        ``read(start, stop)`` gives the one-hot input of these positions, (1, stop - start, V).
    length : int
    objective : Objective
    """

    model: CausalMamba
    read: Reader
    length: int
    objective: Objective

    def reverse(self) -> Strand:
        """The other strand, in its own direction of reading."""
        paired = self.model.vocabulary.complement
        mirror = getattr(self.objective, "on_minus_strand", lambda _: self.objective)

        def read(start: int, stop: int) -> Tensor:
            return self.read(self.length - stop, self.length - start).flip(1)[..., paired]

        return Strand(self.model, read, self.length, mirror(self.length))

    def padded(self, start: int, stop: int) -> Tensor:
        """The input of positions that may lie beyond the end, where it is zero."""
        x = self.read(min(start, self.length), min(stop, self.length))[0]
        return torch.nn.functional.pad(x, (0, 0, 0, stop - start - len(x)))

    def stretches(
        self,
        plan: Plan,
        spans: Sequence[Span],
        size: int | None = None,
        threads: int | None = None,
        boundaries: Boundaries | None = None,
        progress: Callable[[float], object] = lambda passes: None,
        before: int | None = None,
    ) -> Iterator[Stretch]:
        """Sweep forth and back; yield what `along.stretches` does.

        Parameters
        ----------
        boundaries : Boundaries, optional
            Where both sweeps leave what they come to, and go on if they were stopped; None is a
            temporary folder.
        progress : callable
            Called after every tile with the work on it, in forward passes of one base.
        before : int, optional
            As for `along.stretches`.
        """
        if boundaries is None:
            with (
                tempfile.TemporaryDirectory(prefix="pgf-") as folder,
                Boundaries.open(self.model, Path(folder).joinpath, "effects") as own,
            ):
                yield from self.stretches(plan, spans, size, threads, own, progress, before)
            return
        states, cotangents = boundaries
        first = states.whole(plan.replayed)
        progress(plan.bounds(first)[0])
        rest = range(first, plan.replayed)
        for step in sweep.primal(self.model, self.read, plan, states[first], rest, threads):
            states[step.k + 1] = step.state
            progress(plan.tile_length)
        yield from along.stretches(
            *(self.model, self.read, plan, self.objective, states, cotangents, spans),
            *(size, threads, progress, before),
        )


class Boundaries(NamedTuple):
    """What the sweeps of a strand come to at the boundaries of its tiles, on disk."""

    states: StoredStates
    cotangents: StoredCotangents

    @classmethod
    @contextmanager
    def open(
        cls, model: CausalMamba, path: Callable[[str], Path], identity: str
    ) -> Iterator[Boundaries]:
        """Open the files, or make them; ``path`` gives the path of a name."""
        blank = model.initial_state(1)
        with (
            StoredStates(path("states"), blank, identity) as states,
            StoredCotangents(path("cotangents"), blank, identity) as cotangents,
        ):
            yield cls(states, cotangents)
