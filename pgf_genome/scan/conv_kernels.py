"""Numba kernels of the depthwise causal convolution with SiLU, for some rows of one sequence.

The conventions are those of ``kernels.py``; K, the number of taps, is a multiple of `GROUP`.
``past`` is the tile with the K-1 inputs before it in front, so that output t sees
``past[t] .. past[t + K - 1]``. Nothing is carried from row to row, so threads share whole rows
rather than blocks of channels: memory is then read in order, which is twice as fast.
"""

from __future__ import annotations

import numpy as np

from pgf_genome.scan.kernels import (
    BLOCK,
    GATE,
    GATE_SLOPE,
    GROUP,
    block_of,
    grouped,
    inlined,
    kernel,
    load_gate,
)

ROW = GATE_SLOPE + BLOCK
SPAN = 8  # rows between two copies of the last K - 1
FIRST = np.uintp(0)  # channel


@inlined
def filter_row(past, t, taps, lo, width, total):
    """Add sum_k weight_k past_{t+k} to ``total``."""
    for g in range(taps.shape[0]):
        w, p = taps[g], past[t + g * GROUP : t + (g + 1) * GROUP]
        for d in range(width):
            early = w[d] * p[0, lo + d] + w[BLOCK + d] * p[1, lo + d]
            late = w[2 * BLOCK + d] * p[2, lo + d] + w[3 * BLOCK + d] * p[3, lo + d]
            total[d] += early + late


@inlined
def respond(past, t, taps, bias, lo, width, total, row):
    """Compute silu(sum_k weight_k past_{t+k} + bias) and the slope of silu there."""
    for d in range(width):
        total[d] = bias[lo + d]
    filter_row(past, t, taps, lo, width, total)
    load_gate(total, width, row)


@kernel
def conv_forward(past, weight, bias, first, last, lo, hi, out):
    """Compute u_t = silu(sum_k weight_k past_{t+k} + bias) for lo <= t < hi.

    ``past`` and ``out`` have an axis of sequences in front, of which ``first`` .. ``last - 1`` are
    computed.
    """
    channels = np.uintp(out.shape[2])
    taps = grouped(weight, FIRST, channels)
    total, row = np.zeros(BLOCK, past.dtype), np.zeros(ROW, past.dtype)
    for b in range(first, last):
        for t in range(lo, hi):
            for k in range(taps.shape[0]):
                channel, width = block_of(k, FIRST, channels)
                respond(past[b], t, taps[k], bias, channel, width, total, row)
                for d in range(width):
                    out[b, t, channel + d] = row[GATE + d]


@inlined
def load_slopes(past, t, taps, bias, out_bar, total, row, v):
    """Compute v_t = u_bar_t silu'(..) of one output; zero where there is none."""
    if t < 0 or t >= out_bar.shape[0]:
        v[:] = past.dtype.type(0)
        return
    for k in range(taps.shape[0]):
        lo, width = block_of(k, FIRST, np.uintp(v.shape[0]))
        respond(past, t, taps[k], bias, lo, width, total, row)
        for d in range(width):
            v[lo + d] = out_bar[t, lo + d] * row[GATE_SLOPE + d]


@kernel
def add_weight_shares(past, v, first, last, weight_bar, bias_bar):
    """Add sum_t v_t past_{t+k} and sum_t v_t; ``v`` begins with output ``first``."""
    for t in range(first, last):
        for k in range(weight_bar.shape[0]):
            for d in range(bias_bar.shape[0]):
                weight_bar[k, d] += v[t - first, d] * past[t + k, d]
        for d in range(bias_bar.shape[0]):
            bias_bar[d] += v[t - first, d]


