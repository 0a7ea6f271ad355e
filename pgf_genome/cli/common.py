"""Parts that commands share: help under headings, options with one meaning, and the log."""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from pgf_genome import process
from pgf_genome.checkpoints.choices import (
    DEFAULT_DEVICE,
    DEFAULT_DTYPE,
    DEFAULT_MODEL,
    DEVICES,
    DTYPES,
)
from pgf_genome.cli.values import ModelSource, Word
from pgf_genome.errors import IntegrityError
from pgf_genome.pages.frame import PLOTLY

if TYPE_CHECKING:
    from pgf_genome.runs.certificate import Certificate

Function = Callable[..., Any]


class Option(click.Option):
    """An option that stands under a heading of the help."""

    def __init__(self, *args: Any, heading: str, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.heading = heading


def under(heading: str) -> Callable[..., Callable[[Function], Function]]:
    """Return ``click.option`` for options under a heading."""
    return functools.partial(click.option, cls=Option, heading=heading)


class Command(click.Command):
    """A command whose help has options under headings, and examples at its end.

    Parameters
    ----------
    examples : sequence of str
        Command lines, which a test runs or parses as they stand.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        headings: dict[str, list[tuple[str, str]]] = {}
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for option in sorted(options, key=lambda option: not isinstance(option, Option)):
            record = option.get_help_record(ctx)
            if record is not None:
                headings.setdefault(getattr(option, "heading", OTHER), []).append(record)
        for heading, records in headings.items():
            with formatter.section(heading):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{example}\n")


COMPUTED, WRITTEN, RUNNING = "What is computed", "What is written", "Where and how it runs"
computed, written, running = under(COMPUTED), under(WRITTEN), under(RUNNING)
OTHER = "Log and help"


def logged(function: Function) -> Function:
    """Add ``-q`` and ``-v`` to a command, and set up the log before it runs."""

    @click.option("-q", "--quiet", is_flag=True, help="Print only errors on stderr.")
    @click.option(
        "-v",
        "--verbose",
        is_flag=True,
        help="Also log what is read, planned and written, and print tracebacks of errors.",
    )
    @functools.wraps(function)
    def run(*args: Any, quiet: bool, verbose: bool, **options: Any) -> Any:
        # other programs' logs tell of their own insides; what matters they raise
        logging.basicConfig(
            stream=sys.stderr, format="pgf-genome: %(message)s", level=logging.ERROR
        )
        level = logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO
        logging.getLogger("pgf_genome").setLevel(level)
        return function(*args, **options)

    return run


def _cores(context: click.Context, parameter: click.Parameter, threads: int) -> int:
    return threads or process.usable_cores()


with_threads = running(
    "-t",
    "--threads",
    type=click.IntRange(0, 1024),
    metavar="N",
    default=0,
    show_default=True,
    callback=_cores,
    help="Number of threads; 0 uses all cores.",
)
with_device = running(
    "--device",
    type=Word(DEVICES),
    default=DEFAULT_DEVICE,
    show_default=True,
    help="auto, cpu or cuda[:INDEX].",
)
with_dtype = running(
    "--dtype",
    type=click.Choice(DTYPES),
    default=DEFAULT_DTYPE,
    show_default=True,
    help="bfloat16 applies to matrix products only.",
)


def shares_plotly(
    group: Callable[..., Callable[[Function], Function]],
) -> Callable[[Function], Function]:
    """Add ``--plotly`` to the options of a heading."""
    return group(
        "--plotly",
        type=click.Choice(PLOTLY),
        default=PLOTLY[0],
        show_default=True,
        help="Where the report has its drawing library: inline, or shared, in one file of a "
        "folder.",
    )


def require_passed(certificate: Certificate, where: str) -> None:
    """Raise an IntegrityError if an item of a certificate failed; ``where`` says what it is of."""
    if not certificate.passed:
        raise IntegrityError(f"{where}: the certificate failed: {certificate}")


def with_model(heading: str) -> Callable[[Function], Function]:
    """Add ``-m`` under a heading."""
    return under(heading)(
        "-m",
        "--model",
        type=ModelSource(folder=True),
        metavar="MODEL",
        default=DEFAULT_MODEL,
        show_default=True,
        help="Bundled name, checkpoint directory or hub id.",
    )
