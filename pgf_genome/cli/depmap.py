"""``pgf-genome depmap``."""

from __future__ import annotations

import logging
from typing import Any

import click

from pgf_genome import process
from pgf_genome.cli.common import (
    COMPUTED,
    Command,
    computed,
    logged,
    running,
    with_device,
    with_dtype,
    with_model,
    with_threads,
    written,
)
from pgf_genome.cli.values import FilePath
from pgf_genome.effects.depmap.settings import DEFINITIONS, Files, Settings
from pgf_genome.effects.settings import STRANDS

FILES = ("out_prefix", "region", "bed", "gff", "chrom_alias", "scratch_dir")


@click.command(
    cls=Command,
    short_help="Map which bases of a region act on which predictions.",
    examples=(
        "pgf-genome depmap genome.fa -r chr1:1,001-1,200 -o out/locus --gff genes.gff3.gz",
        "pgf-genome depmap genome.fa -b promoters.bed -o out/promoters --definition jacobian-inf",
        "pgf-genome depmap genome.fa -r chr1:1,001-1,060 -o out/blocks --blocks --strand +",
    ),
)
@click.argument("fasta", type=FilePath())
@with_model(COMPUTED)
@computed("-r", "--region", multiple=True, help="Region to map, 1-based: chr1:1,001-2,000; "
          "repeatable.")  # fmt: skip
@computed("-b", "--bed", type=FilePath(), multiple=True, help="Map the intervals of a BED file, "
          "each by itself; repeatable.")  # fmt: skip
@computed("--definition", type=click.Choice(DEFINITIONS), default=Settings.definition,
          show_default=True, help="What a cell is: the largest change of log2 odds, the largest "
          "change of log p, or the corrected Frobenius norm of all changes.")  # fmt: skip
@computed("--first-order", is_flag=True, help="Take derivatives, not changes.")
@computed("--strand", type=click.Choice(STRANDS), default=Settings.strand, show_default=True,
          help="The plus strand fills what is downstream of a base, the minus strand what is "
          "upstream.")  # fmt: skip
@computed("--gap-length", type=int, metavar="BASES", default=Settings.gap_length,
          show_default=True, help="Restart the model at every run of N of at least this "
          "length.")  # fmt: skip
@written("-o", "--out-prefix", type=FilePath(), metavar="PREFIX", required=True,
         help="Prefix of the outputs.")  # fmt: skip
@written("--blocks", is_flag=True, help="Also write all changes of log p, 16 numbers a cell.")
@written("--pairs", type=int, metavar="N", default=Settings.pairs, show_default=True,
         help="Write so many of the strongest pairs of each region.")  # fmt: skip
@written("--min-distance", type=int, metavar="BASES", default=Settings.min_distance,
         show_default=True, help="Least distance of the two of a pair.")  # fmt: skip
@written("--gff", type=FilePath(), help="GFF3 or GTF: draw its genes, tRNAs among them, in the "
         "heat maps.")  # fmt: skip
@written("--chrom-alias", type=FilePath(), help="Other names of contigs, in the GFF file: UCSC "
         "chromAlias, NCBI assembly report, or two columns.")  # fmt: skip
@written("--report/--no-report", default=Settings.report, show_default=True,
         help="Write an HTML page with the heat maps.")  # fmt: skip
@with_threads
@with_device
@with_dtype
@running("--scratch-dir", type=FilePath(folder=True), help="Folder for temporary files [beside "
         "the outputs].")  # fmt: skip
@logged
def depmap(fasta: str, model: str, threads: int, device: str, dtype: str, **options: Any) -> None:
    """Map what every base of a region does to every prediction in it.

    Each base of the region is replaced by the three others, and a causal model predicts the region
    again, from the exact state behind everything that lies before it on the contig; nothing is cut
    into windows. Rows are substituted positions, columns predicted ones. The plus strand fills one
    triangle, the minus strand the other. Regions of one contig share one sweep over it. FASTA is
    plain, gzip or bgzip; "-" is standard input.

    \b
    Definitions
      logodds-max    largest change of the log2 odds of a base, bits (Tomaz da Silva 2025)
      jacobian-inf   largest change of log p, nats, mean of (i, j) and (j, i) (GPN-Star)
      frobenius-apc  norm of all centred changes, nats, symmetric, average product corrected

    \b
    Writes
      PREFIX.depmap.npz    map (n, n), sequence, coordinates, definition; blocks (n, 4, n, 4)
      PREFIX.depmap.html   interactive heat maps; needs no network
      PREFIX.depmap.bedpe  strongest pairs, which IGV draws as arcs
      PREFIX.depmap.json   versions, digests, arguments, time, memory

    Several regions have an array file each, PREFIX.depmap.CONTIG_FIRST-LAST.npz.
    """
    process.tune()
    files = Files(**{name: options.pop(name) for name in FILES})
    settings = Settings(**options)
    files.require_folders()
    import torch

    from pgf_genome.checkpoints.load import load_model
    from pgf_genome.cli.progress import Progress
    from pgf_genome.effects.depmap.run import map_regions

    torch.set_num_threads(threads)
    loaded = load_model(model, device, dtype)
    with Progress() as progress:
        done = map_regions(fasta, loaded, files, settings, threads, progress)
    logging.getLogger("pgf_genome").info(
        "%d region%s, %s, strand %s, %.1f s, peak memory %d MiB; %d files: %s.depmap.*",
        done.regions,
        "" if done.regions == 1 else "s",
        settings.definition,
        settings.strand,
        done.seconds,
        process.peak_memory() // 2**20,
        len(done.files),
        files.out_prefix,
    )
