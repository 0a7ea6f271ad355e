"""The plan of a run, made from sequence and options; its cost is known before it runs."""

from __future__ import annotations

import hashlib
import logging
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count, groupby
from pathlib import Path

import torch

from pgf_genome import __version__
from pgf_genome.attribution.methods import HYPOTHETICAL, Method, method_of, runs_again
from pgf_genome.attribution.options import STRANDS, Options
from pgf_genome.attribution.regions import array_bytes, require_alike
from pgf_genome.attribution.selection import (
    Selection,
    identity_of,
    objective_of,
    on_strands,
    segments_to_run,
    select,
)
from pgf_genome.attribution.task import Segment, Settings, Task, Witnessed
from pgf_genome.attribution.witness import Sample, samples, witnessed
from pgf_genome.effects.windowed import refuse_near
from pgf_genome.engine.layout import Layout
from pgf_genome.engine.objective import Objective, PseudoLikelihood, Span, unit_of
from pgf_genome.engine.running import running_of
from pgf_genome.errors import ResourceError, UsageError
from pgf_genome.intervals import Interval, Stranded
from pgf_genome.mamba.model import LanguageModel
from pgf_genome.runs.record import Track
from pgf_genome.sequence import Genome, counterparts, decode_fasta, indexed_lengths, new_names
from pgf_genome.sequence.annotation import Annotation, read_annotation

log = logging.getLogger("pgf_genome")


@dataclass(frozen=True)
class Prepared:
    """A planned run: its segments, how they are cut, and what they cost.

    ``spans`` are those to write, by contig.
    """

    model: LanguageModel
    genome: Genome
    options: Options
    segments: list[Segment]
    spans: Mapping[str, tuple[Span, ...]]
    targets: Mapping[str, tuple[Span, ...]] | None
    layout: Layout
    old_names: Mapping[str, str]
    threads: int
    regions: tuple[Stranded, ...] = ()
    annotation: Annotation | None = None
    witnessed: bool = False  # whether what a certificate needs is kept

    @property
    def strands(self) -> str:
        return strands_of(self.model, self.options)

    def genes_in(self, window: Interval) -> list[tuple[int, int, str]]:
        """Start, stop and name of the genes that overlap a stretch; none without annotation."""
        genes = {} if self.annotation is None else self.annotation.genes
        return genes[window.contig].of(window.start, window.stop) if window.contig in genes else []

    @property
    def method(self) -> Method:
        return method_of(self.options.method)

    @cached_property
    def descriptions(self) -> dict[str, Track]:
        """Title, unit and meaning of every track."""
        method, context = self.method, running_of(self.model).context
        objective = objective_of(self.options.objective, None, self.model)
        return {
            track: method.describe(track, unit_of(objective), self.strands, context)
            for track in self.options.track_names
        }

    @property
    def has_nameless_objective(self) -> bool:
        """True if nothing tells the objective from another one."""
        given = self.options.objective
        return not isinstance(given, str) and not identity_of(given)

    @property
    def context(self) -> str:
        """The stretch around a written base that the model sees, in words."""
        if self.options.context is not None:
            return f"{self.options.context} bases"
        if running_of(self.model).streams:
            return "whole segments"
        if runs_again(self.method):
            return f"window: {self.layout.at_once:,} bases, around every base"
        name, cut = self.layout.description()
        return f"{name}: {cut}"

    @property
    def tasks(self) -> Iterator[Task]:
        """The segments with everything needed to compute them, made one after the other."""
        number = count()
        for contig, segments in self._by_contig():
            shared = self._objectives(contig), self.settings, self.layout, self.threads
            for segment in segments:
                kept = self._witnessed(next(number), segment)
                yield Task(self.model, self.genome, segment, *shared, witnessed=kept)

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """Places at which a certificate looks."""
        return tuple(samples(self.segments, self.layout))

    def _witnessed(self, number: int, segment: Segment) -> tuple[Witnessed, ...]:
        if not self.witnessed:
            return ()
        here = [sample for sample in self.samples if sample.segment == number]
        return tuple(witnessed(here, segment, self.layout, self.strands))

    @cached_property
    def settings(self) -> Settings:
        options = self.options
        names = options.track_names + (HYPOTHETICAL if options.arrays else ())
        return Settings(self.strands, names, options.method, **self.layout.settings())

    @cached_property
    def identity(self) -> str:
        """Digest of all that the results depend on.

        The number of threads is not in it, because a run goes on with the number that it began
        with. An objective without an ``identity`` makes every identity a new one.
        """
        model, digest = self.model, hashlib.sha256()
        kind = model.digest, str(model.dtype), str(model.precision), str(model.device)
        digest.update(repr((__version__, *kind, self.settings)).encode())
        for contig, segments in self._by_contig():
            sequence = self.genome.contig(contig).digest
            names = [identity_of(f) or uuid.uuid4().hex for f in self._objectives(contig)]
            digest.update(repr((sequence, names)).encode())
            for segment in segments:
                digest.update(repr((segment, self.layout.plan(segment.length))).encode())
        return digest.hexdigest()

    def _by_contig(self) -> Iterator[tuple[str, Iterator[Segment]]]:
        return groupby(self.segments, key=lambda segment: segment.contig)

    def _objectives(self, contig: str) -> tuple[Objective, ...]:
        """The objective on each strand of a contig."""
        positions = None if self.targets is None else self.targets[contig]
        objective = objective_of(self.options.objective, positions, self.model)
        if runs_again(self.method) and objective == PseudoLikelihood(positions=positions):
            # what a changed sequence predicts are its own bases
            objective = PseudoLikelihood(positions=positions, targets="input")
        return on_strands(objective, self.strands, self.genome.lengths[contig])

    @cached_property
    def bases(self) -> int:
        """Bases that the model reads, both strands counted as one, halos counted every time."""
        return sum(task.work for task in self.tasks)

    @cached_property
    def written(self) -> int:
        """Bases in the spans that are written, those without a score among them."""
        return sum(stop - start for segment in self.segments for start, stop in segment.write)

    @property
    def stretches(self) -> int:
        """Spans that are written."""
        return sum(len(segment.write) for segment in self.segments)

    @property
    def memory(self) -> int:
        """Expected peak of resident memory, bytes."""
        return self.layout.memory(max((s.length for s in self.segments), default=1))

    @property
    def disk(self) -> int:
        """Most bytes of scratch in use at once."""
        strands, itemsize = len(self.strands), self.model.dtype.itemsize
        largest = max((s.length for s in self.segments), default=1)
        tracks = 4 * self.written * len(self.settings.tracks)
        arrays = array_bytes(self.regions) if self.options.arrays else 0
        sequence = sum(contig.length for contig in self.genome.contigs)
        states = self.layout.spool_bytes(largest)
        if runs_again(self.method):
            states *= 2  # their cotangents are stored too
        scores = 5 * strands * largest * itemsize * min(self.method.sweeps, 3)
        return states + scores + tracks + arrays + sequence


