"""``pgf-genome memory``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pgf_genome import process
from pgf_genome.cli.common import (
    RUNNING,
    Command,
    logged,
    under,
    with_device,
    with_model,
    with_threads,
)
from pgf_genome.cli.values import CommaList, FilePath, listed
from pgf_genome.files import output_prefix
from pgf_genome.memory.settings import DRIVES, MEASURES, Settings
from pgf_genome.workspace import claimed, together

MEASURED, WRITTEN = "What is measured", "What is written"
measured, written, running = under(MEASURED), under(WRITTEN), under(RUNNING)


@click.command(
    cls=Command,
    short_help="Measure how far back a model remembers and its predictions look.",
    examples=(
        "pgf-genome memory chr1.fa -o out/chr1",
        "pgf-genome memory chr1.fa --halo 0.01",
        "pgf-genome memory chr1.fa --measure influence --drive real --probes 64 > reach.tsv",
    ),
)
@click.argument("fasta", type=FilePath())
@with_model(MEASURED)
@measured("--measure", type=CommaList(MEASURES), help=f"Any of {', '.join(MEASURES)} [both; "
          "influence with --halo].")  # fmt: skip
@measured("--drive", "drives", type=CommaList(DRIVES), default=listed(Settings.drives),
          show_default=True, help=f"Any of {', '.join(DRIVES)}.")  # fmt: skip
@measured("--bases", type=int, default=Settings.bases, show_default=True,
          help="Bases of FASTA, in evenly placed stretches, to measure the layers on.")  # fmt: skip
@measured("--probes", type=int, default=Settings.probes, show_default=True,
          help="Predictions to differentiate under every drive.")  # fmt: skip
@measured("--channels", type=int, default=Settings.channels, show_default=True,
          help="Channels of every layer whose states are measured.")  # fmt: skip
@measured("--max-lag", type=int, metavar="BASES", default=Settings.max_lag, show_default=True,
          help="Longest lag of the memory functions.")  # fmt: skip
@measured("--span", type=int, metavar="BASES", default=Settings.span, show_default=True,
          help="Largest number of bases that a probe sees.")  # fmt: skip
@measured("--gap-length", type=int, metavar="BASES", default=Settings.gap_length,
          show_default=True, help="Do not measure across runs of N of at least this "
          "length.")  # fmt: skip
@measured("--seed", type=int, default=Settings.seed, show_default=True,
          help="Seed of the random drives.")  # fmt: skip
@written("-o", "--out-prefix", type=FilePath(), metavar="PREFIX",
         help="Write PREFIX.memory.json and PREFIX.memory.html.")  # fmt: skip
@written("--halo", type=float, metavar="EPS", help="Print only how many bases on each side hold "
         "all but a part EPS of the influence.")  # fmt: skip
@with_threads
@with_device
@running("--tile", type=int, metavar="BASES", default=Settings.tile, show_default=True,
         help="Positions per tile.")  # fmt: skip
@logged
def memory(
    fasta: str,
    model: str,
    out_prefix: str | None,
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
    settings = Settings(measure=Settings.measure if measure is None else measure, **options)
    if out_prefix is not None:
        output_prefix(out_prefix)
    import torch

    from pgf_genome.checkpoints.load import load_model
    from pgf_genome.cli.progress import Progress
    from pgf_genome.memory import measurement, output

    torch.set_num_threads(threads)
    loaded = load_model(model, device)
    with claimed(*(() if out_prefix is None else (out_prefix,))):
        with Progress() as progress:
            found = measurement.measure(fasta, loaded, settings, progress)
        click.echo(output.tsv(found) if found.halo is None else found.halo)
        if out_prefix is not None:
            with together(Path(out_prefix), "memory.json") as new:
                output.write(found, new)
