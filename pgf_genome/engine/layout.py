"""Layouts: sequences of any length are cut into tiles, or into windows with halos."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pgf_genome.engine.layerwise import schedule
from pgf_genome.engine.objective import Span
from pgf_genome.engine.plan import LAYER_TILE, Cost, Plan, WindowCost, layer_plan
from pgf_genome.engine.windows import Windows
from pgf_genome.errors import UsageError


@dataclass(frozen=True)
class Layout(ABC):
    """A way to cut sequences of any length for a model, with its cost."""

    @property
    @abstractmethod
    def at_once(self) -> int:
        """Bases that the model sees at a time."""

    @abstractmethod
    def plan(self, length: int) -> Plan:
        """The pieces in which a sequence is computed, and kept if a run is killed."""

    @abstractmethod
    def pieces(self, length: int, spans: Iterable[Span]) -> list[int]:
        """The pieces of the plan that must be computed for the positions in the spans."""

    @abstractmethod
    def bases_read(self, length: int, k: int) -> int:
        """Bases that the model reads for piece k."""

    @abstractmethod
    def memory(self, longest: int) -> int:
        """Peak of resident memory, bytes, for sequences of at most ``longest`` bases."""

    @abstractmethod
    def spool_bytes(self, length: int) -> int:
        """Disk for boundary states of one sequence, bytes."""

    @property
    def effort(self) -> float:
        """Time of a run, as a multiple of that of one which keeps whatever it needs again."""
        return 1.0

    def whole(self, length: int) -> bool:
        """Whether a sequence is run in one piece, exactly, layer by layer."""
        return False

    def refuse_beyond(self, limit: int | None, longest: int) -> None:
        """Raise a UsageError if sequences of that length need more memory than the limit."""
        return  # unless the limit has decided what was chosen

    def smaller(self, length: int) -> dict[int, int]:
        """Disk of one sequence, bytes, by choices of ``store_every`` that need less of it."""
        return {}

    @abstractmethod
    def settings(self) -> dict[str, int]:
        """The numbers that decide how a sequence is cut."""

    @abstractmethod
    def description(self) -> tuple[str, str]:
        """The name of what is chosen, and its size, in words."""


@dataclass(frozen=True)
class TileLayout(Layout):
    """Tiles of a causal model; the state passes from one to the next."""

    tile_length: int
    cost: Cost

    @property
    def at_once(self) -> int:
        return self.tile_length

    def plan(self, length: int) -> Plan:
        return Plan(length, self.tile_length)

    def pieces(self, length: int, spans: Iterable[Span]) -> list[int]:
        return list(range(self.plan(length).tiles))

    def bases_read(self, length: int, k: int) -> int:
        start, stop = self.plan(length).bounds(k)
        return stop - start

    def memory(self, longest: int) -> int:
        return self.cost.memory(min(self.tile_length, longest))

    def spool_bytes(self, length: int) -> int:
        return self.cost.spool_bytes(self.plan(length))

    def settings(self) -> dict[str, int]:
        return {"tile_length": self.tile_length}

    def description(self) -> tuple[str, str]:
        return "tile length", f"{self.tile_length:,} bases"


@dataclass(frozen=True)
class WindowLayout(Layout):
    """Windows of a bidirectional model, of which the cores between the halos are kept.

    A sequence no longer than a window is run whole: in memory if it is short, else layer by layer
    with rows of activations in files.

    Attributes
    ----------
    window : int or None
        None for all of every sequence.
    in_memory : int
        Length of the longest sequence that is run whole in memory.
    tile_length : int
        Positions of one tile of a layer.
    store_every : int
        Only every so many-th layer stays in files, and the others are computed again.
    """

    window: int | None
    halo: int
    cost: WindowCost
    in_memory: int = sys.maxsize
    tile_length: int = LAYER_TILE
    store_every: int = 1

    @property
    def at_once(self) -> int:
        return self.window or sys.maxsize

    @property
    def effort(self) -> float:
        once, again = (
            sum(step.work for step in schedule.steps_of(self.cost.n_layer, every))
            for every in (1, self.store_every)
        )
        return again / once

    def whole(self, length: int) -> bool:
        return self.window is None or self.in_memory < length <= self.window

    def windows(self, length: int) -> Windows:
        """The windows over a sequence."""
        return Windows(length, self.window or length, self.halo)

    def plan(self, length: int) -> Plan:
        if self.whole(length):
            return layer_plan(length, self.tile_length)
        return self.windows(length).plan

    def pieces(self, length: int, spans: Iterable[Span]) -> list[int]:
        plan = self.plan(length)
        return list(range(plan.tiles)) if self.whole(length) else plan.meeting(spans)

    def bases_read(self, length: int, k: int) -> int:
        if self.whole(length):
            start, stop = self.plan(length).bounds(k)
            return stop - start
        windows = self.windows(length)
        seen = (windows.seen(*core) for core in windows.in_tile(k))
        return sum(stop - start for start, stop in seen)

    def memory(self, longest: int) -> int:
        if longest > self.in_memory and self.whole(longest):
            return self.cost.memory(1, self.tile_length)
        # where the halo's error is measured, it is doubled
        return self.cost.memory(min(self.at_once + 2 * self.halo, longest))

    def refuse_beyond(self, limit: int | None, longest: int) -> None:
        need = self.memory(longest)
        if limit is not None and self.window is not None and need > limit:
            raise too_large("window", self.window, need)

    def spool_bytes(self, length: int) -> int:
        if length <= self.in_memory or not self.whole(length):
            return 0
        tiles = self.plan(length).tiles

        def size(name: str) -> int:
            if name.startswith(("h", "bar")):
                return length * self.cost.rows
            if name.startswith(("states", "cotangents")):
                return tiles * self.cost.states
            return length * self.cost.direct if name == "direct" else 0

        return schedule.most(schedule.steps_of(self.cost.n_layer, self.store_every), size)

    def smaller(self, length: int) -> dict[int, int]:
        now = self.spool_bytes(length)
        choices = range(self.store_every + 1, self.cost.n_layer + 1)
        sizes = {k: replace(self, store_every=k).spool_bytes(length) for k in choices}
        return {k: size for k, size in sizes.items() if size < now}

    def settings(self) -> dict[str, int]:
        if self.window is None:
            return {"tile_length": self.tile_length}
        return {"window": self.window, "halo": self.halo}

    def description(self) -> tuple[str, str]:
        if self.window is None:
            return "window", "all of the sequence"
        return "window", f"{self.window:,} bases, {self.halo:,} of them halo on either side"


def too_large(name: str, value: int, need: int) -> UsageError:
    """The error for a choice that needs more memory than there may be."""
    return UsageError(
        f"`{name}` {value} needs {need // 2**20}M, more than `max_memory`; "
        f"leave `{name}` out to have it chosen"
    )
