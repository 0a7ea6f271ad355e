"""Options that several commands share, each with one meaning, and the log that they set up."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable
from typing import Any

import click

from pgf_genome import process

Command = Callable[..., Any]


def logged(command: Command) -> Command:
    """Add ``-q`` and ``-v`` to a command, and set up the log before it runs."""

    @click.option("-q", "--quiet", is_flag=True, help="Print only errors on stderr.")
    @click.option("-v", "--verbose", is_flag=True,
                  help="Log more, and print tracebacks of errors.")  # fmt: skip
    @functools.wraps(command)
    def run(*args: Any, quiet: bool, verbose: bool, **options: Any) -> Any:
        # other programs' logs tell of their own insides; what matters they raise
        logging.basicConfig(
            stream=sys.stderr, format="pgf-genome: %(message)s", level=logging.ERROR
        )
        level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO
        logging.getLogger("pgf_genome").setLevel(level)
        return command(*args, **options)

    return run


def _cores(context: click.Context, parameter: click.Parameter, threads: int | None) -> int | None:
    return process.usable_cores() if threads == 0 else threads


def with_threads(command: Command) -> Command:
    """Add ``-t``; the command is given a number of at least 1."""
    return click.option(
        "-t", "--threads", type=click.IntRange(0, 1024), default=0, callback=_cores,
        help="Number of threads; 0 uses all cores [0].",
    )(command)  # fmt: skip


def with_device(command: Command) -> Command:
    """Add ``--device``."""
    return click.option(
        "--device", default="cpu", show_default=True, help="auto, cpu or cuda[:INDEX]."
    )(command)


def with_model(command: Command) -> Command:
    """Add ``-m``; the command is given the bundled model's name if there is none."""

    def bundled(context: click.Context, parameter: click.Parameter, model: str | None) -> str:
        from pgf_genome.checkpoints.source import DEFAULT_MODEL

        return model or DEFAULT_MODEL

    return click.option(
        "-m", "--model", callback=bundled,
        help="Bundled name, checkpoint directory or hub id [bundled model].",
    )(command)  # fmt: skip
