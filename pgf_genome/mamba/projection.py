"""The matrix products of a block, in a precision of their own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from pgf_genome.scan import Dual


def _product(x: Tensor, matrix: Tensor, precision: torch.dtype) -> Tensor:
    # Of rows, because with a batch axis torch chooses a batched product, which is slower.
    rows = x.flatten(0, -2).to(precision) @ matrix.to(precision)
    return rows.view(*x.shape[:-1], -1).to(x.dtype)


class _Project(Function):
    """x W^T."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, precision: torch.dtype) -> Tensor:
        # x is large, and only the weight's cotangent needs it
        ctx.save_for_backward(x if weight.requires_grad else None, weight)
        ctx.precision = precision
        ctx.set_materialize_grads(False)
        return _product(x, weight.T, precision)

    @staticmethod
    @once_differentiable
    def backward(ctx, bar):
        x, weight = ctx.saved_tensors
        x_bar = weight_bar = None
        if ctx.needs_input_grad[0]:
            x_bar = _product(bar, weight, ctx.precision)
        if ctx.needs_input_grad[1]:
            rows = bar.flatten(0, -2).T.to(ctx.precision), x.flatten(0, -2).to(ctx.precision)
            weight_bar = (rows[0] @ rows[1]).to(weight.dtype)
        return x_bar, weight_bar, None


def project(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, precision: torch.dtype | None = None
) -> Tensor:
    """x W^T + b, with the product in ``precision`` and everything else in the dtype of ``x``.

    Parameters
    ----------
    x : Tensor, (.., n)
    weight : Tensor, (m, n)
    bias : Tensor, (m,), optional
    precision : torch.dtype, optional
        Type of the two factors; sums are at least float32. Default: the dtype of ``x``.

    Returns
    -------
    Tensor, (.., m)
        Differentiable in reverse mode by all arguments, in forward mode, as a `Dual`, by ``x``.
    """
    if isinstance(x, Dual):
        y_dot = _product(x.dots, weight.T, precision or x.dtype)
        return Dual(project(x.value, weight, bias, precision), y_dot)
    y = _Project.apply(x, weight, precision or x.dtype)
    return y if bias is None else y + bias
