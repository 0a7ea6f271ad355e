"""Reading ``config.json`` under all the spellings in use.

Sizes are taken from the tensors; whatever is stated must agree with them.
"""

from __future__ import annotations

import math
from typing import Any

from pgf_genome.errors import ModelError

KINDS = {int: "a positive integer", bool: "true or false", float: "a positive number"}


class Configuration:
    """The values of a ``config.json``, asked for by all the names that they may have.

    A name is looked up at the top and in ``ssm_cfg``, the options of mamba_ssm's mixers.

    Attributes
    ----------
    content : dict
        What the file holds.
    options : dict
        Its ``ssm_cfg``.
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.content, self.options = content, object_in(content, "ssm_cfg")

    @property
    def model_type(self) -> str | None:
        """The ``model_type``; None in the layout of mamba_ssm, which has none."""
        return self._text("model_type", self.content)

    @property
    def layer(self) -> str | None:
        """The kind of mixer by mamba_ssm's name, which goes before ``model_type``."""
        return self._text("layer", self.options)

    def _text(self, name: str, where: dict[str, Any]) -> str | None:
        value = where.get(name)
        if value is not None and not isinstance(value, str):
            raise ModelError(f"{name} in config.json is {value!r}, not a text")
        return value

    def integer(self, *names: str, auto: int | None = None) -> int | None:
        """A positive integer, or None; where the file says "auto" it is ``auto``."""
        return self._one(int, names, auto)

    def compulsory(self, *names: str) -> int:
        """A positive integer that must be stated."""
        value = self.integer(*names)
        if value is None:
            raise ModelError(f"config.json does not state {' or '.join(names)}")
        return value

    def said(self, *names: str) -> bool | None:
        """A truth value, or None."""
        return self._one(bool, names)

    def switch(self, *names: str, default: bool) -> bool:
        """A truth value, or the default."""
        value = self.said(*names)
        return default if value is None else value

    def number(self, *names: str) -> float | None:
        """A positive number, or None."""
        return self._one(float, names)

    def _one(self, kind: type[Any], names: tuple[str, ...], auto: Any = None) -> Any:
        """The value on which all names agree.

        Raises
        ------
        ModelError
            If two names disagree, or a value is of another kind.
        """
        sources = {name: self.content.get(name) for name in names}
        sources |= {f"ssm_cfg.{name}": self.options.get(name) for name in names}
        first = found = None
        for name, value in sources.items():
            if value is None:
                continue
            if value == "auto" and auto is not None:
                value = auto
            if kind is float and type(value) is int and abs(value) < 2**53:
                value = float(value)
            if type(value) is not kind or not (kind is bool or 0 < value < math.inf):
                raise ModelError(f"{name} in config.json is {value!r}, not {KINDS[kind]}")
            if first is not None and found != value:
                raise ModelError(f"config.json says {first} {found} but {name} {value}")
            first, found = first or name, value
        return found

    def check(self, name: str, found: int, *others: str, auto: int | None = None) -> int:
        """A size that the weights have, if what is stated of it agrees.

        Raises
        ------
        ModelError
            If it is stated otherwise.
        """
        stated = self.integer(name, *others, auto=auto)
        if stated not in (None, found):
            raise ModelError(f"config.json says {name} {stated}, the weights say {found}")
        return found

    def check_options(self, known: frozenset[str]) -> None:
        """Raise a ModelError for an option of ``ssm_cfg`` that is not among the known ones."""
        unknown = sorted(set(self.options) - known)
        if unknown:
            raise ModelError(f"the Mamba option ssm_cfg.{unknown[0]} is not known")


def object_in(content: dict[str, Any], key: str) -> dict[str, Any]:
    """A nested object; empty where there is none.

    Raises
    ------
    ModelError
        If the value is something else.
    """
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise ModelError(f"{key} in config.json is {value!r}, not an object")
    return value
