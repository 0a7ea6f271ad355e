"""The scan and the convolution on CUDA tensors: Triton kernels over sequences, channels and time.

Same values as ``reference.py``. So that one sequence fills the chip, time is cut into chunks:

1. every chunk by itself, from a zero state: the state it ends in, and the sum of its step sizes,
   whose exponential with the pole is its decay;
2. over the chunks, in order: the state that enters each of them;
3. every chunk again, from the state that enters it: outputs.

The adjoint does the same backwards with the cotangent of the state, and the tangents forwards with
their own. What is stored for the adjoint are the states that enter the chunks.

Inside a chunk the adjoint needs every state in reverse order. Step 1 leaves the state before every
``STEPS``-th position, in memory that lives as long as one call: N / STEPS activations. Step 3 makes
the few states between out of these, in registers: to write all of them would cost several times
the exponentials. Step 1 also does all of the adjoint that needs no cotangent of a state. Sums over
channels and over time are of one share per program, so that equal calls give equal bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from pgf_genome.scan import gpu_conv_kernels, gpu_kernels

# Positions of a chunk, of a tile whose states are in registers at once (half of it for doubles,
# which take two registers), and of a program of the convolution.
CHUNK = 128
STEPS = 4
ROWS = 32
# Chunks whose end states are in registers at once.
CARRIED = 16
# Channels of a program. One of the scan is a single warp, so that no sum crosses warps: a thread
# has 4 of 16 states of 4 channels.
BLOCK = 32
# Registers of a thread in `adjoint_forward`. Left alone the compiler takes more, and fewer warps
# are there to work while others wait.
REGISTERS = 128


def _settings(x: Tensor) -> dict:
    # Fused multiply-add is asked for because its default differs between versions of Triton.
    accumulator = tl.float64 if x.dtype == torch.float64 else tl.float32
    return {"ACC": accumulator, "BD": BLOCK, "enable_fp_fusion": True}


def _steps(x: Tensor) -> int:
    return STEPS // 2 if x.dtype == torch.float64 else STEPS


def _tiles(x: Tensor, states: int) -> dict:
    return _settings(x) | {"CHUNK": CHUNK, "BN": triton.next_power_of_2(states), "num_warps": 1}


def _grid(length: int, per_program: int, batch: int, width: int) -> tuple[int, int]:
    return triton.cdiv(length, per_program) * triton.cdiv(width, BLOCK), batch


def _on_its_device(launcher: Callable) -> Callable:
    """Triton launches on the current device, wherever the tensors are."""

    @functools.wraps(launcher)
    def launch(x: Tensor, *args: Any) -> Any:
        with torch.cuda.device(x.device) if x.is_cuda else nullcontext():
            return launcher(x, *args)

    return launch


def _sums(x: Tensor, *shape: int) -> Tensor:
    """Uninitialised memory in the type of the arithmetic."""
    return x.new_empty(shape, dtype=torch.promote_types(x.dtype, torch.float32))


def _contiguous(*tensors: Tensor) -> list[Tensor]:
    return [tensor.detach().contiguous() for tensor in tensors]


def _carry(ends: Tensor, sums: Tensor, A: Tensor, first: Tensor, reverse: bool) -> Tensor:
    """Turn ``ends`` (.., chunks, N, Di) into what enters each chunk; return what leaves the last.

    ``first`` (.., N, Di) enters the first chunk, or the last if ``reverse``.
    """
    last = torch.empty_like(first)
    batch, chunks, width = sums.shape
    states = A.shape[0]
    grid = (states * triton.cdiv(width, BLOCK), first.numel() // A.numel())
    gpu_kernels.carry[grid](
        ends, sums, A, first, last, chunks, batch, width, states,
        REVERSE=reverse, STEPS=CARRIED, num_warps=1, **_settings(ends),
    )  # fmt: skip
    return last


def _entering(inputs: list[Tensor], state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """States that enter the chunks (batch, chunks, N, Di), sums of step sizes, final state."""
    x, A = inputs[0], inputs[5]
    (batch, length, width), states = x.shape, A.shape[0]
    chunks = triton.cdiv(length, CHUNK)
    entering, sums = _sums(x, batch, chunks, states, width), _sums(x, batch, chunks, width)
    gpu_kernels.scan_chunk[_grid(length, CHUNK, batch, width)](
        *inputs, entering, sums, x, length, width, states,
        OUTPUTS=False, **_tiles(x, states),
    )  # fmt: skip
    return entering, sums, _carry(entering, sums, A, state, reverse=False)


@_on_its_device
def scan_forward(
    x: Tensor, dt: Tensor, B: Tensor, C: Tensor, z: Tensor, A: Tensor, D: Tensor, bias: Tensor,
    state: Tensor, taped: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Outputs, final state, and stored states (batch, ceil(T / CHUNK), N, Di) for the adjoint.

    The outputs need these states too, so that they are there whether it is ``taped`` or not.
    """
    *inputs, state = _contiguous(x, dt, B, C, z, A, D, bias, state)
    entering, sums, end = _entering(inputs, state)
    return _outputs(inputs, entering, sums), end, entering


