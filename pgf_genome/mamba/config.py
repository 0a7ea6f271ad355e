"""Sizes and switches of a causal Mamba-1 language model."""

from __future__ import annotations

from dataclasses import dataclass, fields

from pgf_genome.errors import ModelError


@dataclass(frozen=True)
class MambaConfig:
    """Everything about a causal Mamba-1 stack that is not a weight.

    Attributes
    ----------
    d_model : int
        Width of the residual stream, D.
    n_layer : int
        Number of blocks.
    d_inner : int
        Channels of the convolution and the scan, Di.
    d_state : int
        States per channel, N.
    d_conv : int
        Taps of the depthwise convolution, K.
    dt_rank : int
        Rank of the step-size projection, R.
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

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and (type(value) is not int or value < 1):
                raise ModelError(f"{field.name} must be a positive integer, not {value!r}")
        if not self.norm_eps > 0:
            raise ModelError(f"norm_eps must be positive, not {self.norm_eps!r}")

    @property
    def state_size(self) -> int:
        """Numbers in one model state: what is carried from tile to tile (one sequence)."""
        per_layer = self.d_inner * (self.d_state + self.d_conv - 1)
        return self.n_layer * per_layer + self.vocab_rows
