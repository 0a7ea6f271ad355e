"""The record of a finished run: the content of ``PREFIX.run.json``.

Every field declares how it is joined when runs are merged; see `pgf_genome.runs.joining`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pgf_genome.intervals import Span, is_name
from pgf_genome.runs.certificate import Certificate
from pgf_genome.runs.fit import Fit, pooled
from pgf_genome.runs.joining import agreed, concatenated, joined_by, left_out

# Format of the record; larger numbers are of later versions of this program.
SCHEMA = 1


@dataclass(frozen=True)
class Fasta:
    """The sequence of a run.

    Attributes
    ----------
    name : str
        Name of the file.
    sha256_of_bases : str, optional
        Digest of the contigs that were read, as `pgf_genome.sequence.digest_of` makes it.
    path : str, optional
        Where the file lay; None for standard input.
    """

    name: str
    sha256_of_bases: str | None = field(default=None, metadata=joined_by(left_out))
    path: str | None = field(default=None, metadata=joined_by(agreed))


@dataclass(frozen=True)
class Track:
    """The words for the values of a track.

    Attributes
    ----------
    title : str
        A heading.
    unit : str
    meaning : str
        What a value is, given the method, the objective and the strand that made it.
    positive : str
        What a value above zero says, for tracks whose values are heights of letters.
    """

    title: str
    unit: str
    meaning: str
    positive: str = ""

    def __str__(self) -> str:
        return f"{self.meaning} [{self.unit}]"


@dataclass(frozen=True)
class Contig:
    """A contig of a run.

    Attributes
    ----------
    contig : str
        Its name in the tracks.
    length : int
    segments : int
        Stretches between gaps that were computed.
    objective : float or None
        The objective's value, None where nothing of the contig was computed.
    sha256 : str, optional
        Digest of its codes.
    fasta_contig : str, optional
        Its name in the FASTA, if that is another.
    targets : tuple of (int, int), optional
        Spans that the objective counts, 0-based half-open; None if it counts all.
    attributed, baseline : float, optional
        Of integrated gradients: the sum of the attributions, and the objective of the baseline.
    written : tuple of (int, int), optional
        Spans that were to be written, 0-based half-open; None if all of it was.
    """

    contig: str
    length: int
    segments: int
    objective: float | None
    sha256: str | None = None
    fasta_contig: str | None = None
    targets: tuple[Span, ...] | None = None
    attributed: float | None = None
    baseline: float | None = None
    written: tuple[Span, ...] | None = None

    def __post_init__(self) -> None:
        if self.length < 0:
            raise ValueError(f"contig {self.contig} has {self.length} bases")
        for name in (self.contig, self.fasta_contig):
            if name is not None and not is_name(name):
                raise ValueError(f"{name!r} cannot be the name of a contig")
        for start, stop in (*(self.targets or ()), *(self.written or ())):
            if not 0 <= start < stop <= self.length:
                raise ValueError(f"contig {self.contig} has no bases from {start} to {stop}")


class Gap(NamedTuple):
    """By how much attributions miss the change of F from the baseline to the sequence."""

    missed: float
    change: float

    def __str__(self) -> str:
        share = f", {abs(self.missed / self.change):.2%} of it" if self.change else ""
        return (
            f"the attributions miss the change of F, {self.change:,.6g}, by "
            f"{self.missed:.3g}{share}"
        )


@dataclass(frozen=True)
class HaloLocus:
    """A place where the halo of the windows was doubled, 0-based half-open.

    Attributes
    ----------
    max_error : float
        Largest change of the gradient, as a part of its largest entry.
    relative_error : float
        Norm of the change, as a part of the norm of the gradient.
    """

    contig: str
    start: int
    stop: int
    max_error: float
    relative_error: float


@dataclass(frozen=True)
class Halo:
    """Windows of a bidirectional model: bases in each, and bases of halo on either side."""

    window: int
    halo: int
    loci: tuple[HaloLocus, ...] = field(metadata=joined_by(concatenated))


@dataclass(frozen=True)
class EffectError:
    """Effects of a run against exact ones, at some of its bases.

    Attributes
    ----------
    method : str
    substitutions : int
        Those that were compared.
    pearson : float or None
        Correlation with the exact effects; None where either does not vary.
    root_mean_square, largest : float
        Of the differences, in the unit of the effects.
    spread : float
        Standard deviation of the exact effects.
    bases_run : int
        Bases beyond a substitution, at most, after which the exact ones end.
    """

    method: str
    substitutions: int
    pearson: float | None
    root_mean_square: float
    largest: float
    spread: float
    bases_run: int

    def __str__(self) -> str:
        correlation = "" if self.pearson is None else f"Pearson {self.pearson:.4f}, "
        return (
            f"{self.method} against exact effects of {self.substitutions:,} substitutions: "
            f"{correlation}root mean square of the error {self.root_mean_square:.3g}, largest "
            f"{self.largest:.3g}, where effects have a standard deviation of {self.spread:.3g}"
        )


@dataclass(frozen=True)
class Bases:
    """Bases that were written, those without a score among them, and bases that were read."""

    written: int = field(metadata=joined_by(sum))
    read: int = field(metadata=joined_by(sum))


@dataclass(frozen=True)
class Performance:
    """Time and memory of a run."""

    seconds: float
    bases_per_second: float
    peak_memory_bytes: int
    threads: int
    device: str


@dataclass(frozen=True)
class Quantiles:
    """Quantiles of some values of a track.

    Attributes
    ----------
    bases : int
        Number of the values.
    levels, values : tuple of float
        A part of them, and the value below which it lies.
    """

    bases: int
    levels: tuple[float, ...]
    values: tuple[float, ...]


def _is_plain(name: str) -> bool:
    """Whether a name cannot lead to another folder."""
    return name.isprintable() and not any(each in name for each in "/\\")


def one_after_the_other(runs: Sequence[Performance]) -> Performance:
    """Time and memory of several runs, each begun when the one before had ended."""
    seconds = sum(run.seconds for run in runs)
    bases = sum(run.seconds * run.bases_per_second for run in runs)
    return Performance(
        seconds=round(seconds, 3),
        bases_per_second=round(bases / seconds, 1) if seconds else 0.0,
        peak_memory_bytes=max(run.peak_memory_bytes for run in runs),
        threads=max(run.threads for run in runs),
        device=", ".join(dict.fromkeys(run.device for run in runs)),
    )


def none_so_far(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is made of a whole anew, such as its files."""
    return {}


