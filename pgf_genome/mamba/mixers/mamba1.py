"""Mamba-1 (Gu and Dao 2023, arXiv 2312.00752): every channel has its own poles and step size."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pgf_genome.mamba.mixers.convolved import ConvolvedConfig, ConvolvedMixer, MixerState
from pgf_genome.mamba.projection import project
from pgf_genome.mamba.recurrence import Recurrence
from pgf_genome.scan import selective_scan


@dataclass(frozen=True, kw_only=True)
class Mamba1Config(ConvolvedConfig):
    """Sizes of a Mamba-1 mixer.

    Attributes
    ----------
    dt_rank : int
        Rank of the step-size projection, R.
    """

    dt_rank: int

    def build(self, d_model: int) -> Mamba1:
        return Mamba1(self, d_model)

    @property
    def tape(self) -> int:
        # Input of the convolution, its output, gate, step size, scan output; B, C and their joint
        # projection; stored states of the scan.
        projections = self.dt_rank + 2 * self.d_state
        return 6 * self.d_inner + 2 * projections + self.d_inner * self.d_state // 16

    def matrix_work(self, d_model: int) -> int:
        return self.d_inner * (3 * d_model + 2 * self.dt_rank + 2 * self.d_state)

    def identity(self) -> dict[str, Any]:
        # digests are older than the other mixers, and must stay the same
        return asdict(self) | {"mamba2": None}


class _Selected(NamedTuple):
    """The inputs of the scan over a tile."""

    x: Tensor  # (batch, T, Di), and so z and dt
    z: Tensor
    dt: Tensor  # without its bias
    B: Tensor  # (batch, T, N), and so C
    C: Tensor
    conv: Tensor  # the last inputs of the convolution


class Mamba1(ConvolvedMixer):
    """Symbols as in ``mamba.model``."""

    config: Mamba1Config

    def __init__(self, config: Mamba1Config, d_model: int) -> None:
        Di, N, R = config.d_inner, config.d_state, config.dt_rank
        super().__init__(config, d_model, (Di, Di))
        self.x_proj = nn.Linear(Di, R + 2 * N, bias=False)
        self.dt_proj = nn.Linear(R, Di)
        self.A_log = nn.Parameter(torch.zeros(Di, N))
        self.D = nn.Parameter(torch.ones(Di))

    def forward(self, u: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        x, z, dt, B, C, conv = self._select(u, state.conv)
        A = -torch.exp(self.A_log).T  # (N, Di)
        # the bias of dt is added inside the scan
        y, scan = selective_scan(x, dt, B, C, z, A, self.D, self.dt_proj.bias, state.scan)
        return self.project_out(y), MixerState(conv, scan)

    def _select(self, u: Tensor, past: Tensor) -> _Selected:
        x, z = self.project_in(u)
        x, conv = self.convolve(x, past)
        R, N = self.config.dt_rank, self.config.d_state
        projected = project(x, self.x_proj.weight, precision=self.precision)
        dt, B, C = projected.split((R, N, N), dim=-1)
        dt = project(dt, self.dt_proj.weight, precision=self.precision)
        return _Selected(x, z, dt, B, C, conv)

    def recurrence(self, u: Tensor, state: MixerState) -> Recurrence:
        x, _, dt, B, _, _ = self._select(u, state.conv)
        delta = softplus(dt + self.dt_proj.bias)
        return Recurrence(delta, x, B[:, :, None], -torch.exp(self.A_log))
