"""A gated diagonal recurrence with a state of three tensors, after the cells of mLSTM.

    v_t = a_t + mu a_{t-1}                  c_t = f_t c_{t-1} + i_t v_t
    y_t = o_t c_t / (1 + n_t)               n_t = f_t n_{t-1} + i_t

with a linear, and the gates i, f, o the logistic function of something linear, in the input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pgf_genome.mamba.mixers.base import Mixer, MixerConfig
from pgf_genome.mamba.projection import project
from pgf_genome.scan.dual import by_equations


class GatedState(NamedTuple):
    last: Tensor  # (batch, 1, Di): a_{t-1}
    cell: Tensor  # (batch, Di)
    norm: Tensor  # (batch, Di)


@dataclass(frozen=True, kw_only=True)
class GatedConfig(MixerConfig):
    def build(self, d_model: int) -> Gated:
        return Gated(self, d_model)

    @property
    def state(self) -> GatedState:
        return GatedState((1, self.d_inner), (self.d_inner,), (self.d_inner,))

    @property
    def tape(self) -> int:
        return 12 * self.d_inner

    def matrix_work(self, d_model: int) -> int:
        return 5 * d_model * self.d_inner


class Gated(Mixer):
    shared_modules = ("in_proj", "out_proj")

    def __init__(self, config: GatedConfig, d_model: int) -> None:
        super().__init__(config)
        self.in_proj = nn.Linear(d_model, 4 * config.d_inner, bias=False)
        self.out_proj = nn.Linear(config.d_inner, d_model, bias=False)
        self.mu = nn.Parameter(torch.zeros(config.d_inner))

    def forward(self, u: Tensor, state: GatedState) -> tuple[Tensor, GatedState]:
        projected = project(u, self.in_proj.weight, precision=self.precision)
        parts = projected.split([self.config.d_inner] * 4, dim=-1)
        y, *after = by_equations(gated)(*parts, self.mu, *state)
        return project(y, self.out_proj.weight, precision=self.precision), GatedState(*after)


def gated(a, i, f, o, mu, last, cell, norm) -> tuple[Tensor, ...]:
    """One position after the other."""
    before, i, f = torch.cat([last, a[:, :-1]], dim=1), i.sigmoid(), f.sigmoid()
    v, read = a + mu * before, []
    for t in range(a.shape[1]):
        cell = f[:, t] * cell + i[:, t] * v[:, t]
        norm = f[:, t] * norm + i[:, t]
        read.append(cell / (1 + norm))
    return torch.stack(read, dim=1) * o.sigmoid(), a[:, -1:], cell, norm
