"""Tables beside the report, for other programs: the strongest sites, and genes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pgf_genome.intervals import Interval
from pgf_genome.report.gathering import Gathered
from pgf_genome.runs.genes import write_genes
from pgf_genome.runs.run import LEADING
from pgf_genome.runs.sites import Site, sites_around, write_peaks
from pgf_genome.sequence.parts import Places

# Values of all tracks, (tracks, length) each, in windows in FASTA order without overlap.
ValuesIn = Callable[[Sequence[Interval]], Sequence[np.ndarray]]


def write_tables(
    prefix: str | os.PathLike[str],
    gathered: Gathered,
    values_in: ValuesIn,
    places: Places | None = None,
) -> dict[str, Path]:
    """Write ``PREFIX.peaks.bed``, and ``PREFIX.genes.tsv`` if features were measured.

    There are no peaks of a run without any of the tracks `LEADING`.

    Parameters
    ----------
    values_in : callable
        As in `write_report`.
    places : Places, optional
        What lies where, for the names of sites.

    Returns
    -------
    dict of str to Path
        The files by kind.

    Raises
    ------
    ResourceError
        If a file cannot be written.
    """
    files: dict[str, Path] = {}
    if gathered.leading in LEADING:
        row = list(gathered.summaries).index(gathered.leading)
        sites = sites_around(
            gathered.strongest,
            gathered.sizes,
            lambda windows: [each[row] for each in values_in(windows)],
            gathered.edges or (),
        )
        files["peaks"] = Path(f"{os.fspath(prefix)}.peaks.bed")
        write_peaks(files["peaks"], sites, None if places is None else _names(places))
    if gathered.measured:
        files["genes"] = Path(f"{os.fspath(prefix)}.genes.tsv")
        write_genes(files["genes"], gathered.measured, gathered.leading)
    return files


def _names(places: Places) -> Callable[[Site], str]:
    """The name of a site: its gene, and outside it the bases to it, negative upstream."""

    def name(site: Site) -> str:
        near = places.near(site.span.contig, site.summit)
        if near is None:
            return "."
        named = "_".join(near.name.split())
        return f"{named}:{near.distance:+d}" if near.distance else named

    return name
