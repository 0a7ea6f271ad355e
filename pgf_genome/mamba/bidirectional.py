"""Bidirectional, masked language models (Caduceus, Schiff et al. 2024, arXiv 2403.03234).

Every layer reads its whole input in both directions, so nothing can be streamed through the
stack: a window is the unit. A model that reads both strands (Caduceus-PS) is held in its
single-strand form,

    logits(x)_t = H g(S(x))_t + H[comp] g(S(rc x))_{L-1-t},    rc x = comp(x reversed)

with S the stack of layers, g the last norm, H the head and comp the complement map: the published
form with two strands in one residual stream of width 2 D is the same function
(``checkpoints/families/caduceus.py`` converts the weights).
"""

from __future__ import annotations

import torch
from torch import Tensor

from pgf_genome.mamba.model import Block, LanguageModel


def whole_window(block: Block, h: Tensor) -> tuple[Tensor, Tensor]:
    """Both mixers of a block over a window in one piece: the definition."""
    u = block.norm(h)
    ahead, back = block.mixer.mamba_fwd, block.mixer.mamba_rev
    forward, _ = ahead(u, ahead.blank_state(len(u)))
    reverse, _ = back(u.flip(-2), back.blank_state(len(u)))
    return forward, reverse.flip(-2)


class BidirectionalMamba(LanguageModel):
    """``model(x) -> log_probs`` of a window; row t is log p(. | X) for position t itself."""

    def hidden(self, x: Tensor) -> Tensor:
        """Normalised last hidden layer.

        Parameters
        ----------
        x : Tensor, (batch, L, V)

        Returns
        -------
        Tensor, (batch, L, D), or (batch, L, 2 D) of a model that reads both strands
            The second half is that of the complementary strand, at the same position.
        """
        complement = self.config.complement
        if complement is None:
            return self._stack(x)
        other = x.flip(-2)[..., list(complement)]  # X_rc[L-1-t, comp v] = X[t, v]
        strand, other = self._stack(torch.cat([x, other], dim=-3)).chunk(2, dim=-3)
        return torch.cat([strand, other.flip(-2)], dim=-1)

    def _stack(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        for block in self.layers:
            h = h + block.mixer.join(*whole_window(block, h))
        return self.norm_f(h)

    def logits(self, hidden: Tensor) -> Tensor:
        complement = self.config.complement
        if complement is None:
            return super().logits(hidden)
        strand, other = (super(BidirectionalMamba, self).logits(h) for h in hidden.chunk(2, dim=-1))
        return strand + other[..., list(complement)]

    def forward(self, x: Tensor) -> Tensor:
        return torch.log_softmax(self.logits(self.hidden(x)), dim=-1)
