"""The scan and the convolution on CPU tensors: kernels spread over sequences and channel blocks.

Same values as ``reference.py``. Threads follow ``torch.get_num_threads()``, so that one setting
governs matrix products and kernels. Results do not depend on the number of threads.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from pgf_genome.scan import conv_kernels, kernels, norm_kernels, tangent_kernels
from pgf_genome.scan.kernels import BLOCK, CHUNK, GROUP

# Rows of a matrix that one thread normalises at a time.
ROWS = 256


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="pgf-scan")


def _over_blocks(task: Callable[[int, int, int], None], batch: int, width: int) -> None:
    """Call ``task(sequence, first channel, past last channel)`` for spans of blocks, in threads.

    As few spans as there are threads: rows that are read whole are read faster.
    """
    blocks = -(-width // BLOCK)
    spans = min(blocks, -(-torch.get_num_threads() // batch))
    edges = [blocks * i // spans * BLOCK for i in range(spans)] + [width]
    pairs = list(itertools.pairwise(np.uintp(edge) for edge in edges))
    _over(task, [(b, *pair) for b in range(batch) for pair in pairs])


def _over_rows(task: Callable[..., None], rows: int, batch: int | None = None) -> None:
    """Call ``task(i, first row, past last row)`` for every piece of a matrix, in threads.

    With a batch of matrices, ``task(sequence, i, first row, past last row)``.
    """
    pieces = [(i, lo, min(lo + ROWS, rows)) for i, lo in enumerate(range(0, rows, ROWS))]
    _over(
        task, pieces if batch is None else [(b, *piece) for b in range(batch) for piece in pieces]
    )


def _over(task: Callable[..., None], pieces: list[tuple]) -> None:
    threads = min(torch.get_num_threads(), len(pieces))

    def every(first: int) -> None:
        for piece in pieces[first::threads]:
            task(*piece)

    # the calling thread works too: it is awake
    others = [_pool(threads - 1).submit(every, i) for i in range(1, threads)] if threads > 1 else []
    every(0)
    for other in others:
        other.result()


def _whole_groups(value: Tensor, dim: int, front: bool = False) -> Tensor:
    """Zeros added along ``dim`` up to a multiple of ``GROUP``: states and taps that do nothing."""
    lack = -value.shape[dim] % GROUP
    if not lack:
        return value
    zeros = value.new_zeros([lack if d == dim else n for d, n in enumerate(value.shape)])
    return torch.cat([zeros, value] if front else [value, zeros], dim)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def scan_forward(x, dt, B, C, z, A, D, bias, state) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, final state, and stored states (batch, ceil(T / CHUNK), N', Di) for the adjoint.

    N' is N rounded up to whole groups.
    """
    batch, length, width = x.shape
    states = A.shape[0]
    B, C, A, state = (_whole_groups(v, d) for v, d in ((B, 2), (C, 2), (A, 0), (state, 1)))
    out, end = x.new_empty(x.shape), state.new_empty(state.shape)
    stored = x.new_empty(batch, -(-length // CHUNK), A.shape[0], width)
    per_sequence = list(zip(*_arrays(x, dt, B, C, z), strict=True))
    A, D, bias, h0, o, e, s = _arrays(A, D, bias, state, out, end, stored)

    def task(b, lo, hi):
        kernels.scan_forward(*per_sequence[b], A, D, bias, h0[b], lo, hi, o[b], e[b], s[b])

    _over_blocks(task, batch, width)
    return out, end[:, :states].contiguous(), stored


def scan_tangent(
    x, dt, B, C, z, A, D, bias, state, x_dot, dt_dot, B_dot, C_dot, z_dot, state_dot
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Outputs and final state, and the tangents of both in k directions.

    Every dotted tensor is (k, batch, ..) beside its primal.
    """
    k, batch, length, width = x_dot.shape
    states = A.shape[0]
    B, C, A, state = (_whole_groups(v, d) for v, d in ((B, 2), (C, 2), (A, 0), (state, 1)))
    B_dot, C_dot, state_dot = (
        _whole_groups(v, d) for v, d in ((B_dot, 3), (C_dot, 3), (state_dot, 2))
    )
    out, end = x.new_empty(x.shape), state.new_empty(state.shape)
    out_dot = x.new_empty(batch, k, length, width)
    end_dot = x.new_empty(batch, k, *state.shape[1:])
    dots = [d.transpose(0, 1) for d in (x_dot, dt_dot, B_dot, C_dot, z_dot, state_dot)]
    primals, dots = (list(zip(*_arrays(*v), strict=True)) for v in ((x, dt, B, C, z), dots))
    A, D, bias, h0, *targets = _arrays(A, D, bias, state, out, end, out_dot, end_dot)
    targets = list(zip(*targets, strict=True))

    def task(b, lo, hi):
        moving = (h0[b], *dots[b], lo, hi, *targets[b])
        tangent_kernels.scan_tangent(*primals[b], A, D, bias, *moving)

    _over_blocks(task, batch, width)
    out_dot, end_dot = (v.transpose(0, 1).contiguous() for v in (out_dot, end_dot[:, :, :states]))
    return out, end[:, :states].contiguous(), out_dot, end_dot


def scan_adjoint(
    x, dt, B, C, z, A, D, bias, stored, out_bar, end_bar, weights: bool
) -> tuple[Tensor | None, ...]:
    """Cotangents of x, dt, B, C, z, A, D, bias and state; of A, D, bias None unless ``weights``."""
    batch, length, width = x.shape
    states = A.shape[0]
    B, C, A, end_bar = (_whole_groups(v, d) for v, d in ((B, 2), (C, 2), (A, 0), (end_bar, 1)))
    shares = x.new_empty(2, batch, -(-width // BLOCK), length, A.shape[0])
    x_bar, dt_bar, z_bar, state_bar = (v.new_empty(v.shape) for v in (x, dt, z, end_bar))
    A_bar = x.new_empty(batch, *A.shape)
    D_bar, bias_bar = x.new_zeros(2, batch, width)
    inputs = list(zip(*_arrays(x, dt, B, C, z), strict=True))
    outer = list(zip(*_arrays(stored, out_bar, end_bar), strict=True))
    A, D, bias, *targets = _arrays(A, D, bias, x_bar, dt_bar, z_bar, state_bar, shares)
    by_sequence = list(zip(*_arrays(A_bar, D_bar, bias_bar), strict=True))

    def task(b, lo, hi):
        xb, dtb, zb, hb, share = targets
        Bb, Cb = share[:, b, int(lo) // BLOCK :]
        bars = (xb[b], dtb[b], Bb, Cb, zb[b], hb[b], *by_sequence[b])
        kernels.scan_adjoint(*inputs[b], A, D, bias, *outer[b], lo, hi, *bars, weights)

    _over_blocks(task, batch, width)
    B_bar, C_bar = shares[..., :states].sum(dim=2)
    totals = [bar.sum(0) if weights else None for bar in (A_bar[:, :states], D_bar, bias_bar)]
    return x_bar, dt_bar, B_bar, C_bar, z_bar, *totals, state_bar[:, :states]


def conv_forward(past, weight, bias) -> Tensor:
    """SiLU of the causal convolution; ``past`` is (batch, K-1+T, Di), the result (batch, T, Di)."""
    batch, rows, width = past.shape
    out = past.new_empty(batch, rows - weight.shape[0] + 1, width)
    past, weight = _whole_taps(past, weight)
    past, weight, bias, o = _arrays(past, weight, bias, out)

    def task(b, _, first, last):
        conv_kernels.conv_forward(past[b], weight, bias, first, last, o[b])

    _over_rows(task, o.shape[1], batch)
    return out


def _whole_taps(past: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Taps in whole groups: zero taps first, and rows of zeros (.., K', Di) for them to meet."""
    lack = -weight.shape[0] % GROUP
    if not lack:
        return past, weight
    zeros = past.new_zeros(*past.shape[:-2], lack, past.shape[-1])
    return torch.cat([zeros, past], dim=-2), _whole_groups(weight, 0, front=True)


def conv_tangent(past, weight, bias, past_dot) -> Tensor:
    """Tangents of the convolution's output in k directions (leading axis of ``past_dot``)."""
    k, batch, rows, width = past_dot.shape
    out = past.new_empty(batch, k, rows - weight.shape[0] + 1, width)
    past_dot, _ = _whole_taps(past_dot, weight)
    past, weight = _whole_taps(past, weight)
    past, weight, bias, dots, o = _arrays(past, weight, bias, past_dot.transpose(0, 1), out)

    def task(b, _, first, last):
        tangent_kernels.conv_tangent(past[b], weight, bias, dots[b], first, last, o[b])

    _over_rows(task, o.shape[2], batch)
    return out.transpose(0, 1).contiguous()


def conv_adjoint(past, weight, bias, out_bar, weights: bool) -> tuple[Tensor | None, ...]:
    """Cotangents of past, weight and bias; of weight and bias None unless ``weights``."""
    lack = -weight.shape[0] % GROUP
    past, weight = _whole_taps(past, weight)
    batch, rows, width = past.shape
    past_bar = past.new_empty(past.shape)
    weight_bar = past.new_zeros(batch, -(-rows // ROWS), *weight.shape)
    bias_bar = past.new_zeros(batch, -(-rows // ROWS), width)
    past, weight, bias, ob, pb, wb, bb = _arrays(
        past, weight, bias, out_bar, past_bar, weight_bar, bias_bar
    )

    def task(b, i, first, last):
        bars = pb[b], wb[b, i], bb[b, i]
        conv_kernels.conv_adjoint(past[b], weight, bias, ob[b], first, last, *bars, weights)

    _over_rows(task, rows, batch)
    if not weights:
        return past_bar[:, lack:], None, None
    return past_bar[:, lack:], weight_bar.sum((0, 1))[lack:], bias_bar.sum((0, 1))


def norm_forward(x, weight, eps) -> Tensor:
    """RMSNorm over the last axis of ``x`` (.., D)."""
    out = x.new_empty(x.shape)
    rows, weight, o = _arrays(x.flatten(0, -2), weight, out.view(-1, x.shape[-1]))
    _over_rows(lambda _, lo, hi: norm_kernels.norm_forward(rows, weight, eps, lo, hi, o), len(rows))
    return out


def norm_tangent(x, weight, eps, x_dot) -> Tensor:
    """Tangents of RMSNorm in k directions (leading axis of ``x_dot``)."""
    out = x.new_empty(x_dot.shape)
    x, weight, dots = _arrays(x.flatten(0, -2), weight, x_dot.flatten(1, -2))
    o = out.view(dots.shape).numpy()
    _over_rows(lambda _, lo, hi: norm_kernels.norm_tangent(x, weight, eps, dots, lo, hi, o), len(x))
    return out


def norm_adjoint(x, weight, eps, out_bar, weights: bool) -> tuple[Tensor, Tensor | None]:
    """Cotangents of x and weight; of weight None unless ``weights``."""
    x_bar = x.new_empty(x.shape)
    x, w, ob = _arrays(x.flatten(0, -2), weight, out_bar.flatten(0, -2))
    shares = weight.new_zeros(-(-len(x) // ROWS), *weight.shape)
    xb, shared = x_bar.view(x.shape).numpy(), shares.numpy()

    def task(i, lo, hi):
        norm_kernels.norm_adjoint(x, w, eps, ob, lo, hi, xb, shared[i], weights)

    _over_rows(task, len(x))
    return x_bar, shares.sum(0) if weights else None
