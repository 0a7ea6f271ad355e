"""The operations of a Mamba-1 block between its products, as equations: slow, but the truth.

Shapes: ``batch`` independent sequences, T positions, Di channels (``d_inner``), N states per
channel (``d_state``), K taps (``d_conv``). Channels are last everywhere, so a state is
``(batch, N, Di)`` and the poles A are ``(N, Di)``.

The recurrences take the state before the tile and return the state after it, and are
differentiable in both; running two tiles with the state handed over equals running them joined.
"""

from __future__ import annotations

from collections.abc import Callable

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
    state : Tensor, (batch, N, Di)

    Returns
    -------
    out : Tensor, (batch, T, Di)
    state : Tensor, (batch, N, Di)
    """
    delta = softplus(dt + dt_bias)
    h, outputs = state, []
    for t in range(x.shape[1]):
        decay = torch.exp(delta[:, t, None, :] * A)  # (batch, N, Di)
        h = decay * h + B[:, t, :, None] * (delta[:, t] * x[:, t])[:, None, :]
        outputs.append((C[:, t, :, None] * h).sum(dim=1))
    y = torch.stack(outputs, dim=1) + D * x  # (batch, T, Di)
    return y * silu(z), h


def causal_conv_along(
    x: Tensor, weight: Tensor, bias: Tensor, added: Tensor
) -> tuple[Tensor, Tensor]:
    """`causal_conv` with its state at every position; see `along`."""
    return along(lambda now, state: causal_conv(x[:, now], weight, bias, state), added)


def selective_scan_along(
    x: Tensor,
    dt: Tensor,
    B: Tensor,
    C: Tensor,
    z: Tensor,
    A: Tensor,
    D: Tensor,
    dt_bias: Tensor,
    added: Tensor,
) -> tuple[Tensor, Tensor]:
    """`selective_scan` with its state at every position; see `along`."""

    def step(now: slice, state: Tensor) -> tuple[Tensor, Tensor]:
        inputs = (v[:, now] for v in (x, dt, B, C, z))
        return selective_scan(*inputs, A, D, dt_bias, state)

    return along(step, added)


def along(step: Callable[..., tuple[Tensor, ...]], *added: Tensor) -> tuple[Tensor, ...]:
    """Run a recurrence position by position, with something added to its state before each.

    The first addition is the state before the tile. Zeros later on are there to be differentiated
    by: the gradient with respect to what is added at a position is the cotangent of the state
    there.

    Parameters
    ----------
    step : callable
        ``step(now, *state) -> (out, *state)`` of the one position in the slice ``now``.
    *added : Tensor, (batch, T, ..)
        For every tensor of the state.

    Returns
    -------
    out : Tensor, (batch, T, ..)
    *states : Tensor, (batch, T + 1, ..)
        Before every position, with what was added there, and after the last.
    """
    state, outs, states = [torch.zeros_like(part[:, 0]) for part in added], [], []
    for t in range(added[0].shape[1]):
        states.append([s + part[:, t] for s, part in zip(state, added, strict=True)])
        out, *state = step(slice(t, t + 1), *states[t])
        outs.append(out)
    columns = zip(*states, state, strict=True)
    return torch.cat(outs, dim=1), *(torch.stack(column, dim=1) for column in columns)
