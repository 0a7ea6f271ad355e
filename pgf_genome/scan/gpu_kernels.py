"""Triton kernels of the selective scan, parallel over sequences, channels and chunks of time.

One program, a single warp, holds a block of channels with all their states in registers and walks
one chunk position by position. ``gpu.py`` says in which order the kernels make a scan of chunks
that do not know each other.

What a warp waits for is memory. So a walk asks for the rows of the next position before it works
on those of the present one, and at its end for the last ones again. Exchanges between threads, for
the sums over states and channels, keep the compiler from moving these loads down to their first
use.

Arrays are contiguous with channels last. Names and equations are those of ``reference.py``; a
trailing ``_bar`` is a cotangent, a trailing ``_dot`` a tangent. Poles are held divided by log 2,
because the hardware has the exponential of base 2. Only decays are multiplied, never their
inverses.
"""

from __future__ import annotations

import triton
import triton.language as tl

LOG_2 = tl.constexpr(0.6931471805599453)


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
def place(length, width, CHUNK: tl.constexpr, BD: tl.constexpr):
    """This program's block of channels, these channels, its chunk, its first position and end."""
    blocks = tl.cdiv(width, BD)
    block, chunk = tl.program_id(0) % blocks, tl.program_id(0) // blocks
    start = chunk * CHUNK
    return block, block * BD + tl.arange(0, BD), chunk, start, tl.minimum(start + CHUNK, length)


@triton.jit
def matrix(lead, n, d, states, width):
    """Offsets and mask of matrix ``lead`` of an array (.., states, width)."""
    offsets = (lead * states + n[:, None]) * width + d[None, :]
    return offsets, (n[:, None] < states) & (d[None, :] < width)


@triton.jit
def load(array, at, mask, ACC: tl.constexpr):
    return tl.load(array + at, mask=mask, other=0).to(ACC)


@triton.jit
def poles(A, n, d, states, width, ACC: tl.constexpr):
    at, inside = matrix(0, n, d, states, width)
    return load(A, at, inside, ACC) / LOG_2


@triton.jit
def decay(delta, poles_):
    return tl.exp2(delta[None, :] * poles_)


@triton.jit
def rows(r, wide, narrow, n, d, states, width, ACC: tl.constexpr):
    """Row r of every array in ``wide`` (.., width) and in ``narrow`` (.., states), as a column."""
    found = ()
    for i in tl.static_range(len(wide)):
        found += (load(wide[i], r * width + d, d < width, ACC),)
    for i in tl.static_range(len(narrow)):
        found += (load(narrow[i], r * states + n, n < states, ACC)[:, None],)
    return found


@triton.jit
def scan_chunk(
    x, dt, B, C, z, A, D, bias, entering, sums, out, length, width, states,
    OUTPUTS: tl.constexpr, ACC: tl.constexpr, CHUNK: tl.constexpr, BN: tl.constexpr,
    BD: tl.constexpr,
):  # fmt: skip
    """Outputs of a chunk from the state ``entering`` it; or its end state from zero, put there.

    Without ``OUTPUTS`` also the sum of the step sizes, whose exponential is the chunk's decay.
    """
    _block, d, chunk, start, stop = place(length, width, CHUNK, BD)
    n, batch = tl.arange(0, BN), tl.program_id(1).to(tl.int64)
    lead, in_d = batch * tl.cdiv(length, CHUNK) + chunk, d < width
    at_h, inside = matrix(lead, n, d, states, width)
    poles_, bias_ = poles(A, n, d, states, width, ACC), load(bias, d, in_d, ACC)
    total = tl.zeros([BD], ACC)
    if OUTPUTS:
        h, skip = load(entering, at_h, inside, ACC), load(D, d, in_d, ACC)
    else:
        h = tl.zeros([BN, BD], ACC)
    r = batch * length + start
    ahead = rows(r, (dt, x, z), (B, C), n, d, states, width, ACC)
    for t in range(start, stop):
        dts, xs, zs, Bs, Cs = ahead
        r = batch * length + tl.minimum(t + 1, stop - 1)
        ahead = rows(r, (dt, x, z), (B, C), n, d, states, width, ACC)
        delta = softplus(dts + bias_)[0]
        h = decay(delta, poles_) * h + Bs * (delta * xs)[None, :]
        if OUTPUTS:
            y = tl.sum(Cs * h, axis=0) + skip * xs
            tl.store(out + (batch * length + t) * width + d, y * silu(zs)[0], mask=in_d)
        else:
            total += delta
    if not OUTPUTS:
        tl.store(entering + at_h, h, mask=inside)
        tl.store(sums + lead * width + d, total, mask=in_d)


