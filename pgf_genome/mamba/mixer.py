"""The Mamba mixers as functions of a tile and a state; shapes as in ``model.py``."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.projection import project
from pgf_genome.scan import causal_conv, rms_norm, selective_scan


class MixerState(NamedTuple):
    """What a mixer remembers of the bases before the tile."""

    conv: Tensor  # (batch, K-1, channels): the last inputs of the convolution
    scan: Tensor  # (batch, N, Di): the recurrent state


class Mixer(nn.Module):
    """What both mixers have: an input projection in parts, a convolution, an output projection."""

    def __init__(self, config: MambaConfig, parts: tuple[int, ...]) -> None:
        super().__init__()
        channels = config.conv_channels
        self.config, self.parts = config, parts
        self.precision: torch.dtype | None = None  # of the products; None: that of the weights
        self.in_proj = nn.Linear(config.d_model, sum(parts), bias=config.proj_bias)
        self.conv1d = nn.Conv1d(
            channels, channels, config.d_conv, groups=channels, bias=config.conv_bias
        )
        self.out_proj = nn.Linear(config.d_inner, config.d_model, bias=config.proj_bias)

    def blank_state(self, batch: int) -> MixerState:
        """The state before the first base: zeros, in the type and on the device of the weights."""
        c, weight = self.config, self.out_proj.weight
        return MixerState(
            weight.new_zeros(batch, c.d_conv - 1, c.conv_channels),
            weight.new_zeros(batch, c.d_state, c.d_inner),
        )

    def project_in(self, u: Tensor) -> list[Tensor]:
        """A product for each part, instead of one and a split: the parts come out contiguous."""
        weights = self.in_proj.weight.split(self.parts)
        bias = self.in_proj.bias
        biases = [None] * len(weights) if bias is None else bias.split(self.parts)
        return [project(u, w, b, self.precision) for w, b in zip(weights, biases, strict=True)]

    def convolve(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        taps = self.conv1d.weight[:, 0, :].T  # (K, channels)
        bias = self.conv1d.bias if self.conv1d.bias is not None else taps.new_zeros(taps.shape[1])
        return causal_conv(x, taps, bias, past)

    def project_out(self, y: Tensor) -> Tensor:
        return project(y, self.out_proj.weight, self.out_proj.bias, self.precision)


class Mamba1(Mixer):
    """Gu and Dao 2023: every channel has its own poles and step size."""

    def __init__(self, config: MambaConfig) -> None:
        Di, N, R = config.d_inner, config.d_state, config.dt_rank
        super().__init__(config, (Di, Di))
        self.x_proj = nn.Linear(Di, R + 2 * N, bias=False)
        self.dt_proj = nn.Linear(R, Di)
        self.A_log = nn.Parameter(torch.zeros(Di, N))
        self.D = nn.Parameter(torch.ones(Di))

    def forward(self, u: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        x, z = self.project_in(u)  # (batch, T, Di) each
        x, conv = self.convolve(x, state.conv)
        R, N = self.config.dt_rank, self.config.d_state
        projected = project(x, self.x_proj.weight, precision=self.precision)
        dt, B, C = projected.split((R, N, N), dim=-1)
        # (batch, T, Di); the bias is added inside the scan
        dt = project(dt, self.dt_proj.weight, precision=self.precision)
        A = -torch.exp(self.A_log).T  # (N, Di)
        y, scan = selective_scan(x, dt, B, C, z, A, self.D, self.dt_proj.bias, state.scan)
        return self.project_out(y), MixerState(conv, scan)


class Mamba2(Mixer):
    """Dao and Gu 2024 (arXiv 2405.21060): the channels of a head share pole, skip and step size.

    H heads of P = Di / H channels, G groups of heads with a B and a C each. A group is a Mamba-1
    scan whose poles and step sizes are repeated over the channels of each head; its gated output
    is normalised over the channels of the group.
    """

    def __init__(self, config: MambaConfig) -> None:
        heads = config.mamba2
        super().__init__(config, (config.d_inner, config.conv_channels, heads.heads))
        self.dt_bias = nn.Parameter(torch.zeros(heads.heads))
        self.A_log = nn.Parameter(torch.zeros(heads.heads))
        self.D = nn.Parameter(torch.ones(heads.heads))
        self.norm = nn.Module()
        self.norm.weight = nn.Parameter(torch.ones(config.d_inner))

    def forward(self, u: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        G, N = self.config.mamba2.groups, self.config.d_state
        z, xBC, dt = self.project_in(u)  # (batch, T, Di), (.., Di + 2 G N), (.., H)
        xBC, conv = self.convolve(xBC, state.conv)
        x, B, C = xBC.split((self.config.d_inner, G * N, G * N), dim=-1)
        dt = self._limited(dt + self.dt_bias)
        poles = -torch.exp(self.A_log)
        by_channel = (self._by_channel(v) for v in (dt, poles, self.D))
        parts = [v.chunk(G, dim=-1) for v in (x, z, B, C, *by_channel, self.norm.weight)]
        scans = state.scan.chunk(G, dim=-1)
        groups = [self._group(*part) for part in zip(*parts, scans, strict=True)]
        y, scan = (torch.cat(v, dim=-1) for v in zip(*groups, strict=True))
        return self.project_out(y), MixerState(conv, scan)

    def _group(self, x, z, B, C, dt, poles, D, norm, scan) -> tuple[Tensor, Tensor]:
        A = poles.expand(B.shape[-1], -1)  # (N, Di / G)
        y, scan = selective_scan(x, dt, B, C, z, A, D, torch.zeros_like(D), scan)
        return rms_norm(y, norm, self.config.norm_eps), scan

    def _by_channel(self, v: Tensor) -> Tensor:
        """(.., H) -> (.., Di)."""
        channels = self.config.d_inner // v.shape[-1]
        return v[..., None].expand(*v.shape, channels).flatten(-2)

    def _limited(self, dt: Tensor) -> Tensor:
        """Bounds on the step size, moved before the softplus, which is monotonic."""
        low, high = self.config.mamba2.dt_limit
        if (low, high) == (0.0, math.inf):
            return dt
        return dt.clamp(_inverse_softplus(low), _inverse_softplus(high))


def _inverse_softplus(y: float) -> float:
    if y == 0:
        return -math.inf
    # linear above 20, as torch's softplus is
    return y if y > 20 else y + math.log(-math.expm1(-y))


class BothWays(nn.Module):
    """A mixer for each direction of reading (Caduceus' BiMamba)."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        self.strategy = config.two_way.strategy
        self.mamba_fwd, self.mamba_rev = mixer_of(config), mixer_of(config)
        if config.two_way.shared:
            self.mamba_rev.in_proj = self.mamba_fwd.in_proj
            self.mamba_rev.out_proj = self.mamba_fwd.out_proj

    def join(self, forward: Tensor, reverse: Tensor) -> Tensor:
        """The output, from those of the two directions at the same position."""
        return forward + reverse if self.strategy == "add" else forward * reverse


def mixer_of(config: MambaConfig) -> Mixer:
    """The causal mixer that a configuration asks for."""
    return (Mamba2 if config.mamba2 else Mamba1)(config)


class Norm(nn.Module):
    """RMSNorm, or LayerNorm where the checkpoint has it."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.weight = nn.Parameter(torch.ones(config.d_model))
        self.bias = None if config.rms_norm else nn.Parameter(torch.zeros(config.d_model))

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is None:
            return rms_norm(x, self.weight, self.eps)
        return functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)
