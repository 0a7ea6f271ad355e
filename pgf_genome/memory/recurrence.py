"""What the scan of a mixer does to its states, for a few channels at every position.

The compiled scan gives the state at the end of a tile only. Here

    h_t = exp(delta_t A) h_{t-1} + delta_t x_t B_t

is written out for chosen channels, in float64 from the model's own x, delta and B.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from pgf_genome.mamba.mixer import Mamba2, Mixer
from pgf_genome.mamba.projection import project


class Recurrence(NamedTuple):
    """The inputs of the recurrence of one mixer over one tile."""

    delta: Tensor  # (batch, T, Di): step size
    x: Tensor  # (batch, T, Di)
    B: Tensor  # (batch, T, G, N)
    A: Tensor  # (Di, N): poles in continuous time, < 0

    def states(self, channels: np.ndarray, before: np.ndarray) -> np.ndarray:
        """The states of chosen channels after every position.

        Parameters
        ----------
        channels : ndarray of int, (c,)
        before : ndarray of float64, (batch, c, N)
            Their states before the tile.

        Returns
        -------
        ndarray of float64, (T, batch, c, N)
        """
        chosen = torch.as_tensor(channels, device=self.x.device)
        delta, x = (t[..., chosen].double().transpose(0, 1) for t in (self.delta, self.x))
        group = chosen * self.B.shape[2] // self.x.shape[2]
        B = self.B[:, :, group].double().transpose(0, 1)  # (T, batch, c, N)
        decay = torch.exp(delta[..., None] * self.A[chosen].double()).cpu().numpy()
        states = ((delta * x)[..., None] * B).cpu().numpy()
        h = before
        for retained, h_t in zip(decay, states, strict=True):
            h_t += retained * h
            h = h_t
        return states

    def rates(self) -> np.ndarray:
        """(batch, Di) nepers that the slowest state of a channel loses per base, on average."""
        steps = self.delta.mean(dim=1, dtype=torch.float64)
        return (steps * self.A.abs().amin(dim=1)).cpu().numpy()


def recurrence_of(mixer: Mixer, u: Tensor, past: Tensor) -> Recurrence:
    """The recurrence of a mixer over a tile.

    Parameters
    ----------
    u : Tensor, (batch, T, D)
        Its input, normalised.
    past : Tensor, (batch, K-1, ..)
        The inputs of its convolution before the tile.
    """
    return (_of_mamba2 if isinstance(mixer, Mamba2) else _of_mamba1)(mixer, u, past)


def _of_mamba1(mixer: Mixer, u: Tensor, past: Tensor) -> Recurrence:
    R, N = mixer.config.dt_rank, mixer.config.d_state
    x, _ = mixer.convolve(mixer.project_in(u)[0], past)
    projected = project(x, mixer.x_proj.weight, precision=mixer.precision)
    dt, B, _ = projected.split((R, N, N), dim=-1)
    dt = project(dt, mixer.dt_proj.weight, mixer.dt_proj.bias, mixer.precision)
    return Recurrence(softplus(dt), x, B[:, :, None], -torch.exp(mixer.A_log))


def _of_mamba2(mixer: Mixer, u: Tensor, past: Tensor) -> Recurrence:
    config, heads = mixer.config, mixer.config.mamba2
    _, xBC, dt = mixer.project_in(u)
    xBC, _ = mixer.convolve(xBC, past)
    maps = heads.groups * config.d_state
    x, B, _ = xBC.split((config.d_inner, maps, maps), dim=-1)
    channels = config.d_inner // heads.heads  # of a head, one after the other
    delta = softplus(dt + mixer.dt_bias).clamp(*heads.dt_limit)
    poles = -torch.exp(mixer.A_log).repeat_interleave(channels)
    return Recurrence(
        delta.repeat_interleave(channels, dim=-1),
        x,
        B.unflatten(-1, (heads.groups, config.d_state)),
        poles[:, None].expand(-1, config.d_state),
    )
