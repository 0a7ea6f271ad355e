"""The command line: one click command per module, each a thin call into the library."""

from __future__ import annotations

import logging
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import click

from pgf_genome import __version__
from pgf_genome.cli.attribute import attribute
from pgf_genome.cli.browse import browse
from pgf_genome.cli.depmap import depmap
from pgf_genome.cli.experiment import experiment
from pgf_genome.cli.impulse import impulse
from pgf_genome.cli.inspect import inspect
from pgf_genome.cli.memory import memory
from pgf_genome.cli.merge import merge
from pgf_genome.cli.mutagenesis import mutagenesis
from pgf_genome.cli.pretrain import pretrain
from pgf_genome.cli.report import report
from pgf_genome.cli.variants import variants
from pgf_genome.cli.verify import verify
from pgf_genome.errors import PgfError

INTERRUPTED = 130

log = logging.getLogger("pgf_genome")


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=False)
@click.version_option(__version__, prog_name="pgf-genome", message="%(prog)s %(version)s")
def commands() -> None:
    """Compute exact sensitivities of pretrained Mamba DNA models to every base of a chromosome."""


commands.add_command(attribute)
commands.add_command(browse)
commands.add_command(depmap)
commands.add_command(experiment)
commands.add_command(impulse)
commands.add_command(inspect)
commands.add_command(memory)
commands.add_command(merge)
commands.add_command(mutagenesis)
commands.add_command(pretrain)
commands.add_command(report)
commands.add_command(variants)
commands.add_command(verify)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; print an error as one line, and exit with 0, 1, 2 or 130."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with _signals_interrupt():
            sys.exit(commands.main(given, prog_name="pgf-genome", standalone_mode=False) or 0)
    except click.UsageError as error:
        context = error.ctx or click.Context(commands, info_name="pgf-genome")
        print(context.get_usage(), file=sys.stderr)
        _fail(f"{error.format_message()} (help: {context.command_path} -h)", error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:
        said = "interrupted; run the same command again to resume"
        _fail("; ".join([said, *_notes(error)]), INTERRUPTED)
    except PgfError as error:
        _fail("; ".join([_with_options(str(error)), *_notes(error)]), error.exit_code)
    except OSError as error:
        said = f"{error.filename or 'a temporary file'}: {error.strerror or error}; check the path"
        said += " and the space there (TMPDIR for temporary files), then run the same command again"
        _fail("; ".join([said, *_notes(error)]), 1)
    except Exception as error:
        if _lacks_memory(error):
            said = f"out of memory ({error}); choose smaller tiles, windows or sizes"
            _fail("; ".join([said, *_notes(error)]), 1)
        kind = type(error).__name__
        _fail(f"unexpected {kind}: {error}; run again with -v and report what it prints", 1)


def _lacks_memory(error: Exception) -> bool:
    """Whether Python or torch, on CPU or GPU, found too little memory."""
    said = ("can't allocate memory", "Cannot allocate memory", "failed to map segment")
    return (
        isinstance(error, MemoryError | SystemError)  # the latter of C code that checks nothing
        or type(error).__name__ == "OutOfMemoryError"
        or any(each in str(error) for each in said)
    )


def _notes(error: BaseException) -> list[str]:
    """What was added to an error on its way up, or to the one that click has replaced."""
    each = (error, error.__cause__)
    return [note for one in each for note in getattr(one, "__notes__", [])]


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Treat SIGTERM, of schedulers, and SIGHUP, of closed terminals, as Ctrl-C: work is kept.

    A signal that is ignored, as under nohup, stays so.
    """
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _with_options(message: str) -> str:
    """Name the library's arguments in a message as the options of the command line."""
    given = [each for command in commands.commands.values() for each in command.params]
    arguments = [each for each in given if isinstance(each, click.Argument)]
    options = [each for each in given if isinstance(each, click.Option)]
    spelled = {each.name: each.human_readable_name for each in arguments}
    spelled |= {each.name: max(each.opts, key=len) for each in options}
    return re.sub(
        r"`([a-z_]+)`",
        lambda name: spelled.get(name[1], "--" + name[1].replace("_", "-")),
        message,
    )


def _fail(message: str, code: int) -> NoReturn:
    """Print the error being handled as one line, below its traceback if ``-v`` was given."""
    log.debug("where the error below comes from", exc_info=True)
    logging.shutdown()
    print(f"pgf-genome: error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
