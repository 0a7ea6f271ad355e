"""The scene that a browser shows of a finished run: reference, tracks, annotation, locus."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pgf_genome.browser.locus import opening_locus
from pgf_genome.browser.reference import Reference, open_reference
from pgf_genome.browser.track import Track
from pgf_genome.errors import ResourceError, UsageError
from pgf_genome.intervals import Interval, parse_region
from pgf_genome.runs.run import Run, open_run

# in order of preference: bigWig has zoom levels
KINDS = ("bigwig", "bedgraph")
ANNOTATIONS = {"gff3": "gff3", "gff": "gff3", "gtf": "gtf", "bed": "bed"}


@dataclass(frozen=True)
class Annotation:
    """A file of genes or other features, given by the user."""

    path: Path

    @property
    def format(self) -> str:
        """Format of the file: ``gff3``, ``gtf`` or ``bed``.

        Raises
        ------
        UsageError
            If the name of the file does not tell the format.
        """
        suffix = self.path.name.lower().removesuffix(".gz").rpartition(".")[2]
        if suffix not in ANNOTATIONS:
            raise UsageError(
                f"`gff` {self.path}: the name must end in .gff3, .gff, .gtf or .bed, "
                "with .gz if compressed"
            )
        return ANNOTATIONS[suffix]


@dataclass(frozen=True)
class Scene:
    """A run and the locus at which to open it.

    Attributes
    ----------
    prefix : Path
        Prefix of the run's files; new files are written beside them.
    sizes : mapping of str to int
        Length of every contig in bases, under the names that the tracks use.
    aliases : mapping of str to str
        Name in the tracks -> name in the FASTA, for contigs where the two differ.
    tracks : tuple of Track
        Tracks in the order of the run.
    reference : Reference, optional
        The indexed FASTA, if there is one.
    genome : str, optional
        The assembly's name at UCSC, if it has one.
    annotation : Annotation, optional
        Genes and other features to show.
    locus : Interval
        The locus at which to open.
    """

    prefix: Path
    sizes: Mapping[str, int]
    aliases: Mapping[str, str]
    tracks: tuple[Track, ...]
    reference: Reference | None
    genome: str | None
    annotation: Annotation | None
    locus: Interval

    @property
    def name(self) -> str:
        """The prefix without its folder."""
        return self.prefix.name

    @property
    def alias_table(self) -> str:
        """A line for each renamed contig: name in the FASTA, tab, name in the tracks."""
        return "".join(f"{old}\t{new}\n" for new, old in self.aliases.items())

    def beside(self, suffix: str) -> Path:
        """The path ``PREFIX.suffix``."""
        return Path(f"{self.prefix}.{suffix}")


def index_of(path: Path) -> Path | None:
    """The tabix index beside a file, if there is one."""
    indexes = (Path(f"{path}{suffix}") for suffix in (".tbi", ".csi"))
    return next(filter(Path.is_file, indexes), None)


def read_scene(
    prefix: str | os.PathLike[str],
    fasta: str | os.PathLike[str] | None = None,
    gff: str | os.PathLike[str] | None = None,
    region: str | None = None,
    genome: str | None = None,
) -> Scene:
    """Gather the scene of a finished run from its files.

    Parameters
    ----------
    prefix : path-like
        Prefix of the run's files.
    fasta : path-like, optional
        The run's sequence, plain or bgzip; default: where the run found it. An index that is
        missing is made beside the run's files; nothing is written beside the FASTA.
    gff : path-like, optional
        Annotation to show: GFF3, GTF or BED.
    region : str, optional
        Where to open, 1-based inclusive as in samtools; default: the strongest position of the
        run.
    genome : str, optional
        Name of the assembly at UCSC, such as hg38.

    Raises
    ------
    IntegrityError
        If there is no run.json, or it is not that of a finished run.
    ResourceError
        If a file of the run is missing.
    SequenceError
        If the FASTA cannot be indexed or is not the run's, or the region is not in the run.
    UsageError
        If there is no sequence and ``genome`` is not given, or the format of ``gff`` is
        not known.
    """
    prefix, run = Path(prefix), open_run(prefix)
    sizes, known, in_fasta = run.sizes, run.record.fasta.path, run.record.fasta_names
    tracks = _tracks(run)
    reference = None
    if fasta is not None or genome is None or (known is not None and Path(known).is_file()):
        lengths = {old: sizes[new] for old, new in in_fasta.items()}
        reference = open_reference(fasta or known, lengths, prefix)
    return Scene(
        prefix=prefix,
        sizes=sizes,
        aliases={new: old for old, new in in_fasta.items() if new != old},
        tracks=tracks,
        reference=reference,
        genome=genome,
        annotation=None if gff is None else _annotation(Path(gff)),
        locus=parse_region(region, sizes) if region else opening_locus(tracks, sizes),
    )


def _tracks(run: Run) -> tuple[Track, ...]:
    """The tracks of the run, without their summaries in bins."""
    tracks, files = [], run.files
    for name, described in run.record.tracks.items():
        kinds = (f"{name}.{kind}" for kind in KINDS)
        paths = [files[kind] for kind in kinds if kind in files]
        if paths:
            tracks.append(Track(name, str(described), _existing(paths)))
    return tuple(tracks)


def _existing(paths: list[Path]) -> tuple[Path, ...]:
    existing = tuple(path for path in paths if path.is_file())
    if not existing:
        raise ResourceError(
            f"{paths[0]}: run.json lists this track, but it is not there; keep the files of a run "
            "together or run attribute again"
        )
    return existing


def _annotation(path: Path) -> Annotation:
    if not path.is_file():
        raise ResourceError(f"`gff` {path}: no such file")
    annotation = Annotation(path)
    _ = annotation.format  # raises if the name does not tell it
    return annotation
