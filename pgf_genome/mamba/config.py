"""Sizes and switches of a language model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pgf_genome.errors import ModelError
from pgf_genome.mamba.mixers.base import MixerConfig, check_sizes
from pgf_genome.mamba.mixers.both_ways import TwoWay


@dataclass(frozen=True)
class MambaConfig:
    """Everything about a stack of layers that is not a weight.

    Attributes
    ----------
    d_model : int
        Width of the residual stream, D.
    n_layer : int
        Number of blocks.
    vocab_rows : int
        Rows of the embedding, V, padding rows included: the softmax runs over all of them.
    mixer : MixerConfig
        Sizes of the mixer of every block.
    norm_eps : float
        Epsilon of the norms of the residual stream.
    rms_norm : bool
        RMSNorm if true, else LayerNorm with weight and bias.
    tied : bool
        Whether the head is the embedding itself.
    has_head : bool
        Whether there is a head at all: without one the model predicts nothing, and its last
        hidden layer is all there is.
    two_way : TwoWay, optional
        How a bidirectional, masked model reads; None for a causal one.
    """

    d_model: int
    n_layer: int
    vocab_rows: int
    mixer: MixerConfig
    norm_eps: float = 1e-5
    rms_norm: bool = True
    tied: bool = True
    has_head: bool = True
    two_way: TwoWay | None = None

    def __post_init__(self) -> None:
        check_sizes(self)
        if not self.norm_eps > 0:
            raise ModelError(f"norm_eps must be positive, not {self.norm_eps!r}")
        if self.tied and not self.has_head:
            raise ModelError("a head that is not there cannot be tied to the embedding")
        rows = len(self.complement or ())
        if rows not in (0, self.vocab_rows):
            raise ModelError(f"complement_map has {rows} rows, the embedding {self.vocab_rows}")

    @property
    def complement(self) -> tuple[int, ...] | None:
        """Complement of every row, for a model that reads both strands; None for any other."""
        return self.two_way.complement if self.two_way else None

    @property
    def outputs(self) -> int:
        """Rows of a prediction."""
        return self.vocab_rows if self.has_head else 0

    @property
    def state_size(self) -> int:
        """Numbers in one model state: what is carried from tile to tile (one sequence)."""
        return self.n_layer * self.mixer.state_size + self.outputs

    def identity(self) -> dict[str, Any]:
        """The configuration's part of a model's digest, as plain values."""
        stack = asdict(self)
        del stack["mixer"]
        if self.has_head:  # digests are older than models without a head
            del stack["has_head"]
        return stack | self.mixer.identity()
