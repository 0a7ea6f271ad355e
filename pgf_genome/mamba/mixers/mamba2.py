"""Mamba-2 (Dao and Gu 2024, arXiv 2405.21060): the channels of a head share a pole.

H heads of P = Di / H channels, which share pole, skip and step size; G groups of heads with a B
and a C each. A group is a Mamba-1 scan whose poles and step sizes are repeated over the channels
of each head; its gated output is normalised over the channels of the group.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pgf_genome.errors import ModelError
from pgf_genome.mamba.mixers.convolved import (
    ConvolvedConfig,
    ConvolvedMixer,
    MixerState,
    inverse_softplus,
)
from pgf_genome.mamba.recurrence import Recurrence
from pgf_genome.scan import rms_norm, selective_scan


@dataclass(frozen=True, kw_only=True)
class Mamba2Config(ConvolvedConfig):
    """Sizes of a Mamba-2 mixer.

    Attributes
    ----------
    heads : int
        Heads, H; Di / H channels each share a pole, a skip and a step size.
    groups : int
        Groups of heads, G; each has its own B and C, and its own norm.
    dt_limit : (float, float)
        Bounds of the step size, after the softplus.
    norm_eps : float
        Epsilon of the norm of a group.
    """

    heads: int
    groups: int = 1
    dt_limit: tuple[float, float] = (0.0, math.inf)
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads % self.groups:
            raise ModelError(f"{self.heads} heads cannot be shared out to {self.groups} groups")
        if self.d_inner % self.heads:
            raise ModelError(f"{self.heads} heads do not divide d_inner {self.d_inner}")
        low, high = self.dt_limit
        if not 0 <= low < high:
            raise ModelError(f"time_step_limit {self.dt_limit} is not an interval from 0 on")

    def build(self, d_model: int) -> Mamba2:
        return Mamba2(self, d_model)

    @property
    def conv_channels(self) -> int:
        """Channels of the convolution: B and C pass through it too."""
        return self.d_inner + 2 * self.groups * self.d_state

    @property
    def tape(self) -> int:
        # As in Mamba-1, and copies of the parts of the convolution's output, and a norm.
        projections = self.heads + 2 * self.groups * self.d_state
        return 9 * self.d_inner + 4 * projections + self.d_inner * self.d_state // 16

    def matrix_work(self, d_model: int) -> int:
        return d_model * (2 * self.d_inner + self.conv_channels + self.heads)

    def identity(self) -> dict[str, Any]:
        # The names that digests have always had; the epsilon follows from the rest of a checkpoint.
        known = asdict(self)
        del known["norm_eps"]
        names = ("heads", "groups", "dt_limit")
        return known | {"dt_rank": self.heads, "mamba2": {name: known.pop(name) for name in names}}


class _Selected(NamedTuple):
    """The inputs of the scans over a tile."""

    x: Tensor  # (batch, T, Di), and so z
    z: Tensor
    dt: Tensor  # (batch, T, H), its bias and its bounds included
    B: Tensor  # (batch, T, G N), and so C
    C: Tensor
    conv: Tensor  # the last inputs of the convolution


class Mamba2(ConvolvedMixer):
    """Symbols as in ``mamba.model``."""

    config: Mamba2Config

    def __init__(self, config: Mamba2Config, d_model: int) -> None:
        heads = config.heads
        super().__init__(config, d_model, (config.d_inner, config.conv_channels, heads))
        self.dt_bias = nn.Parameter(torch.zeros(heads))
        self.A_log = nn.Parameter(torch.zeros(heads))
        self.D = nn.Parameter(torch.ones(heads))
        self.norm = nn.RMSNorm(config.d_inner)  # its weight is used by group
        # the bounds of the step size, moved before the softplus, which is monotonic
        bounds = torch.tensor(config.dt_limit, dtype=torch.float64, device="cpu")
        self.dt_bounds = tuple(inverse_softplus(bounds).tolist())

    def forward(self, u: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        x, z, dt, B, C, conv = self._select(u, state.conv)
        poles = -torch.exp(self.A_log)
        by_channel = (self._by_channel(v) for v in (dt, poles, self.D))
        values = (x, z, B, C, *by_channel, self.norm.weight, state.scan)
        parts = [v.chunk(self.config.groups, dim=-1) for v in values]
        groups = [self._group(*part) for part in zip(*parts, strict=True)]
        y, scan = (torch.cat(v, dim=-1) for v in zip(*groups, strict=True))
        return self.project_out(y), MixerState(conv, scan)

    def _select(self, u: Tensor, past: Tensor) -> _Selected:
        Di, maps = self.config.d_inner, self.config.groups * self.config.d_state
        z, xBC, dt = self.project_in(u)  # (batch, T, Di), (.., Di + 2 G N), (.., H)
        xBC, conv = self.convolve(xBC, past)
        x, B, C = xBC.split((Di, maps, maps), dim=-1)
        dt = dt + self.dt_bias
        if self.dt_bounds != (-math.inf, math.inf):
            dt = dt.clamp(*self.dt_bounds)
        return _Selected(x, z, dt, B, C, conv)

    def _group(self, x, z, B, C, dt, poles, D, norm, scan) -> tuple[Tensor, Tensor]:
        A = poles.expand(B.shape[-1], -1)  # (N, Di / G)
        y, scan = selective_scan(x, dt, B, C, z, A, D, torch.zeros_like(D), scan)
        return rms_norm(y, norm, self.config.norm_eps), scan

    def _by_channel(self, v: Tensor) -> Tensor:
        """(.., H) -> (.., Di)."""
        channels = self.config.d_inner // v.shape[-1]
        return v[..., None].expand(*v.shape, channels).flatten(-2)

    def recurrence(self, u: Tensor, state: MixerState) -> Recurrence:
        x, _, dt, B, _, _ = self._select(u, state.conv)
        N = self.config.d_state
        poles = self._by_channel(-torch.exp(self.A_log))
        return Recurrence(
            self._by_channel(softplus(dt)),
            x,
            B.unflatten(-1, (self.config.groups, N)),
            poles[:, None].expand(-1, N),
        )
