"""The states of a few channels of a mixer at every position.

The compiled scan gives the state at the end of a tile only. Here

    h_t = exp(delta_t A) h_{t-1} + delta_t x_t B_t

is written out for chosen channels, in float64 from the model's own x, delta and B.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


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
