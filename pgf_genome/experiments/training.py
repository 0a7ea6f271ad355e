"""Training by tiles in constant memory against training by autograd (paper, Fig. 5)."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from pgf_genome.errors import UsageError
from pgf_genome.experiments.apart import NOT_INSTALLED, Result, Task, Work, carry_out
from pgf_genome.experiments.measure import OK, Measurement
from pgf_genome.experiments.parameter_gradient import AUTOGRAD, LABELS, MAMBAPY, SOURCES
from pgf_genome.experiments.peers import METHODS
from pgf_genome.experiments.process import Limits
from pgf_genome.experiments.trial import Trial
from pgf_genome.pretrain.saving import save_model

DTYPES = ("float64", "float32")
LIMITS = Limits(seconds=600, bytes=8 * 2**30)
# After any two bases, one of the four follows nine times in ten.
LIKELY, UNLIKELY = 0.91, 0.03
QUICK: Mapping[str, Any] = {"layers": (1, 2), "length": 256, "tile": 64, "steps": 10}

log = logging.getLogger("pgf_genome")


@dataclass(frozen=True, kw_only=True)
class Settings(Trial):
    """Options of the experiment.

    Attributes
    ----------
    layers : tuple of int
        Numbers of layers; a model is trained for each.
    dtypes : tuple of str
        Any of ``"float64"``, ``"float32"``; a model is trained for each.
    steps, length, tile : int
        Updates, bases of the sequence of each update, and bases of a tile.
    rate : float
        Learning rate of AdamW.
    """

    LEAST: ClassVar[Mapping[str, float]] = {
        **Trial.LEAST, "steps": 1, "length": 64, "tile": 1, "rate": 0
    }  # fmt: skip

    layers: Sequence[int] = (1, 3)
    dtypes: Sequence[str] = DTYPES
    steps: int = 60
    length: int = 2048
    tile: int = 256
    rate: float = 4e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.dtypes:
            if name not in DTYPES:
                raise UsageError(f"--dtypes {name}: choose from {', '.join(DTYPES)}")


def rows(settings: Settings, scratch: Path) -> Iterator[dict[str, Any]]:
    """Train every model by every method; one that fails is a row too."""
    facts = {name: getattr(settings, name) for name in ("length", "tile", "rate")}
    facts |= {"entropy": entropy(), **settings.facts()}
    yield from (facts | row for row in _rows(settings, scratch))


def _rows(settings: Settings, folder: Path) -> Iterator[dict[str, Any]]:
    """Train by one method after the other; each model has a row for every step."""
    bases = folder / "bases"
    structured_bases(settings.steps * settings.length, settings.seed).tofile(bases)
    models = list(product(settings.layers, settings.dtypes))
    shared = {"bases": str(bases), "length": settings.length, "tile": settings.tile}
    shared |= {"steps": settings.steps, "rate": settings.rate}
    cases = []
    for layers, dtype in models:
        save_model(settings.model(n_layer=layers), folder / str(layers), "Random weights.\n")
        cases.append({**shared, "weights": str(folder / str(layers)), "dtype": dtype})
    trainings = {method: _trained(settings, method, cases) for method in LABELS}
    for method, outcomes in trainings.items():
        for rank, (layers, dtype) in enumerate(models):
            measured, trained = outcomes[rank]
            log.info("%s, layers %d, %s: %s", LABELS[method], layers, dtype, measured.status)
            for step in _steps(measured, trained, trainings[AUTOGRAD][rank][1]):
                yield {"method": method, "layers": layers, "dtype": dtype, **step}


def _trained(
    settings: Settings, method: str, cases: Sequence[Mapping[str, Any]]
) -> list[tuple[Measurement, Result]]:
    """Train all models by one method."""
    lacks = METHODS[MAMBAPY].lacks(settings.device) if method == MAMBAPY else ""
    if lacks:
        return [(Measurement(NOT_INSTALLED, lacks), {})] * len(cases)
    cases = [{**case, "method": method} for case in cases]
    task = Task(f"{__name__}:by_method", cases, settings.device, settings.cores)
    return carry_out(task, LIMITS)


def _steps(measured: Measurement, trained: Result, expected: Result) -> Iterator[dict[str, Any]]:
    """Yield the loss before each step, and the distance of the weights from autograd's after it."""
    shared = {"status": measured.status, "note": measured.note}
    if measured.status != OK:
        yield {**shared, "step": None, "bits_per_base": None, "off": None}
        return
    for step, bits in enumerate(trained["bits_per_base"], 1):
        off = None
        if expected:
            change = np.abs(expected["weights"][step] - expected["weights"][0]).max()
            off = np.abs(trained["weights"][step] - expected["weights"][step]).max() / change
        yield {**shared, "step": step, "bits_per_base": bits, "off": off}


def structured_bases(length: int, seed: int) -> np.ndarray:
    """Draw a sequence in which two bases mostly decide the next, (length,) of 0 .. 3."""
    draws = np.random.default_rng(seed)
    favoured = draws.integers(0, 4, (4, 4))
    shift = draws.choice(4, length, p=[LIKELY, UNLIKELY, UNLIKELY, UNLIKELY])
    bases = np.zeros(length, np.uint8)
    for t in range(2, length):
        bases[t] = (favoured[bases[t - 2], bases[t - 1]] + shift[t]) % 4
    return bases


def entropy() -> float:
    """Return the bits per base of such a sequence, the least that a model can reach."""
    return -sum(p * math.log2(p) for p in (LIKELY, UNLIKELY, UNLIKELY, UNLIKELY))


def by_method(
    method: str, weights: str, bases: str, length: int, tile: int, steps: int, rate: float,
    dtype: str, device: str,
) -> Work:  # fmt: skip
    """Prepare AdamW on the mean negative log-likelihood of one sequence after the other."""
    codes = torch.from_numpy(np.fromfile(bases, np.uint8).astype(np.int64))
    parameters, gradient = SOURCES[method](weights, tile, getattr(torch, dtype), device)
    names = sorted(parameters)
    gradient(codes[:length])

    def snapshot() -> np.ndarray:
        flat = [parameters[name].detach().double().flatten().cpu() for name in names]
        return torch.cat(flat).numpy()

    def work() -> Result:
        optimiser = torch.optim.AdamW(parameters.values(), lr=rate, weight_decay=0)
        taken, bits = [snapshot()], []
        for step in range(steps):
            value, parts = gradient(codes[step * length : (step + 1) * length])
            for name, parameter in parameters.items():
                part = torch.from_numpy(parts[name])
                parameter.grad = (-part / (length - 1)).to(parameter)
            optimiser.step()
            taken.append(snapshot())
            bits.append(-value / (length - 1) / math.log(2))
        return {"weights": np.stack(taken), "bits_per_base": np.array(bits)}

    return work
