"""Types of option values: what the shell completes, and what the library is given.

The library checks names and files, and its errors say what to do; so nothing is checked here.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import click
from click.shell_completion import CompletionItem

from pgf_genome.checkpoints.choices import bundled_models
from pgf_genome.engine.plan import ALL
from pgf_genome.errors import UsageError
from pgf_genome.quantities import bytes_of


class FilePath(click.Path):
    """A file, or with ``folder`` a folder.

    A leading ``~`` is the home folder even where the shell leaves it alone, as in ``--option=~/x``.
    """

    def __init__(self, folder: bool = False) -> None:
        super().__init__(file_okay=not folder)
        self.name = "folder" if folder else "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return os.path.expanduser(value)


class RunPrefix(FilePath):
    """The prefix of a finished run."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        suffix = ".run.json"
        runs = sorted(glob.glob(f"{glob.escape(os.path.expanduser(incomplete))}*{suffix}"))
        found = [CompletionItem(path.removesuffix(suffix)) for path in runs]
        return [*found, CompletionItem(incomplete, type="dir")]


class ModelSource(FilePath):
    """A bundled name, a checkpoint directory or a hub id."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        names = [name for name in bundled_models() if name.startswith(incomplete)]
        return [*map(CompletionItem, names), CompletionItem(incomplete, type="dir")]


class Word(click.ParamType):
    """A word; some that are known are completed."""

    name = "text"

    def __init__(self, known: Sequence[str]) -> None:
        self.known = known

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(word) for word in self.known if word.startswith(incomplete)]


class BasesOrAll(click.ParamType):
    """A number of bases, or all of them."""

    name = f"BASES|{ALL}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == ALL else click.INT.convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(ALL)] if ALL.startswith(incomplete) else []


class CommaList(click.ParamType):
    """A comma-separated list; after every comma the known names that it lacks are completed."""

    name = "NAME,.."

    def __init__(self, known: Sequence[str] = ()) -> None:
        self.known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        names = map(str.strip, value.split(",")) if isinstance(value, str) else value
        return tuple(filter(None, names))

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        done, comma, begun = incomplete.rpartition(",")
        left = [name for name in self.known if name not in done.split(",")]
        return [CompletionItem(done + comma + name) for name in left if name.startswith(begun)]


class Numbers(CommaList):
    """A comma-separated list of numbers.

    Parameters
    ----------
    kind : type
        ``int`` or ``float``.
    """

    def __init__(self, kind: Callable[[str], float] = int) -> None:
        super().__init__()
        self.kind = kind
        self.name = "INT,.." if kind is int else "X,.."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            numbers = tuple(self.kind(word) for word in super().convert(value, param, ctx))
        except ValueError:
            numbers = ()
        if not numbers:
            what = "whole numbers such as 1024,4096" if self.kind is int else "numbers such as 1,2"
            self.fail(f"{value!r} is not a list of {what}", param, ctx)
        return numbers


class Bytes(click.ParamType):
    """A size such as 800M or 1.5G."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return bytes_of(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Near(Word):
    """How much of a sequence is run again: a number of bases, all of them, or none."""

    name = "W|exact|first-order"
    words: ClassVar = {"exact": None, "first-order": 0}

    def __init__(self) -> None:
        super().__init__(list(self.words))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in self.words:
            return self.words[value]
        if not re.fullmatch(r"[0-9]{1,18}", str(value)) or int(value) < 1:
            self.fail(f"{value!r} is not exact, first-order or a number of bases", param, ctx)
        return int(value)


def listed(values: Sequence[object]) -> str:
    """Write values as a `CommaList` takes them."""
    return ",".join(map(str, values))
