"""A pulse at 0.8 L, and how far the response to it can be followed (paper, Fig. 4)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pgf_genome.experiments import pulse
from pgf_genome.experiments.apart import Result, Task, carry_out
from pgf_genome.experiments.growth import memory
from pgf_genome.experiments.measure import Measurement
from pgf_genome.experiments.process import Limits
from pgf_genome.experiments.scaling import pulse_position
from pgf_genome.experiments.trial import Trial, write_random_bases

TANGENT, TANGENT32, DIFFERENCE, AUTOGRAD = "tangent", "tangent32", "difference", "autograd"
LABELS = {
    TANGENT: "tangent sweep, float64",
    TANGENT32: "tangent sweep, float32",
    DIFFERENCE: "two runs and their difference, float32",
    AUTOGRAD: "autograd in one piece, float64",
}
QUICK: Mapping[str, Any] = {"lengths": (2_000, 8_000), "compared": 2_000, "tile": 1_024}

log = logging.getLogger("pgf_genome")


@dataclass(frozen=True, kw_only=True)
class Settings(Trial):
    """Options of the experiment.

    Attributes
    ----------
    lengths : tuple of int
        Lengths of the sequences in bases, L. Around the pulse all equal the shortest one.
    compared : int
        Longest L at which a finite difference and autograd are tried too.
    size : float
        Size of the pulse in the finite difference; 1 is a whole substitution.
    tile : int
        Bases of a tile.
    timeout : float
        Seconds of wall time for one method at all its lengths.
    max_memory : int
        Resident bytes at which a method is stopped.
    """

    LEAST: ClassVar[Mapping[str, float]] = {
        **Trial.LEAST, "lengths": 100, "compared": 0, "size": 1e-30, "tile": 1, "timeout": 1,
        "max_memory": 2**20,
    }  # fmt: skip

    lengths: Sequence[int] = (10_000, 100_000, 1_000_000, 10_000_000)
    compared: int = 1_000_000
    size: float = 1e-3
    width: int = 8
    tile: int = 8192
    timeout: float = 300.0
    max_memory: int = 4 * 2**30

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "lengths", tuple(sorted(self.lengths)))

    def facts(self) -> dict[str, Any]:
        own = ("size", "tile", "timeout", "max_memory")
        return {name: getattr(self, name) for name in own} | super().facts()


def rows(settings: Settings, scratch: Path) -> Iterator[dict[str, Any]]:
    """Measure every method at every length; one that fails is a row too."""
    facts = settings.facts()
    yield from (row | facts for row in _rows(settings, scratch))


def _rows(settings: Settings, folder: Path) -> Iterator[dict[str, Any]]:
    """Measure one method after the other; each length has a row for every bin of lags."""
    weights, shortest = settings.saved_model(folder / "model"), settings.lengths[0]
    shared = {"weights": str(weights), "tile": settings.tile}
    shared["near"] = shortest - pulse_position(shortest)
    cases = []
    for length in settings.lengths:
        bases = write_bases(folder / str(length), length, shortest, settings.seed)
        cases.append({**shared, "bases": str(bases), "length": length})
    truth: dict[int, Result] = {}
    for method in LABELS:
        for length, measured, found in _measured(settings, method, cases):
            log.info("%s, L = %s: %s", LABELS[method], f"{length:,}", measured.status)
            if method == TANGENT and found:
                truth[length] = found
            yield from _rows_of(method, length, measured, found, truth)


def _measured(
    settings: Settings, method: str, cases: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, Measurement, Result]]:
    """Measure one method at the lengths at which it is tried, in a process of its own."""
    if method in (DIFFERENCE, AUTOGRAD):
        cases = [case for case in cases if case["length"] <= settings.compared]
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        TANGENT: ("by_tangent", {"dtype": "float64"}),
        TANGENT32: ("by_tangent", {"dtype": "float32"}),
        DIFFERENCE: ("by_difference", {"size": settings.size}),
        AUTOGRAD: ("by_autograd", {}),
    }
    work, more = ways[method]
    cases = [{**case, **more} for case in cases]
    task = Task(f"{pulse.__name__}:{work}", cases, settings.device, settings.cores)
    outcomes = carry_out(task, Limits(settings.timeout, settings.max_memory))
    for case, outcome in zip(cases, outcomes, strict=True):
        yield case["length"], *outcome


def _rows_of(
    method: str, length: int, measured: Measurement, found: Result, truth: Mapping[int, Result]
) -> Iterator[dict[str, Any]]:
    shared = {
        "method": method,
        "length": length,
        "pulse": pulse_position(length),
        "status": measured.status,
        "note": measured.note,
        "seconds": measured.seconds,
        "memory_bytes": memory(measured),
        "first": int(found["first"]) if "first" in found else None,
        "last_response": float(found["last"]) if "last" in found else None,
    }
    shared |= _comparisons(found, truth, length)
    lags, responses = found.get("lags", [None]), found.get("responses", [None])
    for lag, response in zip(lags, responses, strict=True):
        yield {**shared, "lag": lag, "response": response}


def _comparisons(
    found: Result, truth: Mapping[int, Result], length: int
) -> dict[str, float | None]:
    """Compare a response with float64, and a float32 prediction with its own in float64.

    ``off_same`` is the difference from the tangent at the same length, ``off_shortest`` that from
    the tangent at the shortest, both over the lags of the shortest, in units of the largest
    response. ``floor`` is the root mean square error of a prediction.
    """
    off: dict[str, float | None] = {"off_same": None, "off_shortest": None, "floor": None}
    if not found or length not in truth:
        return off
    at = found.get("probes", slice(None))
    same, shortest = truth[length], truth[min(truth)]
    for name, expected in (("off_same", same), ("off_shortest", shortest)):
        values = expected["near"][at, : found["near"].shape[1]]
        off[name] = float(np.abs(found["near"] - values).max() / np.abs(expected["near"]).max())
    if "log_probs" in found:
        wrong = found["log_probs"] - same["log_probs"]
        off["floor"] = float(np.sqrt(np.mean(wrong**2)))
    return off


def write_bases(path: Path, length: int, shortest: int, seed: int) -> Path:
    """Write random bases that around 0.8 L equal those of the shortest sequence."""
    write_random_bases(path, length, seed + length)
    common = write_random_bases(path.with_suffix(".common"), shortest, seed).read_bytes()
    with open(path, "r+b") as file:
        file.seek(pulse_position(length) - pulse_position(shortest))
        file.write(common)
    return path
