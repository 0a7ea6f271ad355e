"""Numba kernels that also give the state, and its cotangent, at every position.

The conventions are those of ``kernels.py``, with an axis of sequences in front. ``added`` is what
comes to the state before every position; ``states`` are those before every position, with what
came to them, and the one after the last.
"""

from __future__ import annotations

import numpy as np

from pgf_genome.scan.conv_kernels import FIRST, ROW
from pgf_genome.scan.fastmath import LOG2_E
from pgf_genome.scan.kernels import (
    ADJOINT_ROW,
    BLOCK,
    FORWARD_ROW,
    GATE,
    GATE_SLOPE,
    GROUP,
    adjoint_chunk,
    block_of,
    forward_chunk,
    grouped,
    kernel,
    load_gate,
    ungroup,
)


@kernel
def add_grouped(matrix, lo, hi, blocks):
    """Add channels of an (N, Di) matrix to blocks as `grouped` makes them."""
    for k in range(blocks.shape[0]):
        first, width = block_of(k, lo, hi)
        for n in range(matrix.shape[0]):
            for d in range(width):
                blocks[k, n // GROUP, n % GROUP * BLOCK + d] += matrix[n, first + d]


@kernel
def scan_along(x, dt, B, C, z, A, D, bias, added, first, last, lo, hi, out, states):
    """Compute outputs and states of sequences first .. last - 1."""
    poles, length = grouped(A, lo, hi) * x.dtype.type(LOG2_E), x.shape[1]
    rows = np.zeros((1, FORWARD_ROW), x.dtype)
    for b in range(first, last):
        h = np.zeros_like(poles)
        for t in range(length):
            add_grouped(added[b, t], lo, hi, h)
            ungroup(h, lo, hi, states[b, t])
            for k in range(h.shape[0]):
                channel, width = block_of(k, lo, hi)
                forward_chunk(
                    x[b], dt[b], B[b], C[b], z[b], poles[k], D, bias, h[k], t, t + 1,
                    channel, width, rows, out[b],
                )  # fmt: skip
        ungroup(h, lo, hi, states[b, length])


@kernel
def scan_along_adjoint(
    x, dt, B, C, z, A, D, bias, states, out_bar, states_bar, first, last, lo, hi,
    x_bar, dt_bar, B_bar, C_bar, z_bar, added_bar,
):  # fmt: skip
    """Compute cotangents of the inputs, and of the state before every position.

    ``B_bar`` and ``C_bar`` are (batch, blocks, T, N), of which the first block is that of ``lo``.
    """
    A_blocks, length, block = grouped(A, lo, hi), x.shape[1], int(lo) // BLOCK
    rows = np.zeros((2, ADJOINT_ROW), x.dtype)
    unused = np.zeros(x.shape[2], x.dtype)  # there are no cotangents of weights
    for b in range(first, last):
        carry = grouped(states_bar[b, length], lo, hi)
        for t in range(length - 1, -1, -1):
            h = grouped(states[b, t], lo, hi)
            for k in range(carry.shape[0]):
                channel, width = block_of(k, lo, hi)
                adjoint_chunk(
                    x[b], dt[b], B[b], C[b], z[b], A_blocks[k], D, bias, h[k], out_bar[b],
                    carry[k], t, t + 1, channel, width, rows, x_bar[b], dt_bar[b],
                    B_bar[b, block + k], C_bar[b, block + k], z_bar[b], A_blocks[k], unused,
                    unused, False,
                )  # fmt: skip
            add_grouped(states_bar[b, t], lo, hi, carry)
            ungroup(carry, lo, hi, added_bar[b, t])


@kernel
def conv_along(x, weight, bias, added, b, out, slope, states):
    """Compute outputs, slopes of SiLU, and states of sequence ``b``."""
    before, channels = weight.shape[0] - 1, np.uintp(x.shape[2])
    total, row = np.zeros(BLOCK, x.dtype), np.zeros(ROW, x.dtype)
    states[b, 0] = x.dtype.type(0)
    for t in range(x.shape[1]):
        now, later = states[b, t], states[b, t + 1]
        for k in range(-(-int(channels) // BLOCK)):
            lo, width = block_of(k, FIRST, channels)
            for d in range(width):
                total[d] = bias[lo + d] + weight[before, lo + d] * x[b, t, lo + d]
            for j in range(before):
                for d in range(width):
                    now[j, lo + d] += added[b, t, j, lo + d]
                    total[d] += weight[j, lo + d] * now[j, lo + d]
            load_gate(total, width, row)
            for d in range(width):
                out[b, t, lo + d] = row[GATE + d]
                slope[b, t, lo + d] = row[GATE_SLOPE + d]
        if before:
            later[: before - 1] = now[1:]
            later[before - 1] = x[b, t]


@kernel
def conv_along_adjoint(weight, slope, out_bar, states_bar, b, x_bar, added_bar):
    """Compute cotangents of x, and of the state before every position, of sequence ``b``."""
    before, length = weight.shape[0] - 1, slope.shape[1]
    carry = states_bar[b, length].copy()
    for t in range(length - 1, -1, -1):
        v = out_bar[b, t] * slope[b, t]
        x_bar[b, t] = weight[before] * v
        if before:
            x_bar[b, t] += carry[before - 1]
            for j in range(before - 1, 0, -1):
                carry[j] = carry[j - 1] + weight[j] * v
            carry[0] = weight[0] * v
        carry += states_bar[b, t]
        added_bar[b, t] = carry
