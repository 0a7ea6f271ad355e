"""``pgf-genome attribute``."""

from __future__ import annotations

import json
import logging
from typing import Any

import click

from pgf_genome import process
from pgf_genome.cli.common import logged, with_device, with_model, with_threads
from pgf_genome.cli.values import Bytes, CommaList


@click.command(short_help="Compute the sensitivity to every base, as genome-browser tracks.")
@click.argument("fasta")
@with_model
@click.option("-o", "--out-prefix", help="Prefix of the outputs [name of FASTA without its "
              "suffix, in the current folder].")  # fmt: skip
@click.option("-r", "--region", multiple=True, help="Write only this region, 1-based: "
              "chr1:1,001-2,000; repeatable.")  # fmt: skip
@click.option("-b", "--bed", multiple=True, help="Write only the intervals of a BED file; "
              "repeatable.")  # fmt: skip
@click.option("--contig", multiple=True, help="Read and write only this contig; repeatable.")
@click.option("--context", type=int, metavar="BASES", help="Bases that the model sees on each "
              "side of a region [all of the segment].")  # fmt: skip
@click.option("--target", multiple=True, metavar="REGION|BED", help="Count only these bases in "
              "the objective; repeatable [all].")  # fmt: skip
@click.option("--objective", default="likelihood", show_default=True,
              help="likelihood (pseudo-likelihood for a bidirectional model), entropy, "
              "logit:BASE or norm.")  # fmt: skip
@click.option("--method", default="corrected", show_default=True,
              help="corrected (gradient on the simplex) or saliency (raw gradient).")  # fmt: skip
@click.option("--track", "tracks", type=CommaList(),
              default="sensitivity,contribution,surprisal", show_default=True,
              help="Any of sensitivity, contribution, tism, tism.A .. tism.T, "
              "surprisal.")  # fmt: skip
@click.option("--strand", default="both", show_default=True,
              help="+, - or both. A causal model on the plus strand alone shows effects on "
              "downstream bases only.")  # fmt: skip
@click.option("--gap-length", type=int, default=10_000, show_default=True,
              help="Restart the model at every run of N of at least this length.")  # fmt: skip
@click.option("--format", "formats", type=CommaList(), default="bedgraph,bigwig",
              show_default=True, help="Any of bedgraph, bigwig.")  # fmt: skip
@click.option("--no-compress", is_flag=True, help="Write plain .bedgraph, not bgzip and tabix.")
@click.option("--track-line", is_flag=True, help="Write a UCSC track line; needs --no-compress.")
@click.option("--bin", "bins", type=int, multiple=True, metavar="BASES",
              help="Also write mean and maximum of bins of this width; repeatable.")  # fmt: skip
@click.option("--chrom-alias", metavar="FILE", help="Rename contigs in the outputs by a table: "
              "UCSC chromAlias, NCBI assembly report, or old and new name.")  # fmt: skip
@click.option("--report/--no-report", default=True, show_default=True,
              help="Write an HTML report.")  # fmt: skip
@with_threads
@with_device
@click.option("--dtype", type=click.Choice(["float32", "float64", "bfloat16"]), default="float32",
              show_default=True, help="bfloat16 applies to matrix products only.")  # fmt: skip
@click.option("--tile", type=int, metavar="BASES", help="Positions per tile [chosen to fit "
              "--max-memory].")  # fmt: skip
@click.option("--window", type=int, metavar="BASES", help="Bases that a bidirectional model sees "
              "at a time [the context it was trained on].")  # fmt: skip
@click.option("--halo", type=int, metavar="BASES", help="Bases on each side of a window that the "
              "model sees but that are not written [1/8 of the window].")  # fmt: skip
@click.option("--n-as-pad", is_flag=True, help="Feed N as the padding token, as Caduceus was "
              "trained.")  # fmt: skip
@click.option("--max-memory", type=Bytes(), help="Keep resident memory below this [1.4G].")
@click.option("--scratch-dir", help="Folder for states and scores during the run [beside the "
              "outputs].")  # fmt: skip
@click.option("--resume/--restart", default=True, help="Continue an interrupted run, or start "
              "it anew [resume].")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print tiles, memory, disk and time, then stop.")
@click.option("--json", "as_json", is_flag=True, help="With --dry-run, print JSON.")
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
    import torch

    from pgf_genome import attribution
    from pgf_genome.checkpoints.load import load_model
    from pgf_genome.cli.progress import Progress

    torch.set_num_threads(threads)
    options["compress"] = not no_compress
    chosen = attribution.Options(**options)
    loaded = load_model(model, device, getattr(torch, dtype), n_as_pad=n_as_pad)
    if dry_run:
        forecast = attribution.dry_run(fasta, loaded, chosen)
        click.echo(json.dumps(forecast.facts(), indent=2) if as_json else forecast)
        return
    with Progress() as progress:
        done = attribution.attribute(fasta, loaded, out_prefix, progress, **options)
    bases, speed = done.record.bases, done.record.performance
    written, read = f"{bases.written:,} bases", f"{bases.read:,} bases"
    logging.getLogger("pgf_genome").info(
        "%s, strand %s, %.1f s, %.2f kbp/s of strand, peak memory %d MiB; %d files: %s.*",
        written if written == read else f"{written} written of {read} read",
        done.record.strand,
        speed.seconds,
        speed.bases_per_second / 1e3,
        speed.peak_memory_bytes // 2**20,
        len(done.files),
        done.prefix,
    )
