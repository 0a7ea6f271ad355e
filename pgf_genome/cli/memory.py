"""``pgf-genome memory``."""

from __future__ import annotations

import logging
import sys
from typing import Any

import click

from pgf_genome import process
from pgf_genome.cli.values import CommaList


@click.command(short_help="How far a model remembers, and how far its predictions look.")
@click.argument("fasta")
@click.option("-m", "--model", help="Bundled name, checkpoint directory or hub id "
              "[bundled model].")  # fmt: skip
@click.option("-o", "--out-prefix", help="Write PREFIX.memory.json and PREFIX.memory.html.")
@click.option("--halo", type=float, metavar="EPS", help="Print only how many bases on either side "
              "hold all but EPS of the influence.")  # fmt: skip
@click.option("--measure", type=CommaList(), help="Any of layers, influence [both; with --halo "
              "influence].")  # fmt: skip
@click.option("--drive", "drives", type=CommaList(), default="uniform,markov,real",
              show_default=True, help="Any of uniform, markov, real.")  # fmt: skip
@click.option("--bases", type=int, default=200_000, show_default=True,
              help="Of FASTA, evenly placed, that the layers are measured on.")  # fmt: skip
@click.option("--probes", type=int, default=16, show_default=True,
              help="Predictions that are differentiated, of every drive.")  # fmt: skip
@click.option("--channels", type=int, default=16, show_default=True,
              help="Of every layer whose states are measured.")  # fmt: skip
@click.option("--max-lag", type=int, default=4000, show_default=True,
              help="Longest lag of the memory functions.")  # fmt: skip
@click.option("--span", type=int, default=8192, show_default=True,
              help="Bases before a prediction that a probe sees at most.")  # fmt: skip
@click.option("--tile", type=int, default=1024, show_default=True, help="Positions per tile.")
@click.option("--gap-length", type=int, default=10_000, show_default=True,
              help="Runs of N at least so long are not measured across.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random drives.")
@click.option("-t", "--threads", type=click.IntRange(min=0), default=0, help="0 is all [0].")
@click.option("--device", default="cpu", show_default=True, help="auto, cpu or cuda[:INDEX].")
@click.option("-q", "--quiet", is_flag=True, help="Only errors on stderr.")
@click.option("-v", "--verbose", is_flag=True, help="Log more, and tracebacks of errors.")
def memory(
    fasta: str,
    model: str | None,
    out_prefix: str | None,
    halo: float | None,
    measure: tuple[str, ...] | None,
    threads: int,
    device: str,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Measure how much of the past a model holds, and how much of it it uses, on FASTA.

    For every layer of a causal model, in one streaming pass: how well the bases at growing lags
    can be read from its output and from single channels (memory function), and its time
    constants. For every model, end to end: how the influence of a base on a prediction falls
    with distance, by exact adjoint probes. Under three drives: uniform random bases, a Markov
    shuffle of the sequence, and the sequence itself. Prints a table, tab-separated.

    \b
    Columns
      bias, rank     what features that know nothing score; independent features
      mf_0           memory function at lag 0, the last base
      l_0.5 ..       first lag at which it is below 0.5 .., above bias and floor
      capacity       its sum over all lags: bases' worth of memory
      tau_..         bases in which the slowest state of a channel falls to 1/e
      ecl_0.5 ..     distance within which half .. of the influence lies
      tail           part of the influence in the farther half of --span

    \b
    Writes, with -o
      PREFIX.memory.json   all of it, with the functions and profiles
      PREFIX.memory.html   interactive plots; needs no network
    """
    logging.basicConfig(
        stream=sys.stderr,
        format="pgf-genome: %(message)s",
        level=logging.ERROR if quiet else logging.INFO,
    )
    logging.getLogger("pgf_genome").setLevel(logging.DEBUG if verbose else logging.NOTSET)
    process.tune()
    import torch

    from pgf_genome import memory as library
    from pgf_genome.checkpoints.load import load_model
    from pgf_genome.checkpoints.source import DEFAULT_MODEL
    from pgf_genome.cli.progress import Progress

    torch.set_num_threads(threads or process.usable_cores())
    parts = measure or (("influence",) if halo is not None else ("layers", "influence"))
    settings = library.Settings(measure=parts, halo=halo, **options)
    loaded = load_model(model or DEFAULT_MODEL, device)
    with Progress(quiet) as progress:
        found = library.measure(fasta, loaded, settings, progress)
    if out_prefix is not None:
        library.write(found, out_prefix)
    click.echo(library.tsv(found) if halo is None else found.halo)
