"""Numba kernels of the tangents: k directions that share one primal.

The conventions are those of ``kernels.py``. Dotted arrays have a leading axis of k.
"""

from __future__ import annotations

import numpy as np

from pgf_genome.scan.conv_kernels import FIRST, ROW, filter_row, respond
from pgf_genome.scan.fastmath import LOG2_E, exp2_neg
from pgf_genome.scan.kernels import (
    BLOCK,
    CHUNK,
    DECAY,
    DELTA,
    DX,
    GATE,
    GATE_SLOPE,
    GROUP,
    SLOPE,
    H,
    X,
    Y,
    block_of,
    clear_beyond,
    grouped,
    inlined,
    kernel,
    load_gate,
    load_step,
    ungroup,
)

# A field for A a h_{t-1} in the row of a position, and the fields of its row for one direction.
POLE = DECAY + GROUP * BLOCK
PRIMAL_ROW = POLE + GROUP * BLOCK
DELTA_DOT, DX_DOT, Y_DOT = range(0, 3 * BLOCK, BLOCK)
DOT_ROW = Y_DOT + BLOCK


@inlined
def load_direction(row, x_dot, dt_dot, D, t, lo, width, dot):
    """Load delta', (delta x)' and the tangent of the skip."""
    for d in range(width):
        delta_dot = row[SLOPE + d] * dt_dot[t, lo + d]
        dot[DELTA_DOT + d] = delta_dot
        dot[DX_DOT + d] = delta_dot * row[X + d] + row[DELTA + d] * x_dot[t, lo + d]
        dot[Y_DOT + d] = D[lo + d] * x_dot[t, lo + d]


@inlined
def advance_primal(row, after, b, c, A, poles):
    """Advance as `kernels.replay` does, and store A a h_{t-1}, which all directions need."""
    for d in range(BLOCK):
        delta, dx = row[DELTA + d], row[DX + d]
        a0 = exp2_neg(delta * poles[d])
        a1 = exp2_neg(delta * poles[BLOCK + d])
        a2 = exp2_neg(delta * poles[2 * BLOCK + d])
        a3 = exp2_neg(delta * poles[3 * BLOCK + d])
        row[DECAY + d] = a0
        row[DECAY + BLOCK + d] = a1
        row[DECAY + 2 * BLOCK + d] = a2
        row[DECAY + 3 * BLOCK + d] = a3
        h0 = a0 * row[H + d]
        h1 = a1 * row[H + BLOCK + d]
        h2 = a2 * row[H + 2 * BLOCK + d]
        h3 = a3 * row[H + 3 * BLOCK + d]
        row[POLE + d] = A[d] * h0
        row[POLE + BLOCK + d] = A[BLOCK + d] * h1
        row[POLE + 2 * BLOCK + d] = A[2 * BLOCK + d] * h2
        row[POLE + 3 * BLOCK + d] = A[3 * BLOCK + d] * h3
        h0 += b[0] * dx
        h1 += b[1] * dx
        h2 += b[2] * dx
        h3 += b[3] * dx
        after[H + d] = h0
        after[H + BLOCK + d] = h1
        after[H + 2 * BLOCK + d] = h2
        after[H + 3 * BLOCK + d] = h3
        row[Y + d] += c[0] * h0 + c[1] * h1 + c[2] * h2 + c[3] * h3


@inlined
def advance_direction(row, after, dot, b, c, b_dot, c_dot, h_dot):
    """Set h'_t = a h'_{t-1} + (A a h_{t-1}) delta' + (delta x B)', and y' += (C h)'."""
    for d in range(BLOCK):
        delta_dot, dx_dot, dx = dot[DELTA_DOT + d], dot[DX_DOT + d], row[DX + d]
        h0 = row[DECAY + d] * h_dot[d] + row[POLE + d] * delta_dot
        h1 = row[DECAY + BLOCK + d] * h_dot[BLOCK + d] + row[POLE + BLOCK + d] * delta_dot
        h2 = (
            row[DECAY + 2 * BLOCK + d] * h_dot[2 * BLOCK + d]
            + row[POLE + 2 * BLOCK + d] * delta_dot
        )
        h3 = (
            row[DECAY + 3 * BLOCK + d] * h_dot[3 * BLOCK + d]
            + row[POLE + 3 * BLOCK + d] * delta_dot
        )
        h0 += b[0] * dx_dot + b_dot[0] * dx
        h1 += b[1] * dx_dot + b_dot[1] * dx
        h2 += b[2] * dx_dot + b_dot[2] * dx
        h3 += b[3] * dx_dot + b_dot[3] * dx
        h_dot[d] = h0
        h_dot[BLOCK + d] = h1
        h_dot[2 * BLOCK + d] = h2
        h_dot[3 * BLOCK + d] = h3
        y_dot = c[0] * h0 + c[1] * h1 + c[2] * h2 + c[3] * h3
        y_dot += c_dot[0] * after[H + d] + c_dot[1] * after[H + BLOCK + d]
        y_dot += c_dot[2] * after[H + 2 * BLOCK + d] + c_dot[3] * after[H + 3 * BLOCK + d]
        dot[Y_DOT + d] += y_dot


