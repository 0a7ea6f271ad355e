"""The selective scan and the causal convolution: state in, state out, differentiable in both.

``reference.py`` holds the equations; ``function.py`` the same operations on compiled kernels, for
CPU tensors and, where Triton is installed, CUDA tensors. Other tensors go through the equations.
"""

from __future__ import annotations

import functools
from importlib.util import find_spec
from types import ModuleType

from torch import Tensor

from pgf_genome.scan import function, reference

__all__ = ["causal_conv", "rms_norm", "selective_scan"]


@functools.cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def _implementation(x: Tensor) -> ModuleType:
    return function if x.is_cpu or (x.is_cuda and _has_triton()) else reference


def causal_conv(x: Tensor, weight: Tensor, bias: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """See `reference.causal_conv`."""
    return _implementation(x).causal_conv(x, weight, bias, state)


def selective_scan(x: Tensor, *args: Tensor) -> tuple[Tensor, Tensor]:
    """See `reference.selective_scan`."""
    return _implementation(x).selective_scan(x, *args)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """See `reference.rms_norm`."""
    return (function if x.is_cpu else reference).rms_norm(x, weight, eps)
