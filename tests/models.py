"""Small random models, and the measure by which results are compared."""

from __future__ import annotations

from dataclasses import fields
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from pgf_genome.mamba.bidirectional import BidirectionalMamba
from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.mixers.both_ways import TwoWay
from pgf_genome.mamba.mixers.mamba1 import Mamba1Config
from pgf_genome.mamba.mixers.mamba2 import Mamba2Config
from pgf_genome.mamba.model import CausalMamba, LanguageModel
from pgf_genome.mamba.vocabulary import vocabulary_of

# As in plant-dnamamba the bases are not in alphabetical order and not the first tokens.
TOKENS = ("<unk>", "A", "T", "C", "G", "N")


def small_config(**changes: object) -> MambaConfig:
    """Sizes that differ from one another, with one padding row in the vocabulary.

    Changes are those of the stack, or of its Mamba-1 mixer.
    """
    of_mixer = {field.name for field in fields(Mamba1Config)} & set(changes)
    mixer = SIZES | {name: changes.pop(name) for name in of_mixer}
    stack = {"d_model": 6, "n_layer": 2, "vocab_rows": len(TOKENS) + 1}
    return MambaConfig(**(stack | {"mixer": Mamba1Config(**mixer)} | changes))


# Complements of the rows of ``TOKENS`` and of one padding row.
COMPLEMENT = (0, 2, 1, 4, 3, 5, 6)
SIZES = {"d_inner": 10, "d_state": 3, "d_conv": 4, "dt_rank": 2}
MAMBA2 = {"mixer": Mamba2Config(d_inner=10, d_state=3, d_conv=4, heads=5)}


def bidirectional_config(both_strands: bool = False, **changes: object) -> MambaConfig:
    """As ``small_config``, reading in both directions, and both strands if asked to."""
    two_way = TwoWay(complement=COMPLEMENT if both_strands else None)
    return small_config(**({"two_way": two_way} | changes))


def random_model(
    config: MambaConfig, dtype: torch.dtype = torch.float64, seed: int = 0
) -> LanguageModel:
    """A frozen model in which no weight sits at zero, one or a structured default."""
    vocabulary = vocabulary_of({t: i for i, t in enumerate(TOKENS)}, config.vocab_rows)
    kind = BidirectionalMamba if config.two_way else CausalMamba
    model = kind(config, vocabulary, "random").to(dtype).requires_grad_(False).eval()
    perturb(model, seed)
    return model


def perturb(model: torch.nn.Module, seed: int = 0) -> None:
    """Draw every weight anew; parameter names as in transformers."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            ones = name.endswith((".D", "norm.weight", "norm_f.weight"))
            centre = -1.0 if name.endswith(("dt_proj.bias", "dt_bias")) else float(ones)
            weight.copy_(centre + noise / max(4, weight[0].numel()) ** 0.5)


# what no base moves
LARGE = 10.0


def copying_model(layers: int, taps: int) -> LanguageModel:
    """Predicts the base that it read ``layers * (taps - 1)`` positions ago.

    Every layer passes four channels, one for each base, through the first tap of its convolution;
    one more dimension is constant, opens the gates, and is so large that no base moves the norms.
    """
    width = 4 * (layers + 1) + 1
    config = small_config(
        d_model=width, n_layer=layers, d_inner=4, d_conv=taps, d_state=1, dt_rank=1, tied=False
    )
    model = random_model(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        for j, row in enumerate(model.vocabulary.base_ids):
            model.embeddings.weight[row, j] = 1
            model.lm_head.weight[row, 4 * layers + j] = LARGE
        model.embeddings.weight[:, -1] = LARGE
        model.norm_f.weight.fill_(1)
        for i, block in enumerate(model.layers):
            block.norm.weight.fill_(1)
            mixer = block.mixer
            for j in range(4):
                mixer.in_proj.weight[j, 4 * i + j] = LARGE
                mixer.in_proj.weight[4 + j, -1] = 1
                mixer.conv1d.weight[j, 0, 0] = 1
                mixer.out_proj.weight[4 * (i + 1) + j, j] = 1
            mixer.D.fill_(1)
    return model


def random_ids(length: int, seed: int = 0) -> Tensor:
    """Token ids (L,), every token of ``TOKENS`` among them if the sequence is long enough."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(len(TOKENS), (length,), generator=generator)


def random_like(values: list[Tensor], seed: int = 0) -> list[Tensor]:
    """Standard normal tensors of the same shapes and dtypes."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(v.shape, generator=generator, dtype=v.dtype) for v in values]


def assert_within(tolerance: float, actual, expected, name: object = "") -> None:
    """Hold every difference to ``tolerance`` times the largest entry expected.

    What is below the smallest normal number of the actual type may be zero.
    """
    actual, expected = as_tensor(actual), as_tensor(expected)
    assert actual.shape == expected.shape, name
    if expected.numel():
        error = (actual.double() - expected.double()).abs().max()
        scale = expected.double().abs().max()
        assert error <= tolerance * scale + torch.finfo(actual.dtype).tiny, (
            f"{name}: error {error:.3g} of {scale:.3g}"
        )


def as_tensor(value: object) -> Tensor:
    """By way of NumPy, because torch would take a Python float as float32."""
    return value.detach() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))


class TorchInDouble(ModuleType):
    """``torch`` for transformers' modelling code, which casts to float32 in many places."""

    float32 = torch.float64

    def __getattr__(self, name: str) -> object:
        return getattr(torch, name)


def keep_double(monkeypatch: pytest.MonkeyPatch, modelling: ModuleType) -> None:
    """Let a modelling module of transformers compute in float64 throughout."""
    monkeypatch.setattr(modelling, "torch", TorchInDouble("torch"))
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


def log_probs_and_gradient(model: torch.nn.Module, ids: torch.Tensor):
    """By the modelling code and autograd; the gradient for targets held fixed."""
    table = model.backbone.embeddings.weight.detach()
    embeds = table[ids][None].requires_grad_()
    predictions = model(inputs_embeds=embeds, use_cache=False).logits[0].log_softmax(dim=-1)
    total = predictions[:-1].gather(1, ids[1:, None]).sum()
    (gradient,) = torch.autograd.grad(total, embeds)
    return predictions.detach(), gradient[0] @ table.T
