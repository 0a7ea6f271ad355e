"""Cost of a derivative against the number of states per channel (paper, App. C)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from timeit import Timer
from typing import Any, ClassVar

from pgf_genome.experiments import growth, scaling
from pgf_genome.experiments.apart import Task, carry_out
from pgf_genome.experiments.measure import OK
from pgf_genome.experiments.process import Limits
from pgf_genome.experiments.recurrences import WAYS, Tally, costs, random_problem
from pgf_genome.experiments.trial import Trial, write_random_bases
from pgf_genome.pretrain.saving import save_model

SWEEPS = ("sweep-tangent", "sweep-adjoint")
LABELS = {
    "rtrl-dense": "dense RTRL",
    "tangent-dense": "dense tangent",
    "rtrl-diagonal": "diagonal RTRL",
    "tangent": "diagonal tangent",
    "adjoint": "diagonal adjoint",
    "sweep-tangent": "tangent sweep, whole model",
    "sweep-adjoint": "adjoint sweep, whole model",
}
REPEAT = 3  # runs of a recurrence, of which the shortest counts
LIMITS = Limits(seconds=300, bytes=8 * 2**30)
QUICK: Mapping[str, Any] = {"states": (4, 8, 16, 32), "steps": 8, "length": 1024, "tile": 512}

log = logging.getLogger("pgf_genome")


@dataclass(frozen=True, kw_only=True)
class Settings(Trial):
    """Options of the experiment.

    Attributes
    ----------
    states : tuple of int
        Numbers of states, N.
    steps : int
        Steps of the recurrence that is differentiated in every way.
    length, tile : int
        Bases of a whole model's sweep, and of its tiles.
    """

    LEAST: ClassVar[Mapping[str, float]] = {
        **Trial.LEAST, "steps": 1, "length": 64, "tile": 1
    }  # fmt: skip

    states: Sequence[int] = (4, 8, 16, 32, 64, 128)
    layers: int = 1
    width: int = 32
    steps: int = 16
    length: int = 16384
    tile: int = 4096

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "states", tuple(sorted(self.states)))


def rows(settings: Settings, scratch: Path) -> Iterator[dict[str, Any]]:
    """Count and time every way of differentiating."""
    facts = {"steps": settings.steps, "length": settings.length, "tile": settings.tile}
    facts |= settings.facts()
    yield from (facts | row for row in (*_recurrences(settings), *_sweeps(settings, scratch)))


def _recurrences(settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield the ways of `recurrences`, on one channel."""
    for states in settings.states:
        problem = random_problem(states, settings.steps, settings.seed)
        for way, run_plainly in WAYS.items():
            tally, derivative = costs(way, problem)
            timer = Timer(partial(run_plainly, problem, Tally()))
            log.info("N = %d, %s", states, LABELS[way])
            yield {
                "method": way,
                "states": states,
                "status": OK,
                "operations_per_step": tally.operations / settings.steps,
                "numbers_carried": tally.carried,
                "seconds_per_step": min(timer.repeat(REPEAT, 1)) / settings.steps,
                "derivative": derivative,
                "memory_bytes": None,
            }


def _sweeps(settings: Settings, scratch: Path) -> Iterator[dict[str, Any]]:
    """Yield the sweeps of a whole model, each in a process of its own."""
    bases = write_random_bases(scratch / "bases", settings.length, settings.seed)
    shared = {"bases": str(bases), "length": settings.length, "tile": settings.tile}
    cases = []
    for states in settings.states:
        weights = scratch / str(states)
        save_model(settings.model(d_state=states), weights, "Random weights.\n")
        cases.append({**shared, "weights": str(weights)})
    for sweep in SWEEPS:
        work = {"sweep-tangent": "by_tangent", "sweep-adjoint": "by_adjoint"}[sweep]
        task = Task(f"{scaling.__name__}:{work}", cases, settings.device, settings.cores)
        outcomes = carry_out(task, LIMITS)
        for states, (measured, result) in zip(settings.states, outcomes, strict=True):
            done = measured.status == OK
            seconds = measured.seconds if done else None
            log.info("N = %d, %s: %s", states, LABELS[sweep], measured.status)
            yield {
                "method": sweep,
                "states": states,
                "status": measured.status,
                "operations_per_step": None,
                "numbers_carried": None,
                "seconds_per_step": None if seconds is None else seconds / settings.length,
                "derivative": float(result["derivative"]) if done else None,
                "memory_bytes": growth.memory(measured),
            }
