"""Experiments whose measurements are made in this process, which is faster."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgf_genome.experiments import complexity, ghost_pulse, growth, training
from pgf_genome.experiments.apart import Result, Task, carry_out_here
from pgf_genome.experiments.frame import Findings
from pgf_genome.experiments.measure import Measurement
from pgf_genome.experiments.process import Limits
from pgf_genome.experiments.runner import run


def run_here(name: str, directory: Path, **options: Any) -> Findings:
    """An experiment in its quick sizes, where ``options`` say nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (complexity, ghost_pulse, growth, training):
            patch.setattr(module, "carry_out", _carry_out)
        return run(name, directory, quick=True, **options)


def _carry_out(task: Task, limits: Limits) -> list[tuple[Measurement, Result]]:
    with tempfile.TemporaryDirectory() as folder:
        outcomes = []
        for k, measured in enumerate(carry_out_here(task, Path(folder))):
            with np.load(Path(folder, f"{k}.npz")) as arrays:
                outcomes.append((measured, dict(arrays)))
        return outcomes
