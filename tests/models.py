"""Small random models, and the measure by which results are compared."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.tokens import vocabulary_of

# As in plant-dnamamba the bases are not in alphabetical order and not the first tokens.
TOKENS = ("<unk>", "A", "T", "C", "G", "N")


def small_config(**changes: object) -> MambaConfig:
    """Sizes that differ from one another, with one padding row in the vocabulary."""
    sizes = {
        "d_model": 6,
        "n_layer": 2,
        "d_inner": 10,
        "d_state": 3,
        "d_conv": 4,
        "dt_rank": 2,
        "vocab_rows": len(TOKENS) + 1,
    }
    return MambaConfig(**(sizes | changes))


def random_model(
    config: MambaConfig, dtype: torch.dtype = torch.float64, seed: int = 0
) -> CausalMamba:
    """A frozen model in which no weight sits at zero, one or a structured default."""
    vocabulary = vocabulary_of({t: i for i, t in enumerate(TOKENS)}, config.vocab_rows)
    model = CausalMamba(config, vocabulary, "random").to(dtype).requires_grad_(False).eval()
    perturb(model, seed)
    return model


def perturb(model: torch.nn.Module, seed: int = 0) -> None:
    """Draw every weight anew; parameter names as in transformers."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            ones = name.endswith((".D", "norm.weight", "norm_f.weight"))
            centre = -1.0 if name.endswith("dt_proj.bias") else float(ones)
            weight.copy_(centre + noise / max(4, weight[0].numel()) ** 0.5)


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