@dataclass(frozen=True)
class Part:
    """A run of which a merged one was made."""

    run: str
    contigs: int
    sha256_of_bases: str | None
    performance: Performance
    bases: Bases


@dataclass(frozen=True, kw_only=True)
class Record:
    """All that is known of a finished run.

    Attributes
    ----------
    title : str
    version : str
        Version of this program.
    model : mapping
        Name, digest, parameters, tokens and precision.
    fasta : Fasta
    objective : str
    strand : str
        "+", "-" or "both".
    tile_length : int, optional
        Positions per tile of a causal model.
    halo : Halo, optional
        Windows of a bidirectional model.
    quantiles : mapping of str to mapping of str to Quantiles
        Of every track: of all bases, of soft-masked and of other ones, and of shuffled sequence.
    effect_errors : tuple of EffectError
        Of substitution effects that are not exact, as measured on bases of each run.
    fit : Fit, optional
        Of causal models, if surprisal was asked for.
    certificate : Certificate, optional
        Of the last time that the run was verified.
    bases : Bases
    context : str
        The stretch around a written base that the model saw, in words.
    conventions : mapping of str to str
        What coordinates, strands and tracks mean.
    tracks : mapping of str to Track
    arguments : mapping
        The options of the run.
    varying : tuple of str
        Arguments that select what is read or say how it is written: they may differ between runs
        that are merged.
    contigs : tuple of Contig
        In the order of the tracks.
    performance : Performance
    files : mapping of str to str
        Names of the output files by kind: ``sensitivity.bigwig``, ``report``, ..
    checksums : mapping of str to str
        SHA-256 of the files of the tracks, in hexadecimal, by kind.
    parts : tuple of Part
        Of a merged run, the runs that it was made of.

    Raises
    ------
    ValueError
        If a contig is listed twice, or a file is not a plain name.
    """

    title: str
    version: str
    model: Mapping[str, Any]
    fasta: Fasta
    objective: str
    strand: str
    tile_length: int | None = None
    halo: Halo | None = None
    quantiles: Mapping[str, Mapping[str, Quantiles]] = field(
        default_factory=dict, metadata=joined_by(none_so_far)
    )
    effect_errors: tuple[EffectError, ...] = field(default=(), metadata=joined_by(concatenated))
    fit: Fit | None = field(default=None, metadata=joined_by(pooled))
    certificate: Certificate | None = field(default=None, metadata=joined_by(left_out))
    bases: Bases
    context: str
    conventions: Mapping[str, str]
    tracks: Mapping[str, Track]
    arguments: Mapping[str, Any]
    varying: tuple[str, ...] = ()
    contigs: tuple[Contig, ...] = field(metadata=joined_by(concatenated))
    performance: Performance = field(metadata=joined_by(one_after_the_other))
    files: Mapping[str, str] = field(default_factory=dict, metadata=joined_by(none_so_far))
    checksums: Mapping[str, str] = field(default_factory=dict, metadata=joined_by(none_so_far))
    parts: tuple[Part, ...] = field(default=(), metadata=joined_by(concatenated))

    def __post_init__(self) -> None:
        twice = [name for name, n in Counter(each.contig for each in self.contigs).items() if n > 1]
        if twice:
            raise ValueError(f"contig {twice[0]} is listed twice")
        # What reads a run opens only files beside its run.json.
        for kind, file in self.files.items():
            if file in ("", ".", "..") or not _is_plain(file):
                raise ValueError(f"files.{kind} is {file!r}, which is no name of a file")
        for track in self.tracks:
            if not track or not _is_plain(track):
                raise ValueError(f"{track!r} is no name of a track")

    @property
    def gap(self) -> Gap | None:
        """What the attributions of a run of integrated gradients miss; None of other runs."""
        known = [c for c in self.contigs if c.attributed is not None]
        if not known:
            return None
        change = sum((c.objective or 0.0) - (c.baseline or 0.0) for c in known)
        return Gap(sum(c.attributed or 0.0 for c in known) - change, change)

    @property
    def sizes(self) -> dict[str, int]:
        """Length of every contig in bases, in the order of the tracks."""
        return {each.contig: each.length for each in self.contigs}

    @property
    def fasta_names(self) -> dict[str, str]:
        """Name of every contig in the FASTA -> its name in the tracks."""
        return {each.fasta_contig or each.contig: each.contig for each in self.contigs}

    @property
    def written(self) -> dict[str, tuple[Span, ...]]:
        """Spans that were written, by contig, 0-based half-open."""
        return {
            each.contig: ((0, each.length),) if each.written is None else each.written
            for each in self.contigs
        }

    @property
    def targets(self) -> dict[str, tuple[Span, ...]] | None:
        """Spans that the objective counts, by contig, 0-based half-open; None if it counts all."""
        spans = {each.contig: each.targets for each in self.contigs if each.targets}
        return spans or None
