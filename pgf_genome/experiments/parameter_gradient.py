"""Memory of weight gradients against the length of the sequence (paper, App. A.4)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import nll_loss

from pgf_genome import process
from pgf_genome.checkpoints.load import load_model
from pgf_genome.engine.arrays import parameter_gradient
from pgf_genome.engine.running import require_causal
from pgf_genome.experiments import growth, peer_models
from pgf_genome.experiments.apart import NOT_INSTALLED, Result, Work
from pgf_genome.experiments.growth import SHORT, Growth
from pgf_genome.experiments.measure import Measurement
from pgf_genome.experiments.peers import METHODS
from pgf_genome.experiments.trial import read_bases, write_random_bases

SWEEP, AUTOGRAD, MAMBAPY = "sweep", "autograd", "mambapy"
LABELS = {
    SWEEP: "adjoint sweep",
    AUTOGRAD: "autograd, our kernels",
    MAMBAPY: "autograd, mambapy",
}
QUICK: Mapping[str, Any] = {"lengths": (512, 2048, 8192), "tile": 512}

log = logging.getLogger("pgf_genome")


@dataclass(frozen=True, kw_only=True)
class Settings(Growth):
    """Options of `Growth`; the full run goes to a quarter of a million bases."""

    LABELS = LABELS

    lengths: Sequence[int] = tuple(4**k for k in range(5, 10))
    methods: Sequence[str] = tuple(LABELS)
    tile: int = 1024


def rows(settings: Settings, scratch: Path) -> Iterator[dict[str, Any]]:
    """Measure every method at every length; one that fails is a row too."""
    facts = settings.facts()
    yield from (row | facts for row in _rows(settings, scratch))


def _rows(settings: Settings, folder: Path) -> Iterator[dict[str, Any]]:
    """Measure the methods in turn; the first that finishes a length is the reference for others."""
    weights = settings.saved_model(folder / "model")
    bases = write_random_bases(folder / "bases", max(settings.lengths), settings.seed)
    expected: dict[int, Result] = {}
    for method in settings.methods:
        outcomes = _measured(settings, method, weights, bases)
        for length, (measured, gradient) in zip(settings.lengths, outcomes, strict=True):
            log.info("%s, L = %s: %s", LABELS[method], f"{length:,}", measured.status)
            apart = None
            if gradient:
                apart = difference(gradient, expected.setdefault(length, gradient))
            yield {**growth.row(method, length, measured), "difference": apart}


def _measured(
    settings: Settings, method: str, weights: Path, bases: Path
) -> list[tuple[Measurement, Result]]:
    """Measure one method at all lengths."""
    lacks = METHODS[MAMBAPY].lacks(settings.device) if method == MAMBAPY else ""
    if lacks:
        return [(Measurement(NOT_INSTALLED, lacks), {})] * len(settings.lengths)
    files = {"weights": str(weights), "bases": str(bases)}
    shared = {"method": method, **files, "tile": settings.tile}
    cases = [{**shared, "length": length} for length in settings.lengths]
    return settings.measured(f"{__name__}:by_source", cases)


def difference(gradient: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> float:
    """Return the largest difference of any gradient, relative to its tensor's largest entry."""
    return max(
        float(np.abs(gradient[name] - value).max() / np.abs(value).max())
        for name, value in expected.items()
    )


Weights = dict[str, nn.Parameter]
# ids (L,) -> value and gradient of sum_t log p(x_{t+1} | X_<=t)
Gradient = Callable[[Tensor], tuple[float, Result]]


def by_sweep(weights: str, tile: int, dtype: torch.dtype, device: str) -> tuple[Weights, Gradient]:
    """Differentiate by the adjoint sweep."""
    process.tune()
    model = load_model(weights, device, dtype)

    def gradient(ids: Tensor) -> tuple[float, Result]:
        result = parameter_gradient(model, ids, tile_length=tile)
        return result.value, result.gradient

    return dict(model.named_parameters()), gradient


def by_autograd(
    weights: str, tile: int, dtype: torch.dtype, device: str
) -> tuple[Weights, Gradient]:
    """Differentiate by one tape through our kernels over the whole sequence."""
    process.tune()
    model = require_causal(load_model(weights, device, dtype), "autograd").requires_grad_(True)

    def log_probs(ids: Tensor) -> Tensor:
        return model(model.one_hot(ids[None]), model.initial_state(1))[0][0]

    return _by_tape(log_probs, dict(model.named_parameters()))


def by_mambapy(
    weights: str, tile: int, dtype: torch.dtype, device: str
) -> tuple[Weights, Gradient]:
    """Differentiate by one tape through mambapy's blocks, which keep A and D in float32."""
    model = peer_models.MambapyModel(Path(weights), device).to(dtype).requires_grad_(True)

    def log_probs(ids: Tensor) -> Tensor:
        x = nn.functional.one_hot(ids, len(model.embedding)).to(model.embedding)
        return model(x).log_softmax(dim=-1)

    ours = {"embedding": "embeddings.weight", "norm_f": "norm_f.weight"}
    named = {
        ours.get(name, name.replace("blocks.", "layers.", 1)): parameter
        for name, parameter in model.named_parameters()
    }
    return _by_tape(log_probs, named)


def _by_tape(
    log_probs: Callable[[Tensor], Tensor], parameters: Weights
) -> tuple[Weights, Gradient]:
    place = next(iter(parameters.values())).device

    def gradient(ids: Tensor) -> tuple[float, Result]:
        ids = ids.to(place)
        value = -nll_loss(log_probs(ids)[:-1], ids[1:], reduction="sum")
        parts = torch.autograd.grad(value, list(parameters.values()))
        named = zip(parameters, parts, strict=True)
        return value.item(), {name: part.cpu().numpy() for name, part in named}

    return parameters, gradient


SOURCES = {SWEEP: by_sweep, AUTOGRAD: by_autograd, MAMBAPY: by_mambapy}


def by_source(method: str, weights: str, bases: str, length: int, tile: int, device: str) -> Work:
    """Prepare one gradient in float64 with respect to all weights."""
    _, gradient = SOURCES[method](weights, tile, torch.float64, device)
    ids = read_bases(bases, 0, length)
    gradient(ids[:SHORT])
    return lambda: gradient(ids)[1]
