"""``pgf-genome merge``."""

from __future__ import annotations

import logging

import click

from pgf_genome.attribution.options import FORMATS, Options
from pgf_genome.cli.common import Command, logged, under
from pgf_genome.cli.values import CommaList, FilePath, RunPrefix, listed
from pgf_genome.files import output_prefix

written = under("What is written")


@click.command(
    cls=Command,
    short_help="Join runs over different contigs of one genome.",
    examples=(
        "pgf-genome merge parts/chr1 parts/chr2 -o out/genome",
        "pgf-genome merge parts/chr2 parts/chr1 -o out/sorted -c genome.fa.fai --format bigwig",
    ),
)
@click.argument("prefixes", metavar="PREFIX..", type=RunPrefix(), nargs=-1, required=True)
@written("-o", "--out-prefix", type=FilePath(), metavar="PREFIX", required=True,
         help="Prefix of the outputs.")  # fmt: skip
@written("-c", "--chrom-sizes", type=FilePath(), help="A .chrom.sizes or .fai file that gives the "
         "order of the contigs [order of the runs].")  # fmt: skip
@written("--format", "formats", type=CommaList(FORMATS), default=listed(Options.formats),
         show_default=True, help=f"Any of {', '.join(FORMATS)}.")  # fmt: skip
@written("--no-compress", is_flag=True, help="Write plain .bedgraph, not bgzip and tabix.")
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

    output_prefix(out_prefix)
    whole = join(prefixes, out_prefix, chrom_sizes, formats, not no_compress)
    log = logging.getLogger("pgf_genome")
    log.debug("wrote %s", ", ".join(map(str, whole.files.values())))
    noun = "run" if len(prefixes) == 1 else "runs"
    log.info("%d %s merged; %d files: %s.*", len(prefixes), noun, len(whole.files), out_prefix)