@inlined
def store_direction(row, dot, z_dot, t, lo, width, out_dot):
    """Store (y silu(z))'."""
    for d in range(width):
        bent = row[Y + d] * row[GATE_SLOPE + d] * z_dot[t, lo + d]
        out_dot[t, lo + d] = dot[Y_DOT + d] * row[GATE + d] + bent


@kernel
def tangent_chunk(
    x, dt, B, C, z, A, D, bias, h, x_dot, dt_dot, B_dot, C_dot, z_dot, h_dot, start, stop,
    lo, width, rows, dots, out, out_dot,
):  # fmt: skip
    """Compute outputs start .. stop - 1 of a block and their tangents; advance ``h``, ``h_dot``."""
    k, poles = x_dot.shape[0], A * x.dtype.type(LOG2_E)
    clear_beyond(width, rows)
    for t in range(start, stop):
        row = rows[t - start]
        load_step(x, dt, D, bias, t, lo, width, row)
        load_gate(z[t, lo:], width, row)
        for i in range(k):
            load_direction(row, x_dot[i], dt_dot[i], D, t, lo, width, dots[t - start, i])
    for g in range(h.shape[0]):
        now = slice(g * GROUP, g * GROUP + GROUP)
        rows[0, H:DECAY] = h[g]
        for t in range(start, stop):
            row, after = rows[t - start], rows[t - start + 1]
            b, c = B[t, now], C[t, now]
            advance_primal(row, after, b, c, A[g], poles[g])
            for i in range(k):
                advance_direction(row, after, dots[t - start, i], b, c,
                                  B_dot[i, t, now], C_dot[i, t, now], h_dot[i, g])  # fmt: skip
        h[g] = rows[stop - start, H:DECAY]
    for t in range(start, stop):
        row = rows[t - start]
        for d in range(width):
            out[t, lo + d] = row[Y + d] * row[GATE + d]
        for i in range(k):
            store_direction(row, dots[t - start, i], z_dot[i], t, lo, width, out_dot[i])


@kernel
def scan_tangent(
    x, dt, B, C, z, A, D, bias, h_start, x_dot, dt_dot, B_dot, C_dot, z_dot, h_start_dot,
    lo, hi, out, h_end, out_dot, h_end_dot,
):  # fmt: skip
    """Compute outputs, final state and their tangents, a decay once for all directions."""
    directions = x_dot.shape[0]
    A_blocks, h = grouped(A, lo, hi), grouped(h_start, lo, hi)
    h_dot = np.empty((h.shape[0], directions, *h.shape[1:]), x.dtype)
    for i in range(directions):
        h_dot[:, i] = grouped(h_start_dot[i], lo, hi)
    rows = np.zeros((CHUNK + 1, PRIMAL_ROW), x.dtype)
    dots = np.zeros((CHUNK, directions, DOT_ROW), x.dtype)
    for start in range(0, x.shape[0], CHUNK):
        stop = min(start + CHUNK, x.shape[0])
        for k in range(h.shape[0]):
            first, width = block_of(k, lo, hi)
            tangent_chunk(
                x, dt, B, C, z, A_blocks[k], D, bias, h[k], x_dot, dt_dot, B_dot, C_dot, z_dot,
                h_dot[k], start, stop, first, width, rows, dots, out, out_dot,
            )  # fmt: skip
    ungroup(h, lo, hi, h_end)
    for i in range(directions):
        ungroup(h_dot[:, i], lo, hi, h_end_dot[i])


@kernel
def conv_tangent(past, weight, bias, past_dot, first, last, out_dot):
    """Compute tangents of the convolution's outputs first <= t < last."""
    channels = np.uintp(past.shape[1])
    taps = grouped(weight, FIRST, channels)
    total, row = np.zeros(BLOCK, past.dtype), np.zeros(ROW, past.dtype)
    for t in range(first, last):
        for k in range(taps.shape[0]):
            lo, width = block_of(k, FIRST, channels)
            respond(past, t, taps[k], bias, lo, width, total, row)
            for i in range(past_dot.shape[0]):
                total[:] = past.dtype.type(0)
                filter_row(past_dot[i], t, taps[k], lo, width, total)
                for d in range(width):
                    out_dot[i, t, lo + d] = row[GATE_SLOPE + d] * total[d]