def strands_of(model: LanguageModel, options: Options) -> str:
    """Choose the strands to compute.

    A model that reads both strands gives the same for either, to rounding, so one is enough.
    """
    alike = model.reads_both_strands and options.strand == "both"
    return "+" if alike else STRANDS[options.strand]


def strands_in_words(strands: str, model: LanguageModel) -> str:
    """Say whose gradients the tracks are made of."""
    if model.reads_both_strands:
        return "the model reads both strands, and the gradient goes through both"
    if strands == "+-":
        return "gradients of the strands are averaged before any track is derived"
    words = {
        "+": ("plus strand only", "right"),
        "-": ("minus strand only, written at the positions and bases of the plus strand", "left"),
    }
    said, side = words[strands]
    if running_of(model).streams:
        said += f"; a base acts only on what lies to its {side}, downstream on that strand"
    return said


@contextmanager
def prepared(
    fasta: str | Path,
    model: LanguageModel,
    options: Options,
    scratch: Path,
) -> Iterator[Prepared]:
    """Decode the sequence and plan the run; the decoded copy is closed when the context ends."""
    layout = checked_layout(model, options)  # before reading the sequence, which may take minutes
    with decode_fasta(fasta, scratch / "codes", _contigs_to_read(fasta, options)) as whole:
        chosen = _selection(whole.lengths, options)
        genome, chosen, old_names = _renamed(whole.only(chosen.write), chosen, options)
        _warn_of_ambiguous(genome, fasta)
        plan = planned(model, genome, options, layout, chosen, old_names)
        yield replace(plan, annotation=_annotation(options, genome, old_names))


