"""Options of `attribute`, checked before anything is read.

The command line reads its defaults and choices here, so nothing heavy is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgf_genome.attribution.methods import method_of, track_names
from pgf_genome.checkpoints.choices import DEFAULT_MODEL
from pgf_genome.engine.plan import ALL
from pgf_genome.errors import UsageError
from pgf_genome.intervals import is_table, regions_of
from pgf_genome.pages.frame import PLOTLY
from pgf_genome.quantities import bytes_of, whole_number

if TYPE_CHECKING:
    from pgf_genome.engine.objective import Objective
    from pgf_genome.mamba.model import LanguageModel
    from pgf_genome.runs.certificate import Certificate

    # (plan, run, folder): checks a run whose files are written, while its folder is still there
    Certifies = Callable[..., Certificate]

FORMATS = ("bedgraph", "bigwig")
# Those of tracks, and the arrays of regions.
ALL_FORMATS = (*FORMATS, "npz")
# What selects the bases to write, and how they are written: runs that differ in these alone can be
# merged.
VARYING = (
    "region", "bed", "contig", "formats", "compress", "track_line", "tsv", "report", "gff",
    "title", "plotly", "keep_edges", "shuffled", "max_memory", "store_every",
)  # fmt: skip
STRANDS = {"+": "+", "-": "-", "both": "+-"}
OBJECTIVES = ("likelihood", "entropy", "logit:BASE", "norm")
WIDEST_BIN = 2**31 - 1  # longer than any sequence in a bigWig
# the least that options with whole numbers may be
LEAST = {
    "context": 0,
    "gap_length": 1,
    "tile": 1,
    "window": 1,
    "halo": 0,
    "store_every": 1,
    "threads": 1,
    "shuffled": 0,
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of `attribute`.

    Where several things can be given, one alone can be given as it is. A table of regions has
    columns ``chrom``, ``start`` and ``end``, 0-based half-open: a DataFrame as in bioframe.

    Attributes
    ----------
    region : sequence of region, or table
        Write these only; 1-based inclusive, as in samtools: ``"chr1:1,001-2,000"``.
    bed : sequence of path, or table
        Write the intervals of these BED files only.
    contig : sequence of str
        Read and write these contigs only.
    context : int, optional
        Bases that the model sees on each side of a region; all of the segment if None.
    target : sequence of region or path, or table
        Bases that count in the objective; all if empty.
    objective : str or Objective
        likelihood, entropy, logit:BASE, norm, or a callable on tiles.
    method : str
        Gradients: corrected (on the simplex) or saliency (raw). Effects of all substitutions: near
        W, such as ``"near 8"`` (W bases are run again, the rest is first-order in the state), exact
        or first-order. Integrated gradients: ig K, with K steps.
    tracks : sequence of str, optional
        Of gradients any of sensitivity, contribution, tism, tism.A .. tism.T, surprisal; of effects
        any of effect, effect.A .. effect.T, importance, surprisal; of integrated gradients ig,
        surprisal. Without it, those of the method.
    strand : str
        +, - or both.
    gap_length : int
        The model restarts at every run of N of at least this length.
    formats : sequence of str
        Any of bedgraph, bigwig; npz for the arrays of ``region`` and ``bed``, which must be of one
        width: one-hot sequences and hypothetical contributions, for motif discovery.
    compress : bool
        Whether bedGraph is bgzip with a tabix index.
    track_line : bool
        Whether plain bedGraph begins with a UCSC track line.
    bins : sequence of int
        Widths of bins, in bases, whose mean and maximum are written too.
    chrom_alias : path, optional
        Table by which contigs are renamed in the outputs.
    tsv : bool
        Whether the values of all tracks are written as a table too, a row for every base.
    report : bool
        Whether an HTML report is written, and heat maps of effects where short regions are.
    title : str, optional
        Title of the run and its report; what was computed, and the name of the FASTA, if None.
    plotly : str
        Where the report has plotly.js: inline, or shared with other reports of the folder.
    gff : path, optional
        GFF3 or GTF file: a table of its features, and its genes in the report, in heat maps and as
        names of the strongest positions.
    keep_edges : bool
        Whether positions beside an N or an end of a contig, where values are often large for no
        other reason, can be among the strongest; they are marked then.
    shuffled : int, optional
        Bases of shuffled sequence with the same dinucleotides, whose quantiles are told beside
        those of the run; 2 % of the bases written, 131,072 at most, if None. There are none with
        ``target``.
    tile : int, optional
        Positions per tile of a causal model; chosen to fit ``max_memory`` if None.
    window : int or "all", optional
        Bases that a bidirectional model sees at a time; "all" is all of a segment, exactly, layer
        by layer, with its activations in files if they do not fit ``max_memory``.
    halo : int, optional
        Bases on each side of a window that are seen and not written.
    store_every : int
        Layers between two whose activations stay in files: less disk, more time.
    max_memory : int or str, optional
        Most resident bytes, or a text such as ``"1.5G"``.
    scratch_dir : path, optional
        Folder for states and scores during the run; beside the outputs if None.
    threads : int, optional
        torch's count if None.
    resume : bool
        Whether a stopped run of the same prefix is continued.
    """

    region: Sequence[str] = ()
    bed: Sequence[str | Path] = ()
    contig: Sequence[str] = ()
    context: int | None = None
    target: Sequence[str | Path] = ()
    objective: str | Objective = "likelihood"
    method: str = "corrected"
    tracks: Sequence[str] | None = None
    strand: str = "both"
    gap_length: int = 10_000
    formats: Sequence[str] = FORMATS
    compress: bool = True
    track_line: bool = False
    bins: Sequence[int] = ()
    chrom_alias: str | Path | None = None
    tsv: bool = False
    report: bool = True
    title: str | None = None
    plotly: str = PLOTLY[0]
    gff: str | Path | None = None
    keep_edges: bool = False
    shuffled: int | None = None
    tile: int | None = None
    window: int | str | None = None
    halo: int | None = None
    store_every: int = 1
    max_memory: int | str | None = None
    scratch_dir: str | Path | None = None
    threads: int | None = None
    resume: bool = True

    def __post_init__(self) -> None:
        if is_table(self.bed):  # it holds what a BED file holds, and names no file
            self._set(region=(*_texts("region", self.region), *_texts("bed", self.bed)), bed=())
        for name in ("region", "bed", "contig", "target", "formats"):
            self._set(**{name: _texts(name, getattr(self, name))})
        for name in ("chrom_alias", "gff", "scratch_dir", "title"):
            if getattr(self, name) is not None:
                _texts(name, [getattr(self, name)])
        for name, least in LEAST.items():
            value = getattr(self, name)
            if (name, value) == ("window", ALL):
                continue
            if value is not None or getattr(Options, name) is not None:
                self._set(**{name: whole_number(value, name, least)})
        bins = (whole_number(width, "bins", 2, WIDEST_BIN) for width in _items("bins", self.bins))
        method = method_of(self.method)
        tracks = method.default_tracks if self.tracks is None else _texts("tracks", self.tracks)
        self._set(tracks=track_names(tracks, method), bins=tuple(dict.fromkeys(bins)))
        self._set(formats=tuple(dict.fromkeys(self.formats)))
        self._set(max_memory=self.memory_limit)
        self._check()

    @property
    def memory_limit(self) -> int | None:
        """``max_memory`` in bytes."""
        return None if self.max_memory is None else bytes_of(self.max_memory, "max_memory")

    @property
    def track_formats(self) -> tuple[str, ...]:
        """``formats`` of tracks."""
        return tuple(each for each in self.formats if each in FORMATS)

    @property
    def arrays(self) -> bool:
        """Whether the arrays of regions are written."""
        return "npz" in self.formats

    @property
    def track_names(self) -> tuple[str, ...]:
        """``tracks``, those of the method in place of None."""
        return tuple(self.tracks or ())

    def _set(self, **values: Any) -> None:
        """Give fields the form in which they are kept."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check(self) -> None:
        """Raise UsageError for values that are not known or do not go together."""
        if not self.formats:
            raise UsageError(f"`formats` names none; choose from {', '.join(ALL_FORMATS)}")
        choices: list[tuple[str, str, Collection[str]]] = [
            ("strand", self.strand, STRANDS),
            ("plotly", self.plotly, PLOTLY),
            *(("formats", each, ALL_FORMATS) for each in self.formats),
        ]
        for option, name, allowed in choices:
            if name not in allowed:
                raise UsageError(f"`{option}` {name}: choose from {', '.join(allowed)}")
        if self.arrays and not (self.region or self.bed):
            raise UsageError(
                "`formats` npz is for regions of one width: give them by `region` or `bed`"
            )
        if self.context is not None and not (self.region or self.bed):
            raise UsageError(
                "`context` goes with `region` or `bed`: where whole contigs are written, the model "
                "sees all of them; leave it out"
            )
        if self.track_line and self.compress and "bedgraph" in self.formats:
            raise UsageError(
                "`track_line` needs `no_compress` (compress=False): tabix cannot index a track line"
            )


@dataclass(frozen=True)
class Arguments(Options):
    """Arguments of `attribute`, where they are explained; its options are those of the base."""

    fasta: str | Path
    model: LanguageModel | str | Path = DEFAULT_MODEL
    out_prefix: str | Path | None = None
    progress: Callable[[float, float], None] | None = None
    certify: Certifies | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.fasta, str | PathLike):
            raise UsageError(
                f"`fasta` must be a path, not a {type(self.fasta).__name__}: attribute_sequence "
                "takes a sequence in memory"
            )
        if self.out_prefix is not None:
            _texts("out_prefix", [self.out_prefix])

    @property
    def prefix(self) -> str | Path:
        """Prefix of the outputs; by default the FASTA's name, in the current directory."""
        if self.out_prefix is not None:
            return self.out_prefix
        name = "stdin" if str(self.fasta) == "-" else Path(self.fasta).name or "out"
        for suffix in (".gz", ".bgz", ".bgzf", ".fa", ".fasta", ".fna", ".ffn", ".txt"):
            name = name.removesuffix(suffix) or name
        return name

    @property
    def options(self) -> Options:
        """The options alone."""
        return Options(**{field.name: getattr(self, field.name) for field in fields(Options)})


def _texts(name: str, value: Any) -> tuple[Any, ...]:
    """The items of a list of texts and paths; a table is a list of regions."""
    items = regions_of(value) if is_table(value) else _items(name, value)
    for item in items:
        if not isinstance(item, str | PathLike):
            raise UsageError(f"`{name}` must be text, not {item!r}")
    return items


def _items(name: str, value: Any) -> tuple[Any, ...]:
    """The items of a list; one text, path or number is one item."""
    if isinstance(value, str | PathLike | Integral):
        return (value,)
    if not isinstance(value, Iterable):
        raise UsageError(f"`{name}` must be one or several, not {value!r}")
    return tuple(value)
