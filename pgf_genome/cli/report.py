"""``pgf-genome report``."""

from __future__ import annotations

import logging
import sys

import click


@click.command(short_help="Draw the report of a finished run again.")
@click.argument("prefix")
@click.option("-o", "--output", metavar="FILE", help="File for the page [PREFIX.report.html].")
@click.option("--fasta", metavar="FASTA",
              help="The run's sequence, for the logos [the path that the run read].")  # fmt: skip
@click.option("--png", is_flag=True, help="Also draw the overview as an image; needs kaleido.")
@click.option("-q", "--quiet", is_flag=True, help="Print only errors on stderr.")
@click.option("-v", "--verbose", is_flag=True, help="Print tracebacks of errors.")
def report(
    prefix: str, output: str | None, fasta: str | None, png: bool, quiet: bool, verbose: bool
) -> None:
    """Draw the report of a finished `attribute` run again, from its files alone.

    Reads PREFIX.run.json and the tracks (bigWig if present, else bedGraph); the model is not
    needed. This report also states time and memory, which the report of `attribute` leaves out so
    that every repetition of a run writes the same bytes.

    \b
    Writes
      PREFIX.report.html   one offline page: overview, strongest positions, distributions, facts
      PREFIX.report.png    with --png: the overview
    """
    logging.basicConfig(
        stream=sys.stderr,
        format="pgf-genome: %(message)s",
        level=logging.ERROR,  # kaleido logs much about its browser
    )
    level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO
    logging.getLogger("pgf_genome").setLevel(level)
    from pgf_genome.redraw import redraw

    written = redraw(prefix, output, fasta, png)
    logging.getLogger("pgf_genome").info("wrote %s", ", ".join(map(str, written)))
