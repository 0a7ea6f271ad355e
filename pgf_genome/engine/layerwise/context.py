"""What all steps of a sweep over the layers share: sequences, sweeps, tables, progress."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event, Lock
from typing import NamedTuple

import torch
from torch import Tensor

from pgf_genome.engine.equations import Reader
from pgf_genome.engine.layerwise import schedule
from pgf_genome.engine.objective import Objective
from pgf_genome.engine.pipeline import lanes_of
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.store import Pending, Store, Table
from pgf_genome.errors import IntegrityError
from pgf_genome.mamba.bidirectional import BidirectionalMamba


class Lane(NamedTuple):
    """Sequences that run side by side through the same mixers."""

    number: int
    sequences: slice
    # whether they are the complements of the sequences, which are read the other way; their rows
    # stand at the positions of the sequences themselves
    complement: bool

    @property
    def size(self) -> int:
        """Number of sequences."""
        return self.sequences.stop - self.sequences.start


class Chain(NamedTuple):
    """One of the two mixers of a layer over one lane."""

    number: int
    lane: Lane
    reverse: bool  # whether it reads from the last position to the first

    def turned(self, tile: Tensor) -> Tensor:
        """A tile (batch, T, D) in the order of reading, or back."""
        return tile.flip(1) if self.reverse else tile


class Layers:
    """A model over the sequences of a batch, all of one length.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` gives the one-hot input (batch, stop - start, V), more than once.
    plan : Plan
    store : Store
        What it holds of a run that was killed is gone on from.
    objectives : sequence of Objective, optional
        One per sequence; without them the model runs forward only.
    starts : sequence of int, optional
        What the objectives call the first position of each sequence; 0 if None.
    threads : int, optional
        Threads in all; torch's count if None.
    progress : callable
        Called with the bases done since the last call, a part of each for every layer.
    """

    def __init__(
        self,
        model: BidirectionalMamba,
        read: Reader,
        plan: Plan,
        store: Store,
        batch: int = 1,
        objectives: Sequence[Objective] | None = None,
        starts: Sequence[int] | None = None,
        store_every: int = 1,
        threads: int | None = None,
        progress: Callable[[float], None] = lambda bases: None,
    ) -> None:
        self.model, self.read, self.plan, self.store = model, read, plan, store
        self.objectives, self.starts = objectives, starts or [0] * batch
        self.batch, self.threads = batch, threads
        self.steps = schedule.steps_of(len(model.layers), store_every, objectives is not None)
        weight = model.embeddings.weight
        strands = (False,) if model.config.complement is None else (False, True)
        parts = [(part, each) for each in strands for part in lanes_of(weight.new_empty(batch, 0))]
        self.lanes = [Lane(i, *given) for i, given in enumerate(parts)]
        self.chains = [
            Chain(2 * lane.number + reverse, lane, reverse)
            for lane in self.lanes
            for reverse in (False, True)
        ]
        self.zero, self.mark = weight.new_zeros(()), torch.zeros((), dtype=torch.float64)
        mixer = model.layers[0].mixer.mamba_fwd
        self.blanks = [mixer.blank_state(lane.size) for lane in self.lanes]
        self._progress, self._lock, self.stopped = progress, Lock(), Event()
        self._work = sum(step.work for step in self.steps)

    def advance(self, work: float) -> None:
        """Report work on positions, in forward passes of one layer."""
        with self._lock:
            self._progress(work / self._work)

    def rows_like(self, lane: Lane, k: int) -> Tensor:
        """A tensor of the shape of a lane's rows of tile k."""
        start, stop = self.plan.bounds(k)
        return self.zero.expand(lane.size, stop - start, self.model.config.d_model)

    def rows(self, name: str, lane: Lane, k: int, final: bool = True) -> Pending:
        """Begin to read a lane's rows of tile k."""
        slot, slots = lane.number * self.plan.tiles + k, len(self.lanes) * self.plan.tiles
        like = [self.rows_like(lane, k)]
        return self.table(name).get(slot + final * slots, like, slot)

    def put_rows(self, name: str, lane: Lane, k: int, rows: Tensor, final: bool = True) -> None:
        """Write a lane's rows of tile k, or the share of the chain that came first."""
        slot, slots = lane.number * self.plan.tiles + k, len(self.lanes) * self.plan.tiles
        self.table(name).put(slot + final * slots, [rows], slot)

    def hidden(self, i: int, lane: Lane, k: int) -> Callable[[], Tensor]:
        """Begin to read h_i, or make h_0."""
        if i == 0:
            return lambda: self.embedded(self.read(*self.plan.bounds(k)), lane).detach()
        pending = self.rows(f"h{i}", lane, k)
        return lambda: require(pending(), f"h{i}", k)[0]

    def embedded(self, x: Tensor, lane: Lane) -> Tensor:
        """h_0 of a lane."""
        x, complement = x[lane.sequences], self.model.config.complement
        return self.model.embed(x[..., list(complement or ())] if lane.complement else x)

    def table(self, name: str) -> Table:
        """A table of this run."""
        return self.store.table(name, self.slot_bytes(name))

    def slot_bytes(self, name: str) -> int:
        """Bytes of the largest record of a table."""
        one = self.zero.element_size()
        largest, tile = max(lane.size for lane in self.lanes), self.plan.tile_length
        config = self.model.config
        if name.startswith(("h", "bar")):
            return largest * tile * config.d_model * one
        if name.startswith(("states", "cotangents")):
            return largest * config.mixer.state_size * one
        if name == "direct":
            return self.batch * tile * config.vocab_rows * one
        return (self.batch + 1) * self.mark.nbytes


def require(found: list[Tensor] | None, name: str, k: int) -> list[Tensor]:
    """What was read, which must be there.

    Raises
    ------
    IntegrityError
        If it is missing or damaged.
    """
    if found is None:
        raise IntegrityError(
            f"{name}: the record of tile {k} is missing or damaged; run again with `restart`"
        )
    return found
