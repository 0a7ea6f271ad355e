"""Numba kernels of the depthwise causal convolution with SiLU, for one block of channels.

Conventions as in ``kernels.py``: one sequence, C-contiguous, channels last, ``_bar`` cotangents
and ``_dot`` tangents. ``past`` is the tile with the K-1 inputs before it in front, so that
output t sees ``past[t] .. past[t + K - 1]``.
"""

from __future__ import annotations

import numpy as np

from pgf_genome.scan.kernels import kernel, silu_row


@kernel
def _filter_row(past, t, weight, lo, hi, total):
    """Add the convolution at position t to ``total``."""
    for k in range(weight.shape[0]):
        for d in range(lo, hi):
            total[0, d - lo] += weight[k, d] * past[t + k, d]


@kernel
def conv_forward(past, weight, bias, lo, hi, out):
    """u_t = silu(sum_k weight_k past_{t+k} + bias)."""
    rows = np.empty((3, hi - lo), past.dtype)
    total, gate, slope = rows[:1], rows[1], rows[2]
    for t in range(out.shape[0]):
        for d in range(lo, hi):
            total[0, d - lo] = bias[d]
        _filter_row(past, t, weight, lo, hi, total)
        silu_row(total, 0, lo - lo, hi - lo, gate, slope)
        for d in range(lo, hi):
            out[t, d] = gate[d - lo]


@kernel
def conv_tangent(past, weight, bias, past_dot, lo, hi, out_dot):
    """Tangents of the outputs in k directions (leading axis of the dotted arrays)."""
    rows = np.empty((3, hi - lo), past.dtype)
    total, gate, slope = rows[:1], rows[1], rows[2]
    for t in range(out_dot.shape[1]):
        for d in range(lo, hi):
            total[0, d - lo] = bias[d]
        _filter_row(past, t, weight, lo, hi, total)
        silu_row(total, 0, lo - lo, hi - lo, gate, slope)
        for i in range(past_dot.shape[0]):
            for d in range(lo, hi):
                total[0, d - lo] = past.dtype.type(0)
            _filter_row(past_dot[i], t, weight, lo, hi, total)
            for d in range(lo, hi):
                out_dot[i, t, d] = slope[d - lo] * total[0, d - lo]


@kernel
def conv_adjoint(past, weight, bias, out_bar, lo, hi, past_bar, weight_bar, bias_bar, weights):
    """Cotangents; everything barred but ``out_bar`` is added to."""
    rows = np.empty((4, hi - lo), past.dtype)
    total, gate, slope, bar = rows[:1], rows[1], rows[2], rows[3]
    for t in range(out_bar.shape[0]):
        for d in range(lo, hi):
            total[0, d - lo] = bias[d]
        _filter_row(past, t, weight, lo, hi, total)
        silu_row(total, 0, lo - lo, hi - lo, gate, slope)
        for d in range(lo, hi):
            bar[d - lo] = out_bar[t, d] * slope[d - lo]
        for k in range(weight.shape[0]):
            for d in range(lo, hi):
                past_bar[t + k, d] += weight[k, d] * bar[d - lo]
        if weights:
            for k in range(weight.shape[0]):
                for d in range(lo, hi):
                    weight_bar[k, d] += bar[d - lo] * past[t + k, d]
            for d in range(lo, hi):
                bias_bar[d] += bar[d - lo]
