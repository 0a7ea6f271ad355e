"""Functions that take the arguments of a class."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
Value = TypeVar("Value")
Result = TypeVar("Result")


def takes(kind: Callable[P, Value]) -> Callable[[Callable[[Value], Result]], Callable[P, Result]]:
    """Let a function of one value be called with the arguments that make the value.

    Names, types and defaults of the arguments stand in the class alone, and the function shows them
    to type checkers, editors and `inspect.signature` as its own.

    Parameters
    ----------
    kind : class
        The class of the value, such as a dataclass of options.

    Examples
    --------
    >>> @takes(Options)
    ... def count(options: Options) -> int:
    ...     return options.number
    >>> count(number=3)
    3
    """

    def decorated(function: Callable[[Value], Result]) -> Callable[P, Result]:
        @functools.wraps(function)
        def call(*args: P.args, **arguments: P.kwargs) -> Result:
            return function(kind(*args, **arguments))

        returned = inspect.signature(function).return_annotation
        shown = inspect.signature(kind).replace(return_annotation=returned)
        call.__signature__ = shown  # type: ignore[attr-defined]
        return call

    return decorated
