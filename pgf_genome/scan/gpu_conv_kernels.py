"""Triton kernels of the depthwise causal convolution with SiLU.

Conventions as in ``gpu_kernels.py``. ``past`` is the tile with the K-1 inputs before it in front,
so that output t sees ``past[t] .. past[t + K - 1]``. A program makes ``ROWS`` positions of a block
of channels.
"""

from __future__ import annotations

import triton
import triton.language as tl

from pgf_genome.scan.gpu_kernels import load, silu


@triton.jit
def rows_of(lead, t, columns, length, width):
    """Offsets and mask of rows t of matrix ``lead`` of an array (.., length, width)."""
    offsets = (lead * length + t[:, None]) * width + columns[None, :]
    return offsets, (t[:, None] < length) & (columns[None, :] < width)


@triton.jit
def channels(vector, d, width, ACC: tl.constexpr):
    return load(vector, d, d < width, ACC)[None, :]


@triton.jit
def span(width, ROWS: tl.constexpr, BD: tl.constexpr):
    """This program's rows, sequence and channels."""
    blocks = tl.cdiv(width, BD)
    t = (tl.program_id(0) // blocks) * ROWS + tl.arange(0, ROWS)
    d = (tl.program_id(0) % blocks) * BD + tl.arange(0, BD)
    return t, tl.program_id(1).to(tl.int64), d


@triton.jit
def filtered(past, lead, weight, total, t, d, length, width, K: tl.constexpr, ACC: tl.constexpr):
    """``total`` plus the convolution at rows t of sequence ``lead``."""
    for k in tl.static_range(K):
        at, live = rows_of(lead, t + k, d, length + K - 1, width)
        total += channels(weight + k * width, d, width, ACC) * load(past, at, live, ACC)
    return total


@triton.jit
def conv_rows(
    past, weight, bias, out, length, width,
    K: tl.constexpr, ACC: tl.constexpr, ROWS: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """u_t = silu(sum_k weight_k past_{t+k} + bias)."""
    t, batch, d = span(width, ROWS, BD)
    total = channels(bias, d, width, ACC) + tl.zeros([ROWS, BD], ACC)
    total = filtered(past, batch, weight, total, t, d, length, width, K, ACC)
    at, live = rows_of(batch, t, d, length, width)
    tl.store(out + at, silu(total)[0], mask=live)


@triton.jit
def conv_tangent_rows(
    past, weight, bias, past_dot, out_dot, directions, batches, length, width,
    K: tl.constexpr, ACC: tl.constexpr, ROWS: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Tangents of the outputs along all directions."""
    t, batch, d = span(width, ROWS, BD)
    nothing = tl.zeros([ROWS, BD], ACC)
    total = channels(bias, d, width, ACC) + nothing
    total = filtered(past, batch, weight, total, t, d, length, width, K, ACC)
    _, slope = silu(total)
    for k in range(0, directions):
        lead = k * batches + batch
        total = filtered(past_dot, lead, weight, nothing, t, d, length, width, K, ACC)
        at, live = rows_of(lead, t, d, length, width)
        tl.store(out_dot + at, slope * total, mask=live)


@triton.jit
def conv_total_bar(
    past, weight, bias, out_bar, total_bar, weight_bar, bias_bar, length, width,
    WEIGHTS: tl.constexpr, K: tl.constexpr, ACC: tl.constexpr, ROWS: tl.constexpr,
    BD: tl.constexpr,
):  # fmt: skip
    """Cotangents of what SiLU is applied to and, if ``WEIGHTS``, shares of the weights'."""
    t, batch, d = span(width, ROWS, BD)
    total = channels(bias, d, width, ACC) + tl.zeros([ROWS, BD], ACC)
    total = filtered(past, batch, weight, total, t, d, length, width, K, ACC)
    at, live = rows_of(batch, t, d, length, width)
    bar = load(out_bar, at, live, ACC) * silu(total)[1]
    tl.store(total_bar + at, bar, mask=live)
    if WEIGHTS:
        share = batch * tl.cdiv(length, ROWS) + tl.program_id(0) // tl.cdiv(width, BD)
        tl.store(bias_bar + share * width + d, tl.sum(bar, axis=0), mask=d < width)
        for k in tl.static_range(K):
            at, live = rows_of(batch, t + k, d, length + K - 1, width)
            tap = tl.sum(bar * load(past, at, live, ACC), axis=0)
            tl.store(weight_bar + (share * K + k) * width + d, tap, mask=d < width)


@triton.jit
def conv_past_bar(
    total_bar, weight, past_bar, length, width,
    K: tl.constexpr, ACC: tl.constexpr, ROWS: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """past_bar_r = sum_k weight_k total_bar_{r-k}."""
    r, batch, d = span(width, ROWS, BD)
    total = tl.zeros([ROWS, BD], ACC)
    for k in tl.static_range(K):
        at, live = rows_of(batch, r - k, d, length, width)
        live &= r[:, None] >= k
        total += channels(weight + k * width, d, width, ACC) * load(total_bar, at, live, ACC)
    at, live = rows_of(batch, r, d, length + K - 1, width)
    tl.store(past_bar + at, total, mask=live)
