"""Draw the report of a finished run again from its files, without the model."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from pgf_genome.errors import PgfError
from pgf_genome.files import require_folder
from pgf_genome.intervals import Interval
from pgf_genome.pages.frame import PLOTLY
from pgf_genome.report.gathering import Gathered, Gathering
from pgf_genome.report.image import write_image
from pgf_genome.report.page import write_report
from pgf_genome.report.tables import write_tables
from pgf_genome.runs.record import Quantiles
from pgf_genome.runs.run import Run, open_run
from pgf_genome.runs.storing import write_record
from pgf_genome.sequence import Genome
from pgf_genome.sequence.annotation import Annotation
from pgf_genome.sequence.parts import Places
from pgf_genome.workspace import claimed

Quantiled = Mapping[str, Mapping[str, Quantiles]]

log = logging.getLogger("pgf_genome")


def redraw(
    prefix: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    fasta: str | os.PathLike[str] | None = None,
    png: bool = False,
    title: str | None = None,
    assembly: str | None = None,
    plotly: str = PLOTLY[0],
    gff: str | os.PathLike[str] | None = None,
    chrom_alias: str | os.PathLike[str] | None = None,
    keep_edges: bool = False,
) -> list[Path]:
    """Draw the report of a finished run again, with its time and memory, in constant memory.

    The tables of the strongest sites and of genes are written again too, if the sequence is there.

    Parameters
    ----------
    prefix : path-like
        Prefix of the run's files.
    output : path-like, optional
        The page to write; default ``PREFIX.report.html``.
    fasta : path-like, optional
        The run's sequence, for the logos; default: the path at which the run read it.
    png : bool
        Whether to write the overview as an image too, beside the page.
    title : str, optional
        Title of the page; default: that of the run.
    assembly : str, optional
        Name of the assembly at UCSC, such as hg38, for links to that browser.
    plotly : str
        Where the page has plotly.js: "inline", or "shared" with other pages of its folder.
    gff : path-like, optional
        GFF3 or GTF file of genes; default: that of the run.
    chrom_alias : path-like, optional
        Table by which its contigs are those of the run, as `attribute` takes it; default: that of
        the run.
    keep_edges : bool
        Whether positions beside an N or an end of a contig can be among the strongest.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ResourceError
        If a track is missing, an output cannot be written, or the image lacks its program or has
        nothing to show.
    SequenceError
        If ``fasta`` or ``gff`` is given and cannot be read, or is not the run's.
    IntegrityError
        If there is no finished run, or a file of it is damaged.
    """
    run = open_run(prefix)
    page = Path(f"{os.fspath(prefix)}.report.html" if output is None else output)
    require_folder(page.parent, "output")
    # a page among the files of the run belongs to whoever writes those
    of_run = page.parent == run.prefix.parent and page.name.startswith(f"{run.prefix.name}.")
    values_in = partial(_values, run)
    with ExitStack() as stack:
        stack.enter_context(claimed(run.prefix if of_run else page))
        run.require_intact()
        genome = _genome(run, fasta, stack)
        annotation = _annotation(run, gff, chrom_alias)
        places = None if annotation is None else Places(annotation.parts)
        gathered = _gathered(run, genome, keep_edges, annotation)
        record = replace(run.record, quantiles=_with(run.record.quantiles, gathered.quantiles))
        codes_at = None if genome is None else genome.codes
        written = [page]
        run.require_unchanged()
        if genome is not None:
            tables = write_tables(_stem(prefix, output), gathered, values_in, places)
            written += tables.values()
            if output is None:
                names = {kind: path.name for kind, path in tables.items()}
                record = replace(record, files={**record.files, **names})
        titled = replace(record, title=title or record.title)
        write_report(
            page, titled, gathered, values_in, codes_at,
            took=True, places=places, assembly=assembly, plotly=plotly,
        )  # fmt: skip
        if record != run.record and output is None:
            write_record(prefix, record)
    if png:
        written.append(page.with_suffix(".png"))
        write_image(written[-1], titled, gathered)
    return written


def _stem(prefix: str | os.PathLike[str], output: str | os.PathLike[str] | None) -> str:
    """What the names of tables begin with: the prefix, or the page's name."""
    if output is None:
        return os.fspath(prefix)
    return os.fspath(output).removesuffix(".html").removesuffix(".report")


def _with(known: Quantiled, found: Quantiled) -> Quantiled:
    """The quantiles of a run; those of shuffled sequence cannot be found again."""
    return {track: {**known.get(track, {}), **groups} for track, groups in found.items()}


def _gathered(
    run: Run, genome: Genome | None, keep_edges: bool, annotation: Annotation | None
) -> Gathered:
    """Read every track once and gather the data of the report."""
    record = run.record
    gathering = Gathering(
        run.sizes,
        run.tracks,
        record.targets,
        record.written,
        genome,
        keep_edges or bool(record.arguments.get("keep_edges")),
        None if annotation is None else annotation.parts,
    )
    for track in run.tracks:
        takers = gathering.takers(track)
        for piece in run.pieces(track):
            for taker in takers:
                taker.add(*piece)
    return gathering.result()


def _annotation(
    run: Run, gff: str | os.PathLike[str] | None, chrom_alias: str | os.PathLike[str] | None
) -> Annotation | None:
    """Read the genes; None if there are none, or those of the run cannot be read again."""
    source = gff or run.record.arguments.get("gff")
    if source is None:
        return None
    try:
        return run.annotation(source, chrom_alias)
    except PgfError as error:
        if gff is not None:
            raise
        log.warning("the report has no genes: %s; give --gff", error)
        return None


def _values(run: Run, windows: Sequence[Interval]) -> list[np.ndarray]:
    """Read the values of every window: float32, (tracks, length) each."""
    by_track = [run.values_in(windows, track) for track in run.tracks]
    return [np.stack(each) for each in zip(*by_track, strict=True)]


def _genome(run: Run, fasta: str | os.PathLike[str] | None, stack: ExitStack) -> Genome | None:
    """Decode the sequence for as long as the stack is open; None if it cannot be read."""
    try:
        return stack.enter_context(run.sequence(fasta=fasta))
    except PgfError as error:
        if fasta is not None:
            raise
        log.warning("the report has no logos: %s; give --fasta", error)
        return None