def _annotation(
    options: Options, genome: Genome, old_names: Mapping[str, str]
) -> Annotation | None:
    if options.gff is None:
        return None
    alias = options.chrom_alias
    names = counterparts(alias, genome.lengths) if alias is not None else {}
    names |= {old: new for new, old in old_names.items()} | {name: name for name in genome.lengths}
    return read_annotation(options.gff, genome.lengths, names.get, parts=True)


def checked_layout(model: LanguageModel, options: Options) -> Layout:
    """Choose tiles or windows for a run.

    Raises
    ------
    UsageError
        If objective, tracks, tiles or windows do not go with the model.
    """
    objective_of(options.objective, () if options.target else None, model)
    if "surprisal" in options.track_names and not model.config.has_head:
        raise UsageError(
            f"{model.name} has no head and predicts nothing, so there is no surprisal: choose "
            "`tracks` without it"
        )
    method = method_of(options.method)
    if runs_again(method) and not running_of(model).streams:
        refuse_near(model, method.near)
        if "surprisal" in options.track_names or options.halo is not None:
            raise UsageError(
                f"{model.name} is bidirectional: every base is substituted in a window of its own, "
                "which gives no surprisal and has no `halo`: leave them out"
            )
    return running_of(model).layout(
        len(strands_of(model, options)),
        options.tile,
        options.window,
        options.halo,
        options.memory_limit,
        options.store_every,
    )


def planned(
    model: LanguageModel,
    genome: Genome,
    options: Options,
    layout: Layout,
    chosen: Selection,
    old_names: Mapping[str, str],
) -> Prepared:
    """Plan a run over a decoded genome; ``old_names`` are those of renamed contigs."""
    segments = segments_to_run(genome, chosen.write, options.gap_length, options.context)
    threads = options.threads or torch.get_num_threads()
    layout.refuse_beyond(options.memory_limit, max((s.length for s in segments), default=1))
    return Prepared(
        *(model, genome, options, segments, chosen.write, chosen.targets),
        *(layout, old_names, threads),
        chosen.regions,
    )


def _renamed(
    genome: Genome, chosen: Selection, options: Options
) -> tuple[Genome, Selection, dict[str, str]]:
    """Rename the contigs by --chrom-alias.

    Returns genome and selection under the new names, and the FASTA's name of each new name.
    """
    if options.chrom_alias is None:
        return genome, chosen, {}
    names = new_names(options.chrom_alias, genome.lengths)
    targets = chosen.targets
    if targets is not None:
        targets = {names[contig]: spans for contig, spans in targets.items() if contig in names}
    write = {names[contig]: spans for contig, spans in chosen.write.items()}
    regions = tuple(
        replace(each, interval=replace(each.interval, contig=names[each.interval.contig]))
        for each in chosen.regions
        if each.interval.contig in names
    )
    renamed = replace(chosen, write=write, targets=targets, regions=regions)
    return genome.renamed(names), renamed, {new: old for old, new in names.items() if old != new}


def _selection(lengths: Mapping[str, int], options: Options) -> Selection:
    chosen = select(lengths, options.region, options.bed, options.contig, options.target)
    if options.arrays:
        require_alike(chosen.regions, chosen.write)
    return chosen


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
    # Count what this run, or the one it resumes, already stores, in blocks: its files are sparse.
    held = sum(512 * path.stat().st_blocks for path in scratch.rglob("*"))
    free, need = shutil.disk_usage(scratch).free + held, plan.disk
    if need > free:
        raise ResourceError(
            f"{scratch}: the run needs {need / 2**30:.1f} GiB of scratch and "
            f"{free / 2**30:.1f} GiB are free for it; choose another `scratch_dir`"
            + _less_disk(plan, free)
        )


def _less_disk(plan: Prepared, free: int) -> str:
    """Other ways to need less disk than is free, if activations are what takes it."""
    longest = max((s.length for s in plan.segments), default=1)
    now = plan.layout.spool_bytes(longest)
    if not plan.layout.whole(longest):
        return ""
    rest, ways = plan.disk - now, []
    smaller = {k: size + rest for k, size in plan.layout.smaller(longest).items()}
    if smaller:
        fitting = [k for k, size in smaller.items() if size <= free]
        k = fitting[0] if fitting else min(smaller, key=smaller.__getitem__)
        ways.append(f"`store_every` {k} ({smaller[k] / 2**30:.1f} GiB)")
    if plan.model.dtype.itemsize > torch.float32.itemsize:
        ways.append("`dtype` float32 (half)")
    return "".join(f", {way}" for way in [*ways, "or a `window` of fewer bases"])
