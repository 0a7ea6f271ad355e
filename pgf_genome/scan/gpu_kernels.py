"""Triton kernels of the selective scan, parallel over sequences, channels and chunks of time.

One program holds a block of channels with all their states in registers and walks one chunk,
``STEPS`` positions at a time. Whatever does not depend on the carried state is done on tiles
(STEPS, states, channels); `recur` alone runs position by position. ``gpu.py`` says in which order
the kernels make a scan of chunks that do not know each other.

Arrays are contiguous with channels last. Names and equations are those of ``reference.py``; a
trailing ``_bar`` is a cotangent, a trailing ``_dot`` a tangent. Past the end of the sequence the
step size is zero, so that the decay is one and nothing is added: a tail needs no other care.
Only decays are multiplied, never their inverses.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def softplus(v):
    """log(1 + exp(v)) and its derivative; linear above 20, as in torch."""
    u = tl.exp(-tl.abs(v))
    above = 1 + u
    # log1p without the rounding of 1 + u (Goldberg 1991, theorem 4)
    gap = above - 1
    log1p = tl.where(gap == 0, u, tl.log(above) * (u / tl.where(gap == 0, 1, gap)))
    sigmoid = tl.where(v >= 0, 1 / above, u / above)
    linear = v > 20
    return tl.where(linear, v, tl.maximum(v, 0) + log1p), tl.where(linear, 1, sigmoid)


@triton.jit
def silu(v):
    """v sigmoid(v) and its derivative."""
    u = tl.exp(-tl.abs(v))
    sigmoid = tl.where(v >= 0, 1 / (1 + u), u / (1 + u))
    return v * sigmoid, sigmoid * (1 + v * (1 - sigmoid))


@triton.jit
def row(tile, here):
    """The row of a tile where ``here`` is true.

    The sum is one of integers: their zeros fold away when compiled, those of floats would not.
    """
    bits = tile.to(tl.int64 if tile.dtype == tl.float64 else tl.int32, bitcast=True)
    return tl.sum(tl.where(here, bits, 0), axis=0).to(tile.dtype, bitcast=True)


@triton.jit
def recur(a, b, h, steps, REVERSE: tl.constexpr):
    """h <- a_s h + b_s over the rows s of a tile; also h before each row, as a tile."""
    ROWS: tl.constexpr = a.shape[0]
    before = tl.zeros_like(a)
    for i in tl.static_range(ROWS):
        here = steps == (ROWS - 1 - i if REVERSE else i)
        before = tl.where(here, tl.expand_dims(h, 0), before)
        h = row(a, here) * h + row(b, here)
    return before, h


@triton.jit
def place(length, width, states, CHUNK: tl.constexpr, BN: tl.constexpr, BD: tl.constexpr):
    """This program's chunk, its first position and end, sequence, states and channels."""
    blocks = tl.cdiv(width, BD)
    chunk = tl.program_id(0) // blocks
    d = (tl.program_id(0) % blocks) * BD + tl.arange(0, BD)
    start, batch = chunk * CHUNK, tl.program_id(1).to(tl.int64)
    return chunk, start, tl.minimum(start + CHUNK, length), batch, tl.arange(0, BN), d


@triton.jit
def matrix(lead, n, d, states, width):
    """Offsets and mask of matrix ``lead`` of an array (.., states, width)."""
    offsets = (lead * states + n[:, None]) * width + d[None, :]
    return offsets, (n[:, None] < states) & (d[None, :] < width)


@triton.jit
def rows_of(lead, t, columns, length, width):
    """Offsets and mask of rows t of matrix ``lead`` of an array (.., length, width)."""
    offsets = (lead * length + t[:, None]) * width + columns[None, :]
    return offsets, (t[:, None] < length) & (columns[None, :] < width)


@triton.jit
def load(array, at, mask, ACC: tl.constexpr):
    return tl.load(array + at, mask=mask, other=0).to(ACC)


@triton.jit
def poles(A, n, d, states, width, ACC: tl.constexpr):
    at, inside = matrix(0, n, d, states, width)
    return load(A, at, inside, ACC)


@triton.jit
def channels(vector, d, width, ACC: tl.constexpr):
    return load(vector, d, d < width, ACC)[None, :]


@triton.jit
def decays(dt, at, live, bias, A, ACC: tl.constexpr):
    """Step sizes (STEPS, channels), their slope in dt, and decays (STEPS, states, channels)."""
    delta, slope = softplus(load(dt, at, live, ACC) + bias)
    delta, slope = tl.where(live, delta, 0), tl.where(live, slope, 0)
    return delta, slope, tl.exp(delta[:, None, :] * A[None, :, :])


