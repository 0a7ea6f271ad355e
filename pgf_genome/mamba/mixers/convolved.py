"""The common part of Mamba-1 and Mamba-2: projection in parts, convolution, projection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pgf_genome.mamba.mixers.base import Mixer, MixerConfig
from pgf_genome.mamba.projection import project
from pgf_genome.scan import causal_conv


class MixerState(NamedTuple):
    """The memory that a mixer has of the bases before the tile."""

    conv: Tensor  # (batch, K-1, channels): the last inputs of the convolution
    scan: Tensor  # (batch, N, Di): the recurrent state


@dataclass(frozen=True, kw_only=True)
class ConvolvedConfig(MixerConfig):
    """Sizes of a mixer with a convolution in front of its recurrence.

    Attributes
    ----------
    d_conv : int
        Taps of the depthwise convolution, K.
    conv_bias, proj_bias : bool
        Whether the convolution, and whether ``in_proj`` and ``out_proj``, have a bias.
    """

    d_conv: int
    conv_bias: bool = True
    proj_bias: bool = False

    @property
    def conv_channels(self) -> int:
        """Channels of the convolution."""
        return self.d_inner

    @property
    def state(self) -> MixerState:
        return MixerState._make(
            [(self.d_conv - 1, self.conv_channels), (self.d_state, self.d_inner)]
        )


class ConvolvedMixer(Mixer):
    """Input projection in ``parts``, convolution, output projection."""

    shared_modules = ("in_proj", "out_proj")

    def __init__(self, config: ConvolvedConfig, d_model: int, parts: tuple[int, ...]) -> None:
        super().__init__(config)
        channels = config.conv_channels
        self.parts = parts
        self.in_proj = nn.Linear(d_model, sum(parts), bias=config.proj_bias)
        self.conv1d = nn.Conv1d(
            channels, channels, config.d_conv, groups=channels, bias=config.conv_bias
        )
        self.out_proj = nn.Linear(config.d_inner, d_model, bias=config.proj_bias)

    def along(self, u: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        # the convolution and the scan do it, because their states have an axis of positions
        return self(u, state)

    def shared(self, state: MixerState, times: int) -> MixerState:
        # the scan reads one state for several sequences
        return MixerState(state.conv.repeat_interleave(times, dim=0), state.scan)

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


def inverse_softplus(y: Tensor) -> Tensor:
    """The x whose softplus is y: linear above 20, as torch's softplus is."""
    return torch.where(y > 20, y, y + torch.log(-torch.expm1(-y)))
