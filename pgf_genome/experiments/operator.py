"""The operator of the PGF paper (arXiv 2512.23068), written from its equations.

It is not a Mamba block: one A serves all channels, inputs enter by zero-order hold, there is no
convolution and no gate, and the output passes a softplus. Symbols are those of ``mamba.model``:

    delta_t = softplus(W u_t + w)                     step size, (D,)
    a_t     = exp(delta_t A)                          (D, N)
    h_t     = a_t h_{t-1} + phi(delta_t A) B_t u_t    phi(z) = (exp(z) - 1) / z
    y_t     = s softplus(C_t h_t + E u_t)

Like the published code, this scales the input by phi(delta A), where a zero-order hold would scale
it by delta phi(delta A). Unlike it, this starts from h_0 = 0, not from a guess by the first three
inputs, and multiplies the factors in turn, where that code scans by ``contenders.log_shift``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from pgf_genome.errors import UsageError

LEAST_SCALE = 0.5


class FrechetMambaOperator(nn.Module):
    """The operator, and its derivative along a direction, block by block.

    Parameters
    ----------
    d_model, d_state : int
        D and N.
    """

    def __init__(self, d_model: int, d_state: int = 16) -> None:
        super().__init__()
        self.A_log = nn.Parameter(torch.log(1 - 0.1 * torch.randn(d_state)))
        self.delta = nn.Linear(d_model, d_model)
        self.B = nn.Linear(d_model, d_state)
        self.C = nn.Linear(d_model, d_state)
        self.skip = nn.Parameter(torch.ones(d_model))
        self.scale = nn.Parameter(torch.tensor(2.0))

    def initial_state(self) -> Tensor:
        """Return h_0 = 0, (D, N)."""
        return self.A_log.new_zeros(len(self.skip), len(self.A_log))

    def forward(self, u: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute outputs (T, D) and the state after them; inputs (T, D), state before."""
        h = self.initial_state() if state is None else state
        z = softplus(self.delta(u))[..., None] * -self.A_log.exp()  # (T, D, N)
        a, b = z.exp(), torch.expm1(z) / z * self.B(u)[:, None] * u[..., None]
        states = []
        for decay, step in zip(a, b, strict=True):
            h = decay * h + step
            states.append(h)
        read = torch.einsum("tn,tdn->td", self.C(u), torch.stack(states)) + self.skip * u
        return softplus(read) * self.scale.clamp_min(LEAST_SCALE), h

    def pgf_forward(self, u: Tensor, du: Tensor, block_size: int = 64) -> tuple[Tensor, Tensor]:
        """Compute outputs and their derivative along ``du``, all (L, D), for any block size.

        State and tangent state pass from block to block; memory beside the results is that of one
        block.

        Raises
        ------
        UsageError
            If the inputs are empty, or their shapes do not fit.
        """
        if block_size < 1 or not len(u) or u.shape != du.shape:
            raise UsageError(
                f"inputs {tuple(u.shape)} along {tuple(du.shape)} in blocks of {block_size}: both "
                "must be (L, D) with L and the block at least 1"
            )
        outputs, h = [], self.initial_state()
        dh = torch.zeros_like(h)
        for block, direction in zip(u.split(block_size), du.split(block_size), strict=True):
            # The stub of jvp has a third result, which only has_aux adds.
            pair: Any = torch.func.jvp(self.forward, (block, h), (direction, dh))
            (y, h), (dy, dh) = pair
            outputs.append((y, dy))
        y, dy = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        return y, dy