@triton.jit
def scan_chunk(
    x, dt, B, C, z, A, D, bias, entering, sums, out, length, width, states,
    OUTPUTS: tl.constexpr, ACC: tl.constexpr, CHUNK: tl.constexpr, STEPS: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Outputs of a chunk from the state ``entering`` it; or its end state from zero, put there.

    Without ``OUTPUTS`` also the sum of the step sizes, whose exponential is the chunk's decay.
    """
    chunk, start, stop, batch, n, d = place(length, width, states, CHUNK, BN, BD)
    steps = tl.arange(0, STEPS)
    lead = batch * tl.cdiv(length, CHUNK) + chunk
    at_h, inside = matrix(lead, n, d, states, width)
    poles_, bias_ = poles(A, n, d, states, width, ACC), channels(bias, d, width, ACC)
    total = tl.zeros([BD], ACC)
    if OUTPUTS:
        h, skip = load(entering, at_h, inside, ACC), channels(D, d, width, ACC)
    else:
        h = tl.zeros([BN, BD], ACC)
    for i in range(0, tl.cdiv(stop - start, STEPS)):
        t = start + i * STEPS + steps
        at, live = rows_of(batch, t, d, length, width)
        at_n, live_n = rows_of(batch, t, n, length, states)
        delta, _, a = decays(dt, at, live, bias_, poles_, ACC)
        xs, Bs = load(x, at, live, ACC), load(B, at_n, live_n, ACC)
        b = Bs[:, :, None] * (delta * xs)[:, None, :]
        before, h = recur(a, b, h, steps[:, None, None], False)
        if OUTPUTS:
            Cs = load(C, at_n, live_n, ACC)
            y = tl.sum(Cs[:, :, None] * (a * before + b), axis=1) + skip * xs
            gate, _ = silu(load(z, at, live, ACC))
            tl.store(out + at, y * gate, mask=live)
        else:
            total += tl.sum(delta, axis=0)
    if not OUTPUTS:
        tl.store(entering + at_h, h, mask=inside)
        tl.store(sums + lead * width + d, total, mask=d < width)


@triton.jit
def carry(
    ends, sums, A, first, last, chunks, batches, width, states,
    REVERSE: tl.constexpr, ACC: tl.constexpr, STEPS: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """From what every chunk ends in by itself to what enters it, in place, over all chunks.

    One program takes one state of a block of channels. ``ends`` may hold several directions
    (leading axis) of the ``batches`` sequences that ``sums`` belongs to.
    """
    blocks = tl.cdiv(width, BD)
    n = (tl.program_id(0) // blocks).to(tl.int64)
    d = (tl.program_id(0) % blocks) * BD + tl.arange(0, BD)
    steps, inside = tl.arange(0, STEPS), d < width
    lead = tl.program_id(1).to(tl.int64)
    at_h = (lead * states + n) * width + d
    pole = load(A, n * width + d, inside, ACC)
    h = load(first, at_h, inside, ACC)
    tiles = tl.cdiv(chunks, STEPS)
    for i in range(0, tiles):
        c = (tiles - 1 - i if REVERSE else i) * STEPS + steps
        at_sum, live = rows_of(lead % batches, c, d, chunks, width)
        at = ((lead * chunks + c[:, None]) * states + n) * width + d[None, :]
        a = tl.exp(load(sums, at_sum, live, ACC) * pole[None, :])
        before, h = recur(a, load(ends, at, live, ACC), h, steps[:, None], REVERSE)
        tl.store(ends + at, before, mask=live)
    tl.store(last + at_h, h, mask=inside)


@triton.jit
def tangent_chunk(
    x, dt, B, C, z, A, D, bias, entering, x_dot, dt_dot, B_dot, C_dot, z_dot, moving, out_dot,
    directions, batches, length, width, states,
    OUTPUTS: tl.constexpr, ACC: tl.constexpr, CHUNK: tl.constexpr, STEPS: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Tangents along all directions, whose states ``moving`` are replaced by those at the end.

        h'_t = a h'_{t-1} + (A a h_{t-1}) delta'_t + (delta x)'_t B_t + delta_t x_t B'_t

    The directions take turns at every tile, so that all share its primal; their states rest in
    memory meanwhile, because a number of them that is not known does not fit in registers.
    """
    chunk, start, stop, batch, n, d = place(length, width, states, CHUNK, BN, BD)
    chunks, steps = tl.cdiv(length, CHUNK), tl.arange(0, STEPS)
    at_h, inside = matrix(batch * chunks + chunk, n, d, states, width)
    poles_, bias_ = poles(A, n, d, states, width, ACC), channels(bias, d, width, ACC)
    h, skip = load(entering, at_h, inside, ACC), channels(D, d, width, ACC)
    for i in range(0, tl.cdiv(stop - start, STEPS)):
        t = start + i * STEPS + steps
        at, live = rows_of(batch, t, d, length, width)
        at_n, live_n = rows_of(batch, t, n, length, states)
        delta, slope, a = decays(dt, at, live, bias_, poles_, ACC)
        xs = load(x, at, live, ACC)
        Bs = load(B, at_n, live_n, ACC)[:, :, None]
        Cs = load(C, at_n, live_n, ACC)[:, :, None]
        dx = (delta * xs)[:, None, :]
        before, h = recur(a, Bs * dx, h, steps[:, None, None], False)
        carried = a * before
        gate, gate_slope = silu(load(z, at, live, ACC))
        y = tl.sum(Cs * (carried + Bs * dx), axis=1) + skip * xs
        for k in range(0, directions):
            lead = k * batches + batch
            at, _ = rows_of(lead, t, d, length, width)
            at_n, _ = rows_of(lead, t, n, length, states)
            at_h, _ = matrix(lead * chunks + chunk, n, d, states, width)
            delta_dot = slope * load(dt_dot, at, live, ACC)
            xs_dot = load(x_dot, at, live, ACC)
            dx_dot = (delta_dot * xs + delta * xs_dot)[:, None, :]
            b_dot = carried * poles_[None, :, :] * delta_dot[:, None, :] + Bs * dx_dot
            b_dot += load(B_dot, at_n, live_n, ACC)[:, :, None] * dx
            state_dot = load(moving, at_h, inside, ACC)
            moved, state_dot = recur(a, b_dot, state_dot, steps[:, None, None], False)
            tl.store(moving + at_h, state_dot, mask=inside)
            if OUTPUTS:
                moved = a * moved + b_dot
                Cs_dot = load(C_dot, at_n, live_n, ACC)[:, :, None]
                y_dot = tl.sum(Cs * moved + Cs_dot * (carried + Bs * dx), axis=1) + skip * xs_dot
                bent = y * gate_slope * load(z_dot, at, live, ACC)
                tl.store(out_dot + at, y_dot * gate + bent, mask=live)
        # another thread may read at the next tile what this one wrote
        tl.debug_barrier()


@triton.jit
def adjoint_local(
    x, dt, B, C, z, A, bias, out_bar, entering, tile_states, leaving, sums,
    length, width, states,
    ACC: tl.constexpr, CHUNK: tl.constexpr, STEPS: tl.constexpr, BN: tl.constexpr,
    BD: tl.constexpr,
):  # fmt: skip
    """What the outputs of a chunk alone send back to the state before it, and every tile's state.

    Both walk forwards and share the decays: a tile's cotangent passes the tiles before it, whose
    decay is the exponential of a sum of step sizes.
    """
    chunk, start, stop, batch, n, d = place(length, width, states, CHUNK, BN, BD)
    steps = tl.arange(0, STEPS)
    lead = batch * tl.cdiv(length, CHUNK) + chunk
    at_h, inside = matrix(lead, n, d, states, width)
    poles_, bias_ = poles(A, n, d, states, width, ACC), channels(bias, d, width, ACC)
    h = load(entering, at_h, inside, ACC)
    total, g = tl.zeros([BD], ACC), tl.zeros([BN, BD], ACC)
    for i in range(0, tl.cdiv(stop - start, STEPS)):
        t = start + i * STEPS + steps
        at, live = rows_of(batch, t, d, length, width)
        at_n, live_n = rows_of(batch, t, n, length, states)
        tile = batch * tl.cdiv(length, STEPS) + start // STEPS + i
        at_tile, _ = matrix(tile, n, d, states, width)
        tl.store(tile_states + at_tile, h, mask=inside)
        delta, _, a = decays(dt, at, live, bias_, poles_, ACC)
        dx = delta * load(x, at, live, ACC)
        b = load(B, at_n, live_n, ACC)[:, :, None] * dx[:, None, :]
        _, h = recur(a, b, h, steps[:, None, None], False)
        gate, _ = silu(load(z, at, live, ACC))
        y_bar = load(out_bar, at, live, ACC) * gate
        b = a * (load(C, at_n, live_n, ACC)[:, :, None] * y_bar[:, None, :])
        _, here = recur(a, b, tl.zeros([BN, BD], ACC), steps[:, None, None], True)
        g += tl.exp(total[None, :] * poles_) * here
        total += tl.sum(delta, axis=0)
    tl.store(leaving + at_h, g, mask=inside)
    tl.store(sums + lead * width + d, total, mask=d < width)


@triton.jit
def adjoint_chunk(
    x, dt, B, C, z, A, D, bias, out_bar, tile_states, arriving,
    x_bar, dt_bar, B_bar, C_bar, z_bar, A_bar, D_bar, bias_bar, length, width, states,
    WEIGHTS: tl.constexpr, ACC: tl.constexpr, CHUNK: tl.constexpr, STEPS: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Cotangents of a chunk's inputs and, if ``WEIGHTS``, its shares of those of A, D and bias.

        g_t   = C_t y_bar_t + a_{t+1} g_{t+1}
        x_bar = delta sum_n g B + D y_bar,  delta_bar = sum_n g (A a h_{t-1} + B x)
        B_bar = sum_d g delta x,            C_bar = sum_d y_bar h
        A_bar = sum_t g a delta h_{t-1}

    ``arriving`` is a_{t+1} g_{t+1} at the chunk's end. ``B_bar`` and ``C_bar`` hold, for every
    block of channels, its share of the sum over channels.
    """
    chunk, start, stop, batch, n, d = place(length, width, states, CHUNK, BN, BD)
    steps = tl.arange(0, STEPS)
    lead = batch * tl.cdiv(length, CHUNK) + chunk
    share = (tl.program_id(0) % tl.cdiv(width, BD)) * tl.num_programs(1) + batch
    at_h, inside = matrix(lead, n, d, states, width)
    poles_, bias_ = poles(A, n, d, states, width, ACC), channels(bias, d, width, ACC)
    skip = channels(D, d, width, ACC)
    g_carried = load(arriving, at_h, inside, ACC)
    A_sum = tl.zeros([BN, BD], ACC)
    D_sum, bias_sum = tl.zeros([BD], ACC), tl.zeros([BD], ACC)
    tiles = tl.cdiv(stop - start, STEPS)
    for j in range(0, tiles):
        i = tiles - 1 - j
        t = start + i * STEPS + steps
        at, live = rows_of(batch, t, d, length, width)
        at_n, live_n = rows_of(batch, t, n, length, states)
        tile = batch * tl.cdiv(length, STEPS) + start // STEPS + i
        at_tile, _ = matrix(tile, n, d, states, width)
        delta, slope, a = decays(dt, at, live, bias_, poles_, ACC)
        xs = load(x, at, live, ACC)
        Bs = load(B, at_n, live_n, ACC)[:, :, None]
        Cs = load(C, at_n, live_n, ACC)[:, :, None]
        b = Bs * (delta * xs)[:, None, :]
        before, _ = recur(a, b, load(tile_states, at_tile, inside, ACC), steps[:, None, None],
                          False)  # fmt: skip
        carried = a * before
        out_bars = load(out_bar, at, live, ACC)
        gate, gate_slope = silu(load(z, at, live, ACC))
        y = tl.sum(Cs * (carried + b), axis=1) + skip * xs
        tl.store(z_bar + at, out_bars * y * gate_slope, mask=live)
        y_bar = out_bars * gate
        at_share, _ = rows_of(share, t, n, length, states)
        C_share = tl.sum((carried + b) * y_bar[:, None, :], axis=2)
        tl.store(C_bar + at_share, C_share, mask=live_n)
        c = Cs * y_bar[:, None, :]
        g, g_carried = recur(a, a * c, g_carried, steps[:, None, None], True)
        g += c
        tl.store(B_bar + at_share, tl.sum(g * (delta * xs)[:, None, :], axis=2), mask=live_n)
        gB = tl.sum(g * Bs, axis=1)
        tl.store(x_bar + at, delta * gB + skip * y_bar, mask=live)
        g *= carried
        dts = (tl.sum(g * poles_[None, :, :], axis=1) + xs * gB) * slope
        tl.store(dt_bar + at, dts, mask=live)
        if WEIGHTS:
            A_sum += tl.sum(g * delta[:, None, :], axis=0)
            D_sum += tl.sum(y_bar * xs, axis=0)
            bias_sum += tl.sum(dts, axis=0)
    if WEIGHTS:
        tl.store(A_bar + at_h, A_sum, mask=inside)
        tl.store(D_bar + lead * width + d, D_sum, mask=d < width)
        tl.store(bias_bar + lead * width + d, bias_sum, mask=d < width)
