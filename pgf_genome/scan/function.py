"""Autograd over the scan kernels: reverse mode, forward mode, and batches of tangents.

The kernels are those of ``cpu.py`` or ``gpu.py``, modules of the same functions; a module is
loaded when the first tensor on its device comes, because not every machine has both compilers.

``torch.func.vmap`` over ``torch.func.jvp`` gives k tangents that share one primal: the rules
below hand the k directions to one tangent kernel. The primal itself is batched by its leading
axis, never by ``vmap``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def kernels(tensor: Tensor) -> ModuleType:
    """The launchers of the kernels for this tensor's device."""
    if tensor.is_cpu:
        from pgf_genome.scan import cpu as module
    else:
        from pgf_genome.scan import gpu as module
    return module


def signed(forward: Callable) -> Callable:
    """Leave the signature where `inspect` finds it: torch looks it up in every call of a Function.

    Without this a layer spends half a millisecond more per tile in Python.
    """
    forward.__signature__ = inspect.signature(forward)
    return forward


def _no_primal_vmap(info, in_dims, *args):
    raise NotImplementedError("vmap over the primal of a scan; use the leading batch axis")


def _directions(in_dims, args, primal_dims: int):
    """Move the vmapped axis of every tangent to the front; broadcast those without one."""
    if any(dim is not None for dim in in_dims[:primal_dims]):
        _no_primal_vmap(None, in_dims, *args)
    size = next(a.shape[d] for a, d in zip(args, in_dims, strict=True) if d is not None)
    return [
        a.movedim(d, 0) if d is not None else a.expand(size, *a.shape)
        for a, d in zip(args[primal_dims:], in_dims[primal_dims:], strict=True)
    ]


def _or_zeros(tangents, primals):
    return [torch.zeros_like(p) if t is None else t for t, p in zip(tangents, primals, strict=True)]


class _ScanTangent(Function):
    @staticmethod
    @signed
    def forward(*args: Tensor):
        out, end = kernels(args[0]).scan_tangent(*args[:9], *(dot[None] for dot in args[9:]))
        return out[0], end[0]

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def vmap(info, in_dims, *args):
        return kernels(args[0]).scan_tangent(*args[:9], *_directions(in_dims, args, 9)), (0, 0)


class _Scan(Function):
    vmap = staticmethod(_no_primal_vmap)

    @staticmethod
    @signed
    def forward(x, dt, B, C, z, A, D, bias, state):
        return kernels(x).scan_forward(x, dt, B, C, z, A, D, bias, state)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(output[2])
        ctx.save_for_backward(*inputs, output[2])
        ctx.save_for_forward(*inputs)
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx, out_bar, end_bar, _):
        *primals, state, stored = ctx.saved_tensors
        bars = _or_zeros([out_bar, end_bar], [primals[0], state])
        weights = any(ctx.needs_input_grad[5:8])
        return kernels(state).scan_adjoint(*primals, stored, *bars, weights)

    @staticmethod
    def jvp(ctx, *tangents):
        primals = ctx.saved_tensors
        if any(tangents[i] is not None for i in (5, 6, 7)):
            raise NotImplementedError("forward mode in A, D or the step-size bias")
        moving = [0, 1, 2, 3, 4, 8]
        dots = _or_zeros([tangents[i] for i in moving], [primals[i] for i in moving])
        return *_ScanTangent.apply(*primals, *dots), None


class _ConvTangent(Function):
    @staticmethod
    @signed
    def forward(past, weight, bias, past_dot):
        return kernels(past).conv_tangent(past, weight, bias, past_dot[None])[0]

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def vmap(info, in_dims, *args):
        return kernels(args[0]).conv_tangent(*args[:3], *_directions(in_dims, args, 3)), 0


class _Conv(Function):
    vmap = staticmethod(_no_primal_vmap)

    @staticmethod
    @signed
    def forward(x, weight, bias, state):
        past = torch.cat([state, x], dim=1)  # (batch, K-1+T, Di)
        # a copy: a view would keep the whole tile alive with the state
        return kernels(x).conv_forward(past, weight, bias), past[:, x.shape[1] :].clone(), past

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, weight, bias, _ = inputs
        ctx.mark_non_differentiable(output[2])
        ctx.save_for_backward(output[2], weight, bias)
        ctx.save_for_forward(*inputs, output[2])
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx, out_bar, end_bar, _):
        past, weight, bias = ctx.saved_tensors
        before = weight.shape[0] - 1
        if out_bar is None:
            out_bar = torch.zeros_like(past[:, before:])
        weights = any(ctx.needs_input_grad[1:3])
        past_bar, *shares = kernels(past).conv_adjoint(past, weight, bias, out_bar, weights)
        if end_bar is not None:
            past_bar[:, past.shape[1] - before :] += end_bar
        return past_bar[:, before:], *shares, past_bar[:, :before].clone()

    @staticmethod
    def jvp(ctx, x_dot, weight_dot, bias_dot, state_dot):
        if weight_dot is not None or bias_dot is not None:
            raise NotImplementedError("forward mode in the weights of the convolution")
        x, weight, bias, state, past = ctx.saved_tensors
        past_dot = torch.cat(_or_zeros([state_dot, x_dot], [state, x]), dim=1)
        return _ConvTangent.apply(past, weight, bias, past_dot), past_dot[:, x.shape[1] :], None


class _NormTangent(Function):
    @staticmethod
    @signed
    def forward(x, weight, eps, x_dot):
        return kernels(x).norm_tangent(x, weight, eps, x_dot[None])[0]

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def vmap(info, in_dims, x, weight, eps, x_dot):
        (dots,) = _directions((*in_dims[:2], in_dims[3]), (x, weight, x_dot), 2)
        return kernels(x).norm_tangent(x, weight, eps, dots), 0


class _Norm(Function):
    vmap = staticmethod(_no_primal_vmap)

    @staticmethod
    @signed
    def forward(x, weight, eps):
        return kernels(x).norm_forward(x, weight, eps)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, weight, ctx.eps = inputs
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)
        ctx.set_materialize_grads(False)

    @staticmethod
    @once_differentiable
    def backward(ctx, out_bar):
        x, weight = ctx.saved_tensors
        weights = ctx.needs_input_grad[1]
        return *kernels(x).norm_adjoint(x, weight, ctx.eps, out_bar, weights), None

    @staticmethod
    def jvp(ctx, x_dot, weight_dot, _):
        if weight_dot is not None:
            raise NotImplementedError("forward mode in the weights of the norm")
        x, weight = ctx.saved_tensors
        return _NormTangent.apply(x, weight, ctx.eps, x_dot)


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

    Reverse mode reaches every argument; forward mode x, dt, B, C, z and the state.
    """
    out, end, _ = _Scan.apply(x, dt, B, C, z, A, D, dt_bias, state)
    return out, end


def causal_conv(x: Tensor, weight: Tensor, bias: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """As ``reference.causal_conv``, by compiled kernels."""
    out, end, _ = _Conv.apply(x, weight, bias, state)
    return out, end


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """As ``reference.rms_norm``, by compiled kernels."""
    return _Norm.apply(x, weight, eps)
