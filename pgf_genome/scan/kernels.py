"""Numba kernels of the selective scan, for some channels of one sequence or of several.

Time runs in chunks of `CHUNK` positions, and within a chunk one block of `BLOCK` channels after
the other, so that the scratch rows of a block stay in cache. A block computes first everything
that has no state, then the recurrence, four states of every channel at a time, then the outputs.
``cpu.py`` spreads spans of blocks and sequences over threads.

Arrays are C-contiguous with channels last, and N is a multiple of `GROUP`. A block is the
channels ``lo <= d < lo + width``, unsigned, because the test for a negative index would keep LLVM
from vectorising. For the same reason a scratch row is one flat array with a field of `BLOCK`
numbers for every quantity: LLVM then knows that the fields do not overlap. Names and equations
are those of ``reference.py``; a trailing ``_bar`` is a cotangent, a trailing ``_dot`` a tangent.
"""

from __future__ import annotations

import numpy as np

from pgf_genome.compiled import cached
from pgf_genome.scan.fastmath import FLAGS, LOG2_E, exp2_neg, log1p_unit

# Channels of a block; positions between two stored states; states advanced together.
BLOCK, CHUNK, GROUP = 128, 16, 4

# Fields of a scratch row. The forward pass has those before OUT_BAR only. H and DECAY hold GROUP
# numbers for every channel.
FIELDS = range(0, 13 * BLOCK, BLOCK)
DELTA, SLOPE, X, DX, Y, GATE, GATE_SLOPE, OUT_BAR, Y_BAR, B_SUM, A_SUM, H, _ = FIELDS
DECAY = H + GROUP * BLOCK
FORWARD_ROW, ADJOINT_ROW = GATE_SLOPE + BLOCK, DECAY + GROUP * BLOCK

kernel = cached(nogil=True, fastmath=FLAGS, error_model="numpy")
# Functions that run once per position are inlined: a call costs as much as a hundred instructions.
inlined = cached(nogil=True, fastmath=FLAGS, error_model="numpy", forceinline=True)


@inlined
def load_step(x, dt, D, bias, t, lo, width, row):
    """Load delta = softplus(dt + bias), linear above 20 as in torch, its slope, delta x and D x."""
    real = x.dtype.type
    zero, one, linear, log2_e = real(0), real(1), real(20), real(LOG2_E)
    for d in range(width):
        v = dt[t, lo + d] + bias[lo + d]
        u = exp2_neg(-abs(v) * log2_e)
        soft = max(v, zero) + log1p_unit(u)
        above = one / (one + u)
        below = u * above
        sigmoid = above if v >= zero else below
        delta = v if v > linear else soft
        row[DELTA + d] = delta
        row[SLOPE + d] = one if v > linear else sigmoid
        row[X + d] = x[t, lo + d]
        row[DX + d] = delta * x[t, lo + d]
        row[Y + d] = D[lo + d] * x[t, lo + d]


@inlined
def load_gate(z, width, row):
    """Load gate = silu(z) of a row's channels, and its slope."""
    real = z.dtype.type
    zero, one, log2_e = real(0), real(1), real(LOG2_E)
    for d in range(width):
        v = z[d]
        u = exp2_neg(-abs(v) * log2_e)
        above = one / (one + u)
        below = u * above
        sigmoid = above if v >= zero else below
        row[GATE + d] = v * sigmoid
        row[GATE_SLOPE + d] = sigmoid * (one + v * (one - sigmoid))


@inlined
def block_of(k, lo, hi):
    """First channel and width of block ``k`` of the channels lo .. hi - 1, unsigned."""
    first = lo + np.uintp(k * BLOCK)
    return first, min(np.uintp(BLOCK), hi - first)


@inlined
def clear_beyond(width, rows):
    """Zero the rows of a narrow block, where the block before may have left numbers."""
    if width < BLOCK:
        rows[:] = 0


