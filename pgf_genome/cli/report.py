"""``pgf-genome report``."""

from __future__ import annotations

import logging
import sys

import click


@click.command(short_help="Draw the report of a finished run again.")
@click.argument("prefix")
@click.option("-o", "--output", metavar="FILE", help="The page [PREFIX.report.html].")
@click.option("--fasta", metavar="FASTA",
              help="The run's sequence, for the logos [where the run found it].")  # fmt: skip
@click.option("--png", is_flag=True, help="The overview as an image too; needs kaleido.")
@click.option("-q", "--quiet", is_flag=True, help="Only errors on stderr.")
@click.option("-v", "--verbose", is_flag=True, help="Tracebacks of errors.")
def report(
    prefix: str, output: str | None, fasta: str | None, png: bool, quiet: bool, verbose: bool
) -> None:
    """Draw the report of a finished `attribute` run again, from its files alone.

    Reads PREFIX.run.json and the tracks (bigWig if there, else bedGraph); the model is not
    needed. Unlike the report that `attribute` writes, which is the same for every repetition of a
    run, it tells time and memory.

    \b
    Writes
      PREFIX.report.html   one offline page: overview, strongest positions, distributions, facts
      PREFIX.report.png    with --png: the overview
    """
    logging.basicConfig(
        stream=sys.stderr,
        format="pgf-genome: %(message)s",
        level=logging.ERROR,  # kaleido tells of its browser at length
    )
    level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO
    logging.getLogger("pgf_genome").setLevel(level)
    from pgf_genome.redraw import redraw

    written = redraw(prefix, output, fasta, png)
    logging.getLogger("pgf_genome").info("wrote %s", ", ".join(map(str, written)))
