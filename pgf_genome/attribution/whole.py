"""Scores of a whole segment under a bidirectional model, layer by layer, one strand at a time.

Where activations do not fit into memory they lie in the run's folder, with all that a killed run
needs to go on where it stopped.
"""

from __future__ import annotations

import logging
from typing import cast

import torch
from torch import Tensor

from pgf_genome.attribution.place import Place
from pgf_genome.attribution.task import Progress, Takes, Task
from pgf_genome.engine.layerwise.context import Layers
from pgf_genome.engine.layerwise.run import sweep
from pgf_genome.engine.layout import WindowLayout
from pgf_genome.engine.objective import Tile
from pgf_genome.engine.spool import RecordFile, nbytes
from pgf_genome.engine.store import FileStore, MemoryStore, Store
from pgf_genome.mamba.bidirectional import BidirectionalMamba

log = logging.getLogger("pgf_genome")


def fill(task: Task, scores: Takes, place: Place, progress: Progress) -> Tensor:
    """Fill ``scores`` as `causal.fill` does."""
    strands = range(len(task.objectives))
    one = torch.zeros((), dtype=torch.float64)
    total = torch.zeros(len(strands), dtype=torch.float64)
    with (
        RecordFile(place.path("values"), nbytes([one]), place.identity) as values,
        RecordFile(place.path("observed"), task.plan.tile_length * task.model.dtype.itemsize,
                   place.identity) as observed,
    ):  # fmt: skip
        for b in strands:
            record = values.read(b, [one])
            if record is None:
                with _store(task, place, b) as store:
                    record = [_strand(task, b, scores, observed, store, progress)]
                    _log_traffic(store, task)
                    values.write(b, record)
                    store.keep(())
            else:
                progress(task.segment.length / len(strands))
            total[b] = record[0]
    return total


def _store(task: Task, place: Place, b: int) -> Store:
    layout = cast(WindowLayout, task.layout)
    if task.segment.length <= layout.in_memory:
        return MemoryStore()
    # with another choice of layers that are stored, steps have other numbers
    identity = f"{place.identity} {b} {task.plan} {layout.store_every}"
    return FileStore(place.path("layers"), identity)


def _strand(
    task: Task, b: int, scores: Takes, observed: RecordFile, store: Store, progress: Progress
) -> Tensor:
    """Fill the scores of one strand, and give its objective, () float64."""
    plan, bases = task.plan, list(task.model.vocabulary.base_ids)

    def seen(k: int, tiles: list[Tile], values: Tensor | None) -> None:
        start, _ = plan.bounds(k)
        observed.write(task.record(b, k), [task.observed_log_p(b, tiles[0].log_p, start)])

    def found(k: int, gradient: Tensor) -> None:
        number, like = task.record(b, k), task.blank_scores(k)
        log_p = observed.require(number, like[1:])
        scores.write(number, [gradient[0][:, bases], *log_p])

    layers = Layers(
        cast(BidirectionalMamba, task.model),
        lambda start, stop: task.one_hot(start, stop)[b : b + 1],
        plan,
        store,
        1,
        [task.objectives[b]],
        [task.origins()[b]],
        cast(WindowLayout, task.layout).store_every,
        task.threads,
        lambda bases: progress(bases / len(task.objectives)),
    )
    return cast(Tensor, sweep(layers, seen, found))[0]


def _log_traffic(store: Store, task: Task) -> None:
    if store.written:
        log.debug(
            "%s: activations: %.2f GiB written, %.2f GiB read, waited %.1f s for the disk",
            *(task.segment.contig, store.written / 2**30, store.read / 2**30, store.waited),
        )
