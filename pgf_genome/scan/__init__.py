"""The selective scan and the causal convolution: state in, state out, differentiable in both.

``reference.py`` holds the equations; ``function.py`` the same operations on compiled kernels,
for CPU tensors. Tensors elsewhere go through the equations.
"""

from __future__ import annotations

from torch import Tensor

from pgf_genome.scan import function, reference

__all__ = ["causal_conv", "selective_scan"]


def causal_conv(x: Tensor, weight: Tensor, bias: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """See `reference.causal_conv`."""
    return (function if x.is_cpu else reference).causal_conv(x, weight, bias, state)


def selective_scan(x: Tensor, *args: Tensor) -> tuple[Tensor, Tensor]:
    """See `reference.selective_scan`."""
    return (function if x.is_cpu else reference).selective_scan(x, *args)
