"""Types of option values that several commands take."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click


class CommaList(click.ParamType):
    """A comma-separated list of names."""

    name = "NAME,.."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        names = map(str.strip, value.split(",")) if isinstance(value, str) else value
        return tuple(filter(None, names))


class Numbers(CommaList):
    """A comma-separated list of numbers.

    Parameters
    ----------
    kind : type
        ``int`` or ``float``.
    """

    def __init__(self, kind: Callable[[str], float] = int) -> None:
        self.kind = kind
        self.name = "INT,.." if kind is int else "X,.."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return tuple(self.kind(word) for word in super().convert(value, param, ctx))
        except ValueError:
            what = "whole numbers such as 1024,4096" if self.kind is int else "numbers such as 1,2"
            self.fail(f"{value!r} is not a list of {what}", param, ctx)


class Bytes(click.ParamType):
    """A size such as 800M or 1.5G."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        match = re.fullmatch(
            r"(\d{1,15}(?:\.\d{1,15})?)([KMGT]?)i?B?", str(value).strip(), re.IGNORECASE
        )
        if match is None:
            self.fail(f"{value!r} is not a size such as 800M or 1.5G", param, ctx)
        return int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " "))
