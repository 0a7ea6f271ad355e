"""``pgf-genome report``."""

from __future__ import annotations

import logging

import click

from pgf_genome.cli.common import Command, logged, shares_plotly, under
from pgf_genome.cli.values import FilePath, RunPrefix

written = under("What is written")


@click.command(
    cls=Command,
    short_help="Draw the report of a finished run again.",
    examples=(
        "pgf-genome report out/chr1",
        "pgf-genome report out/chr1 --gff genes.gff3.gz",
        "pgf-genome report out/chr1 --fasta chr1.fa.gz -o pages/chr1.html --plotly shared",
        'pgf-genome report out/chr1 --genome hg38 --title "Chromosome 1"',
    ),
)
@click.argument("prefix", type=RunPrefix())
@written("-o", "--output", type=FilePath(), help="File for the page [PREFIX.report.html].")
@written("--fasta", type=FilePath(), help="The run's sequence, for the logos [the path that the "
         "run read].")  # fmt: skip
@written("--gff", type=FilePath(), help="GFF3 or GTF of genes, for page and tables [that of the "
         "run].")  # fmt: skip
@written("--chrom-alias", type=FilePath(), help="Table by which contigs of --gff are those of the "
         "run: UCSC chromAlias, NCBI assembly report, or old and new name.")  # fmt: skip
@written("--keep-edges", is_flag=True, help="Also list positions beside an N or an end of a contig "
         "among the strongest, marked.")  # fmt: skip
@written("--title", help="Title of the page [that of the run].")
@written("--genome", metavar="NAME", help="The assembly's name at UCSC, such as hg38, for links to "
         "its browser.")  # fmt: skip
@shares_plotly(written)
@written("--png", is_flag=True, help="Also draw the overview as an image; needs kaleido.")
@logged
def report(
    prefix: str,
    output: str | None,
    fasta: str | None,
    gff: str | None,
    chrom_alias: str | None,
    keep_edges: bool,
    title: str | None,
    genome: str | None,
    plotly: str,
    png: bool,
) -> None:
    """Draw the report of a finished `attribute` run again, from its files alone.

    Reads PREFIX.run.json and the tracks (bigWig if present, else bedGraph); the model is not
    needed. This report also states time and memory, which the report of `attribute` leaves out so
    that every repetition of a run writes the same bytes.

    \b
    Writes
      PREFIX.report.html   one offline page: overview, strongest positions, distributions, facts
      PREFIX.peaks.bed     the strongest sites (narrowPeak), if the sequence is there
      PREFIX.genes.tsv     with --gff: the values on every gene, beside windows like it
      PREFIX.report.png    with --png: the overview

    With -o the tables lie beside the page, and PREFIX's are left as they are.
    """
    from pgf_genome.report.redraw import redraw

    written = redraw(
        *(prefix, output, fasta, png, title, genome, plotly),
        gff=gff,
        chrom_alias=chrom_alias,
        keep_edges=keep_edges,
    )
    logging.getLogger("pgf_genome").info("wrote %s", ", ".join(map(str, written)))
