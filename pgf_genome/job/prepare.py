"""From sequence and options to a plan whose cost is known before it runs."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pgf_genome.attribution.segment import Segment, Settings, Task
from pgf_genome.attribution.selection import (
    Selection,
    objective_of,
    on_strands,
    segments_to_run,
    select,
)
from pgf_genome.errors import ResourceError, UsageError
from pgf_genome.job.options import STRANDS, Options
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.pgf.objective import Span
from pgf_genome.pgf.plan import DEFAULT_MEMORY, Cost, Plan
from pgf_genome.sequence import Genome, decode_fasta, indexed_lengths

log = logging.getLogger("pgf_genome")


@dataclass(frozen=True)
class Prepared:
    """A run that has not begun: its segments, what they cost, and how they are cut."""

    model: CausalMamba
    genome: Genome
    options: Options
    segments: list[Segment]
    targets: Mapping[str, tuple[Span, ...]] | None
    cost: Cost
    tile_length: int

    def task(self, segment: Segment) -> Task:
        options, strands = self.options, STRANDS[self.options.strand]
        positions = None if self.targets is None else self.targets[segment.contig]
        objective = objective_of(options.objective, positions, self.model.vocabulary)
        length = self.genome.lengths[segment.contig]
        settings = Settings(strands, options.tracks, options.method, self.tile_length)
        objectives = on_strands(objective, strands, length)
        return Task(self.model, self.genome, segment, objectives, settings)

    @property
    def bases(self) -> int:
        """Bases that the model reads, each strand counted once."""
        return sum(segment.length for segment in self.segments)

    @property
    def memory(self) -> int:
        """Expected peak of resident memory, bytes."""
        longest = max((s.length for s in self.segments), default=1)
        return self.cost.memory(min(self.tile_length, longest))

    @property
    def disk(self) -> int:
        """Most bytes of scratch in use at once."""
        strands, itemsize = len(STRANDS[self.options.strand]), self.model.dtype.itemsize
        largest = max((s.length for s in self.segments), default=1)
        states = self.cost.spool_bytes(Plan(largest, self.tile_length))
        written = sum(stop - start for s in self.segments for start, stop in s.write)
        tracks = 4 * written * len(self.options.tracks)
        sequence = sum(contig.length for contig in self.genome.contigs)
        return states + 5 * strands * largest * itemsize + tracks + sequence


@contextmanager
def prepared(
    fasta: str | Path, model: CausalMamba, options: Options, scratch: Path
) -> Iterator[Prepared]:
    """Decode the sequence and plan the run; the decoded sequence goes with the context."""
    # Said before the sequence is read, which may take minutes.
    objective_of(options.objective, () if options.target else None, model.vocabulary)
    with decode_fasta(fasta, scratch / "codes", _contigs_to_read(fasta, options)) as whole:
        chosen = _selection(whole.lengths, options)
        genome = whole.only(chosen.write)
        _warn_of_ambiguous(genome, fasta)
        itemsize = model.dtype.itemsize
        parameters = sum(p.numel() for p in model.parameters())
        cost = Cost.of(model.config, parameters, len(STRANDS[options.strand]), itemsize)
        memory = DEFAULT_MEMORY if options.max_memory is None else options.max_memory
        tile = options.tile or cost.longest_tile(memory)
        if options.max_memory is not None and cost.memory(tile) > options.max_memory:
            raise UsageError(
                f"--tile {tile} needs {cost.memory(tile) // 2**20}M, more than --max-memory; "
                "leave --tile out to have it chosen"
            )
        segments = segments_to_run(genome, chosen.write, options.gap_length, options.context)
        yield Prepared(model, genome, options, segments, chosen.targets, cost, tile)


def _selection(lengths: Mapping[str, int], options: Options) -> Selection:
    return select(lengths, options.region, options.bed, options.contig, options.target)


def _contigs_to_read(fasta: str | Path, options: Options) -> list[str] | None:
    """Names of the contigs that matter, if known before the FASTA is read; None is all."""
    if options.contig:
        return list(options.contig)
    lengths = indexed_lengths(fasta) if options.region or options.bed or options.target else None
    return None if lengths is None else list(_selection(lengths, options).write)


def _warn_of_ambiguous(genome: Genome, fasta: str | Path) -> None:
    ambiguous = sum(contig.ambiguous for contig in genome.contigs)
    if ambiguous:
        log.warning(
            "%s: %s IUPAC codes other than N are read as N and not scored",
            "standard input" if str(fasta) == "-" else fasta,
            f"{ambiguous:,}",
        )


def check_disk(plan: Prepared, scratch: Path) -> None:
    """Raise ResourceError if the scratch folder cannot hold what the run will store."""
    # What this run, or the one it resumes, already stores; its files have holes.
    held = sum(512 * path.stat().st_blocks for path in scratch.rglob("*"))
    free, need = shutil.disk_usage(scratch).free + held, plan.disk
    if need > free:
        raise ResourceError(
            f"{scratch}: the run needs {need / 2**30:.1f} GiB of scratch and "
            f"{free / 2**30:.1f} GiB are free for it; choose another --scratch-dir"
        )
