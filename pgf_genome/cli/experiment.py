"""``pgf-genome experiment NAME``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from pgf_genome.cli.values import Bytes, CommaList, Numbers
from pgf_genome.experiments import EXPERIMENTS


@click.group()
def experiment() -> None:
    """Rerun an experiment of the PGF paper (arXiv 2512.23068) on this machine.

    \b
    Writes
      DIR/NAME.csv    every measurement, and the machine
      DIR/NAME.html   paragraph, interactive figure and table; needs no network
      DIR/NAME.md     paragraph and table
    """


INPUTS = {
    "fasta": click.option("--fasta", metavar="FASTA", help="A genome."),
    "gff": click.option("--gff", metavar="GFF3", help="Its genes."),
    "model": click.option(
        "-m", "--model", help="Bundled name, checkpoint directory or hub id [bundled model]."
    ),
}
COMMON = (
    click.option("-o", "--out", default=".", show_default=True, metavar="DIR",
                 help="Where the results go; made if need be."),
    click.option("--quick", is_flag=True, help="Tiny sizes: under a minute or two."),
    click.option("-t", "--threads", type=click.IntRange(min=0), help="0 is all [0]."),
    click.option("--device", help="auto, cpu or cuda[:INDEX] [cpu]."),
    click.option("-q", "--quiet", is_flag=True, help="Only errors on stderr."),
    click.option("-v", "--verbose", is_flag=True, help="Tracebacks of errors."),
)  # fmt: skip


def _with(command: Callable[..., None], *options: Callable) -> Callable[..., None]:
    """A command with options, which its help lists in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def _common(command: Callable[..., None]) -> Callable[..., None]:
    """The options of every experiment."""
    return _with(command, *COMMON)


def _log(quiet: bool, verbose: bool) -> None:
    logging.basicConfig(
        stream=sys.stderr,
        format="pgf-genome: %(message)s",
        level=logging.ERROR if quiet else logging.INFO,
    )
    logging.getLogger("pgf_genome").setLevel(logging.DEBUG if verbose else logging.NOTSET)


def _print(table: Any) -> None:
    if sys.stdout.isatty():
        click.echo(table.to_string(index=False))
    else:
        click.echo(table.to_csv(sep="\t", index=False), nl=False)


def _run(name: str, out: str, quick: bool, quiet: bool, verbose: bool, **options: Any) -> None:
    """Run an experiment with the options that were given, and print its table."""
    _log(quiet, verbose)
    given = {key: value for key, value in options.items() if value is not None}
    lacking = [i for i in EXPERIMENTS[name].inputs if i not in given and i != "model"]
    if lacking:
        raise click.UsageError(f"{name} needs {' and '.join(f'--{i}' for i in lacking)}")
    from pgf_genome.experiments import runner

    _print(runner.run(name, out, quick, **given).shown)


@experiment.command(short_help=EXPERIMENTS["throughput"].summary)
@click.option("--lengths", type=Numbers(), help="Bases [1024,4096,16384].")
@click.option("--methods", type=CommaList(), help="Any of pgf, transformers, mambapy, "
              "transformers-compiled, checkpoint, segments, mamba_ssm [all].")  # fmt: skip
@click.option("--layers", type=int, help="Layers of the model [4].")
@click.option("--width", type=int, help="Its d_model [128].")
@click.option("--segments", type=Numbers(), help="Lengths that the method segments tries, of "
              "which the best counts [256,512,1024,2048].")  # fmt: skip
@click.option("--tiles", type=Numbers(), help="Lengths that ours tries, of which the best counts "
              "[4096, and what attribute chooses].")  # fmt: skip
@click.option("--kept", type=Numbers(), help="Numbers of tiles whose tapes ours keeps, of which "
              "the best counts [1,16].")  # fmt: skip
@click.option("--repeat", type=int, help="Runs whose median counts, after a first [3].")
@click.option("--timeout", type=float, metavar="SECONDS", help="For one method at one length, all "
              "its runs and compilation [300].")  # fmt: skip
@click.option("--max-memory", type=Bytes(), help="Stop a method that holds more [80 % of all].")
@_common
def throughput(**options: Any) -> None:
    """Gradient of one strand by our adjoint sweep and by its peers, side by side.

    Every method differentiates the same log-likelihood of the same random model with respect to
    the same sequence, in a process of its own. One that is not installed, or runs out of memory
    or time, is a row that says so, and is not tried at a longer length.
    """
    _run("throughput", **options)


def _add(name: str) -> None:
    """The command of an experiment that has no options of its own."""

    def command(**options: Any) -> None:
        _run(name, **options)

    entry = EXPERIMENTS[name]
    command.__doc__ = entry.summary
    options = [INPUTS[i] for i in entry.inputs] + list(COMMON)
    experiment.command(name, short_help=entry.summary)(_with(command, *options))


for _name in EXPERIMENTS.keys() - {"throughput"}:
    _add(_name)


@experiment.command("all", short_help="Every experiment, and one page of them.")
@INPUTS["fasta"]
@INPUTS["gff"]
@INPUTS["model"]
@_common
def everything(
    out: str, quick: bool, quiet: bool, verbose: bool, fasta: str | None, gff: str | None,
    model: str | None, **options: Any,
) -> None:  # fmt: skip
    """Run every experiment, and write DIR/all.html and DIR/all.md.

    Those that need a genome or its genes are left out where --fasta or --gff is not given. Prints
    the paper's claims beside what was measured.
    """
    _log(quiet, verbose)
    from pgf_genome.experiments import everything as whole

    given = {key: value for key, value in options.items() if value is not None}
    inputs = {"fasta": fasta, "gff": gff, "model": model}
    inputs = {key: value for key, value in inputs.items() if value is not None}
    _print(whole.claims(whole.run(out, quick, inputs, **given)))
