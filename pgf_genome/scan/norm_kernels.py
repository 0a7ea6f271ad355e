"""Numba kernels that sum over the last axis, for the rows ``lo <= t < hi`` of a matrix.

The conventions are those of ``kernels.py``.
"""

from __future__ import annotations

import numpy as np

from pgf_genome.scan.kernels import kernel

SPAN = 512  # terms that are added up in the type of the numbers


@kernel
def inverse_rms(x, t, eps):
    """Compute r = (mean x^2 + eps)^(-1/2) of one row."""
    real = x.dtype.type
    total = real(0)
    for d in range(x.shape[1]):
        total += x[t, d] * x[t, d]
    return real(1) / np.sqrt(total / real(x.shape[1]) + real(eps))


@kernel
def norm_forward(x, weight, eps, lo, hi, out):
    """Compute y = r x w."""
    for t in range(lo, hi):
        r = inverse_rms(x, t, eps)
        for d in range(x.shape[1]):
            out[t, d] = r * x[t, d] * weight[d]


@kernel
def norm_tangent(x, weight, eps, x_dot, lo, hi, out_dot):
    """Compute y' = w (r x' - r^3 x mean(x x')) in k directions, the leading axis of x'."""
    real = x.dtype.type
    for t in range(lo, hi):
        r = inverse_rms(x, t, eps)
        for i in range(x_dot.shape[0]):
            overlap = real(0)
            for d in range(x.shape[1]):
                overlap += x[t, d] * x_dot[i, t, d]
            pull = r * r * r * overlap / real(x.shape[1])
            for d in range(x.shape[1]):
                out_dot[i, t, d] = weight[d] * (r * x_dot[i, t, d] - pull * x[t, d])


@kernel
def norm_adjoint(x, weight, eps, out_bar, lo, hi, x_bar, weight_bar, weights):
    """Compute x_bar = r w y_bar - r^3 x mean(x w y_bar); add to w_bar = sum_t r x y_bar."""
    real = x.dtype.type
    for t in range(lo, hi):
        r = inverse_rms(x, t, eps)
        overlap = real(0)
        for d in range(x.shape[1]):
            overlap += x[t, d] * weight[d] * out_bar[t, d]
        pull = r * r * r * overlap / real(x.shape[1])
        for d in range(x.shape[1]):
            x_bar[t, d] = r * weight[d] * out_bar[t, d] - pull * x[t, d]
        if weights:
            for d in range(x.shape[1]):
                weight_bar[d] += r * x[t, d] * out_bar[t, d]


@kernel
def inner_change(moved, unmoved, weight, lo, hi, out):
    """Compute sum_d (moved_d - unmoved_d) weight_d, of each of the k rows moved[t]."""
    for t in range(lo, hi):
        for i in range(moved.shape[1]):
            total = 0.0
            for start in range(0, moved.shape[2], SPAN):
                # slices, because their indices start at 0: see ``kernels.py``
                now = slice(start, start + SPAN)
                new, old, w = moved[t, i, now], unmoved[t, now], weight[t, now]
                part = moved.dtype.type(0)
                for d in range(new.shape[0]):
                    part += (new[d] - old[d]) * w[d]
                total += part
            out[t, i] = total
