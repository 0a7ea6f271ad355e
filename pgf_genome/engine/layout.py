"""Layouts: sequences of any length are cut into tiles, or into windows with halos."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass

from pgf_genome.engine.objective import Span
from pgf_genome.engine.plan import Cost, Plan, WindowCost
from pgf_genome.engine.windows import Windows


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
    """Windows of a bidirectional model, of which the cores between the halos are kept."""

    window: int
    halo: int
    cost: WindowCost

    @property
    def at_once(self) -> int:
        return self.window

    def windows(self, length: int) -> Windows:
        """The windows over a sequence."""
        return Windows(length, self.window, self.halo)

    def plan(self, length: int) -> Plan:
        return self.windows(length).plan

    def pieces(self, length: int, spans: Iterable[Span]) -> list[int]:
        return self.plan(length).meeting(spans)

    def bases_read(self, length: int, k: int) -> int:
        windows = self.windows(length)
        seen = (windows.seen(*core) for core in windows.in_tile(k))
        return sum(stop - start for start, stop in seen)

    def memory(self, longest: int) -> int:
        # where the halo's error is measured, it is doubled
        return self.cost.memory(min(self.window + 2 * self.halo, longest))

    def spool_bytes(self, length: int) -> int:
        return 0

    def settings(self) -> dict[str, int]:
        return {"window": self.window, "halo": self.halo}

    def description(self) -> tuple[str, str]:
        return "window", f"{self.window:,} bases, {self.halo:,} of them halo on either side"
