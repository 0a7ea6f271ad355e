"""``pgf-genome impulse``."""

from __future__ import annotations

import logging
from typing import Any

import click

from pgf_genome import process
from pgf_genome.checkpoints.choices import DEFAULT_DTYPE, DTYPES
from pgf_genome.cli.common import (
    COMPUTED,
    Command,
    computed,
    logged,
    running,
    with_device,
    with_model,
    with_threads,
    written,
)
from pgf_genome.cli.values import CommaList, FilePath, listed
from pgf_genome.effects.pulses.settings import FORMATS, KINDS, STRANDS, Options
from pgf_genome.files import output_prefix


@click.command(
    cls=Command,
    short_help="Follow what one change does to every prediction after it.",
    examples=(
        "pgf-genome impulse chr1.fa --at chr1:1,000 -o out/chr1",
        "pgf-genome impulse genome.fa --at chr1:200 --at chr1:400 --strand both -o out/two",
        "pgf-genome impulse chr1.fa.gz --at chr1:1,000 --kind tangent --dtype float64 -o out/slope",
    ),
)
@click.argument("fasta", type=FilePath())
@with_model(COMPUTED)
@computed("--at", multiple=True, required=True, metavar="SITE", help="1-based position and "
          "change, quoted: 'chr1:1,001:A>G'; without a change, all three; "
          "repeatable.")  # fmt: skip
@computed("--kind", type=click.Choice(KINDS), default=Options.kind, show_default=True,
          help="substitution (the change by another base) or tangent (the derivative towards "
          "it).")  # fmt: skip
@computed("--strand", type=click.Choice(list(STRANDS)), default=Options.strand, show_default=True,
          help="Strand that the model reads: + responds downstream, - upstream, both on either "
          "side.")  # fmt: skip
@computed("--gap-length", type=int, metavar="BASES", default=Options.gap_length,
          show_default=True, help="Restart the model at every run of N of at least this "
          "length.")  # fmt: skip
@written("-o", "--out-prefix", type=FilePath(), required=True, metavar="PREFIX",
         help="Prefix of the outputs.")  # fmt: skip
@written("--format", "formats", type=CommaList(FORMATS), default=listed(Options.formats),
         show_default=True, help=f"Any of {', '.join(FORMATS)}.")  # fmt: skip
@written("--no-compress", is_flag=True, help="Write plain .bedgraph, not bgzip and tabix.")
@with_threads
@with_device
@running("--dtype", type=click.Choice(DTYPES), default=DEFAULT_DTYPE, show_default=True,
         help="float64 has a noise floor far below; bfloat16 applies to matrix products "
         "only.")  # fmt: skip
@running("--tile", type=int, metavar="BASES", default=Options.tile, show_default=True,
         help="Positions per tile.")  # fmt: skip
@running("--scratch-dir", type=FilePath(folder=True), help="Folder for temporary files, 8 bytes "
         "per base and change [beside the outputs].")  # fmt: skip
@logged
def impulse(
    fasta: str,
    model: str,
    out_prefix: str,
    no_compress: bool,
    threads: int,
    device: str,
    dtype: str,
    **options: Any,
) -> None:
    """Follow the response of all predictions to one change of a base of FASTA.

    One sweep carries a causal model to the site, and from there on the sequence is read with and
    without the change, to the end of the contig or to the next assembly gap. All sites of a segment
    share that sweep. Memory does not grow with the contig. FASTA is plain, gzip or bgzip; "-" is
    standard input.

    \b
    Writes, NAME being chr1-1001-A-G
      PREFIX.impulse.NAME.bedgraph.gz, .bw  norm of the change of log p over A, C, G, T, nats
      PREFIX.change.NAME.bedgraph.gz, .bw   change of log p of the observed base, signed
      PREFIX.impulse.html                   response against distance, with the noise floor
      PREFIX.impulse.tsv                    the furthest responses above it
      PREFIX.impulse.json                   versions, digests, arguments, bins, time and memory
    """
    process.tune()
    given = Options(compress=not no_compress, **options)
    output_prefix(out_prefix)
    import torch

    from pgf_genome.checkpoints.load import load_model
    from pgf_genome.cli.progress import Progress
    from pgf_genome.effects.pulses.run import run

    torch.set_num_threads(threads)
    loaded = load_model(model, device, dtype)
    with Progress() as progress:
        found = run(fasta, loaded, out_prefix, given, threads, progress)
    for line in found:
        logging.getLogger("pgf_genome").info(line)
