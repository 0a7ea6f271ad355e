"""The scan kernels with their derivatives: reverse mode for autograd, forward mode of `Dual`s.

The kernels are those of ``cpu.py`` or ``gpu.py``, which define the same functions. A module is
loaded with the first tensor on its device, because not every machine has both compilers.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from pgf_genome.scan.dual import Dual, apart, are_dual


def kernels(tensor: Tensor) -> ModuleType:
    """Return the module that launches the kernels on this tensor's device."""
    if tensor.is_cpu:
        from pgf_genome.scan import cpu

        return cpu
    from pgf_genome.scan import gpu

    return gpu


def _or_zeros(bars: Sequence[Tensor | None], primals: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(p) if t is None else t for t, p in zip(bars, primals, strict=True)]


class _Scan(Function):
    @staticmethod
    def forward(ctx, *inputs):
        taped = any(ctx.needs_input_grad)
        out, end, stored = kernels(inputs[0]).scan_forward(*inputs, taped)
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
        # The state is a copy, because a view would keep the whole tile alive.
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


class _ScanAlong(Function):
    @staticmethod
    def forward(ctx, *inputs):
        *others, state = inputs
        out, _, states = kernels(state).scan_forward(*others, state[:, 0], spacing=1)
        ctx.save_for_backward(*others, states)
        ctx.set_materialize_grads(False)
        return out, states[:, :, : state.shape[2]]

    @staticmethod
    @once_differentiable
    def backward(ctx, out_bar, states_bar):
        *primals, states = ctx.saved_tensors
        end = states[:, -1, : primals[5].shape[0]]
        bars = _or_zeros(
            [out_bar, None if states_bar is None else states_bar[:, -1]], [primals[0], end]
        )
        return kernels(states).scan_adjoint(*primals, states, *bars, weights=False, spacing=1)


class _ConvAlong(Function):
    @staticmethod
    def forward(ctx, x, weight, bias, state):
        out, slope, states = kernels(x).conv_along(x, weight, bias, state[:, 0])
        ctx.save_for_backward(weight, slope, states)
        ctx.set_materialize_grads(False)
        return out, states

    @staticmethod
    @once_differentiable
    def backward(ctx, out_bar, states_bar):
        weight, slope, states = ctx.saved_tensors
        end_bar = None if states_bar is None else states_bar[:, -1]
        bars = _or_zeros([out_bar, end_bar], [slope, states[:, -1]])
        x_bar, along = kernels(states).conv_along_adjoint(weight, slope, *bars)
        return x_bar, None, None, along


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
    """Run `reference.selective_scan` by compiled kernels.

    Every argument can be differentiated in reverse mode; in forward mode x, dt, B, C, z and the
    state, which may be `Dual` numbers.
    """
    if are_dual(x, dt, B, C, z, state):
        return _scan_of_duals([x, dt, B, C, z, state], A, D, dt_bias)
    if torch.is_grad_enabled() or not x.is_cpu:
        state = state.repeat_interleave(len(x) // len(state), dim=0)
    return _Scan.apply(x, dt, B, C, z, A, D, dt_bias, state)


# The functions of `Dual` numbers return Any, because in annotations a `Dual` passes for a tensor.
def _scan_of_duals(values: Sequence[Dual | Tensor], A: Tensor, D: Tensor, dt_bias: Tensor) -> Any:
    (*inputs, start), dots = apart(values)
    primals = (*inputs, A, D, dt_bias, start)
    out, end, out_dot, end_dot = kernels(start).scan_tangent(*primals, *dots)
    return Dual(out, out_dot), Dual(end, end_dot)


def causal_conv(x: Tensor, weight: Tensor, bias: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Run `reference.causal_conv` by compiled kernels.

    Every argument can be differentiated in reverse mode; in forward mode x and the state, which
    may be `Dual` numbers.
    """
    if are_dual(x, state):
        return _conv_of_duals(torch.cat([state, x], dim=-2), weight, bias, x.shape[1])
    return _Conv.apply(x, weight, bias, state)


def _conv_of_duals(past: Any, weight: Tensor, bias: Tensor, length: int) -> Any:
    out = kernels(past.value).conv_forward(past.value, weight, bias)
    dots = kernels(past.value).conv_tangent(past.value, weight, bias, past.dots)
    return Dual(out, dots), past[..., length:, :].clone()


def selective_scan_along(
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
    """Run `reference.selective_scan_along` by compiled kernels; A, D and the bias are constants."""
    constants = (v.detach() for v in (A, D, dt_bias))
    return _ScanAlong.apply(x, dt, B, C, z, *constants, state)


def causal_conv_along(
    x: Tensor, weight: Tensor, bias: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Run `reference.causal_conv_along` by compiled kernels; weight and bias are constants."""
    return _ConvAlong.apply(x, weight.detach(), bias.detach(), state)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Run `reference.rms_norm` by compiled kernels; x may be a `Dual` number."""
    return _norm_of_dual(x, weight, eps) if are_dual(x) else _Norm.apply(x, weight, eps)


def _norm_of_dual(x: Any, weight: Tensor, eps: float) -> Any:
    x_dot = kernels(x.value).norm_tangent(x.value, weight, eps, x.dots)
    return Dual(_Norm.apply(x.value, weight, eps), x_dot)


def inner_change(moved: Tensor, unmoved: Tensor, weight: Tensor) -> Tensor:
    """Run `reference.inner_change` by compiled kernels; it has no derivatives."""
    return kernels(moved).inner_change(moved, unmoved, weight)
