"""Forward mode: values with their derivatives along k directions, which share one primal.

A model is written for tensors. Given `Dual` numbers instead, it computes the derivatives too, by
the rules here and those of the kernels in ``function.py``. Directions are an axis in front of all
others, so a model counts its axes from the end.

torch's own forward mode works in one thread of a process at a time, and its dispatch takes longer
in a layer than the arithmetic on a tile of a thousand bases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# torch counts the levels of its forward mode for all threads together
_FORWARD_MODE = Lock()


@dataclass(frozen=True, eq=False)
class Dual:
    """A value and its derivatives.

    Attributes
    ----------
    value : Tensor, (..)
    dots : Tensor, (k, ..)
    """

    value: Tensor
    dots: Tensor

    def __post_init__(self) -> None:
        if self.dots.shape[1:] != self.value.shape:
            raise ValueError(
                f"derivatives of shape {tuple(self.dots.shape)} of a value of shape "
                f"{tuple(self.value.shape)}"
            )

    @property
    def shape(self) -> torch.Size:
        return self.value.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.value.dtype

    @property
    def is_cpu(self) -> bool:
        return self.value.is_cpu

    @property
    def is_cuda(self) -> bool:
        return self.value.is_cuda

    def __len__(self) -> int:
        return len(self.value)

    def new_zeros(self, *shape: int) -> Tensor:
        return self.value.new_zeros(*shape)

    def __add__(self, other: Dual | Tensor) -> Dual:
        if isinstance(other, Dual):
            return Dual(self.value + other.value, self.dots + other.dots)
        return Dual(self.value + other, self.dots)

    def __mul__(self, other: Dual) -> Dual:
        dots = self.dots * other.value + self.value * other.dots
        return Dual(self.value * other.value, dots)

    def __getitem__(self, index: tuple) -> Dual:
        if not isinstance(index, tuple) or index[0] is not Ellipsis:
            raise IndexError("index a Dual from the end: [..., i]")
        return Dual(self.value[index], self.dots[index])

    def clone(self) -> Dual:
        return Dual(self.value.clone(), self.dots.clone())

    def flip(self, dim: int) -> Dual:
        return Dual(self.value.flip(_from_end(dim)), self.dots.flip(dim))

    def flatten(self, first: int) -> Dual:
        return Dual(self.value.flatten(_from_end(first)), self.dots.flatten(first))

    def expand(self, *shape: int) -> Dual:
        return Dual(self.value.expand(*shape), self.dots.expand(len(self.dots), *shape))

    def split(self, sizes: Sequence[int], dim: int) -> list[Dual]:
        parts = self.value.split(sizes, _from_end(dim)), self.dots.split(sizes, dim)
        return [Dual(*part) for part in zip(*parts, strict=True)]

    def chunk(self, count: int, dim: int) -> list[Dual]:
        parts = self.value.chunk(count, _from_end(dim)), self.dots.chunk(count, dim)
        return [Dual(*part) for part in zip(*parts, strict=True)]

    def clamp(self, low: float, high: float) -> Dual:
        return Dual(
            self.value.clamp(low, high), self.dots * ((low <= self.value) & (self.value <= high))
        )

    @classmethod
    def __torch_function__(
        cls, function: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        rule = _RULES.get(function)
        return NotImplemented if rule is None else rule(*args, **(kwargs or {}))


def _from_end(dim: int) -> int:
    if dim >= 0:
        raise IndexError(f"axis {dim} of a Dual: count from the end")
    return dim


def apart(values: Sequence[Dual | Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Split into values and derivatives; the derivatives of a tensor are zeros."""
    k = next(len(v.dots) for v in values if isinstance(v, Dual))
    dots = [v.dots if isinstance(v, Dual) else v.new_zeros(k, *v.shape) for v in values]
    return [v.value if isinstance(v, Dual) else v for v in values], dots


def are_dual(*values: Dual | Tensor) -> bool:
    """Return whether any of the values has derivatives."""
    return any(isinstance(v, Dual) for v in values)


def by_equations(function: Callable) -> Callable:
    """Extend a function of tensors to `Dual` arguments, by torch's own forward mode."""

    def lifted(*args: Any) -> Any:
        moving = [i for i, v in enumerate(args) if isinstance(v, Dual)]
        if not moving:
            return function(*args)

        def of_moving(*values: Tensor) -> Any:
            every = dict(enumerate(args)) | dict(zip(moving, values, strict=True))
            return function(*every.values())

        def along(*dots: Tensor) -> Any:
            return torch.func.jvp(of_moving, tuple(args[i].value for i in moving), dots)

        # torch documents None for an output that all directions share, but its stub lacks it.
        axes: Any = (None, 0)
        with _FORWARD_MODE:
            values, dots = torch.func.vmap(along, out_dims=axes)(*(args[i].dots for i in moving))
        if isinstance(values, Tensor):
            return Dual(values, dots)
        return tuple(Dual(*pair) for pair in zip(values, dots, strict=True))

    return lifted


def _cat(parts: Sequence[Dual | Tensor], dim: int) -> Dual:
    values, dots = apart(parts)
    return Dual(torch.cat(values, _from_end(dim)), torch.cat(dots, dim))


def _log_softmax(x: Dual, dim: int) -> Dual:
    y = torch.log_softmax(x.value, _from_end(dim))
    return Dual(y, x.dots - (y.exp() * x.dots).sum(dim, keepdim=True))


def _layer_norm(
    x: Dual, shape: Sequence[int], weight: Tensor, bias: Tensor, eps: float = 1e-5
) -> Dual:
    """LayerNorm over the last axis."""
    out, mean, scale = torch.native_layer_norm(x.value, shape, weight, bias, eps)
    normal = (x.value - mean) * scale
    dots = x.dots - x.dots.mean(-1, keepdim=True)
    dots = dots - normal * (normal * dots).mean(-1, keepdim=True)
    return Dual(out, dots * scale * weight)


_RULES: dict[Callable, Callable] = {
    torch.cat: _cat,
    torch.log_softmax: _log_softmax,
    functional.layer_norm: _layer_norm,
}
