"""The operations of a Mamba-1 block between its products, as equations: slow, but the truth.

Shapes: ``batch`` independent sequences, T positions, Di channels (``d_inner``), N states per
channel (``d_state``), K taps (``d_conv``). Channels are last everywhere, so a state is
``(batch, N, Di)`` and the poles A are ``(N, Di)``.

The recurrences take the state before the tile and return the state after it, and are
differentiable in both; running two tiles with the state handed over equals running them joined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import silu, softplus


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMSNorm over the last axis (Zhang and Sennrich 2019): x w / sqrt(mean(x^2) + eps).

    Parameters
    ----------
    x : Tensor, (.., D)
    weight : Tensor, (D,)
    """
    return weight * x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + eps)


def causal_conv(x: Tensor, weight: Tensor, bias: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Depthwise causal convolution followed by SiLU.

        u_t = silu( sum_k weight_k x_{t-K+1+k} + bias )

    Parameters
    ----------
    x : Tensor, (batch, T, Di)
    weight : Tensor, (K, Di)
        The last tap meets the current position.
    bias : Tensor, (Di,)
    state : Tensor, (batch, K-1, Di)
        The K-1 inputs before the tile; zeros at the start of a segment.

    Returns
    -------
    u : Tensor, (batch, T, Di)
    state : Tensor, (batch, K-1, Di)
        The last K-1 inputs.
    """
    taps, length = weight.shape[0], x.shape[1]
    past = torch.cat([state, x], dim=1)  # (batch, K-1+T, Di)
    total = bias.expand_as(x)
    for k in range(taps):
        total = total + weight[k] * past[:, k : k + length]
    return silu(total), past[:, length:]


def selective_scan(
    x: Tensor,
    dt: Tensor,
    B: Tensor,
    C: Tensor,
    z: Tensor,
    A: Tensor,
    D: Tensor,
    dt_bias: Tensor,
    state: Tensor,
) -> tuple[Tensor, Tensor]:
    """Selective scan with skip connection and gate (Gu and Dao 2023, algorithm 2).

        delta_t = softplus(dt_t + dt_bias)
        h_t     = exp(delta_t A) h_{t-1} + delta_t x_t B_t
        out_t   = ( sum_n C_t h_t + D x_t ) silu(z_t)

    Parameters
    ----------
    x, dt, z : Tensor, (batch, T, Di)
        Input, step size before bias and softplus, gate before SiLU.
    B, C : Tensor, (batch, T, N)
        Input and output maps, shared by all channels.
    A : Tensor, (N, Di)
        Poles, <= 0.
    D, dt_bias : Tensor, (Di,)
    state : Tensor, (batch, N, Di) or (batch / k, N, Di)
        Each of fewer states is that of k sequences next to each other.

    Returns
    -------
    out : Tensor, (batch, T, Di)
    state : Tensor, (batch, N, Di)
    """
    state = state.repeat_interleave(len(x) // len(state), dim=0)
    delta = softplus(dt + dt_bias)
    h, outputs = state, []
    for t in range(x.shape[1]):
        decay = torch.exp(delta[:, t, None, :] * A)  # (batch, N, Di)
        h = decay * h + B[:, t, :, None] * (delta[:, t] * x[:, t])[:, None, :]
        outputs.append((C[:, t, :, None] * h).sum(dim=1))
    y = torch.stack(outputs, dim=1) + D * x  # (batch, T, Di)
    return y * silu(z), h


def inner_change(moved: Tensor, unmoved: Tensor, weight: Tensor) -> Tensor:
    """Inner products of differences with weights.

    Parameters
    ----------
    moved : Tensor, (n, k, ..)
    unmoved, weight : Tensor, (n, ..)

    Returns
    -------
    Tensor, (n, k) float64
        sum (moved - unmoved) weight, over all axes but the first two.
    """
    change = moved.flatten(2) - unmoved.flatten(1)[:, None]
    return (change * weight.flatten(1)[:, None]).sum(dim=2, dtype=torch.float64)


def causal_conv_along(
    x: Tensor, weight: Tensor, bias: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """`causal_conv` with its state at every position; see `along`."""

    def step(now: slice, before: Tensor) -> tuple[Tensor, list[Tensor]]:
        out, after = causal_conv(x[:, now], weight, bias, before)
        return out, [after]

    out, (states,) = along(step, state)
    return out, states


def selective_scan_along(
    x: Tensor,
    dt: Tensor,
    B: Tensor,
    C: Tensor,
    z: Tensor,
    A: Tensor,
    D: Tensor,
    dt_bias: Tensor,
    state: Tensor,
) -> tuple[Tensor, Tensor]:
    """`selective_scan` with its state at every position; see `along`."""

    def step(now: slice, before: Tensor) -> tuple[Tensor, list[Tensor]]:
        inputs = x[:, now], dt[:, now], B[:, now], C[:, now], z[:, now]
        out, after = selective_scan(*inputs, A, D, dt_bias, before)
        return out, [after]

    out, (states,) = along(step, state)
    return out, states


def along(
    step: Callable[..., tuple[Tensor, Sequence[Tensor]]], *state: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Run a recurrence position by position, to know its state at each of them.

    Parameters
    ----------
    step : callable
        ``step(now, *state) -> (out, state)`` of the one position in the slice ``now``.
    *state : Tensor, (batch, T, ..)
        For every tensor of the state: its value before the tile, the same in all rows (a view will
        do). The gradient with respect to the row of a position is the cotangent of the state before
        that position.

    Returns
    -------
    out : Tensor, (batch, T, ..)
    states : list of Tensor, (batch, T + 1, ..)
        Before every position, and after the last. Only the last is differentiable.
    """
    now: Sequence[Tensor] = [part[:, 0].detach() for part in state]
    outs, states = [], []
    for t in range(state[0].shape[1]):
        rows = [part[:, t] for part in state]
        now = [value + (row - row.detach()) for value, row in zip(now, rows, strict=True)]
        states.append([value.detach() for value in now])
        out, now = step(slice(t, t + 1), *now)
        outs.append(out)
    columns = zip(*states, now, strict=True)
    return torch.cat(outs, dim=1), [torch.stack(column, dim=1) for column in columns]
