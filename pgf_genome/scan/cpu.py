"""The scan and the convolution on CPU tensors: kernels spread over sequences and channel blocks.

Same values as ``reference.py``. Threads follow ``torch.get_num_threads()``, so that one setting
governs matrix products and kernels. Results do not depend on the number of threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from pgf_genome.scan import conv_kernels, kernels

# Channels whose states one thread keeps in its cache.
BLOCK = 128


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="pgf-scan")


def _over_blocks(task: Callable[[int, int, int], None], batch: int, width: int) -> None:
    """Call ``task(sequence, first channel, past last channel)`` for every block, in threads."""
    spans = [(lo, min(lo + BLOCK, width)) for lo in range(0, width, BLOCK)]
    blocks = [(b, np.uintp(lo), np.uintp(hi)) for b in range(batch) for lo, hi in spans]
    threads = min(torch.get_num_threads(), len(blocks))
    if threads == 1:
        for block in blocks:
            task(*block)
    else:
        list(_pool(threads).map(lambda block: task(*block), blocks))


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def scan_forward(x, dt, B, C, z, A, D, bias, state) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, final state, and stored states (batch, ceil(T / CHUNK), N, Di) for the adjoint."""
    batch, length, width = x.shape
    chunks = -(-length // kernels.CHUNK)
    out, end = x.new_empty(x.shape), state.new_empty(state.shape)
    stored = x.new_empty(batch, chunks, A.shape[0], width)
    per_sequence = list(zip(*_arrays(x, dt, B, C, z), strict=True))
    A, D, bias, h0, o, e, s = _arrays(A, D, bias, state, out, end, stored)

    def task(b, lo, hi):
        kernels.scan_forward(*per_sequence[b], A, D, bias, h0[b], lo, hi, o[b], e[b], s[b])

    _over_blocks(task, batch, width)
    return out, end, stored


def scan_tangent(
    x, dt, B, C, z, A, D, bias, state, x_dot, dt_dot, B_dot, C_dot, z_dot, state_dot
) -> tuple[Tensor, Tensor]:
    """Tangents in k directions; every dotted tensor is (k, batch, ..) beside its primal."""
    batch, _, width = x.shape
    k = x_dot.shape[0]
    out_dot, end_dot = x.new_empty(batch, k, *x.shape[1:]), x.new_empty(batch, k, *state.shape[1:])
    dots = [d.transpose(0, 1) for d in (x_dot, dt_dot, B_dot, C_dot, z_dot, state_dot)]
    primals, dots = (list(zip(*_arrays(*v), strict=True)) for v in ((x, dt, B, C, z), dots))
    A, D, bias, h0, o, e = _arrays(A, D, bias, state, out_dot, end_dot)

    def task(b, lo, hi):
        kernels.scan_tangent(*primals[b], A, D, bias, h0[b], *dots[b], lo, hi, o[b], e[b])

    _over_blocks(task, batch, width)
    return out_dot.transpose(0, 1).contiguous(), end_dot.transpose(0, 1).contiguous()


def scan_adjoint(
    x, dt, B, C, z, A, D, bias, stored, out_bar, end_bar, weights: bool
) -> tuple[Tensor, ...]:
    """Cotangents of x, dt, B, C, z, A, D, bias and state; of A, D, bias zero unless ``weights``."""
    batch, length, width = x.shape
    states = A.shape[0]
    shares = x.new_zeros(2, -(-width // BLOCK), batch, length, states)
    x_bar, dt_bar, z_bar, state_bar = (v.new_empty(v.shape) for v in (x, dt, z, end_bar))
    A_bar = x.new_zeros(batch, *A.shape)
    D_bar, bias_bar = x.new_zeros(batch, width), x.new_zeros(batch, width)
    inputs = list(zip(*_arrays(x, dt, B, C, z), strict=True))
    outer = list(zip(*_arrays(stored, out_bar, end_bar), strict=True))
    A, D, bias, *targets = _arrays(A, D, bias, x_bar, dt_bar, z_bar, state_bar, shares)
    sums = _arrays(A_bar, D_bar, bias_bar)

    def task(b, lo, hi):
        xb, dtb, zb, hb, share = targets
        Bb, Cb = share[0, lo // BLOCK, b], share[1, lo // BLOCK, b]
        bars = (xb[b], dtb[b], Bb, Cb, zb[b], hb[b], *(total[b] for total in sums))
        kernels.scan_adjoint(*inputs[b], A, D, bias, *outer[b], lo, hi, *bars, weights)

    _over_blocks(task, batch, width)
    B_bar, C_bar = shares.sum(dim=1)
    totals = (A_bar.sum(0), D_bar.sum(0), bias_bar.sum(0))
    return x_bar, dt_bar, B_bar, C_bar, z_bar, *totals, state_bar


def conv_forward(past, weight, bias) -> Tensor:
    """SiLU of the causal convolution; ``past`` is (batch, K-1+T, Di), the result (batch, T, Di)."""
    batch, rows, width = past.shape
    out = past.new_empty(batch, rows - weight.shape[0] + 1, width)
    past, weight, bias, o = _arrays(past, weight, bias, out)

    def task(b, lo, hi):
        conv_kernels.conv_forward(past[b], weight, bias, lo, hi, o[b])

    _over_blocks(task, batch, width)
    return out


def conv_tangent(past, weight, bias, past_dot) -> Tensor:
    """Tangents of the convolution's output in k directions (leading axis of ``past_dot``)."""
    _, batch, rows, width = past_dot.shape
    dots = past_dot.transpose(0, 1)
    out = past.new_empty(batch, past_dot.shape[0], rows - weight.shape[0] + 1, width)
    past, weight, bias, dots, o = _arrays(past, weight, bias, dots, out)

    def task(b, lo, hi):
        conv_kernels.conv_tangent(past[b], weight, bias, dots[b], lo, hi, o[b])

    _over_blocks(task, batch, width)
    return out.transpose(0, 1).contiguous()


def conv_adjoint(past, weight, bias, out_bar, weights: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Cotangents of past, weight and bias; of weight and bias zero unless ``weights``."""
    batch, _, width = past.shape
    past_bar = past.new_zeros(past.shape)
    weight_bar, bias_bar = past.new_zeros(batch, *weight.shape), past.new_zeros(batch, width)
    past, weight, bias, ob = _arrays(past, weight, bias, out_bar)
    bars = list(zip(*_arrays(past_bar, weight_bar, bias_bar), strict=True))

    def task(b, lo, hi):
        conv_kernels.conv_adjoint(past[b], weight, bias, ob[b], lo, hi, *bars[b], weights)

    _over_blocks(task, batch, width)
    return past_bar, weight_bar.sum(0), bias_bar.sum(0)
