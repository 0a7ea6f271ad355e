"""One strand of a sequence in one-hot tiles, as the sweeps read it; no files are known here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pgf_genome.engine import along, sweep
from pgf_genome.engine.along import Stretch
from pgf_genome.engine.equations import Reader
from pgf_genome.engine.objective import Objective
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.spool import StoredStates
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
        self, plan: Plan, span: Span, size: int | None = None, threads: int | None = None
    ) -> Iterator[Stretch]:
        """Sweep forth and back; yield what `along.stretches` does."""
        blank, replayed = self.model.initial_state(1), range(plan.replayed)
        with (
            tempfile.TemporaryDirectory(prefix="pgf-") as scratch,
            StoredStates(Path(scratch) / "states", blank, "effects") as states,
        ):
            for step in sweep.primal(self.model, self.read, plan, blank, replayed, threads):
                states[step.k + 1] = step.state
            yield from along.stretches(
                self.model, self.read, plan, self.objective, states, span, size, threads
            )
