"""The scan and the convolution on CPU tensors: kernels spread over sequences and channel blocks.

The values are those of ``reference.py``, to rounding. Threads follow ``torch.get_num_threads()``,
so that one setting governs matrix products and kernels. Results do not depend on their number.

Lower-case names of a letter or two are the NumPy views, for the kernels, of the tensors that are
named as in ``reference.py``; a trailing ``_bar`` is a cotangent, a trailing ``_dot`` a tangent.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from pgf_genome.scan import conv_kernels, kernels, norm_kernels, tangent_kernels
from pgf_genome.scan.kernels import BLOCK, CHUNK, GROUP

# Rows of a matrix that one thread normalises at a time.
ROWS = 256


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="pgf-scan")


def _over_blocks(
    task: Callable[[int, int, np.uintp, np.uintp], None], batch: int, width: int
) -> None:
    """Call ``task(first sequence, past last, first channel, past last)``, in threads.

    There are as few spans as threads, because wide spans of a row are read faster.
    """
    threads, blocks = torch.get_num_threads(), -(-width // BLOCK)
    shares = min(batch, threads)
    spans = min(blocks, -(-threads // shares))
    edges = [blocks * i // spans * BLOCK for i in range(spans)] + [width]
    sequences = itertools.pairwise(batch * i // shares for i in range(shares + 1))
    channels = list(itertools.pairwise(np.uintp(edge) for edge in edges))
    _over(task, [(*some, *span) for some in sequences for span in channels])


def _over_batch(task: Callable[[int, int, int, int], None], batch: int, rows: int) -> None:
    """Call ``task(first sequence, past last, first row, past last)`` for pieces of a batch.

    A piece is rows of one sequence, or several whole sequences that are short.
    """
    size = max(1, ROWS // max(rows, 1))
    sequences = [(b, min(b + size, batch)) for b in range(0, batch, size)]
    spans = [(lo, min(lo + ROWS, rows)) for lo in range(0, rows, ROWS)]
    _over(task, [(*some, *span) for some in sequences for span in spans])


def _over_rows(task: Callable[..., None], rows: int, batch: int | None = None) -> None:
    """Call ``task(i, first row, past last row)`` for every piece of a matrix, in threads.

    With a batch of matrices, ``task(sequence, i, first row, past last row)``.
    """
    pieces = [(i, lo, min(lo + ROWS, rows)) for i, lo in enumerate(range(0, rows, ROWS))]
    _over(
        task, pieces if batch is None else [(b, *piece) for b in range(batch) for piece in pieces]
    )


def _over(task: Callable[..., None], pieces: list[tuple]) -> None:
    threads = min(torch.get_num_threads(), len(pieces))

    def every(first: int) -> None:
        for piece in pieces[first::threads]:
            task(*piece)

    # The calling thread takes a share too, because it is awake already.
    others = [_pool(threads - 1).submit(every, i) for i in range(1, threads)] if threads > 1 else []
    every(0)
    for other in others:
        other.result()


def _whole_groups(value: Tensor, dim: int, front: bool = False) -> Tensor:
    """Pad ``dim`` to a multiple of `GROUP` with zeros: states and taps that do nothing."""
    lack = -value.shape[dim] % GROUP
    if not lack:
        return value
    zeros = value.new_zeros([lack if d == dim else n for d, n in enumerate(value.shape)])
    return torch.cat([zeros, value] if front else [value, zeros], dim)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def _by_sequence(*tensors: Tensor) -> list[tuple[np.ndarray, ...]]:
    """The arrays of every sequence of a batch, which is the first axis of all tensors."""
    return list(zip(*_arrays(*tensors), strict=True))


def scan_forward(
    x: Tensor, dt: Tensor, B: Tensor, C: Tensor, z: Tensor,
    A: Tensor, D: Tensor, bias: Tensor, state: Tensor, taped: bool = True, spacing: int = CHUNK,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Compute outputs, final state, and the stored states that the adjoint starts from.

    Stored are those before positions 0, ``spacing``, .. up to T, (batch, T // spacing + 1, N', Di),
    with N rounded up to whole groups N'; none unless ``taped``. The spacing is 1 or `CHUNK`. A
    state may be shared, as in `reference.selective_scan`.
    """
    spacing = spacing if taped else 0
    batch, length, width = x.shape
    states = A.shape[0]
    B, C, A, state = (_whole_groups(v, d) for v, d in ((B, 2), (C, 2), (A, 0), (state, 1)))
    out, end = x.new_empty(x.shape), state.new_empty(batch, *state.shape[1:])
    stored = x.new_empty(batch, length // spacing + 1 if spacing else 0, A.shape[0], width)
    inputs, results = _arrays(x, dt, B, C, z, A, D, bias, state), _arrays(out, end, stored)

    def task(first: int, last: int, lo: np.uintp, hi: np.uintp) -> None:
        kernels.scan_forward(*inputs, first, last, lo, hi, *results, spacing)

    _over_blocks(task, batch, width)
    return out, end[:, :states].contiguous(), stored


def scan_tangent(
    x: Tensor, dt: Tensor, B: Tensor, C: Tensor, z: Tensor,
    A: Tensor, D: Tensor, bias: Tensor, state: Tensor,
    x_dot: Tensor, dt_dot: Tensor, B_dot: Tensor, C_dot: Tensor, z_dot: Tensor, state_dot: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Compute outputs and final state, and the tangents of both in k directions.

    A dotted tensor has the shape of its primal behind a leading axis of k.
    """
    k, batch, length, width = x_dot.shape
    states = A.shape[0]
    B, C, A, state = (_whole_groups(v, d) for v, d in ((B, 2), (C, 2), (A, 0), (state, 1)))
    B_dot, C_dot, state_dot = (
        _whole_groups(v, d) for v, d in ((B_dot, 3), (C_dot, 3), (state_dot, 2))
    )
    out, end = x.new_empty(x.shape), state.new_empty(state.shape)
    out_dot = x.new_empty(batch, k, length, width)
    end_dot = x.new_empty(batch, k, *state.shape[1:])
    dots = [d.transpose(0, 1) for d in (x_dot, dt_dot, B_dot, C_dot, z_dot, state_dot)]
    inputs, shared, directions = (
        _by_sequence(x, dt, B, C, z),
        _arrays(A, D, bias),
        _by_sequence(*dots),
    )
    (h0,), results = _arrays(state), _by_sequence(out, end, out_dot, end_dot)

    def task(first: int, last: int, lo: np.uintp, hi: np.uintp) -> None:
        for b in range(first, last):
            before = (*inputs[b], *shared, h0[b], *directions[b])
            tangent_kernels.scan_tangent(*before, lo, hi, *results[b])

    _over_blocks(task, batch, width)
    out_dot, end_dot = (v.transpose(0, 1).contiguous() for v in (out_dot, end_dot[:, :, :states]))
    return out, end[:, :states].contiguous(), out_dot, end_dot


def scan_adjoint(
    x: Tensor, dt: Tensor, B: Tensor, C: Tensor, z: Tensor,
    A: Tensor, D: Tensor, bias: Tensor, stored: Tensor, out_bar: Tensor, end_bar: Tensor,
    weights: bool, spacing: int = CHUNK,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """Compute the cotangents of x, dt, B, C, z, A, D, bias and state.

    Those of A, D and bias are None unless ``weights``. If the states before all positions are
    stored, with a ``spacing`` of 1, the last is the cotangent of each of them, (batch, T, N, Di).
    """
    batch, length, width = x.shape
    states = A.shape[0]
    B, C, A, end_bar = (_whole_groups(v, d) for v, d in ((B, 2), (C, 2), (A, 0), (end_bar, 1)))
    shares = x.new_empty(2, batch, -(-width // BLOCK), length, A.shape[0])
    x_bar, dt_bar, z_bar, state_bar = (v.new_empty(v.shape) for v in (x, dt, z, end_bar))
    A_bar = x.new_empty(batch, *A.shape)
    D_bar, bias_bar = x.new_zeros(2, batch, width)
    along = x.new_empty(batch, length if spacing == 1 else 0, A.shape[0], width)
    inputs, shared = _by_sequence(x, dt, B, C, z), _arrays(A, D, bias)
    before, outer = _arrays(stored)[0], _by_sequence(out_bar, end_bar)
    xb, dtb, zb, hb, share, each = _arrays(x_bar, dt_bar, z_bar, state_bar, shares, along)
    of_weights = _by_sequence(A_bar, D_bar, bias_bar)

    def task(first: int, last: int, lo: np.uintp, hi: np.uintp) -> None:
        for b in range(first, last):
            Bb, Cb = share[:, b, int(lo) // BLOCK :]
            bars = (xb[b], dtb[b], Bb, Cb, zb[b], hb[b], *of_weights[b])
            given = (*inputs[b], *shared, before[b], spacing, *outer[b])
            kernels.scan_adjoint(*given, lo, hi, *bars, weights, each[b])

    _over_blocks(task, batch, width)
    B_bar, C_bar = shares[..., :states].sum(dim=2)
    totals = [bar.sum(0) if weights else None for bar in (A_bar[:, :states], D_bar, bias_bar)]
    of_states = along[:, :, :states] if spacing == 1 else state_bar[:, :states]
    return x_bar, dt_bar, B_bar, C_bar, z_bar, *totals, of_states


def conv_forward(past: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """SiLU of the causal convolution; ``past`` is (batch, K-1+T, Di), the result (batch, T, Di)."""
    batch, rows, width = past.shape
    out = past.new_empty(batch, rows - weight.shape[0] + 1, width)
    past, weight = _whole_taps(past, weight)
    *inputs, o = _arrays(past, weight, bias, out)

    def task(first: int, last: int, lo: int, hi: int) -> None:
        conv_kernels.conv_forward(*inputs, first, last, lo, hi, o)

    _over_batch(task, *o.shape[:2])
    return out


def _whole_taps(past: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Pad the taps to whole groups with zero taps in front, and ``past`` with rows of zeros."""
    lack = -weight.shape[0] % GROUP
    if not lack:
        return past, weight
    zeros = past.new_zeros(*past.shape[:-2], lack, past.shape[-1])
    return torch.cat([zeros, past], dim=-2), _whole_groups(weight, 0, front=True)


def conv_tangent(past: Tensor, weight: Tensor, bias: Tensor, past_dot: Tensor) -> Tensor:
    """Tangents of the convolution's output in k directions (leading axis of ``past_dot``)."""
    k, batch, rows, width = past_dot.shape
    out = past.new_empty(batch, k, rows - weight.shape[0] + 1, width)
    past_dot, _ = _whole_taps(past_dot, weight)
    past, weight = _whole_taps(past, weight)
    p, dots, o = _arrays(past, past_dot.transpose(0, 1), out)
    shared = _arrays(weight, bias)

    def task(b: int, _: int, first: int, last: int) -> None:
        tangent_kernels.conv_tangent(p[b], *shared, dots[b], first, last, o[b])

    _over_rows(task, o.shape[2], batch)
    return out.transpose(0, 1).contiguous()


def conv_adjoint(
    past: Tensor, weight: Tensor, bias: Tensor, out_bar: Tensor, weights: bool
) -> tuple[Tensor | None, ...]:
    """Cotangents of past, weight and bias; the last two are None unless ``weights``."""
    lack = -weight.shape[0] % GROUP
    past, weight = _whole_taps(past, weight)
    batch, rows, width = past.shape
    past_bar = past.new_empty(past.shape)
    weight_bar = past.new_zeros(batch, -(-rows // ROWS), *weight.shape)
    bias_bar = past.new_zeros(batch, -(-rows // ROWS), width)
    p, ob, pb, wb, bb = _arrays(past, out_bar, past_bar, weight_bar, bias_bar)
    shared = _arrays(weight, bias)

    def task(b: int, i: int, first: int, last: int) -> None:
        bars = pb[b], wb[b, i], bb[b, i]
        conv_kernels.conv_adjoint(p[b], *shared, ob[b], first, last, *bars, weights)

    _over_rows(task, rows, batch)
    if not weights:
        return past_bar[:, lack:], None, None
    return past_bar[:, lack:], weight_bar.sum((0, 1))[lack:], bias_bar.sum((0, 1))


def conv_along(
    x: Tensor, weight: Tensor, bias: Tensor, state: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute outputs and slopes of SiLU, (batch, T, Di), and states (batch, T + 1, K - 1, Di)."""
    batch, length, width = x.shape
    out, slope = x.new_empty(2, *x.shape)
    states = x.new_empty(batch, length + 1, weight.shape[0] - 1, width)
    inputs, results = _arrays(x, weight, bias, state), _arrays(out, slope, states)
    _over(lambda b: conv_kernels.conv_along(*inputs, b, *results), [(b,) for b in range(batch)])
    return out, slope, states


def conv_along_adjoint(
    weight: Tensor, slope: Tensor, out_bar: Tensor, end_bar: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the cotangents of x, and of the state before every position."""
    batch, length, width = slope.shape
    x_bar = slope.new_empty(slope.shape)
    along = slope.new_empty(batch, length, weight.shape[0] - 1, width)
    given, results = _arrays(weight, slope, out_bar, end_bar), _arrays(x_bar, along)
    _over(
        lambda b: conv_kernels.conv_along_adjoint(*given, b, *results),
        [(b,) for b in range(batch)],
    )
    return x_bar, along


def norm_forward(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMSNorm over the last axis of ``x`` (.., D)."""
    out = x.new_empty(x.shape)
    rows, w, o = _arrays(x.flatten(0, -2), weight, out.view(-1, x.shape[-1]))
    _over_rows(lambda _, lo, hi: norm_kernels.norm_forward(rows, w, eps, lo, hi, o), len(rows))
    return out


def norm_tangent(x: Tensor, weight: Tensor, eps: float, x_dot: Tensor) -> Tensor:
    """Tangents of RMSNorm in k directions (leading axis of ``x_dot``)."""
    out = x.new_empty(x_dot.shape)
    rows, w, dots = _arrays(x.flatten(0, -2), weight, x_dot.flatten(1, -2))
    o = out.view(dots.shape).numpy()
    _over_rows(
        lambda _, lo, hi: norm_kernels.norm_tangent(rows, w, eps, dots, lo, hi, o), len(rows)
    )
    return out


def norm_adjoint(
    x: Tensor, weight: Tensor, eps: float, out_bar: Tensor, weights: bool
) -> tuple[Tensor, Tensor | None]:
    """Cotangents of x and weight; that of weight is None unless ``weights``."""
    x_bar = x.new_empty(x.shape)
    rows, w, ob = _arrays(x.flatten(0, -2), weight, out_bar.flatten(0, -2))
    shares = weight.new_zeros(-(-len(rows) // ROWS), *weight.shape)
    xb, sb = x_bar.view(rows.shape).numpy(), shares.numpy()

    def task(i: int, lo: int, hi: int) -> None:
        norm_kernels.norm_adjoint(rows, w, eps, ob, lo, hi, xb, sb[i], weights)

    _over_rows(task, len(rows))
    return x_bar, shares.sum(0) if weights else None


def inner_change(moved: Tensor, unmoved: Tensor, weight: Tensor) -> Tensor:
    """Run `reference.inner_change`, summed in the type of the numbers and then in float64."""
    out = moved.new_empty(moved.shape[:2], dtype=torch.float64)
    arrays = _arrays(moved.flatten(2), unmoved.flatten(1), weight.flatten(1), out)
    _over_rows(
        lambda _, lo, hi: norm_kernels.inner_change(*arrays[:3], lo, hi, arrays[3]), len(out)
    )
    return out
