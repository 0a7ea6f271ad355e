"""``pgf-genome attribute``."""

from __future__ import annotations

import json
import logging
from typing import Any

import click

from pgf_genome import process
from pgf_genome.alphabet import BASES
from pgf_genome.attribution.methods import DEFAULT_TRACKS, GRADIENT_TRACKS, GRADIENTS
from pgf_genome.attribution.options import FORMATS, OBJECTIVES, STRANDS, Arguments, Options
from pgf_genome.checkpoints.choices import DEFAULT_DTYPE, DTYPES
from pgf_genome.cli.common import (
    RUNNING,
    Command,
    logged,
    under,
    with_device,
    with_model,
    with_threads,
)
from pgf_genome.cli.values import Bytes, CommaList, FilePath, Word, listed
from pgf_genome.engine.plan import DEFAULT_MEMORY, HALO_SHARE
from pgf_genome.files import output_prefix
from pgf_genome.quantities import size_text

COMPUTED, WRITTEN = "What is computed", "What is written"
computed, written, running = under(COMPUTED), under(WRITTEN), under(RUNNING)
OBJECTIVE_NAMES = [o.replace("BASE", base) for o in OBJECTIVES for base in BASES]


@click.command(
    cls=Command,
    short_help="Compute the sensitivity to every base, as genome-browser tracks.",
    examples=(
        "pgf-genome attribute chr1.fa.gz -o out/chr1",
        "pgf-genome attribute genome.fa --contig chr1 --track contribution --strand + -t 8",
        "pgf-genome attribute genome.fa -r chr1:1,001-1,500 --context 500 -o out/region",
    ),
)
@click.argument("fasta", type=FilePath())
@with_model(COMPUTED)
@computed("--objective", type=Word(list(dict.fromkeys(OBJECTIVE_NAMES))),
          default=Options.objective, show_default=True,
          help="likelihood (pseudo-likelihood for a bidirectional model), entropy, logit:BASE or "
          "norm.")  # fmt: skip
@computed("--target", type=FilePath(), multiple=True, metavar="REGION|BED",
          help="Count only these bases in the objective; repeatable [all].")  # fmt: skip
@computed("--method", type=click.Choice(GRADIENTS), default=Options.method, show_default=True,
          help="corrected (gradient on the simplex) or saliency (raw gradient).")  # fmt: skip
@computed("--strand", type=click.Choice(list(STRANDS)), default=Options.strand, show_default=True,
          help="A causal model on the plus strand alone shows effects on downstream bases "
          "only.")  # fmt: skip
@computed("--context", type=int, metavar="BASES", help="Bases that the model sees on each side of "
          "a region [all of the segment].")  # fmt: skip
@computed("--gap-length", type=int, metavar="BASES", default=Options.gap_length,
          show_default=True, help="Restart the model at every run of N of at least this "
          "length.")  # fmt: skip
@computed("--n-as-pad", is_flag=True, help="Feed N as the padding token, as Caduceus was "
          "trained.")  # fmt: skip
@computed("--window", type=int, metavar="BASES", help="Bases that a bidirectional model sees at a "
          "time [the context it was trained on].")  # fmt: skip
@computed("--halo", type=int, metavar="BASES", help="Bases on each side of a window that the "
          f"model sees but that are not written [1/{HALO_SHARE} of the window].")  # fmt: skip
@written("-o", "--out-prefix", type=FilePath(), metavar="PREFIX", help="Prefix of the outputs "
         "[name of FASTA without its suffix, in the current folder].")  # fmt: skip
@written("-r", "--region", multiple=True, help="Write only this region, 1-based: "
         "chr1:1,001-2,000; repeatable.")  # fmt: skip
@written("-b", "--bed", type=FilePath(), multiple=True, help="Write only the intervals of a BED "
         "file; repeatable.")  # fmt: skip
@written("--contig", multiple=True, help="Read and write only this contig; repeatable.")
@written("--track", "tracks", type=CommaList(["tism", *GRADIENT_TRACKS]), default=Options.tracks,
         show_default=listed(DEFAULT_TRACKS), help="Any of sensitivity, contribution, tism, "
         "tism.A .. tism.T, surprisal.")  # fmt: skip
