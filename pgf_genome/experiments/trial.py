"""Common parts of the experiments with a random model and a random sequence."""

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
from pgf_genome.pretrain.initial import new_model
from pgf_genome.pretrain.saving import save_model
from pgf_genome.pretrain.settings import Training

PACKAGES = ("torch", "numba", "mambapy")
BLOCK = 2**20


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Options that these experiments share.

    Attributes
    ----------
    layers, width, states : int
        Sizes of the model; D = ``width``, N = ``states``. An experiment that compares several of
        one size has a tuple of them.
    threads : int
        0 is all cores.
    device : str
        ``"cpu"``, ``"cuda[:INDEX]"`` or ``"auto"``.
    seed : int
        Seed of model and sequence.
    """

    LEAST: ClassVar[Mapping[str, float]] = {"layers": 1, "width": 1, "states": 1, "threads": 0}

    layers: int | Sequence[int] = 2
    width: int = 16
    states: int | Sequence[int] = 16
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
        """Number of threads to use."""
        return self.threads or machine.usable_cores()

    def model(self, **changes: Any) -> CausalMamba:
        """Make a random model in float32, whose weights require gradients.

        Parameters
        ----------
        **changes
            Fields of `Training` that differ from these options.
        """
        sizes: dict[str, Any] = {"d_model": self.width}
        sizes |= {"n_layer": self.layers, "d_state": self.states}
        return new_model(Training(**sizes | changes, seed=self.seed))

    def saved_model(self, directory: Path) -> Path:
        """Save that model as a directory of weights."""
        save_model(self.model(), directory, "Random weights of a measurement.\n")
        return directory

    def facts(self) -> dict[str, Any]:
        """Return the columns that every row of the table has."""
        names = ("layers", "width", "states", "device", "seed")
        shared = {name: getattr(self, name) for name in names}
        described = machine.describe(self.device, PACKAGES)
        return shared | {"threads": self.cores, "machine": described}


def write_random_bases(path: Path, length: int, seed: int) -> Path:
    """Write uniform random bases, one byte each, as the token ids 0 .. 3 of a new model."""
    draws = np.random.default_rng(seed)
    with open(path, "wb") as file:
        for start in range(0, length, BLOCK):
            draws.integers(0, 4, min(BLOCK, length - start), np.uint8).tofile(file)
    return path


def read_bases(path: str | Path, start: int, stop: int) -> torch.Tensor:
    """Read the token ids of bases start .. stop - 1 of such a file alone, (stop - start,)."""
    codes = np.fromfile(path, np.uint8, stop - start, offset=start)
    return torch.from_numpy(codes.astype(np.int64))


def reader(model: CausalMamba, path: str | Path) -> Reader:
    """Return a reader of such a file's one-hot tiles for the sweeps, (1, T, V)."""
    return lambda start, stop: model.one_hot(read_bases(path, start, stop))[None]


def _option(name: str) -> str:
    return name.replace("_", "-")


def on_machine(table: pd.DataFrame) -> str:
    """State the threads, device and machine of a stored table."""
    facts = table.iloc[0]
    threads = f"{facts['threads']} thread{'' if facts['threads'] == 1 else 's'}"
    return f"{threads} on {facts['device']} ({facts['machine']})"
