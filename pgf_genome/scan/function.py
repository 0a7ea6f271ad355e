"""The scan kernels with their derivatives: reverse mode for autograd, forward mode of `Dual`s.

The kernels are those of ``cpu.py`` or ``gpu.py``, modules of the same functions; a module is
loaded when the first tensor on its device comes, because not every machine has both compilers.
"""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from pgf_genome.scan.dual import Dual, apart, are_dual


def kernels(tensor: Tensor) -> ModuleType:
    """The launchers of the kernels for this tensor's device."""
    if tensor.is_cpu:
        from pgf_genome.scan import cpu as module
    else:
        from pgf_genome.scan import gpu as module
    return module


def _or_zeros(tangents, primals):
    return [torch.zeros_like(p) if t is None else t for t, p in zip(tangents, primals, strict=True)]


class _Scan(Function):
    @staticmethod
    def forward(ctx, *inputs):
        out, end, stored = kernels(inputs[0]).scan_forward(*inputs)
        ctx.save_for_backward(*inputs, stored)
        ctx.set_materialize_grads(False)
        return out, end

    @staticmethod
    @once_differentiable
    def backward(ctx, out_bar, end_bar):
        *primals, state, stored = ctx.saved_tensors
        bars = _or_zeros([out_bar, end_bar], [primals[0], state])
        weights = any(ctx.needs_input_grad[5:8])
        return kernels(state).scan_adjoint(*primals, stored, *bars, weights)


class _Conv(Function):
    @staticmethod
    def forward(ctx, x, weight, bias, state):
        past = torch.cat([state, x], dim=1)  # (batch, K-1+T, Di)
        ctx.save_for_backward(past, weight, bias)
        ctx.set_materialize_grads(False)
        # a copy: a view would keep the whole tile alive with the state
        return kernels(x).conv_forward(past, weight, bias), past[:, x.shape[1] :].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, out_bar, end_bar):
        past, weight, bias = ctx.saved_tensors
        before = weight.shape[0] - 1
        if out_bar is None:
            out_bar = torch.zeros_like(past[:, before:])
        weights = any(ctx.needs_input_grad[1:3])
        past_bar, *shares = kernels(past).conv_adjoint(past, weight, bias, out_bar, weights)
        if end_bar is not None:
            past_bar[:, past.shape[1] - before :] += end_bar
        return past_bar[:, before:], *shares, past_bar[:, :before].clone()


class _Norm(Function):
    @staticmethod
    def forward(ctx, x, weight, eps):
        ctx.save_for_backward(x, weight)
        ctx.eps = eps
        ctx.set_materialize_grads(False)
        return kernels(x).norm_forward(x, weight, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx, out_bar):
        x, weight = ctx.saved_tensors
        weights = ctx.needs_input_grad[1]
        return *kernels(x).norm_adjoint(x, weight, ctx.eps, out_bar, weights), None


def selective_scan(
    x: Tensor,
    dt: Tensor,
    B: Tensor,
    C: Tensor,
    z: Tensor,
    A: Tensor,
    D: Tensor,
    dt_bias: Tensor,
    state: Tensor,
) -> tuple[Tensor, Tensor]:
    """As ``reference.selective_scan``, by compiled kernels.

    Reverse mode reaches every argument; forward mode, by `Dual`, x, dt, B, C, z and the state.
    """
    if not are_dual(x, dt, B, C, z, state):
        return _Scan.apply(x, dt, B, C, z, A, D, dt_bias, state)
    (*inputs, start), dots = apart([x, dt, B, C, z, state])
    primals = (*inputs, A, D, dt_bias, start)
    out, end, out_dot, end_dot = kernels(start).scan_tangent(*primals, *dots)
    return Dual(out, out_dot), Dual(end, end_dot)


def causal_conv(x: Tensor, weight: Tensor, bias: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """As ``reference.causal_conv``, by compiled kernels.

    Reverse mode reaches every argument; forward mode, by `Dual`, x and the state.
    """
    if not are_dual(x, state):
        return _Conv.apply(x, weight, bias, state)
    past = torch.cat([state, x], dim=-2)
    out = kernels(past.value).conv_forward(past.value, weight, bias)
    dots = kernels(past.value).conv_tangent(past.value, weight, bias, past.dots)
    return Dual(out, dots), past[..., x.shape[1] :, :].clone()


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """As ``reference.rms_norm``, by compiled kernels; forward mode, by `Dual`, reaches x."""
    if not are_dual(x):
        return _Norm.apply(x, weight, eps)
    x_dot = kernels(x.value).norm_tangent(x.value, weight, eps, x.dots)
    return Dual(_Norm.apply(x.value, weight, eps), x_dot)
