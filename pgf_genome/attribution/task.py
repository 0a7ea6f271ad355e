"""A stretch of a contig with everything needed to compute it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from pgf_genome.engine.layout import Layout
from pgf_genome.engine.objective import Objective
from pgf_genome.engine.path import on_path
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.running import running_of
from pgf_genome.mamba.model import LanguageModel
from pgf_genome.sequence import Genome, Strand

# Positions per record of track values.
BLOCK = 65_536


class Takes(Protocol):
    """What scores are written to: a `RecordFile`, or what passes them on to one."""

    def write(self, number: int, tensors: Sequence[Tensor]) -> None: ...


# Called with the bases done since the last call; fractions of a base are allowed.
Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a contig that the model sees without interruption, and the parts to write.

    Attributes
    ----------
    contig : str
    start, stop : int
        The stretch, 0-based half-open.
    write : tuple of (start, stop)
        Sorted, disjoint spans inside the segment, in contig coordinates.
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
        """Cut the parts to write into pieces of at most `BLOCK` positions."""
        return [
            (at, min(at + BLOCK, stop))
            for start, stop in self.write
            for at in range(start, stop, BLOCK)
        ]


class Witnessed(NamedTuple):
    """Tile ``k`` of strand ``b``, in which sample ``number`` lies."""

    number: int
    b: int
    k: int


@dataclass(frozen=True)
class Settings:
    """The settings that the values of a segment depend on, besides model, sequence and objective.

    Attributes
    ----------
    strands : str
        Strands that are computed: ``"+"``, ``"-"`` or ``"+-"``.
    tracks : tuple of str
    method : str
        Its name, see `pgf_genome.attribution.methods`.
    tile_length : int
        Positions per tile of a causal model; 0 for others.
    window, halo : int
        Bases per window of a bidirectional model, and on each side of it; 0 for others.
    """

    strands: str
    tracks: tuple[str, ...]
    method: str
    tile_length: int = 0
    window: int = 0
    halo: int = 0


@dataclass(frozen=True, eq=False)
class Task:
    """A segment with everything needed to compute it.

    Attributes
    ----------
    objectives : tuple of Objective
        One per strand.
    threads : int, optional
        Threads in all; torch's count if None.
    at : float
        Where the input is on the path of integrated gradients: 1 is the sequence itself.
    witnessed : sequence of Witnessed
        Tiles whose boundaries are kept for a certificate.
    """

    model: LanguageModel
    genome: Genome
    segment: Segment
    objectives: tuple[Objective, ...]
    settings: Settings
    layout: Layout
    threads: int | None = None
    at: float = 1.0
    witnessed: Sequence[Witnessed] = ()

    @property
    def plan(self) -> Plan:
        """The pieces in which scores are computed and kept."""
        return self.layout.plan(self.segment.length)

    @cached_property
    def strands(self) -> list[Strand]:
        """The strands that are computed, in the order of the objectives."""
        where = self.genome, self.segment.contig, self.segment.start, self.segment.stop
        return [Strand(*where, sign) for sign in self.settings.strands]

    @cached_property
    def pieces(self) -> list[int]:
        """The pieces that must be computed to get the bases to write."""
        spans = [strand.of_contig(span) for strand in self.strands for span in self.segment.write]
        return self.layout.pieces(self.segment.length, spans)

    def record(self, b: int, k: int) -> int:
        """Number of the record with the scores of strand b, piece k."""
        return b * self.plan.tiles + k

    def blank_scores(self, k: int) -> list[Tensor]:
        """Empty tensors in the shapes of a strand's scores of piece k.

        They are numbers by base, (T, 4), and the log-probability of the observed base, (T,).
        """
        start, stop = self.plan.bounds(k)
        dtype = self.model.dtype
        return [torch.empty(stop - start, 4, dtype=dtype), torch.empty(stop - start, dtype=dtype)]

    def work_on(self, k: int) -> int:
        """Bases that the model reads for tile k."""
        return self.layout.bases_read(self.segment.length, k)

    @cached_property
    def work(self) -> int:
        """Bases that the model reads for the segment."""
        return sum(map(self.work_on, self.pieces))

    def origins(self) -> list[int]:
        """Positions of the segment's first base on each strand, in that strand's coordinates."""
        return [strand.origin for strand in self.strands]

    def codes(self, start: int, stop: int) -> np.ndarray:
        """Base codes at positions of the segment, (strands, stop - start)."""
        return np.stack([strand.codes(start, stop) for strand in self.strands])

    def one_hot(self, start: int, stop: int) -> Tensor:
        """The model's input at positions of the segment, (strands, stop - start, V)."""
        x = self.model.one_hot(self.model.vocabulary.encode(self.codes(start, stop)))
        return x if self.at == 1 else on_path(x, self.model.vocabulary.base_ids, self.at)

    def observed_log_p(self, b: int, log_p: Tensor, start: int) -> Tensor:
        """Pick the log-probability of the observed base on a strand.

        Parameters
        ----------
        b : int
            Number of the strand.
        log_p : Tensor, (n, V)
        start : int
            Position of the first of them in the segment, on that strand.

        Returns
        -------
        Tensor, (n,)
            NaN where nothing predicts a base: the first one of a segment under a causal model, and
            all under a model without a head.
        """
        if not self.model.config.has_head:
            return log_p.new_full(log_p.shape[:1], torch.nan)
        codes = self.strands[b].codes(start, start + len(log_p))
        rows = self.model.vocabulary.encode(codes)[:, None].to(log_p.device)
        found = log_p.gather(1, rows)[:, 0]
        if start == 0 and running_of(self.model).streams:
            found[:1] = torch.nan
        return found