@triton.jit
def carry(
    ends, sums, A, first, last, chunks, batches, width, states,
    REVERSE: tl.constexpr, ACC: tl.constexpr, STEPS: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Turn what every chunk ends in by itself into what enters it, in place, over all chunks.

    One program takes one state of a block of channels, and loads ``STEPS`` chunks at once. ``ends``
    may hold several directions (leading axis) of the ``batches`` sequences that ``sums`` belongs
    to.
    """
    blocks = tl.cdiv(width, BD)
    n = (tl.program_id(0) // blocks).to(tl.int64)
    d = (tl.program_id(0) % blocks) * BD + tl.arange(0, BD)
    lead, in_d = tl.program_id(1).to(tl.int64), d < width
    at_h = (lead * states + n) * width + d
    pole = load(A, n * width + d, in_d, ACC) / LOG_2
    h = load(first, at_h, in_d, ACC)
    tiles = tl.cdiv(chunks, STEPS)
    for i in range(0, tiles):
        start = (tiles - 1 - i if REVERSE else i) * STEPS
        steps = ()
        for j in tl.static_range(STEPS):
            c = start + (STEPS - 1 - j if REVERSE else j)
            live = d < tl.where(c < chunks, width, 0)
            at = ((lead * chunks + c) * states + n) * width + d
            delta = load(sums, (lead % batches * chunks + c) * width + d, live, ACC)
            steps += ((at, live, tl.exp2(delta * pole), load(ends, at, live, ACC)),)
        for j in tl.static_range(STEPS):
            at, live, a, b = steps[j]
            tl.store(ends + at, h, mask=live)
            h = a * h + b
    tl.store(last + at_h, h, mask=in_d)


@triton.jit
def tangent_chunk(
    x, dt, B, C, z, A, D, bias, entering, x_dot, dt_dot, B_dot, C_dot, z_dot, moving, out_dot,
    batches, length, width, states,
    OUTPUTS: tl.constexpr, ACC: tl.constexpr, CHUNK: tl.constexpr, BN: tl.constexpr,
    BD: tl.constexpr,
):  # fmt: skip
    """Tangents of a chunk's outputs in one direction, from that of the state, ``moving``.

        h'_t = a h'_{t-1} + (A a h_{t-1}) delta'_t + (delta x)'_t B_t + delta_t x_t B'_t

    Without ``OUTPUTS``, the tangent of the state at the chunk's end, from zero, put there.
    """
    _block, d, chunk, start, stop = place(length, width, CHUNK, BD)
    n, lead = tl.arange(0, BN), tl.program_id(1).to(tl.int64)
    batch, chunks, in_d = lead % batches, tl.cdiv(length, CHUNK), d < width
    at_h, inside = matrix(batch * chunks + chunk, n, d, states, width)
    at_moving, inside = matrix(lead * chunks + chunk, n, d, states, width)
    poles_, bias_ = poles(A, n, d, states, width, ACC), load(bias, d, in_d, ACC)
    h, skip = load(entering, at_h, inside, ACC), load(D, d, in_d, ACC)
    h_dot = load(moving, at_moving, inside, ACC) if OUTPUTS else tl.zeros([BN, BD], ACC)
    r, r_dot = batch * length + start, lead * length + start
    ahead = rows(r, (dt, x, z), (B, C), n, d, states, width, ACC)
    ahead_dot = rows(r_dot, (dt_dot, x_dot, z_dot), (B_dot, C_dot), n, d, states, width, ACC)
    for t in range(start, stop):
        dts, xs, zs, Bs, Cs = ahead
        dts_dot, xs_dot, zs_dot, Bs_dot, Cs_dot = ahead_dot
        after = tl.minimum(t + 1, stop - 1)
        r, r_dot = batch * length + after, lead * length + after
        ahead = rows(r, (dt, x, z), (B, C), n, d, states, width, ACC)
        ahead_dot = rows(r_dot, (dt_dot, x_dot, z_dot), (B_dot, C_dot), n, d, states, width, ACC)
        delta, slope = softplus(dts + bias_)
        delta_dot = slope * dts_dot
        dx, dx_dot = (delta * xs)[None, :], (delta_dot * xs + delta * xs_dot)[None, :]
        a = decay(delta, poles_)
        carried = a * h
        h = carried + Bs * dx
        h_dot = a * h_dot + carried * poles_ * (delta_dot * LOG_2)[None, :]
        h_dot += Bs * dx_dot + Bs_dot * dx
        if OUTPUTS:
            y = tl.sum(Cs * h, axis=0) + skip * xs
            y_dot = tl.sum(Cs * h_dot + Cs_dot * h, axis=0) + skip * xs_dot
            gate, gate_slope = silu(zs)
            moved = y_dot * gate + y * gate_slope * zs_dot
            tl.store(out_dot + (lead * length + t) * width + d, moved, mask=in_d)
    if not OUTPUTS:
        tl.store(moving + at_moving, h_dot, mask=inside)


@triton.jit
def adjoint_forward(
    x, dt, B, C, z, A, D, bias, out_bar, entering, tile_states, leaving, sums, C_bar, z_bar,
    length, width, states,
    ACC: tl.constexpr, CHUNK: tl.constexpr, STEPS: tl.constexpr, BN: tl.constexpr,
    BD: tl.constexpr,
):  # fmt: skip
    """Whatever of the adjoint of a chunk walks forwards, with the states.

        y_bar = out_bar silu(z),  z_bar = out_bar y silu'(z),  C_bar = sum_d y_bar h

    Also the states before every ``STEPS``-th position, and what the outputs of the chunk alone send
    back to the state before it: y_bar passes all decays since the start of the chunk. ``C_bar``
    holds, for every block of channels, its share of the sum over channels.
    """
    block, d, chunk, start, stop = place(length, width, CHUNK, BD)
    n, batch = tl.arange(0, BN), tl.program_id(1).to(tl.int64)
    lead, share = batch * tl.cdiv(length, CHUNK) + chunk, block * tl.num_programs(1) + batch
    in_n, in_d = n < states, d < width
    at_h, inside = matrix(lead, n, d, states, width)
    poles_, bias_ = poles(A, n, d, states, width, ACC), load(bias, d, in_d, ACC)
    h, skip = load(entering, at_h, inside, ACC), load(D, d, in_d, ACC)
    g, passed = tl.zeros([BN, BD], ACC), tl.full([BN, BD], 1, ACC)
    total = tl.zeros([BD], ACC)
    r = batch * length + start
    ahead = rows(r, (dt, x, z, out_bar), (B, C), n, d, states, width, ACC)
    for t in range(start, stop):
        if t % STEPS == 0:
            tile = batch * tl.cdiv(length, STEPS) + t // STEPS
            at_tile = matrix(tile, n, d, states, width)[0]
            tl.store(tile_states + at_tile, h, mask=inside)
        dts, xs, zs, out_bars, Bs, Cs = ahead
        r = batch * length + tl.minimum(t + 1, stop - 1)
        ahead = rows(r, (dt, x, z, out_bar), (B, C), n, d, states, width, ACC)
        delta = softplus(dts + bias_)[0]
        a = decay(delta, poles_)
        h = a * h + Bs * (delta * xs)[None, :]
        gate, gate_slope = silu(zs)
        y_bar = (out_bars * gate)[None, :]
        passed *= a
        g += passed * (Cs * y_bar)
        total += delta
        y = tl.sum(Cs * h, axis=0) + skip * xs
        at = (batch * length + t) * width + d
        tl.store(z_bar + at, out_bars * y * gate_slope, mask=in_d)
        at_share = (share * length + t) * states + n
        tl.store(C_bar + at_share, tl.sum(h * y_bar, axis=1), mask=in_n)
    tl.store(leaving + at_h, g, mask=inside)
    tl.store(sums + lead * width + d, total, mask=in_d)


@triton.jit
def adjoint_backward(
    x, dt, B, C, z, A, D, bias, out_bar, tile_states, arriving,
    x_bar, dt_bar, B_bar, A_bar, D_bar, bias_bar, length, width, states,
    WEIGHTS: tl.constexpr, ACC: tl.constexpr, CHUNK: tl.constexpr, STEPS: tl.constexpr,
    BN: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """The other cotangents and, if ``WEIGHTS``, the chunk's shares of those of A, D and bias.

        g_t   = C_t y_bar_t + a_{t+1} g_{t+1}
        x_bar = delta sum_n g B + D y_bar,  delta_bar = sum_n g (A a h_{t-1} + B x)
        B_bar = sum_d g delta x,            A_bar = sum_t g a delta h_{t-1}

    ``arriving`` is a_{t+1} g_{t+1} at the chunk's end. ``B_bar`` holds shares as ``C_bar`` does.
    The states between those of `adjoint_forward` are made again, ``STEPS`` at a time. Past the end
    of the sequence the step size and y_bar are zero, so that the decay is one and nothing is added.
    """
    block, d, chunk, start, stop = place(length, width, CHUNK, BD)
    n, batch = tl.arange(0, BN), tl.program_id(1).to(tl.int64)
    lead, share = batch * tl.cdiv(length, CHUNK) + chunk, block * tl.num_programs(1) + batch
    in_d = d < width
    at_h, inside = matrix(lead, n, d, states, width)
    poles_, bias_ = poles(A, n, d, states, width, ACC), load(bias, d, in_d, ACC)
    skip, g_carried = load(D, d, in_d, ACC), load(arriving, at_h, inside, ACC)
    A_sum = tl.zeros([BN, BD], ACC)
    D_sum, bias_sum = tl.zeros([BD], ACC), tl.zeros([BD], ACC)
    tiles = tl.cdiv(stop - start, STEPS)
    for i in range(0, tiles):
        first = start + (tiles - 1 - i) * STEPS
        loaded = ()
        for j in tl.static_range(STEPS):
            r = batch * length + tl.minimum(first + j, length - 1)
            loaded += (rows(r, (dt, x, z, out_bar), (B, C), n, d, states, width, ACC),)
        tile = batch * tl.cdiv(length, STEPS) + first // STEPS
        h = load(tile_states, matrix(tile, n, d, states, width)[0], inside, ACC)
        steps = ()
        for j in tl.static_range(STEPS):
            dts, xs, zs, out_bars, Bs, Cs = loaded[j]
            live = d < tl.where(first + j < stop, width, 0)
            delta, slope = softplus(dts + bias_)
            delta, slope = tl.where(live, delta, 0), tl.where(live, slope, 0)
            y_bar = tl.where(live, out_bars * silu(zs)[0], 0)
            a = decay(delta, poles_)
            steps += ((live, delta, slope, xs, y_bar, a, h, Bs, Cs),)
            h = a * h + Bs * (delta * xs)[None, :]
        for j in tl.static_range(STEPS - 1, -1, -1):
            live, delta, slope, xs, y_bar, a, h, Bs, Cs = steps[j]
            at = (batch * length + first + j) * width + d
            g = g_carried + Cs * y_bar[None, :]
            g_carried = a * g
            at_share = (share * length + first + j) * states + n
            live_n = n < tl.where(first + j < stop, states, 0)
            tl.store(B_bar + at_share, tl.sum(g * (delta * xs)[None, :], axis=1), mask=live_n)
            gB = tl.sum(g * Bs, axis=0)
            tl.store(x_bar + at, delta * gB + skip * y_bar, mask=live)
            g *= a * h
            dts_bar = (tl.sum(g * poles_, axis=0) * LOG_2 + xs * gB) * slope
            tl.store(dt_bar + at, dts_bar, mask=live)
            if WEIGHTS:
                A_sum += g * delta[None, :]
                D_sum += y_bar * xs
                bias_sum += dts_bar
    if WEIGHTS:
        tl.store(A_bar + at_h, A_sum, mask=inside)
        tl.store(D_bar + lead * width + d, D_sum, mask=in_d)
        tl.store(bias_bar + lead * width + d, bias_sum, mask=in_d)
