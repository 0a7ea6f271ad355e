"""``pgf-genome merge``."""

from __future__ import annotations

import logging

import click

from pgf_genome.cli.common import logged
from pgf_genome.cli.values import CommaList


@click.command(short_help="Join runs over different contigs of one genome.")
@click.argument("prefixes", metavar="PREFIX..", nargs=-1, required=True)
@click.option("-o", "--out-prefix", required=True, help="Prefix of the outputs.")
@click.option("-c", "--chrom-sizes", metavar="FILE", help="A .chrom.sizes or .fai file that gives "
              "the order of the contigs [order of the runs].")  # fmt: skip
@click.option("--format", "formats", type=CommaList(), default="bedgraph,bigwig",
              show_default=True, help="Any of bedgraph, bigwig.")  # fmt: skip
@click.option("--no-compress", is_flag=True, help="Write plain .bedgraph, not bgzip and tabix.")
@logged
def merge(
    prefixes: tuple[str, ...],
    out_prefix: str,
    chrom_sizes: str | None,
    formats: tuple[str, ...],
    no_compress: bool,
) -> None:
    """Join finished `attribute` runs over different contigs of one genome.

    Every PREFIX names a run with bigWig tracks; all must have the same model, FASTA and options.
    The joined tracks are, byte for byte, what one run over all the contigs would have written.

    \b
    Writes
      OUT.<track>.bedgraph.gz (+ .tbi)  values, 0-based half-open; bases not scored: no row
      OUT.<track>.bw                    the same as bigWig
      OUT.chrom.sizes                   names and lengths
      OUT.statistics.json               count, extremes, mean and peaks of every track
      OUT.run.json                      facts that the runs share, objective values, the parts
    """
    from pgf_genome.runs.merge import merge as join

    whole = join(prefixes, out_prefix, chrom_sizes, formats, not no_compress)
    noun = "run" if len(prefixes) == 1 else "runs"
    logging.getLogger("pgf_genome").info(
        "%d %s merged; %d files: %s.*", len(prefixes), noun, len(whole.files), out_prefix
    )
