"""``pgf-genome experiment NAME``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from pgf_genome.cli.common import (
    RUNNING,
    Command,
    logged,
    under,
    with_device,
    with_model,
    with_threads,
)
from pgf_genome.cli.values import Bytes, CommaList, FilePath, Numbers, listed
from pgf_genome.experiments import EXPERIMENTS
from pgf_genome.experiments.throughput_settings import PEERS, Settings

MEASURED = "What is measured"
measured, running = under(MEASURED), under(RUNNING)


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
    "fasta": measured("--fasta", type=FilePath(), help="Genome to work on."),
    "gff": measured("--gff", type=FilePath(), help="Genes of that genome, GFF3."),
    "model": with_model(MEASURED),
}
COMMON = (
    running("-o", "--out", "directory", type=FilePath(folder=True), default=".", show_default=True,
            metavar="DIR", help="Folder for the results; made if it does not exist."),
    running("--quick", is_flag=True, help="Use tiny sizes, to finish in a minute or two."),
    with_threads,
    with_device,
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


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that the user gave: ``--quick`` and the experiments have sizes for the rest."""
    source = click.get_current_context().get_parameter_source
    return {key: value for key, value in options.items() if source(key) != ParameterSource.DEFAULT}


def _run(name: str, directory: str, quick: bool, **options: Any) -> None:
    """Run an experiment with the options that were given, and print its table."""
    given = _given(options)
    lacking = [i for i in EXPERIMENTS[name].inputs if i not in given and i != "model"]
    if lacking:
        raise click.UsageError(f"{name} needs {' and '.join(f'--{i}' for i in lacking)}")
    from pgf_genome.experiments import runner

    _print(runner.run(name, directory, quick, **given).shown)


@experiment.command(
    cls=Command,
    short_help=EXPERIMENTS["throughput"].summary,
    examples=(
        "pgf-genome experiment throughput -o results",
        "pgf-genome experiment throughput -o results --quick",
        "pgf-genome experiment throughput -o results --methods pgf,mambapy --lengths 4096,65536",
    ),
)
@measured("--lengths", type=Numbers(), default=listed(Settings.lengths), show_default=True,
          help="Sequence lengths in bases.")  # fmt: skip
@measured("--methods", type=CommaList(PEERS), help=f"Any of {', '.join(PEERS)} [all].")
@measured("--layers", type=int, default=Settings.layers, show_default=True,
          help="Layers of the model.")  # fmt: skip
@measured("--width", type=int, default=Settings.width, show_default=True,
          help="Width (d_model) of the model.")  # fmt: skip
@measured("--segments", type=Numbers(), default=listed(Settings.segments), show_default=True,
          help="Segment lengths that the method segments tries; the fastest counts.")  # fmt: skip
@measured("--tiles", type=Numbers(), help="Tile lengths that pgf tries; the fastest counts [that "
          "of the Python API, and what attribute chooses].")  # fmt: skip
@measured("--kept", type=Numbers(), default=listed(Settings.kept), show_default=True,
          help="Numbers of tiles whose tapes pgf keeps; the fastest counts.")  # fmt: skip
@running("--repeat", type=int, default=Settings.repeat, show_default=True,
         help="Timed runs, after a warm-up; the median counts.")  # fmt: skip
@running("--timeout", type=float, metavar="SECONDS", default=Settings.timeout, show_default=True,
         help="Limit for one method at one length, with all runs and compilation.")  # fmt: skip
@running("--max-memory", type=Bytes(), help="Stop a method that uses more memory than this [80 % "
         "of the machine's].")  # fmt: skip
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
    files = "".join(f" --{i} {FILES[i]}" for i in entry.inputs if i in FILES)
    examples = (f"pgf-genome experiment {name}{files} -o results --quick",)
    added = experiment.command(name, cls=Command, short_help=entry.summary, examples=examples)
    added(_with(logged(command), *options))


FILES = {"fasta": "genome.fa", "gff": "genes.gff3"}
for _name in EXPERIMENTS.keys() - {"throughput"}:
    _add(_name)


@experiment.command(
    "all",
    cls=Command,
    short_help="Run every experiment, and write one page for all.",
    examples=(
        "pgf-genome experiment all -o results --quick",
        "pgf-genome experiment all --fasta genome.fa --gff genes.gff3 -o results",
        "pgf-genome experiment all --fasta genome.fa -m my-model -o results --device cuda",
    ),
)
@INPUTS["fasta"]
@INPUTS["gff"]
@INPUTS["model"]
@_common
def everything(directory: str, quick: bool, threads: int, device: str, **inputs: Any) -> None:
    """Run every experiment, and write DIR/all.html and DIR/all.md.

    Experiments that need a genome or its genes are left out if --fasta or --gff is not given.
    Prints the claims beside what was measured.
    """
    from pgf_genome.experiments import everything as whole

    _print(whole.claims(whole.run(directory, quick, _given(inputs), threads, device)))
