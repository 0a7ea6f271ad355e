"""The modes of torch, which the caller of a library may have changed for everything."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import ExitStack
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
Result = TypeVar("Result")


def in_ordinary_modes(function: Callable[P, Result]) -> Callable[P, Result]:
    """Run a function outside of inference mode and with new tensors on the CPU.

    Tensors made in inference mode can have no gradient ever after, and models say themselves where
    their tensors lie.
    """

    @functools.wraps(function)
    def call(*args: P.args, **arguments: P.kwargs) -> Result:
        with ExitStack() as modes:
            modes.enter_context(torch.inference_mode(False))
            if torch.get_default_device().type != "cpu":
                modes.enter_context(torch.device("cpu"))
            return function(*args, **arguments)

    return call
