"""Item (d): a tile that is run again ends in the very state that the run went on from."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from pgf_genome.attribution.methods import Gradient
from pgf_genome.attribution.place import Place
from pgf_genome.attribution.prepare import Prepared
from pgf_genome.attribution.task import Task
from pgf_genome.engine import sweep
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.running import running_of
from pgf_genome.engine.spool import StoredStates
from pgf_genome.errors import IntegrityError
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.runs.certificate import Check

NAME = "replayed states"
TILES = 2  # that are run again


def replayed_states(plan: Prepared, folder: Path | None) -> Check:
    """Compare end states of tiles with those stored, bit by bit.

    The adjoint sweep of a run does this for every tile itself, and stops where one differs. While
    the states are there, those of its last segment, tiles of it are run again from them. After the
    run two tiles are swept forth and back, which shows that the arithmetic is reproducible here.
    """
    if not running_of(plan.model).streams:
        return Check.without(NAME, "a bidirectional model carries no state from window to window")
    *_, last = tasks = [*plan.tasks]
    if folder and isinstance(plan.method, Gradient) and last.plan.replayed:
        different, tried = _against_the_spool(last, folder, len(tasks) - 1)
        swept = sum(task.plan.replayed for task in tasks)
        return Check.of(
            NAME,
            0.0,
            different,
            f"{tried} tiles run again from stored states, those that end in others; the sweep "
            f"compared all {swept:,} of its own replayed tiles",
        )
    longest = max(tasks, key=lambda task: task.segment.length)
    if not longest.plan.replayed:
        return Check.without(NAME, "every segment is one tile, of which no state is stored")
    return Check.of(
        NAME,
        0.0,
        _there_and_back(longest),
        f"the first tile of {longest.segment.contig} swept forth and again back: 1 if it ends in "
        "another state",
    )


def _against_the_spool(task: Task, folder: Path, number: int) -> tuple[int, int]:
    """Tiles that do not end in the stored state, and tiles that were run."""
    model, plan = cast(CausalMamba, task.model), task.plan
    blank, place = model.initial_state(len(task.strands)), Place(folder, folder.name, number)
    tiles = sorted({0, plan.replayed - 1})[-TILES:]
    different = 0
    with StoredStates(place.path("states"), blank, place.identity) as states:
        for k in tiles:
            steps = sweep.primal(model, task.one_hot, plan, states[k], [k], task.threads)
            ended = next(iter(steps)).state.tensors()
            pairs = zip(ended, states[k + 1].tensors(), strict=True)
            different += not all(torch.equal(again, stored) for again, stored in pairs)
    return different, len(tiles)


def _there_and_back(task: Task) -> int:
    """1 if the first tile ends otherwise when it is replayed, else 0."""
    size = task.plan.tile_length
    plan = Plan(min(task.segment.length, size + 1), size)
    model = cast(CausalMamba, task.model)
    try:
        for _ in sweep.there_and_back(
            model, task.one_hot, plan, task.objectives, threads=task.threads
        ):
            pass
    except IntegrityError:
        return 1
    return 0
