"""Options and course of the commands that write tracks of a genome: attribute and mutagenesis."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from pgf_genome import process
from pgf_genome.alphabet import BASES
from pgf_genome.attribution.options import ALL_FORMATS, OBJECTIVES, STRANDS, Arguments, Options
from pgf_genome.cli.common import (
    COMPUTED,
    Function,
    computed,
    require_passed,
    running,
    shares_plotly,
    with_device,
    with_dtype,
    with_model,
    with_threads,
    written,
)
from pgf_genome.cli.values import BasesOrAll, Bytes, CommaList, FilePath, Word, listed
from pgf_genome.engine.plan import DEFAULT_MEMORY
from pgf_genome.files import output_prefix
from pgf_genome.quantities import size_text

if TYPE_CHECKING:
    from pgf_genome.mamba.model import LanguageModel

OBJECTIVE_NAMES = [o.replace("BASE", base) for o in OBJECTIVES for base in BASES]

OPTIONS: tuple[Function, ...] = (
    with_model(COMPUTED),
    computed(
        "--objective",
        type=Word(list(dict.fromkeys(OBJECTIVE_NAMES))),
        default=Options.objective,
        show_default=True,
        help="likelihood (pseudo-likelihood for a bidirectional model), entropy, "
        "logit:BASE or norm.",
    ),
    computed(
        "--target",
        type=FilePath(),
        multiple=True,
        metavar="REGION|BED",
        help="Count only these bases in the objective; repeatable [all].",
    ),
    computed(
        "--strand",
        type=click.Choice(list(STRANDS)),
        default=Options.strand,
        show_default=True,
        help="A causal model on the plus strand alone shows effects on downstream bases only.",
    ),
    computed(
        "--context",
        type=int,
        metavar="BASES",
        help="Bases that the model sees on each side of a region [all of the segment].",
    ),
    computed(
        "--gap-length",
        type=int,
        metavar="BASES",
        default=Options.gap_length,
        show_default=True,
        help="Restart the model at every run of N of at least this length.",
    ),
    computed(
        "--window",
        type=BasesOrAll(),
        help="Bases that a bidirectional model sees at a time [the context it was trained on]; "
        "all: the whole contig, exactly, with activations on disk.",
    ),
    written(
        "-o",
        "--out-prefix",
        type=FilePath(),
        metavar="PREFIX",
        help="Prefix of the outputs [name of FASTA without its suffix, in the current folder].",
    ),
    written(
        "-r",
        "--region",
        multiple=True,
        help="Write only this region, 1-based: chr1:1,001-2,000; repeatable.",
    ),
    written(
        "-b",
        "--bed",
        type=FilePath(),
        multiple=True,
        help="Write only the intervals of a BED file; repeatable.",
    ),
    written("--contig", multiple=True, help="Read and write only this contig; repeatable."),
    written(
        "--format",
        "formats",
        type=CommaList(ALL_FORMATS),
        default=listed(Options.formats),
        show_default=True,
        help=f"Any of {', '.join(ALL_FORMATS)}; npz is for motif discovery, with -r or -b.",
    ),
    written("--no-compress", is_flag=True, help="Write plain .bedgraph, not bgzip and tabix."),
    written("--track-line", is_flag=True, help="Write a UCSC track line; needs --no-compress."),
    written(
        "--bin",
        "bins",
        type=int,
        multiple=True,
        metavar="BASES",
        help="Also write mean and maximum of bins of this width; repeatable.",
    ),
    written(
        "--chrom-alias",
        type=FilePath(),
        help="Rename contigs in the outputs by a table: UCSC "
        "chromAlias, NCBI assembly report, or old and new name.",
    ),
    written(
        "--tsv",
        is_flag=True,
        help="Also write PREFIX.tsv.gz, a row for every base with the values of all tracks.",
    ),
    written(
        "--gff",
        type=FilePath(),
        help="GFF3 or GTF: write PREFIX.genes.tsv, and name genes in report, peaks and heat maps.",
    ),
    written(
        "--shuffled",
        type=int,
        metavar="BASES",
        help="Bases of dinucleotide-shuffled sequence, to compare quantiles with; 0 for none "
        "[2 % of those written].",
    ),
    written(
        "--keep-edges",
        is_flag=True,
        help="Also list positions beside an N or an end of a contig among the strongest, marked.",
    ),
    written(
        "--report/--no-report",
        default=Options.report,
        show_default=True,
        help="Write an HTML report.",
    ),
    written("--title", help="Title of the run and its report [made of the name of FASTA]."),
    shares_plotly(written),
    with_threads,
    with_device,
    with_dtype,
    running(
        "--tile", type=int, metavar="BASES", help="Positions per tile [chosen to fit --max-memory]."
    ),
    running(
        "--max-memory",
        type=Bytes(),
        help=f"Keep resident memory below this [{size_text(DEFAULT_MEMORY)}].",
    ),
    running(
        "--store-every",
        type=int,
        metavar="K",
        default=Options.store_every,
        show_default=True,
        help="With --window all, keep every K-th layer on disk and compute the others again.",
    ),
    running(
        "--scratch-dir",
        type=FilePath(folder=True),
        help="Folder for states and scores during the run [beside the outputs].",
    ),
    running(
        "--resume/--restart",
        default=Options.resume,
        show_default=True,
        help="Continue an interrupted run, or start it anew.",
    ),
    running(
        "--verify",
        "verified",
        is_flag=True,
        help="Check the run at places drawn from it; the certificate is in report and run.json.",
    ),
    running("--dry-run", is_flag=True, help="Print tiles, memory, disk and time, then stop."),
    running("--json", "as_json", is_flag=True, help="With --dry-run, print JSON."),
)


def writes_tracks(function: Function) -> Function:
    """Give a command the options of `OPTIONS`."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def run(
    fasta: str,
    *,
    model: str,
    out_prefix: str | None,
    no_compress: bool,
    threads: int,
    device: str,
    dtype: str,
    verified: bool,
    dry_run: bool,
    as_json: bool,
    n_as_pad: bool = False,
    fitted: Callable[[Options, LanguageModel], Options] = lambda options, model: options,
    **options: Any,
) -> None:
    """Write tracks, or print what that would take; options are those of `attribute`.

    Parameters
    ----------
    fitted : callable
        Gives the options as the model needs them.
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
    from pgf_genome.report.quantiles import quantiles_in_words
    from pgf_genome.runs.run import leading

    torch.set_num_threads(threads)
    loaded = load_model(model, device, dtype, n_as_pad=n_as_pad)
    chosen = fitted(given.options, loaded)
    if dry_run:
        forecast = run.dry_run(fasta, loaded, chosen, given.prefix)
        click.echo(json.dumps(forecast.facts(), indent=2) if as_json else forecast)
        return
    certify: Any = None
    if verified:
        from pgf_genome.verification.certify import certify
    with Progress() as progress:
        done = run.attribute(fasta, loaded, given.prefix, progress, certify, **vars(chosen))
    log = logging.getLogger("pgf_genome")
    log.info("%s", quantiles_in_words(done.record, leading(done.tracks)))
    bases, speed = done.record.bases, done.record.performance
    in_rows, read = f"{bases.written:,} bases", f"{bases.read:,} bases"
    log.info(
        "%s, strand %s, %.1f s, %.2f kbp/s of strand, peak memory %d MiB; %d files: %s.*",
        in_rows if in_rows == read else f"{in_rows} written of {read} read",
        done.record.strand,
        speed.seconds,
        speed.bases_per_second / 1e3,
        speed.peak_memory_bytes // 2**20,
        len(done.files),
        done.prefix,
    )
    if done.record.certificate is not None:
        require_passed(done.record.certificate, f"{done.prefix}.run.json")