@kernel
def group(matrix, lo, hi, blocks):
    """Write channels of an (N, Di) matrix into blocks as `grouped` makes them."""
    for k in range(blocks.shape[0]):
        first, width = block_of(k, lo, hi)
        for n in range(matrix.shape[0]):
            for d in range(width):
                blocks[k, n // GROUP, n % GROUP * BLOCK + d] = matrix[n, first + d]


@kernel
def grouped(matrix, lo, hi):
    """Regroup channels of an (N, Di) matrix as (blocks, N / GROUP, GROUP * BLOCK), zero-padded."""
    blocks = -(-int(hi - lo) // BLOCK)
    out = np.zeros((blocks, matrix.shape[0] // GROUP, GROUP * BLOCK), matrix.dtype)
    group(matrix, lo, hi, out)
    return out


@kernel
def ungroup(blocks, lo, hi, matrix):
    """Undo `grouped`: write the blocks into the channels of ``matrix``."""
    for k in range(blocks.shape[0]):
        first, width = block_of(k, lo, hi)
        for n in range(matrix.shape[0]):
            for d in range(width):
                matrix[n, first + d] = blocks[k, n // GROUP, n % GROUP * BLOCK + d]


@inlined
def advance(row, b, c, poles, h):
    """Set h_t = exp(delta A) h_{t-1} + delta x B and y += C h, in place, for one group of states.

    ``poles`` is A log2 e.
    """
    for d in range(BLOCK):
        delta, dx = row[DELTA + d], row[DX + d]
        h0 = exp2_neg(delta * poles[d]) * h[d] + b[0] * dx
        h1 = exp2_neg(delta * poles[BLOCK + d]) * h[BLOCK + d] + b[1] * dx
        h2 = exp2_neg(delta * poles[2 * BLOCK + d]) * h[2 * BLOCK + d] + b[2] * dx
        h3 = exp2_neg(delta * poles[3 * BLOCK + d]) * h[3 * BLOCK + d] + b[3] * dx
        h[d] = h0
        h[BLOCK + d] = h1
        h[2 * BLOCK + d] = h2
        h[3 * BLOCK + d] = h3
        row[Y + d] += c[0] * h0 + c[1] * h1 + c[2] * h2 + c[3] * h3


@inlined
def write_states(h, g, lo, width, states):
    """Write one group of a block's states into an (N, Di) matrix."""
    for j in range(GROUP):
        for d in range(width):
            states[g * GROUP + j, lo + d] = h[j * BLOCK + d]


@kernel
def forward_chunk(
    x, dt, B, C, z, poles, D, bias, h, start, stop, lo, width, rows, out, stored, spacing
):  # fmt: skip
    """Compute outputs start .. stop - 1 of a block, and advance its states ``h``.

    Those before every ``spacing``-th position, 1 or `CHUNK`, are stored, if it is not 0.
    """
    clear_beyond(width, rows)
    for t in range(start, stop):
        load_step(x, dt, D, bias, t, lo, width, rows[t - start])
        load_gate(z[t, lo:], width, rows[t - start])
    for g in range(h.shape[0]):
        now = slice(g * GROUP, g * GROUP + GROUP)
        for t in range(start, stop):
            if spacing == 1 or (spacing and t == start):
                write_states(h[g], g, lo, width, stored[t // spacing])
            advance(rows[t - start], B[t, now], C[t, now], poles[g], h[g])
    for t in range(start, stop):
        row = rows[t - start]
        for d in range(width):
            out[t, lo + d] = row[Y + d] * row[GATE + d]


@kernel
def scan_forward(
    x, dt, B, C, z, A, D, bias, h_start, first, last, lo, hi, out, h_end, stored, spacing
):  # fmt: skip
    """Compute outputs, final state, and the states before positions 0, ``spacing``, .. up to T.

    None are stored if ``spacing`` is 0. All arrays but A, D and the bias have an axis of sequences
    in front, of which ``first`` .. ``last - 1`` are computed. If there are fewer initial states,
    sequences next to each other share one.
    """
    poles = grouped(A, lo, hi) * x.dtype.type(LOG2_E)
    rows, h = np.zeros((CHUNK, FORWARD_ROW), x.dtype), np.zeros_like(poles)
    share = x.shape[0] // h_start.shape[0]
    for b in range(first, last):
        group(h_start[b // share], lo, hi, h)
        for start in range(0, x.shape[1], CHUNK):
            stop = min(start + CHUNK, x.shape[1])
            for k in range(h.shape[0]):
                channel, width = block_of(k, lo, hi)
                forward_chunk(
                    x[b], dt[b], B[b], C[b], z[b], poles[k], D, bias, h[k], start, stop,
                    channel, width, rows, out[b], stored[b], spacing,
                )  # fmt: skip
        ungroup(h, lo, hi, h_end[b])
        if spacing and x.shape[1] % spacing == 0:
            ungroup(h, lo, hi, stored[b, x.shape[1] // spacing])


@inlined
def replay(row, after, b, c, poles):
    """Advance as `advance` does, from the states of ``row`` to those of ``after``; store decays."""
    for d in range(BLOCK):
        delta, dx = row[DELTA + d], row[DX + d]
        a0 = exp2_neg(delta * poles[d])
        a1 = exp2_neg(delta * poles[BLOCK + d])
        a2 = exp2_neg(delta * poles[2 * BLOCK + d])
        a3 = exp2_neg(delta * poles[3 * BLOCK + d])
        h0 = a0 * row[H + d] + b[0] * dx
        h1 = a1 * row[H + BLOCK + d] + b[1] * dx
        h2 = a2 * row[H + 2 * BLOCK + d] + b[2] * dx
        h3 = a3 * row[H + 3 * BLOCK + d] + b[3] * dx
        row[DECAY + d] = a0
        row[DECAY + BLOCK + d] = a1
        row[DECAY + 2 * BLOCK + d] = a2
        row[DECAY + 3 * BLOCK + d] = a3
        after[H + d] = h0
        after[H + BLOCK + d] = h1
        after[H + 2 * BLOCK + d] = h2
        after[H + 3 * BLOCK + d] = h3
        row[Y + d] += c[0] * h0 + c[1] * h1 + c[2] * h2 + c[3] * h3


@inlined
def reverse(row, after, b, c, A, carry, b_bar, c_bar):
    """Take one step back in time for one group of states; ``carry`` is a_{t+1} g_{t+1}.

    The step adds to sum_n g B and to sum_n g a h_{t-1} A, and writes this block's shares of B_bar
    and C_bar.
    """
    zero = row.dtype.type(0)
    b0, b1, b2, b3 = zero, zero, zero, zero
    c0, c1, c2, c3 = zero, zero, zero, zero
    for d in range(BLOCK):
        y_bar, dx = row[Y_BAR + d], row[DX + d]
        g0 = carry[d] + c[0] * y_bar
        g1 = carry[BLOCK + d] + c[1] * y_bar
        g2 = carry[2 * BLOCK + d] + c[2] * y_bar
        g3 = carry[3 * BLOCK + d] + c[3] * y_bar
        b0 += g0 * dx
        b1 += g1 * dx
        b2 += g2 * dx
        b3 += g3 * dx
        c0 += y_bar * after[H + d]
        c1 += y_bar * after[H + BLOCK + d]
        c2 += y_bar * after[H + 2 * BLOCK + d]
        c3 += y_bar * after[H + 3 * BLOCK + d]
        row[B_SUM + d] += g0 * b[0] + g1 * b[1] + g2 * b[2] + g3 * b[3]
        g0 *= row[DECAY + d]
        g1 *= row[DECAY + BLOCK + d]
        g2 *= row[DECAY + 2 * BLOCK + d]
        g3 *= row[DECAY + 3 * BLOCK + d]
        carry[d] = g0
        carry[BLOCK + d] = g1
        carry[2 * BLOCK + d] = g2
        carry[3 * BLOCK + d] = g3
        moved = g0 * row[H + d] * A[d] + g1 * row[H + BLOCK + d] * A[BLOCK + d]
        moved += g2 * row[H + 2 * BLOCK + d] * A[2 * BLOCK + d]
        moved += g3 * row[H + 3 * BLOCK + d] * A[3 * BLOCK + d]
        row[A_SUM + d] += moved
    b_bar[0], b_bar[1], b_bar[2], b_bar[3] = b0, b1, b2, b3
    c_bar[0], c_bar[1], c_bar[2], c_bar[3] = c0, c1, c2, c3


@inlined
def load_cotangent(out_bar, t, lo, width, row):
    """Load the cotangents of gated and ungated output, and clear the sums."""
    zero = row.dtype.type(0)
    for d in range(width):
        row[OUT_BAR + d] = out_bar[t, lo + d]
        row[Y_BAR + d] = out_bar[t, lo + d] * row[GATE + d]
        row[B_SUM + d] = zero
        row[A_SUM + d] = zero


@inlined
def add_pole_share(row, carry, A_sum):
    """Add g a delta h_{t-1} to A_bar, for one group of states."""
    for j in range(GROUP):
        for d in range(BLOCK):
            A_sum[j * BLOCK + d] += carry[j * BLOCK + d] * row[H + j * BLOCK + d] * row[DELTA + d]


@inlined
def store_cotangents(row, D, t, lo, width, x_bar, dt_bar, z_bar):
    """Store cotangents of signal, step size before softplus, and gate before SiLU."""
    for d in range(width):
        z_bar[t, lo + d] = row[OUT_BAR + d] * row[Y + d] * row[GATE_SLOPE + d]
    for d in range(width):
        x_bar[t, lo + d] = row[DELTA + d] * row[B_SUM + d] + D[lo + d] * row[Y_BAR + d]
    for d in range(width):
        dt_bar[t, lo + d] = (row[A_SUM + d] + row[X + d] * row[B_SUM + d]) * row[SLOPE + d]


@kernel
def adjoint_chunk(
    x, dt, B, C, z, A, D, bias, h, out_bar, carry, start, stop, lo, width, rows,
    x_bar, dt_bar, B_bar, C_bar, z_bar, A_sum, D_bar, bias_bar, weights, along,
):  # fmt: skip
    """Compute cotangents of the inputs start .. stop - 1 of a block, from the states ``h`` before.

    ``carry`` is a g of the position after, and becomes that of ``start``. It is the cotangent of
    the state before a position, which ``along`` takes for all positions, if it has room.
    """
    poles = A * x.dtype.type(LOG2_E)
    clear_beyond(width, rows)
    for t in range(start, stop):
        row = rows[t - start]
        load_step(x, dt, D, bias, t, lo, width, row)
        load_gate(z[t, lo:], width, row)
        load_cotangent(out_bar, t, lo, width, row)
    for g in range(carry.shape[0]):
        now = slice(g * GROUP, g * GROUP + GROUP)
        rows[0, H:DECAY] = h[g]
        for t in range(start, stop):
            replay(rows[t - start], rows[t - start + 1], B[t, now], C[t, now], poles[g])
        for t in range(stop - 1, start - 1, -1):
            row, after = rows[t - start], rows[t - start + 1]
            reverse(row, after, B[t, now], C[t, now], A[g], carry[g], B_bar[t, now], C_bar[t, now])
            if weights:
                add_pole_share(row, carry[g], A_sum[g])
            if along.shape[0]:
                write_states(carry[g], g, lo, width, along[t])
    for t in range(start, stop):
        row = rows[t - start]
        store_cotangents(row, D, t, lo, width, x_bar, dt_bar, z_bar)
        if weights:
            for d in range(width):
                D_bar[lo + d] += row[Y_BAR + d] * row[X + d]
                bias_bar[lo + d] += dt_bar[t, lo + d]


@kernel
def scan_adjoint(
    x, dt, B, C, z, A, D, bias, stored, spacing, out_bar, h_end_bar, lo, hi,
    x_bar, dt_bar, B_bar, C_bar, z_bar, h_start_bar, A_bar, D_bar, bias_bar, weights, along,
):  # fmt: skip
    """Compute cotangents of the inputs, the initial state and, if ``weights``, A, D and the bias.

        g_t   = C_t y_bar_t + a_{t+1} g_{t+1}
        x_bar = delta sum_n g B + D y_bar,  delta_bar = sum_n g (A a h_{t-1} + B x)
        B_bar = sum_d g delta x,            C_bar = sum_d y_bar h
        A_bar = sum_t g a delta h_{t-1}

    ``B_bar`` and ``C_bar``, (blocks, T, N), hold the share of every block of channels; ``stored``
    the states before every ``spacing``-th position, at least every `CHUNK`-th; ``along``, if it has
    room, (T, N, Di), takes the cotangents of the state before every position.
    """
    A_blocks, carry = grouped(A, lo, hi), grouped(h_end_bar, lo, hi)
    A_sum = np.zeros_like(carry)
    rows = np.zeros((CHUNK + 1, ADJOINT_ROW), x.dtype)
    last = (x.shape[0] - 1) // CHUNK * CHUNK
    for start in range(last, -1, -CHUNK):
        stop = min(start + CHUNK, x.shape[0])
        h = grouped(stored[start // spacing], lo, hi)
        for k in range(carry.shape[0]):
            first, width = block_of(k, lo, hi)
            adjoint_chunk(
                x, dt, B, C, z, A_blocks[k], D, bias, h[k], out_bar, carry[k], start, stop,
                first, width, rows, x_bar, dt_bar, B_bar[k], C_bar[k], z_bar, A_sum[k], D_bar,
                bias_bar, weights, along,
            )  # fmt: skip
    ungroup(carry, lo, hi, h_start_bar)
    ungroup(A_sum, lo, hi, A_bar)
