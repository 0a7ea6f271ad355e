"""``pgf-genome experiment NAME``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from pgf_genome.cli.common import logged
from pgf_genome.cli.values import Bytes, CommaList, Numbers
from pgf_genome.experiments import EXPERIMENTS


@click.group()
def experiment() -> None:
    """Run the experiments of the PGF paper (arXiv 2512.23068), and others, on this machine.

    \b
    Writes
      DIR/NAME.csv    every measurement, and the machine
      DIR/NAME.html   paragraph, interactive figure and table; needs no network
      DIR/NAME.md     paragraph and table
    """


INPUTS = {
    "fasta": click.option("--fasta", metavar="FASTA", help="Genome to work on."),
    "gff": click.option("--gff", metavar="GFF3", help="Genes of that genome."),
    "model": click.option(
        "-m", "--model", help="Bundled name, checkpoint directory or hub id [bundled model]."
    ),
}
COMMON = (
    click.option("-o", "--out", default=".", show_default=True, metavar="DIR",
                 help="Folder for the results; made if it does not exist."),
    click.option("--quick", is_flag=True, help="Use tiny sizes, to finish in a minute or two."),
    click.option("-t", "--threads", type=click.IntRange(min=0),
                 help="Number of threads; 0 uses all cores [0]."),
    click.option("--device", help="auto, cpu or cuda[:INDEX] [cpu]."),
)  # fmt: skip


def _with(command: Callable[..., None], *options: Callable) -> Callable[..., None]:
    """Add options to a command; its help lists them in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every experiment has."""
    return _with(logged(command), *COMMON)


def _print(table: Any) -> None:
    if sys.stdout.isatty():
        click.echo(table.to_string(index=False))
    else:
        click.echo(table.to_csv(sep="\t", index=False), nl=False)


def _run(name: str, out: str, quick: bool, **options: Any) -> None:
    """Run an experiment with the options that were given, and print its table."""
    given = {key: value for key, value in options.items() if value is not None}
    lacking = [i for i in EXPERIMENTS[name].inputs if i not in given and i != "model"]
    if lacking:
        raise click.UsageError(f"{name} needs {' and '.join(f'--{i}' for i in lacking)}")
    from pgf_genome.experiments import runner

    _print(runner.run(name, out, quick, **given).shown)


@experiment.command(short_help=EXPERIMENTS["throughput"].summary)
@click.option("--lengths", type=Numbers(), help="Sequence lengths in bases [1024,4096,16384].")
@click.option("--methods", type=CommaList(), help="Any of pgf, transformers, mambapy, "
              "transformers-compiled, checkpoint, segments, mamba_ssm [all].")  # fmt: skip
@click.option("--layers", type=int, help="Layers of the model [4].")
@click.option("--width", type=int, help="Width (d_model) of the model [128].")
@click.option("--segments", type=Numbers(), help="Segment lengths that the method segments tries; "
              "the fastest counts [256,512,1024,2048].")  # fmt: skip
@click.option("--tiles", type=Numbers(), help="Tile lengths that pgf tries; the fastest counts "
              "[4096, and what attribute chooses].")  # fmt: skip
@click.option("--kept", type=Numbers(), help="Numbers of tiles whose tapes pgf keeps; the "
              "fastest counts [1,16].")  # fmt: skip
@click.option("--repeat", type=int, help="Timed runs, after a warm-up; the median counts [3].")
@click.option("--timeout", type=float, metavar="SECONDS", help="Limit for one method at one "
              "length, with all runs and compilation [300].")  # fmt: skip
@click.option("--max-memory", type=Bytes(), help="Stop a method that uses more memory than this "
              "[80 % of the machine's].")  # fmt: skip
@_common
def throughput(**options: Any) -> None:
    """Compare speed and memory of one strand's gradient by the adjoint sweep and by its peers.

    Every method differentiates the same log-likelihood of the same random model with respect to
    the same sequence, in a process of its own. A method that is not installed, or runs out of
    memory or time, gets a row that says so, and is not tried at a longer length.
    """
    _run("throughput", **options)


def _add(name: str) -> None:
    """Add the command of an experiment that has no options of its own."""

    def command(**options: Any) -> None:
        _run(name, **options)

    entry = EXPERIMENTS[name]
    command.__doc__ = entry.summary
    options = [INPUTS[i] for i in entry.inputs] + list(COMMON)
    experiment.command(name, short_help=entry.summary)(_with(logged(command), *options))


for _name in EXPERIMENTS.keys() - {"throughput"}:
    _add(_name)


@experiment.command("all", short_help="Run every experiment, and write one page for all.")
@INPUTS["fasta"]
@INPUTS["gff"]
@INPUTS["model"]
@_common
def everything(
    out: str, quick: bool, fasta: str | None, gff: str | None, model: str | None, **options: Any
) -> None:
    """Run every experiment, and write DIR/all.html and DIR/all.md.

    Experiments that need a genome or its genes are left out if --fasta or --gff is not given.
    Prints the claims beside what was measured.
    """
    from pgf_genome.experiments import everything as whole

    given = {key: value for key, value in options.items() if value is not None}
    files = {"fasta": fasta, "gff": gff, "model": model}
    inputs = {key: value for key, value in files.items() if value is not None}
    _print(whole.claims(whole.run(out, quick, inputs, **given)))
