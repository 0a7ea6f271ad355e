"""Orthrus (Fradkin, Shi et al. 2024), causal Mamba-1 encoders of RNA without a head.

The input is one-hot, four tracks for A, C, G, T, any other letter being zero, through a linear
layer with a bias: in the form of an embedding a row for each of the bases, and the bias for N.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pgf_genome.checkpoints.configuration import Configuration
from pgf_genome.checkpoints.families import mamba1
from pgf_genome.checkpoints.family import Family, Stored
from pgf_genome.errors import ModelError
from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.vocabulary import Vocabulary

TRACKS = 4
# Sizes of the configuration's class, which a file need not state.
DEFAULTS = {"n_tracks": TRACKS, "ssm_model_dim": 256, "ssm_n_layers": 3}


@dataclass(frozen=True)
class Orthrus(Family):
    """Encoders whose last hidden layer is all that they give."""

    def configuration(self, content: dict[str, Any]) -> Configuration:
        if content.get("has_mlm_head"):
            raise ModelError(
                "Orthrus with a head for masked bases (has_mlm_head) is not supported, only the "
                "encoders"
            )
        tracks, width, layers = (content.get(name, usual) for name, usual in DEFAULTS.items())
        if tracks != TRACKS:
            raise ModelError(
                f"Orthrus with n_tracks {tracks} is not supported, only with {TRACKS}: the others "
                "say where splice sites and codons are, which no FASTA does"
            )
        named = {"d_model": width, "n_layer": layers, "vocab_size": TRACKS + 1, "rms_norm": False}
        return Configuration(content | named)

    def canonical(self, name: str) -> str:
        return name

    def embedding(self, stored: Stored) -> tuple[int, ...]:
        width, tracks = stored.shape("embedding.weight", 2)
        if tracks != TRACKS:
            raise ModelError(f"config.json says n_tracks {TRACKS}, the weights say {tracks}")
        return TRACKS + 1, width

    def is_base(self, stored: Stored) -> bool:
        return True

    def tied(self, stored: Stored) -> bool:
        return False

    def weights(self, stored: Stored, config: MambaConfig) -> dict[str, Tensor]:
        others = dict(stored.tensors)
        width, _ = stored.shape("embedding.weight", 2)
        if stored.shape("embedding.bias", 1) != (width,):
            (size,) = stored.shape("embedding.bias", 1)
            raise ModelError(f"tensor embedding.bias has shape ({size},), expected ({width},)")
        # in float64, so that a model in float64 has the sum of the numbers in the file
        weight, bias = (others.pop(f"embedding.{name}").double() for name in ("weight", "bias"))
        return others | {"embeddings.weight": torch.cat([weight.T + bias, bias[None]])}

    def vocabulary(self, directory: Path, rows: int) -> Vocabulary:
        return Vocabulary(("A", "C", "G", "T", "N"), rows, (0, 1, 2, 3), 4, None)


FAMILY = Orthrus(
    name="orthrus",
    title="Orthrus encoders of four tracks",
    architectures={"orthrus": {"OrthrusPretrainedModel"}},
    mixers=(mamba1.MIXER,),
)
