"""Numba kernels of the selective scan, for one sequence and one block of channels.

A block's states stay in cache while time runs; ``cpu.py`` spreads blocks and sequences over
threads. A block is the channels ``lo <= d < hi``, both unsigned: a signed index may count from
the end, and the test for it would keep LLVM from vectorising. Arrays are C-contiguous with
channels last. Names and equations are those of ``reference.py``; a trailing ``_bar`` is a
cotangent, a trailing ``_dot`` a tangent.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pgf_genome.scan.fastmath import FLAGS, LOG2_E, exp2_neg, log1p_unit

# Positions between two stored states; the adjoint recomputes the states of one chunk in cache.
CHUNK = 16

kernel = njit(nogil=True, cache=True, fastmath=FLAGS, error_model="numpy")


@kernel
def softplus_row(dt, t, bias, lo, hi, delta, slope):
    """delta = softplus(dt + bias) and its derivative; linear above 20, as in torch."""
    real = dt.dtype.type
    zero, one, linear, log2_e = real(0), real(1), real(20), real(LOG2_E)
    for d in range(lo, hi):
        v = dt[t, d] + bias[d]
        u = exp2_neg(-abs(v) * log2_e)
        soft = max(v, zero) + log1p_unit(u)
        above = one / (one + u)
        below = u * above
        sigmoid = above if v >= zero else below
        delta[d - lo] = v if v > linear else soft
        slope[d - lo] = one if v > linear else sigmoid


@kernel
def silu_row(z, t, lo, hi, gate, slope):
    """gate = silu(z) and its derivative."""
    real = z.dtype.type
    zero, one, log2_e = real(0), real(1), real(LOG2_E)
    for d in range(lo, hi):
        v = z[t, d]
        u = exp2_neg(-abs(v) * log2_e)
        above = one / (one + u)
        below = u * above
        sigmoid = above if v >= zero else below
        gate[d - lo] = v * sigmoid
        slope[d - lo] = sigmoid * (one + v * (one - sigmoid))


@kernel
def scan_forward(x, dt, B, C, z, A, D, bias, h0, lo, hi, out, h_end, stored):
    """Outputs, final state, and the states before every ``CHUNK``-th position."""
    length, states, width = x.shape[0], A.shape[0], hi - lo
    A2 = A[:, lo:hi] * x.dtype.type(LOG2_E)
    h = h0[:, lo:hi].copy()
    rows = np.empty((5, width), x.dtype)
    delta, slope, dx, y, gate = rows[0], rows[1], rows[2], rows[3], rows[4]
    for t in range(length):
        if t % CHUNK == 0:
            for n in range(states):
                for d in range(lo, hi):
                    stored[t // CHUNK, n, d] = h[n, d - lo]
        softplus_row(dt, t, bias, lo, hi, delta, slope)
        silu_row(z, t, lo, hi, gate, slope)
        for d in range(lo, hi):
            dx[d - lo] = delta[d - lo] * x[t, d]
            y[d - lo] = D[d] * x[t, d]
        for n in range(states):
            b, c = B[t, n], C[t, n]
            for d in range(lo, hi):
                hd = exp2_neg(delta[d - lo] * A2[n, d - lo]) * h[n, d - lo] + b * dx[d - lo]
                h[n, d - lo] = hd
                y[d - lo] += c * hd
        for d in range(lo, hi):
            out[t, d] = y[d - lo] * gate[d - lo]
    h_end[:, lo:hi] = h


@kernel
def scan_tangent(
    x, dt, B, C, z, A, D, bias, h0, x_dot, dt_dot, B_dot, C_dot, z_dot, h0_dot,
    lo, hi, out_dot, h_end_dot,
):  # fmt: skip
    """Tangents of outputs and final state in k directions that share one primal.

    The dotted arrays have a leading axis of k. Each decay is computed once for all directions:

        h'_t = a h'_{t-1} + (A a h_{t-1}) delta'_t + (delta x)'_t B_t + delta_t x_t B'_t
    """
    length, states, width, k = x.shape[0], A.shape[0], hi - lo, x_dot.shape[0]
    A2 = A[:, lo:hi] * x.dtype.type(LOG2_E)
    h, h_dot = h0[:, lo:hi].copy(), h0_dot[:, :, lo:hi].copy()
    rows = np.empty((9, width), x.dtype)
    delta, slope, dx, y, gate = rows[0], rows[1], rows[2], rows[3], rows[4]
    gate_slope, decay, pole, now = rows[5], rows[6], rows[7], rows[8]
    tangents = np.empty((3, k, width), x.dtype)
    delta_dot, dx_dot, y_dot = tangents[0], tangents[1], tangents[2]
    for t in range(length):
        softplus_row(dt, t, bias, lo, hi, delta, slope)
        silu_row(z, t, lo, hi, gate, gate_slope)
        for d in range(lo, hi):
            dx[d - lo] = delta[d - lo] * x[t, d]
            y[d - lo] = D[d] * x[t, d]
        for i in range(k):
            for d in range(lo, hi):
                dd = slope[d - lo] * dt_dot[i, t, d]
                delta_dot[i, d - lo] = dd
                dx_dot[i, d - lo] = dd * x[t, d] + delta[d - lo] * x_dot[i, t, d]
                y_dot[i, d - lo] = D[d] * x_dot[i, t, d]
        for n in range(states):
            b, c = B[t, n], C[t, n]
            for d in range(lo, hi):
                decay[d - lo] = exp2_neg(delta[d - lo] * A2[n, d - lo])
                carried = decay[d - lo] * h[n, d - lo]
                pole[d - lo] = A[n, d] * carried
                now[d - lo] = carried + b * dx[d - lo]
                h[n, d - lo] = now[d - lo]
                y[d - lo] += c * now[d - lo]
            for i in range(k):
                b_dot, c_dot = B_dot[i, t, n], C_dot[i, t, n]
                for d in range(lo, hi):
                    moved = (
                        decay[d - lo] * h_dot[i, n, d - lo] + pole[d - lo] * delta_dot[i, d - lo]
                    )
                    moved += b * dx_dot[i, d - lo] + b_dot * dx[d - lo]
                    h_dot[i, n, d - lo] = moved
                    y_dot[i, d - lo] += c * moved + c_dot * now[d - lo]
        for i in range(k):
            for d in range(lo, hi):
                bent = y[d - lo] * gate_slope[d - lo] * z_dot[i, t, d]
                out_dot[i, t, d] = y_dot[i, d - lo] * gate[d - lo] + bent
    h_end_dot[:, :, lo:hi] = h_dot


@kernel
def _replay_chunk(
    x, B, C, A2, D, dt, bias, start, stop, lo, hi, stored, states, decays, ys, deltas, slopes
):
    """Recompute one chunk's decays, states and ungated outputs from its stored state."""
    for n in range(A2.shape[0]):
        for d in range(lo, hi):
            states[0, n, d - lo] = stored[start // CHUNK, n, d]
    for t in range(start, stop):
        s = t - start
        softplus_row(dt, t, bias, lo, hi, deltas[s], slopes[s])
        for d in range(lo, hi):
            ys[s, d - lo] = D[d] * x[t, d]
        for n in range(A2.shape[0]):
            b, c = B[t, n], C[t, n]
            for d in range(lo, hi):
                a = exp2_neg(deltas[s, d - lo] * A2[n, d - lo])
                hd = a * states[s, n, d - lo] + b * (deltas[s, d - lo] * x[t, d])
                decays[s, n, d - lo] = a
                states[s + 1, n, d - lo] = hd
                ys[s, d - lo] += c * hd


@kernel
def scan_adjoint(
    x, dt, B, C, z, A, D, bias, stored, out_bar, h_end_bar, lo, hi,
    x_bar, dt_bar, B_bar, C_bar, z_bar, h0_bar, A_bar, D_bar, bias_bar, weights,
):  # fmt: skip
    """Cotangents of every input, of the initial state and, if ``weights``, of A, D and the bias.

        g_t   = C_t y_bar_t + a_{t+1} g_{t+1}
        x_bar = delta sum_n g B + D y_bar,  delta_bar = sum_n g (A a h_{t-1} + B x)
        B_bar = sum_d g delta x,            C_bar = sum_d y_bar h
        A_bar = sum_t g a delta h_{t-1}

    ``B_bar`` and ``C_bar`` hold this block's share of the sum over channels.
    """
    length, n_states, width = x.shape[0], A.shape[0], hi - lo
    A2 = A[:, lo:hi] * x.dtype.type(LOG2_E)
    carry = h_end_bar[:, lo:hi].copy()  # a_{t+1} g_{t+1}
    states = np.empty((CHUNK + 1, n_states, width), x.dtype)
    decays = np.empty((CHUNK, n_states, width), x.dtype)
    chunk_rows = np.empty((3, CHUNK, width), x.dtype)
    ys, deltas, slopes = chunk_rows[0], chunk_rows[1], chunk_rows[2]
    rows = np.empty((6, width), x.dtype)
    gate, gate_slope, y_bar, gB, gA, dx = rows[0], rows[1], rows[2], rows[3], rows[4], rows[5]
    zero = x.dtype.type(0)
    for chunk in range((length + CHUNK - 1) // CHUNK - 1, -1, -1):
        start, stop = chunk * CHUNK, min((chunk + 1) * CHUNK, length)
        _replay_chunk(x, B, C, A2, D, dt, bias, start, stop, lo, hi, stored, states, decays, ys,
                      deltas, slopes)  # fmt: skip
        for t in range(stop - 1, start - 1, -1):
            s = t - start
            silu_row(z, t, lo, hi, gate, gate_slope)
            for d in range(lo, hi):
                y_bar[d - lo] = out_bar[t, d] * gate[d - lo]
                z_bar[t, d] = out_bar[t, d] * ys[s, d - lo] * gate_slope[d - lo]
                dx[d - lo] = deltas[s, d - lo] * x[t, d]
                gB[d - lo] = zero
                gA[d - lo] = zero
            for n in range(n_states):
                b, c = B[t, n], C[t, n]
                b_bar, c_bar = zero, zero
                for d in range(lo, hi):
                    g = carry[n, d - lo] + c * y_bar[d - lo]
                    b_bar += g * dx[d - lo]
                    c_bar += y_bar[d - lo] * states[s + 1, n, d - lo]
                    gB[d - lo] += g * b
                    carry[n, d - lo] = g * decays[s, n, d - lo]
                for d in range(lo, hi):
                    gA[d - lo] += carry[n, d - lo] * states[s, n, d - lo] * A[n, d]
                B_bar[t, n], C_bar[t, n] = b_bar, c_bar
            if weights:
                for n in range(n_states):
                    for d in range(lo, hi):
                        A_bar[n, d] += carry[n, d - lo] * states[s, n, d - lo] * deltas[s, d - lo]
            for d in range(lo, hi):
                x_bar[t, d] = deltas[s, d - lo] * gB[d - lo] + D[d] * y_bar[d - lo]
                dt_bar[t, d] = (gA[d - lo] + x[t, d] * gB[d - lo]) * slopes[s, d - lo]
            if weights:
                for d in range(lo, hi):
                    D_bar[d] += y_bar[d - lo] * x[t, d]
                    bias_bar[d] += dt_bar[t, d]
    h0_bar[:, lo:hi] = carry