@written("--format", "formats", type=CommaList(FORMATS), default=listed(Options.formats),
         show_default=True, help=f"Any of {', '.join(FORMATS)}.")  # fmt: skip
@written("--no-compress", is_flag=True, help="Write plain .bedgraph, not bgzip and tabix.")
@written("--track-line", is_flag=True, help="Write a UCSC track line; needs --no-compress.")
@written("--bin", "bins", type=int, multiple=True, metavar="BASES",
         help="Also write mean and maximum of bins of this width; repeatable.")  # fmt: skip
@written("--chrom-alias", type=FilePath(), help="Rename contigs in the outputs by a table: UCSC "
         "chromAlias, NCBI assembly report, or old and new name.")  # fmt: skip
@written("--report/--no-report", default=Options.report, show_default=True,
         help="Write an HTML report.")  # fmt: skip
@with_threads
@with_device
@running("--dtype", type=click.Choice(DTYPES), default=DEFAULT_DTYPE, show_default=True,
         help="bfloat16 applies to matrix products only.")  # fmt: skip
@running("--tile", type=int, metavar="BASES", help="Positions per tile [chosen to fit "
         "--max-memory].")  # fmt: skip
@running("--max-memory", type=Bytes(), help="Keep resident memory below this "
         f"[{size_text(DEFAULT_MEMORY)}].")  # fmt: skip
@running("--scratch-dir", type=FilePath(folder=True), help="Folder for states and scores during "
         "the run [beside the outputs].")  # fmt: skip
@running("--resume/--restart", default=Options.resume, show_default=True, help="Continue an "
         "interrupted run, or start it anew.")  # fmt: skip
@running("--dry-run", is_flag=True, help="Print tiles, memory, disk and time, then stop.")
@running("--json", "as_json", is_flag=True, help="With --dry-run, print JSON.")
@logged
def attribute(
    fasta: str,
    model: str,
    out_prefix: str | None,
    no_compress: bool,
    threads: int,
    device: str,
    dtype: str,
    n_as_pad: bool,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Compute the exact derivative of an objective with respect to every base of FASTA.

    FASTA is plain, gzip or bgzip; "-" is standard input. Every contig is streamed through a
    pretrained causal Mamba model, forward and back, in memory that does not grow with it. A
    bidirectional model (Caduceus) reads windows with halos instead.

    \b
    Writes
      PREFIX.<track>.bedgraph.gz (+ .tbi)  values, 0-based half-open; bases not scored: no row
      PREFIX.<track>.bw                    the same as bigWig
      PREFIX.chrom.sizes                   names and lengths
      PREFIX.report.html                   overview, distribution, strongest positions
      PREFIX.run.json                      versions, digests, objective values, conventions

    With --bin N also PREFIX.<track>.binN.mean and .max, in the same formats.
    """
    process.tune()
    if as_json and not dry_run:
        raise click.UsageError("--json goes with --dry-run")
    given = Arguments(
        fasta, out_prefix=out_prefix, threads=threads, compress=not no_compress, **options
    )
    if not dry_run:
        output_prefix(given.prefix)
    import torch

    from pgf_genome.attribution import run
    from pgf_genome.checkpoints.load import load_model
    from pgf_genome.cli.progress import Progress

    torch.set_num_threads(threads)
    loaded = load_model(model, device, dtype, n_as_pad=n_as_pad)
    if dry_run:
        forecast = run.dry_run(fasta, loaded, given.options)
        click.echo(json.dumps(forecast.facts(), indent=2) if as_json else forecast)
        return
    with Progress() as progress:
        done = run.attribute(fasta, loaded, given.prefix, progress, **vars(given.options))
    bases, speed = done.record.bases, done.record.performance
    in_rows, read = f"{bases.written:,} bases", f"{bases.read:,} bases"
    logging.getLogger("pgf_genome").info(
        "%s, strand %s, %.1f s, %.2f kbp/s of strand, peak memory %d MiB; %d files: %s.*",
        in_rows if in_rows == read else f"{in_rows} written of {read} read",
        done.record.strand,
        speed.seconds,
        speed.bases_per_second / 1e3,
        speed.peak_memory_bytes // 2**20,
        len(done.files),
        done.prefix,
    )
