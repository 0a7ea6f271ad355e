"""Numba kernels of the depthwise causal convolution with SiLU, for one block of channels.

Conventions as in ``kernels.py``; K, the number of taps, is a multiple of ``GROUP``. ``past`` is
the tile with the K-1 inputs before it in front, so that output t sees
``past[t] .. past[t + K - 1]``.
"""

from __future__ import annotations

import numpy as np

from pgf_genome.scan.kernels import (
    BLOCK,
    CHUNK,
    GATE,
    GATE_SLOPE,
    GROUP,
    grouped,
    kernel,
    load_gate,
)

ROW = GATE_SLOPE + BLOCK


@kernel
def filter_row(past, t, taps, lo, width, total):
    """Add sum_k weight_k past_{t+k} to ``total``."""
    for g in range(taps.shape[0]):
        w, p = taps[g], past[t + g * GROUP : t + (g + 1) * GROUP]
        for d in range(width):
            early = w[d] * p[0, lo + d] + w[BLOCK + d] * p[1, lo + d]
            late = w[2 * BLOCK + d] * p[2, lo + d] + w[3 * BLOCK + d] * p[3, lo + d]
            total[d] += early + late


@kernel
def conv_forward(past, weight, bias, lo, hi, out):
    """u_t = silu(sum_k weight_k past_{t+k} + bias)."""
    width = hi - lo
    taps = grouped(weight, lo, width)
    total, row = np.zeros((1, BLOCK), past.dtype), np.zeros(ROW, past.dtype)
    for t in range(out.shape[0]):
        for d in range(width):
            total[0, d] = bias[lo + d]
        filter_row(past, t, taps, lo, width, total[0])
        load_gate(total, 0, lo - lo, width, row)
        for d in range(width):
            out[t, lo + d] = row[GATE + d]


@kernel
def conv_adjoint(past, weight, bias, out_bar, lo, hi, past_bar, weight_bar, bias_bar, weights):
    """Cotangents of past and, if ``weights``, of weight and bias.

    v_t          = u_bar_t silu'(..)
    past_bar_r   = sum_k weight_k v_{r-k}
    weight_bar_k = sum_t v_t past_{t+k}
    """
    width, length = hi - lo, out_bar.shape[0]
    K = weight.shape[0]
    taps, flipped = grouped(weight, lo, width), grouped(weight[::-1], lo, width)
    total, row = np.zeros((1, BLOCK), past.dtype), np.zeros(ROW, past.dtype)
    # v of a chunk, behind the last K-1 of the chunk before
    v = np.zeros((CHUNK + K - 1, BLOCK), past.dtype)
    for start in range(0, past_bar.shape[0], CHUNK):
        stop = min(start + CHUNK, past_bar.shape[0])
        v[: K - 1] = v[CHUNK:].copy()
        v[K - 1 :] = past.dtype.type(0)
        for t in range(start, min(stop, length)):
            for d in range(width):
                total[0, d] = bias[lo + d]
            filter_row(past, t, taps, lo, width, total[0])
            load_gate(total, 0, lo - lo, width, row)
            now = v[K - 1 + t - start]
            for d in range(width):
                now[d] = out_bar[t, lo + d] * row[GATE_SLOPE + d]
            if weights:
                for k in range(K):
                    for d in range(width):
                        weight_bar[k, lo + d] += now[d] * past[t + k, lo + d]
                for d in range(width):
                    bias_bar[lo + d] += now[d]
        for r in range(start, stop):
            total[0, :] = past.dtype.type(0)
            filter_row(v, r - start, flipped, lo - lo, width, total[0])
            for d in range(width):
                past_bar[r, lo + d] = total[0, d]
