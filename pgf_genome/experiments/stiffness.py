"""Errors of scans of very slow and very fast poles (paper, App. A)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pgf_genome.checkpoints.load import resolve_device
from pgf_genome.errors import UsageError
from pgf_genome.experiments import machine
from pgf_genome.experiments.contenders import (
    Scan,
    decaying_products,
    in_blocks,
    log_shift,
    log_space,
)

OURS, LOG_SHIFT, LOG_SPACE = "decaying products (ours)", "log-shift (paper)", "log-space"
CONTENDERS: Mapping[str, Scan] = {
    OURS: decaying_products,
    LOG_SHIFT: log_shift,
    LOG_SPACE: log_space,
}
QUICK: Mapping[str, Any] = {"steps": 512, "blocks": (16, 128, 512), "points": 9}


@dataclass(frozen=True)
class Settings:
    """Options of the experiment.

    Attributes
    ----------
    lowest, highest : float
        Range of A_log; the pole is -exp(A_log), so that low is slow and high is fast.
    points : int
        Number of values of A_log in that range.
    deltas : tuple of float
        Step sizes; per base the logarithm of a state falls by delta exp(A_log).
    blocks : tuple of int
        Positions that a scan processes at once; the state passes from block to block.
    steps : int
        Positions in all.
    dtype : str
        ``"float32"`` or ``"float64"``; the truth is a plain loop in float64.
    threads, device, seed
        As in the other experiments.
    """

    lowest: float = -8.0
    highest: float = 8.0
    points: int = 33
    deltas: Sequence[float] = (0.1, 0.001)
    blocks: Sequence[int] = (16, 64, 256, 1024, 4096)
    steps: int = 4096
    dtype: str = "float32"
    threads: int = 0
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", str(resolve_device(self.device)))
        if not self.lowest < self.highest or self.points < 2:
            raise UsageError("--points must be at least 2, over a range of A_log that is not empty")
        if min(*self.blocks, self.steps) < 1 or min(self.deltas) <= 0:
            raise UsageError("blocks, steps and step sizes must be positive")
        if self.dtype not in ("float32", "float64"):
            raise UsageError(f"--dtype {self.dtype}: choose float32 or float64")


def rows(settings: Settings, scratch: Path) -> Iterator[dict[str, Any]]:
    """Run every scan over the grid."""
    where = {"machine": machine.describe(settings.device, ("torch", "numba"))}
    yield from (row | where for row in _rows(settings))


def _rows(settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield errors of every scan for every step size, block and pole."""
    draws = np.random.default_rng(settings.seed)
    poles = np.linspace(settings.lowest, settings.highest, settings.points)
    b = draws.standard_normal((settings.steps, settings.points))
    before = draws.standard_normal(settings.points)
    dtype = getattr(torch, settings.dtype)
    limit = float(np.log(torch.finfo(dtype).max))
    for delta in settings.deltas:
        decay = delta * np.exp(poles)  # per step
        truth = by_loop(-decay, b, before)
        log_a, inputs, start = (
            torch.tensor(v, dtype=dtype, device=settings.device) for v in (-decay, b, before)
        )
        for block in settings.blocks:
            for name, scan in CONTENDERS.items():
                h = in_blocks(scan, log_a, inputs, start, block).double().cpu().numpy()
                for k, pole in enumerate(poles):
                    yield {
                        "scan": name,
                        "delta": delta,
                        "A_log": pole,
                        "decay_per_step": decay[k],
                        "block": block,
                        "steps": settings.steps,
                        "dtype": settings.dtype,
                        "finite": bool(np.isfinite(h[:, k]).all()),
                        "error": _error(h[:, k], truth[:, k]),
                        # the largest m - L_s: m is L of the block's first step, s its last step
                        "exponent": (min(block, settings.steps) - 1) * decay[k],
                        "exponent_limit": limit,
                    }


def by_loop(log_a: np.ndarray, b: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Compute h (T, Di) in float64, one step after the other."""
    a, h, states = np.exp(log_a), before, []
    for step in b:
        h = a * h + step
        states.append(h)
    return np.array(states)


def _error(found: np.ndarray, truth: np.ndarray) -> float | None:
    """Return the largest error relative to the largest state; None if not all are finite."""
    if not np.isfinite(found).all():
        return None
    return float(np.abs(found - truth).max() / np.abs(truth).max())
