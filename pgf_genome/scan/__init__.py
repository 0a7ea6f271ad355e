"""The selective scan and the causal convolution: state in, state out, differentiable in both.

``reference.py`` holds the equations; ``function.py`` the same operations on compiled kernels, for
CPU tensors and, where Triton 3.3 is installed, CUDA tensors. Other tensors go through the
equations, and so does RMSNorm on every device but the CPU. All operations take `Dual` numbers as
well, for derivatives in forward mode; their annotations name only the tensors that a `Dual` stands
for.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec

from torch import Tensor

from pgf_genome.scan import function, reference
from pgf_genome.scan.dual import Dual, by_equations
from pgf_genome.scan.reference import along

__all__ = [
    "Dual", "along", "causal_conv", "inner_change", "only_equations", "rms_norm", "selective_scan",
]  # fmt: skip

_ONLY_EQUATIONS = ContextVar("only_equations", default=False)


@contextmanager
def only_equations() -> Iterator[None]:
    """Let all operations of this thread go through the equations: slow, and free of kernels."""
    before = _ONLY_EQUATIONS.set(True)
    try:
        yield
    finally:
        _ONLY_EQUATIONS.reset(before)


@functools.cache
def _has_triton() -> bool:
    # Triton before 3.3, of torch 2.6, has no tuples, in which the kernels keep rows.
    return find_spec("triton") is not None and hasattr(import_module("triton.language"), "tuple")


def _compiled(x: Tensor) -> bool:
    if _ONLY_EQUATIONS.get():
        return False
    return x.is_cpu or (x.is_cuda and _has_triton())


def _is_along(x: Tensor, state: Tensor) -> bool:
    return len(state.shape) > len(x.shape)


def causal_conv(x: Tensor, weight: Tensor, bias: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Depthwise causal convolution followed by SiLU; see `reference.causal_conv`.

    With an axis of positions in ``state``, (batch, T, K-1, Di): `reference.causal_conv_along`.
    """
    if _is_along(x, state):
        operations = function if x.is_cpu else reference
        return operations.causal_conv_along(x, weight, bias, state)
    conv = function.causal_conv if _compiled(x) else by_equations(reference.causal_conv)
    return conv(x, weight, bias, state)


def selective_scan(x: Tensor, *args: Tensor) -> tuple[Tensor, Tensor]:
    """Selective scan with skip connection and gate; see `reference.selective_scan`.

    With an axis of positions in the state, (batch, T, N, Di): `reference.selective_scan_along`.
    """
    if _is_along(x, args[-1]):
        operations = function if x.is_cpu else reference
        return operations.selective_scan_along(x, *args)
    scan = function.selective_scan if _compiled(x) else by_equations(reference.selective_scan)
    return scan(x, *args)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMSNorm over the last axis; see `reference.rms_norm`."""
    norm = function.rms_norm if x.is_cpu and _compiled(x) else by_equations(reference.rms_norm)
    return norm(x, weight, eps)


def inner_change(moved: Tensor, unmoved: Tensor, weight: Tensor) -> Tensor:
    """Inner products of differences with weights; see `reference.inner_change`."""
    operations = function if moved.is_cpu else reference
    return operations.inner_change(moved, unmoved, weight)
