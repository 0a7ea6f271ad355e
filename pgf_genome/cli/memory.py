"""``pgf-genome memory``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pgf_genome import process
from pgf_genome.cli.common import logged, with_device, with_model, with_threads
from pgf_genome.cli.values import CommaList
from pgf_genome.files import require_folder


@click.command(short_help="Measure how far back a model remembers and its predictions look.")
@click.argument("fasta")
@with_model
@click.option("-o", "--out-prefix", help="Write PREFIX.memory.json and PREFIX.memory.html.")
@click.option("--halo", type=float, metavar="EPS", help="Print only how many bases on each side "
              "hold all but a part EPS of the influence.")  # fmt: skip
@click.option("--measure", type=CommaList(), help="Any of layers, influence [both; influence with "
              "--halo].")  # fmt: skip
@click.option("--drive", "drives", type=CommaList(), default="uniform,markov,real",
              show_default=True, help="Any of uniform, markov, real.")  # fmt: skip
@click.option("--bases", type=int, default=200_000, show_default=True,
              help="Bases of FASTA, in evenly placed stretches, to measure the layers "
              "on.")  # fmt: skip
@click.option("--probes", type=int, default=16, show_default=True,
              help="Predictions to differentiate under every drive.")  # fmt: skip
@click.option("--channels", type=int, default=16, show_default=True,
              help="Channels of every layer whose states are measured.")  # fmt: skip
@click.option("--max-lag", type=int, default=4000, show_default=True,
              help="Longest lag of the memory functions.")  # fmt: skip
@click.option("--span", type=int, default=8192, show_default=True,
              help="Largest number of bases that a probe sees.")  # fmt: skip
@click.option("--tile", type=int, default=1024, show_default=True, help="Positions per tile.")
@click.option("--gap-length", type=int, default=10_000, show_default=True,
              help="Do not measure across runs of N of at least this length.")  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random drives.")
@with_threads
@with_device
@logged
def memory(
    fasta: str,
    model: str,
    out_prefix: str | None,
    halo: float | None,
    measure: tuple[str, ...] | None,
    threads: int,
    device: str,
    **options: Any,
) -> None:
    """Measure on FASTA how much of the past a model holds, and how much of that it uses.

    For every layer of a causal model, one streaming pass measures how well the bases at growing
    lags can be read from its output and from single channels (memory function), and its time
    constants. For every model, exact adjoint probes measure end to end how the influence of a base
    on a prediction falls with distance. There are three drives: uniform random bases, a Markov
    shuffle of the sequence, and the sequence itself. Prints a tab-separated table.

    \b
    Columns
      rank, bias     independent features; the score of as many features that know nothing
      mf_0           memory function at lag 0, the last base
      l_0.5 ..       first lag at which its excess over bias and floor is below 0.5 ..
      capacity       sum of that excess over all lags: memory, in bases
      tau_..         bases in which the slowest state of a channel falls to 1/e
      ecl_0.5 ..     distance within which half .. of the influence lies
      tail           part of the influence in the farther half of --span

    \b
    Writes, with -o
      PREFIX.memory.json   all results, with the functions and profiles
      PREFIX.memory.html   interactive plots; needs no network
    """
    process.tune()
    import torch

    from pgf_genome import memory as library
    from pgf_genome.checkpoints.load import load_model
    from pgf_genome.cli.progress import Progress

    torch.set_num_threads(threads)
    parts = measure or (("influence",) if halo is not None else ("layers", "influence"))
    settings = library.Settings(measure=parts, halo=halo, **options)
    loaded = load_model(model, device)
    if out_prefix is not None:
        require_folder(Path(out_prefix).parent, "out_prefix")
    with Progress() as progress:
        measured = library.measure(fasta, loaded, settings, progress)
    click.echo(library.tsv(measured) if halo is None else measured.halo)
    if out_prefix is not None:
        library.write(measured, out_prefix)
