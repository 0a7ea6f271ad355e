"""Sizes and switches of a Mamba language model."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from pgf_genome.errors import ModelError

STRATEGIES = ("add", "ew_multiply")


@dataclass(frozen=True)
class Heads:
    """What a Mamba-2 mixer has beside the sizes of a Mamba-1 mixer.

    Attributes
    ----------
    heads : int
        Heads, H; d_inner / H channels each share a pole, a skip and a step size.
    groups : int
        Groups of heads, G; each has its own B and C, and its own norm.
    dt_limit : (float, float)
        Bounds of the step size, after the softplus.
    """

    heads: int
    groups: int = 1
    dt_limit: tuple[float, float] = (0.0, math.inf)

    def __post_init__(self) -> None:
        if self.heads < 1 or self.groups < 1 or self.heads % self.groups:
            raise ModelError(f"{self.heads} heads cannot be shared out to {self.groups} groups")
        low, high = self.dt_limit
        if not 0 <= low < high:
            raise ModelError(f"time_step_limit {self.dt_limit} is not an interval from 0 on")


@dataclass(frozen=True)
class TwoWay:
    """How a bidirectional model (Caduceus, arXiv 2403.03234) combines its directions and strands.

    Attributes
    ----------
    shared : bool
        Whether both directions of a layer have the same input and output projections.
    strategy : str
        "add" or "ew_multiply": how the outputs of the directions are joined.
    complement : tuple of int, optional
        Vocabulary row of the complement of every row, for a model that reads both strands and
        adds their outputs (Caduceus-PS); None for one that reads its input only (Caduceus-Ph).
    """

    shared: bool = True
    strategy: str = "add"
    complement: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ModelError(
                f"bidirectional_strategy {self.strategy!r} is not one of {', '.join(STRATEGIES)}"
            )
        rows = self.complement or ()
        if any(not 0 <= r < len(rows) or rows[r] != i for i, r in enumerate(rows)):
            raise ModelError("complement_map is not its own inverse")


@dataclass(frozen=True)
class MambaConfig:
    """Everything about a stack of Mamba layers that is not a weight.

    Attributes
    ----------
    d_model : int
        Width of the residual stream, D.
    n_layer : int
        Number of blocks.
    d_inner : int
        Channels of the scan, Di.
    d_state : int
        States per channel, N.
    d_conv : int
        Taps of the depthwise convolution, K.
    dt_rank : int
        Rank of the step-size projection, R; in Mamba-2 the number of heads.
    vocab_rows : int
        Rows of the embedding, V, padding rows included: the softmax runs over all of them.
    norm_eps : float
        Epsilon inside every norm.
    rms_norm : bool
        RMSNorm if true, else LayerNorm with weight and bias.
    conv_bias, proj_bias : bool
        Whether the convolution, and whether ``in_proj`` and ``out_proj``, have a bias.
    tied : bool
        Whether the head is the embedding itself.
    mamba2 : Heads, optional
        Of Mamba-2 mixers; None for Mamba-1.
    two_way : TwoWay, optional
        Of a bidirectional, masked model; None for a causal one.
    """

    d_model: int
    n_layer: int
    d_inner: int
    d_state: int
    d_conv: int
    dt_rank: int
    vocab_rows: int
    norm_eps: float = 1e-5
    rms_norm: bool = True
    conv_bias: bool = True
    proj_bias: bool = False
    tied: bool = True
    mamba2: Heads | None = None
    two_way: TwoWay | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and (type(value) is not int or value < 1):
                raise ModelError(f"{field.name} must be a positive integer, not {value!r}")
        if not self.norm_eps > 0:
            raise ModelError(f"norm_eps must be positive, not {self.norm_eps!r}")
        if self.mamba2 and (self.dt_rank != self.mamba2.heads or self.d_inner % self.dt_rank):
            raise ModelError(f"{self.mamba2.heads} heads do not divide d_inner {self.d_inner}")
        complement = self.two_way and self.two_way.complement
        if complement and len(complement) != self.vocab_rows:
            raise ModelError(
                f"complement_map has {len(complement)} rows, the embedding {self.vocab_rows}"
            )

    @property
    def conv_channels(self) -> int:
        """Channels of the convolution: Mamba-2 convolves B and C too."""
        return self.d_inner + (2 * self.mamba2.groups * self.d_state if self.mamba2 else 0)

    @property
    def state_size(self) -> int:
        """Numbers in one model state: what is carried from tile to tile (one sequence)."""
        per_layer = self.d_inner * self.d_state + self.conv_channels * (self.d_conv - 1)
        return self.n_layer * per_layer + self.vocab_rows
