"""Memory of initialisations, and what can be learned from them (arXiv 2510.00563)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pgf_genome.errors import UsageError
from pgf_genome.experiments import machine
from pgf_genome.experiments.spectra import SPECTRA, is_real
from pgf_genome.memory.closed_form import memory_function, reachable_poles

SPECTRUM, TRADE_OFF, EQUAL, LEARNING = "spectrum", "trade-off", "equality", "learning"
LEVELS = (0.5, 0.1, 0.01)
QUICK: Mapping[str, Any] = {"lags": 2000, "steps": 60, "delays": (4, 64)}


@dataclass(frozen=True)
class Settings:
    """Options of the experiment.

    Attributes
    ----------
    states : int
        Real dimensions of the state, N.
    deltas : tuple of float
        Step sizes of the spectra, and of the trained models.
    lags : int
        Number of lags of the memory functions.
    delays : tuple of int
        Delays of the copy task, whose target is the input so many steps ago.
    steps : int
        Steps of gradient descent with Adam.
    threads, device, seed
        As in the other experiments.
    """

    states: int = 32
    deltas: Sequence[float] = (0.001, 0.01, 0.1)
    lags: int = 20_000
    delays: Sequence[int] = (2, 8, 32, 128, 512)
    steps: int = 600
    threads: int = 0
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        least = min(self.states // 2, self.lags, self.steps, *self.delays)
        if least < 1 or min(self.deltas) <= 0:
            raise UsageError("memory-init needs at least 2 states and positive sizes")


def rows(settings: Settings, scratch: Path) -> Iterator[dict[str, Any]]:
    """Compute the four parts, one after the other."""
    where = {"states": settings.states, "machine": machine.describe("cpu", ("torch",))}
    for part in (_spectra, _trade_off, _equality, _learning):
        yield from (row | where for row in part(settings))


def _spectra(settings: Settings) -> Iterator[dict[str, Any]]:
    """Compute the memory functions of the spectra."""
    for name, spectrum in SPECTRA.items():
        for delta in settings.deltas:
            poles = reachable_poles(np.exp(delta * spectrum(settings.states)))
            function = memory_function(poles, settings.lags)
            yield {
                "part": SPECTRUM,
                "name": name,
                "delta": delta,
                "real": is_real(spectrum(settings.states)),
                "poles": len(poles),
                "mf_0": function[0],
                **{f"l_{level}": _first_below(function, level) for level in LEVELS},
                "capacity": function.sum(),
            }


def _first_below(function: np.ndarray, level: float) -> int:
    below = function < level
    return int(np.argmax(below)) if below.any() else len(function)


def _trade_off(settings: Settings) -> Iterator[dict[str, Any]]:
    """Compute rings of poles, which gain length and lose accuracy with their radius."""
    N = settings.states
    for radius in (0.5, 0.9, 0.97, 0.99, 0.997, 0.999):
        poles = radius * np.exp(2j * np.pi * np.arange(N) / N)
        function = memory_function(poles, settings.lags)
        length = function.sum() / function[0]
        yield {
            "part": TRADE_OFF,
            "name": f"ring of radius {radius}",
            "mf_0": function[0],
            "length": length,
            "capacity": function.sum(),
        }


def _equality(settings: Settings) -> Iterator[dict[str, Any]]:
    """Compare a dense state matrix (S4) with the diagonal one of its eigenvalues (S4D)."""
    draws = np.random.default_rng(settings.seed)
    for size in (2, 4, 6):
        pairs = draws.uniform(0.6, 0.95, size // 2) * np.exp(
            1j * draws.uniform(0.3, 2.8, size // 2)
        )
        basis = np.linalg.qr(draws.standard_normal((size, size)))[0] @ np.diag(
            draws.uniform(0.5, 2, size)
        )
        dense = np.zeros((size, size))
        for k, pole in enumerate(pairs):
            turn = [[pole.real, -pole.imag], [pole.imag, pole.real]]
            dense[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = turn
        dense = basis @ dense @ np.linalg.inv(basis)
        gap = by_covariance(dense, draws.standard_normal(size), 60) - memory_function(
            np.concatenate([pairs, pairs.conj()]), 60
        )
        yield {"part": EQUAL, "name": f"{size} states", "gap": np.abs(gap).max()}


def by_covariance(A: np.ndarray, b: np.ndarray, lags: int) -> np.ndarray:
    """Compute MF of x_t = A x_{t-1} + b u_t, dense A, white u, from the stationary covariance."""
    n = len(b)
    # C = A C A^T + b b^T, as n^2 linear equations
    covariance = np.linalg.solve(np.eye(n * n) - np.kron(A, A), np.outer(b, b).ravel())
    inverse = np.linalg.inv(covariance.reshape(n, n))
    function, v = [], b
    for _ in range(lags):
        function.append(v @ inverse @ v)
        v = A @ v
    return np.array(function)


def _learning(settings: Settings) -> Iterator[dict[str, Any]]:
    """Learn a delayed copy with free and with frozen poles."""
    for name, spectrum in SPECTRA.items():
        for delta in settings.deltas:
            start = np.exp(delta * spectrum(settings.states))
            function = memory_function(reachable_poles(start), max(settings.delays) + 1)
            for delay in settings.delays:
                for frozen in (True, False):
                    yield {
                        "part": LEARNING,
                        "name": name,
                        "delta": delta,
                        "delay": delay,
                        "frozen": frozen,
                        "mf_before": function[delay],
                        "learned": copied(start, delay, frozen, settings.steps),
                    }


def copied(poles: np.ndarray, delay: int, frozen: bool, steps: int) -> float:
    """Train y_t = Re sum_i w_i x_t,i to be u_{t - delay}, from w = 0; return the best R^2.

    For white input the error is that of the impulse response h_k = Re sum_i c_i p_i^k, in closed
    form: 1 - R^2 = |h|^2 - 2 h_delay + 1, |h|^2 = sum_ij c_i conj(c_j) / (1 - p_i conj(p_j))
    over the poles and their conjugates. The states are scaled to unit variance.
    """
    logs = torch.view_as_real(torch.log(torch.from_numpy(poles.astype(np.complex128)))).clone()
    weights = torch.zeros(len(poles), 2, dtype=torch.float64, requires_grad=True)
    groups: list[dict[str, Any]] = [{"params": [weights]}]
    if not frozen:
        groups.append({"params": [logs.requires_grad_()], "lr": 1e-3})
    optimizer, best = torch.optim.Adam(groups, lr=0.02), 1.0
    for _ in range(steps):
        decay = -logs[:, 0].abs()  # so that no state grows
        p = torch.exp(torch.complex(decay, logs[:, 1]))
        c = torch.view_as_complex(weights) * torch.sqrt(-torch.expm1(2 * decay)) / 2
        p, c = torch.cat([p, p.conj()]), torch.cat([c, c.conj()])
        power = (c[:, None] * c.conj() / (1 - p[:, None] * p.conj())).sum().real
        loss = power - 2 * (c * p**delay).sum().real + 1
        best = min(best, loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return 1 - best
