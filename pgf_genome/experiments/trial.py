"""What experiments with a random model and a random sequence have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch

from pgf_genome.checkpoints.load import resolve_device
from pgf_genome.engine.sweep import Reader
from pgf_genome.errors import UsageError
from pgf_genome.experiments import machine
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.pretrain import Training, new_model, save_model

PACKAGES = ("torch", "numba", "mambapy")
BLOCK = 2**20


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Settings that these experiments share.

    Attributes
    ----------
    layers, width, states : int
        Sizes of the model; D = ``width``, N = ``states``.
    threads : int
        0 is all cores.
    device : str
        "cpu", "cuda[:INDEX]" or "auto".
    seed : int
        Of model and sequence.
    """

    LEAST: ClassVar[Mapping[str, float]] = {"layers": 1, "width": 1, "states": 1, "threads": 0}

    layers: int = 2
    width: int = 16
    states: int = 16
    threads: int = 0
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Sequence) and not isinstance(value, str):
                unique = dict.fromkeys(value)
                if not unique:
                    raise UsageError(f"--{_option(field.name)} names none; give at least one")
                object.__setattr__(self, field.name, tuple(unique))
        for name, least in self.LEAST.items():
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if not number >= least:
                    raise UsageError(f"--{_option(name)} must be at least {least}, not {number}")
        object.__setattr__(self, "device", str(resolve_device(self.device)))

    @property
    def cores(self) -> int:
        """Threads to use."""
        return self.threads or machine.usable_cores()

    def model(self, **changes: int) -> CausalMamba:
        """A random model in float32, whose weights require gradients.

        Parameters
        ----------
        **changes : int
            Other sizes: fields of `pretrain.Training`.
        """
        sizes = {"d_model": self.width, "n_layer": self.layers, "d_state": self.states}
        return new_model(Training(**sizes | changes, seed=self.seed))

    def saved_model(self, directory: Path) -> Path:
        """The same model as a directory of weights."""
        save_model(self.model(), directory, "Random weights of a measurement.\n")
        return directory

    def facts(self) -> dict[str, Any]:
        """Columns that every row of the table has."""
        names = ("layers", "width", "states", "device", "seed")
        shared = {name: getattr(self, name) for name in names}
        described = machine.describe(self.device, PACKAGES)
        return shared | {"threads": self.cores, "machine": described}


def write_random_bases(path: Path, length: int, seed: int) -> Path:
    """A file of uniform random bases, one byte each: 0 .. 3, the first rows of a new model."""
    draws = np.random.default_rng(seed)
    with open(path, "wb") as file:
        for start in range(0, length, BLOCK):
            draws.integers(0, 4, min(BLOCK, length - start), np.uint8).tofile(file)
    return path


def read_bases(path: str | Path, start: int, stop: int) -> torch.Tensor:
    """Token ids of bases start .. stop - 1 of such a file, (stop - start,); no more is held."""
    codes = np.fromfile(path, np.uint8, stop - start, offset=start)
    return torch.from_numpy(codes.astype(np.int64))


def reader(model: CausalMamba, path: str | Path) -> Reader:
    """One-hot tiles of such a file for the sweeps, (1, T, V)."""
    return lambda start, stop: model.one_hot(read_bases(path, start, stop))[None]


def _option(name: str) -> str:
    return name.replace("_", "-")


def on_machine(table: pd.DataFrame) -> str:
    """Threads, device and machine of a stored table, in words."""
    facts = table.iloc[0]
    threads = f"{facts['threads']} thread{'' if facts['threads'] == 1 else 's'}"
    return f"{threads} on {facts['device']} ({facts['machine']})"