def _outputs(inputs: list[Tensor], entering: Tensor, sums: Tensor) -> Tensor:
    """Outputs, from the states that enter the chunks."""
    x, states = inputs[0], inputs[5].shape[0]
    batch, length, width = x.shape
    out = torch.empty_like(x)
    gpu_kernels.scan_chunk[_grid(length, CHUNK, batch, width)](
        *inputs, entering, sums, out, length, width, states,
        OUTPUTS=True, **_tiles(x, states),
    )  # fmt: skip
    return out


@_on_its_device
def scan_tangent(
    x: Tensor, dt: Tensor, B: Tensor, C: Tensor, z: Tensor, A: Tensor, D: Tensor, bias: Tensor,
    state: Tensor, x_dot: Tensor, dt_dot: Tensor, B_dot: Tensor, C_dot: Tensor, z_dot: Tensor,
    state_dot: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Outputs and final state, and the tangents of both in k directions.

    Every dotted tensor is (k, batch, ..) beside its primal.
    """
    *inputs, state = _contiguous(x, dt, B, C, z, A, D, bias, state)
    *dots, state_dot = _contiguous(x_dot, dt_dot, B_dot, C_dot, z_dot, state_dot)
    (batch, length, width), states, k = x.shape, A.shape[0], x_dot.shape[0]
    entering, sums, end = _entering(inputs, state)
    out = _outputs(inputs, entering, sums)
    moving, out_dot = _sums(x, k, *entering.shape), torch.empty_like(dots[0])

    def walk(outputs: bool) -> None:
        gpu_kernels.tangent_chunk[_grid(length, CHUNK, k * batch, width)](
            *inputs, entering, *dots, moving, out_dot, batch, length, width, states,
            OUTPUTS=outputs, **_tiles(x, states),
        )  # fmt: skip

    walk(outputs=False)
    end_dot = _carry(moving, sums, inputs[5], state_dot, reverse=False)
    walk(outputs=True)
    return out, end, out_dot, end_dot


def _totals(shares: tuple[Tensor, ...], dtype: torch.dtype) -> list[Tensor]:
    """Sums over sequences and chunks."""
    return [share.sum((0, 1)).to(dtype) for share in shares]


@_on_its_device
def scan_adjoint(
    x: Tensor, dt: Tensor, B: Tensor, C: Tensor, z: Tensor, A: Tensor, D: Tensor, bias: Tensor,
    stored: Tensor, out_bar: Tensor, end_bar: Tensor, weights: bool,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """Cotangents of x, dt, B, C, z, A, D, bias and state; of A, D, bias None unless ``weights``."""
    *inputs, stored, out_bar, end_bar = _contiguous(
        x, dt, B, C, z, A, D, bias, stored, out_bar, end_bar
    )
    (batch, length, width), states = x.shape, A.shape[0]
    grid, sizes = _grid(length, CHUNK, batch, width), (length, width, states)
    tiles = _tiles(x, states) | {"STEPS": _steps(x)}
    tile_states = _sums(x, batch, triton.cdiv(length, _steps(x)), states, width)
    leaving, sums = torch.empty_like(stored), _sums(x, batch, stored.shape[1], width)
    x_bar, dt_bar, z_bar = (torch.empty_like(inputs[i]) for i in (0, 1, 4))
    shares = _sums(x, 2, triton.cdiv(width, BLOCK), batch, length, states)
    gpu_kernels.adjoint_forward[grid](
        *inputs, out_bar, stored, tile_states, leaving, sums, shares[1], z_bar, *sizes,
        maxnreg=REGISTERS, **tiles,
    )  # fmt: skip
    state_bar = _carry(leaving, sums, inputs[5], end_bar, reverse=True)
    A_bar = torch.zeros_like(stored if weights else stored[:, :1])
    D_bar, bias_bar = sums.new_zeros(2, *sums.shape)
    gpu_kernels.adjoint_backward[grid](
        *inputs, out_bar, tile_states, leaving, x_bar, dt_bar, shares[0],
        A_bar, D_bar, bias_bar, *sizes, WEIGHTS=weights, **tiles,
    )  # fmt: skip
    totals = _totals((A_bar, D_bar, bias_bar), x.dtype) if weights else [None] * 3
    B_bar, C_bar = shares.sum(dim=1).to(x.dtype)
    return x_bar, dt_bar, B_bar, C_bar, z_bar, *totals, state_bar


@_on_its_device
def conv_forward(past: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """SiLU of the causal convolution; ``past`` is (batch, K-1+T, Di), the result (batch, T, Di)."""
    past, weight, bias = _contiguous(past, weight, bias)
    batch, rows, width = past.shape
    length = rows - weight.shape[0] + 1
    out = past.new_empty(batch, length, width)
    gpu_conv_kernels.conv_rows[_grid(length, ROWS, batch, width)](
        past, weight, bias, out, length, width,
        K=weight.shape[0], ROWS=ROWS, **_settings(past),
    )  # fmt: skip
    return out


@_on_its_device
def conv_tangent(past: Tensor, weight: Tensor, bias: Tensor, past_dot: Tensor) -> Tensor:
    """Tangents of the convolution's output in k directions (leading axis of ``past_dot``)."""
    past, weight, bias, past_dot = _contiguous(past, weight, bias, past_dot)
    k, batch, rows, width = past_dot.shape
    length = rows - weight.shape[0] + 1
    out_dot = past.new_empty(k, batch, length, width)
    gpu_conv_kernels.conv_tangent_rows[_grid(length, ROWS, batch, width)](
        past, weight, bias, past_dot, out_dot, k, batch, length, width,
        K=weight.shape[0], ROWS=ROWS, **_settings(past),
    )  # fmt: skip
    return out_dot


@_on_its_device
def conv_adjoint(
    past: Tensor, weight: Tensor, bias: Tensor, out_bar: Tensor, weights: bool
) -> tuple[Tensor | None, ...]:
    """Cotangents of past, weight and bias; of weight and bias None unless ``weights``."""
    past, weight, bias, out_bar = _contiguous(past, weight, bias, out_bar)
    (batch, length, width), taps = out_bar.shape, weight.shape[0]
    settings = _settings(past) | {"K": taps, "ROWS": ROWS}
    total_bar, past_bar = _sums(past, *out_bar.shape), torch.empty_like(past)
    shares = (batch, triton.cdiv(length, ROWS)) if weights else (1, 1)
    weight_bar = _sums(past, *shares, taps, width).zero_()
    bias_bar = _sums(past, *shares, width).zero_()
    gpu_conv_kernels.conv_total_bar[_grid(length, ROWS, batch, width)](
        past, weight, bias, out_bar, total_bar, weight_bar, bias_bar, length, width,
        WEIGHTS=weights, **settings,
    )  # fmt: skip
    gpu_conv_kernels.conv_past_bar[_grid(past.shape[1], ROWS, batch, width)](
        total_bar, weight, past_bar, length, width, **settings
    )
    totals = _totals((weight_bar, bias_bar), past.dtype) if weights else [None] * 2
    return past_bar, *totals
