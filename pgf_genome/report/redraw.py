"""Draw the report of a finished run again from its files, without the model."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
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
from pgf_genome.runs.run import Run, open_run
from pgf_genome.sequence import Genome

log = logging.getLogger("pgf_genome")


def redraw(
    prefix: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    fasta: str | os.PathLike[str] | None = None,
    png: bool = False,
    title: str | None = None,
    assembly: str | None = None,
    plotly: str = PLOTLY[0],
) -> list[Path]:
    """Draw the report of a finished run again, with its time and memory, in constant memory.

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
        If ``fasta`` is given and cannot be read, or is not the run's.
    IntegrityError
        If there is no finished run, or a file of it is damaged.
    """
    run = open_run(prefix)
    record = replace(run.record, title=title or run.record.title)
    page = Path(f"{os.fspath(prefix)}.report.html" if output is None else output)
    require_folder(page.parent, "output")
    gathered = _gathered(run)
    with ExitStack() as stack:
        genome = _genome(run, fasta, stack)
        codes_at = None if genome is None else genome.codes
        values_in = partial(_values, run)
        write_report(
            page, record, gathered, values_in, codes_at, took=True, assembly=assembly, plotly=plotly
        )
    if not png:
        return [page]
    image = page.with_suffix(".png")
    write_image(image, record, gathered)
    return [page, image]


def _gathered(run: Run) -> Gathered:
    """Read every track once and gather the data of the report."""
    gathering = Gathering(run.sizes, run.tracks, run.record.targets, run.record.written)
    for track in run.tracks:
        takers = gathering.takers(track)
        for piece in run.pieces(track):
            for taker in takers:
                taker.add(*piece)
    return gathering.result()


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
