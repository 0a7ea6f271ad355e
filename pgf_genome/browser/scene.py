"""The scene that a browser shows of a finished run: reference, tracks, annotation, locus."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgf_genome.browser.genes import genes_bed
from pgf_genome.browser.locus import opening_locus
from pgf_genome.browser.reference import Reference, open_reference
from pgf_genome.browser.track import Track
from pgf_genome.errors import PgfError, ResourceError, UsageError
from pgf_genome.files import atomic_write_text
from pgf_genome.intervals import Interval, parse_region
from pgf_genome.pages.palette import LIGHT
from pgf_genome.runs.run import Run, open_run
from pgf_genome.runs.sites import read_summits
from pgf_genome.tracks import Peak

# in order of preference: bigWig has zoom levels
KINDS = ("bigwig", "bedgraph")
# ends of the names of annotations; those of BED files are shown as they are
ANNOTATIONS = ("gff3", "gff", "gtf", "bed")
# of the summaries of a track in bins
SUMMARIES = {"mean": "mean", "max": "maximum"}

log = logging.getLogger("pgf_genome")


@dataclass(frozen=True)
class Lane:
    """Genes and other features to show: a BED file, and the name of the file they came from."""

    path: Path
    name: str


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
    lane : Lane, optional
        Genes and other features to show.
    locus : Interval
        The locus at which to open.
    email : str, optional
        Whom users of the track hub can write to.
    """

    prefix: Path
    sizes: Mapping[str, int]
    aliases: Mapping[str, str]
    tracks: tuple[Track, ...]
    reference: Reference | None
    genome: str | None
    lane: Lane | None
    locus: Interval
    email: str | None = None

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
    email: str | None = None,
    chrom_alias: str | os.PathLike[str] | None = None,
) -> Scene:
    """Gather the scene of a finished run from its files.

    Parameters
    ----------
    prefix : path-like
        Prefix of the run's files.
    fasta : path-like, optional
        The run's sequence; default: where the run found it. An index that is missing is made
        beside the run's files, as is a copy in bgzip of one in plain gzip; nothing is written
        beside the FASTA.
    gff : path-like, optional
        Annotation to show: GFF3, GTF or BED; default: that of the run. Of GFF3 and GTF the file
        ``PREFIX.genes.bed`` is made.
    region : str, optional
        Where to open, 1-based inclusive as in samtools; default: the strongest position of the
        run.
    genome : str, optional
        Name of the assembly at UCSC, such as hg38.
    email : str, optional
        Address for the track hub, without which there is none.
    chrom_alias : path-like, optional
        Table by which contigs of ``gff`` are those of the run; default: that of the run.

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
        lane=_lane(run, gff, chrom_alias),
        locus=parse_region(region, sizes)
        if region
        else opening_locus(tracks, sizes, _summits(run)),
        email=email,
    )


def _summits(run: Run) -> Sequence[Peak]:
    """The strongest positions, as the run's file of sites has them: without those beside an N."""
    file = run.files.get("peaks")
    return read_summits(file) if file is not None and file.is_file() else ()


def _tracks(run: Run) -> tuple[Track, ...]:
    """The tracks of the run, each before its summaries in bins."""
    files: dict[str, list[Path]] = {}
    for kind in KINDS:
        for name, path in run.files.items():
            if name.endswith(f".{kind}"):
                files.setdefault(name.removesuffix(f".{kind}"), []).append(path)
    tracks = []
    for rank, (track, described) in enumerate(run.record.tracks.items()):
        of_bins = re.compile(rf"{re.escape(track)}\.bin(\d+)\.({'|'.join(SUMMARIES)})")
        for name, paths in files.items():
            about, binned = str(described), of_bins.fullmatch(name)
            if binned:
                about = f"{SUMMARIES[binned[2]]} of bins of {int(binned[1]):,} bases: {about}"
            if binned or name == track:
                tracks.append(Track(name, about, _existing(paths), LIGHT.line(rank)))
    return tuple(tracks)


def _existing(paths: list[Path]) -> tuple[Path, ...]:
    existing = tuple(path for path in paths if path.is_file())
    if not existing:
        raise ResourceError(
            f"{paths[0]}: run.json lists this track, but it is not there; keep the files of a run "
            "together or run attribute again"
        )
    return existing


def _lane(
    run: Run, gff: str | os.PathLike[str] | None, chrom_alias: str | os.PathLike[str] | None
) -> Lane | None:
    """Make the lane of an annotation; that of the run is left out if it cannot be read again."""
    source = gff or run.record.arguments.get("gff")
    if source is None:
        return None
    path = Path(source)
    try:
        return _read_lane(run, path, chrom_alias)
    except PgfError as error:
        if gff is not None:
            raise
        log.warning("no genes are shown: %s; give --gff", error)
        return None


def _read_lane(run: Run, path: Path, chrom_alias: str | os.PathLike[str] | None) -> Lane:
    suffix = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if suffix not in ANNOTATIONS:
        raise UsageError(
            f"`gff` {path}: the name must end in .gff3, .gff, .gtf or .bed, with .gz if compressed"
        )
    if not path.is_file():
        raise ResourceError(f"`gff` {path}: no such file")
    if suffix == "bed":
        return Lane(path, path.name)
    parts = run.annotation(path, chrom_alias).parts
    made = Path(f"{run.prefix}.genes.bed")
    atomic_write_text(made, genes_bed(parts, run.sizes))
    return Lane(made, path.name)