@kernel
def conv_adjoint(
    past, weight, bias, out_bar, first, last, past_bar, weight_bar, bias_bar, weights
):  # fmt: skip
    """Compute cotangents of past_r and, if ``weights``, shares of those of weight and bias.

        v_t          = u_bar_t silu'(..)
        past_bar_r   = sum_k weight_k v_{r-k}
        weight_bar_k = sum_t v_t past_{t+k}

    for first <= r, t < last.
    """
    K, channels, zero = weight.shape[0], np.uintp(past.shape[1]), past.dtype.type(0)
    taps, flipped = grouped(weight, FIRST, channels), grouped(weight[::-1], FIRST, channels)
    total, row = np.zeros(BLOCK, past.dtype), np.zeros(ROW, past.dtype)
    v = np.zeros((K - 1 + SPAN, channels), past.dtype)  # outputs start - K + 1 .. stop - 1
    for t in range(first - K + 1, first):
        load_slopes(past, t, taps, bias, out_bar, total, row, v[t - first + K - 1])
    for start in range(first, last, SPAN):
        stop = min(start + SPAN, last)
        for t in range(start, stop):
            load_slopes(past, t, taps, bias, out_bar, total, row, v[t - start + K - 1])
            for k in range(taps.shape[0]):
                lo, width = block_of(k, FIRST, channels)
                total[:] = zero
                filter_row(v, t - start, flipped[k], lo, width, total)
                for d in range(width):
                    past_bar[t, lo + d] = total[d]
        if weights:
            end = min(stop, out_bar.shape[0])
            add_weight_shares(past, v[K - 1 :], start, end, weight_bar, bias_bar)
        v[: K - 1] = v[SPAN:]


@kernel
def conv_along(x, weight, bias, state, b, out, slope, states):
    """Compute outputs and slopes of SiLU of sequence ``b``, and the states between positions."""
    before, channels = weight.shape[0] - 1, np.uintp(x.shape[2])
    total, row = np.zeros(BLOCK, x.dtype), np.zeros(ROW, x.dtype)
    states[b, 0] = state[b]
    for t in range(x.shape[1]):
        for k in range(-(-int(channels) // BLOCK)):
            lo, width = block_of(k, FIRST, channels)
            for d in range(width):
                total[d] = bias[lo + d] + weight[before, lo + d] * x[b, t, lo + d]
            for j in range(before):
                for d in range(width):
                    total[d] += weight[j, lo + d] * states[b, t, j, lo + d]
            load_gate(total, width, row)
            for d in range(width):
                out[b, t, lo + d] = row[GATE + d]
                slope[b, t, lo + d] = row[GATE_SLOPE + d]
        if before:
            states[b, t + 1, : before - 1] = states[b, t, 1:]
            states[b, t + 1, before - 1] = x[b, t]


@kernel
def conv_along_adjoint(weight, slope, out_bar, end_bar, b, x_bar, along):
    """Compute cotangents of x, and of the state before every position, of sequence ``b``.

    v_t          = u_bar_t silu'(..)
    x_bar_t      = carry_{K-2} + weight_{K-1} v_t       carry is that of the position after
    carry_j      = carry_{j-1} + weight_j v_t
    """
    before, carry, v = weight.shape[0] - 1, end_bar[b].copy(), np.empty_like(weight[0])
    for t in range(slope.shape[1] - 1, -1, -1):
        bar, rise, last, x_row = out_bar[b, t], slope[b, t], weight[before], x_bar[b, t]
        for d in range(v.shape[0]):
            v[d] = bar[d] * rise[d]
            x_row[d] = last[d] * v[d]
        if before:
            latest = carry[before - 1]
            for d in range(v.shape[0]):
                x_row[d] += latest[d]
        for j in range(before - 1, 0, -1):
            row, earlier, tap = carry[j], carry[j - 1], weight[j]
            for d in range(v.shape[0]):
                row[d] = earlier[d] + tap[d] * v[d]
        if before:
            row, tap = carry[0], weight[0]
            for d in range(v.shape[0]):
                row[d] = tap[d] * v[d]
        along[b, t] = carry
