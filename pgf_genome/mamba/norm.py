"""The norm of the residual stream."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pgf_genome.mamba.config import MambaConfig
from pgf_genome.scan import rms_norm


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
