"""How sequences are cut for a model, and what that costs: tiles, or windows with halos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pgf_genome.engine.plan import DEFAULT_MEMORY, DEFAULT_WINDOW, Cost, Plan, WindowCost
from pgf_genome.engine.windows import Windows
from pgf_genome.errors import UsageError
from pgf_genome.job.options import Options
from pgf_genome.mamba.bidirectional import BidirectionalMamba
from pgf_genome.mamba.model import LanguageModel

# Default halo, of the window, on either side.
HALO_SHARE = 8


@dataclass(frozen=True)
class Tiles:
    """Of a causal model: tiles, whose states are handed over."""

    tile_length: int
    cost: Cost

    @property
    def at_once(self) -> int:
        """Bases that the model sees at a time."""
        return self.tile_length

    def settings(self) -> dict[str, int]:
        return {"tile_length": self.tile_length}

    def memory(self, longest: int) -> int:
        """Peak of resident memory for sequences of at most ``longest`` bases."""
        return self.cost.memory(min(self.tile_length, longest))

    def spool_bytes(self, length: int) -> int:
        """Disk for boundary states of one sequence."""
        return self.cost.spool_bytes(Plan(length, self.tile_length))

    def facts(self, halo_loci: list[dict[str, Any]]) -> dict[str, Any]:
        """For ``run.json``."""
        return {"tile_length": self.tile_length}

    def line(self) -> tuple[str, str]:
        """For ``--dry-run``."""
        return "# tile length", f"{self.tile_length:,} bases"


@dataclass(frozen=True)
class WindowShape:
    """Of a bidirectional model: windows, of which the cores are kept."""

    window: int
    halo: int
    cost: WindowCost

    @property
    def at_once(self) -> int:
        """As `Tiles.at_once`."""
        return self.window

    def settings(self) -> dict[str, int]:
        return {"window": self.window, "halo": self.halo}

    def memory(self, longest: int) -> int:
        """As `Tiles.memory`."""
        # where the halo's error is measured, it is doubled
        return self.cost.memory(min(self.window + 2 * self.halo, longest))

    def spool_bytes(self, length: int) -> int:
        """As `Tiles.spool_bytes`: windows hand nothing over."""
        return 0

    def facts(self, halo_loci: list[dict[str, Any]]) -> dict[str, Any]:
        """As `Tiles.facts`."""
        return {"halo": {"window": self.window, "halo": self.halo, "loci": halo_loci}}

    def line(self) -> tuple[str, str]:
        """As `Tiles.line`."""
        return "# window", f"{self.window:,} bases, {self.halo:,} of them halo on either side"


Shape = Tiles | WindowShape


def shape_of(model: LanguageModel, options: Options, strands: int) -> Shape:
    """Choose tiles or windows as ``--tile``, ``--window``, ``--halo``, ``--max-memory`` ask.

    Raises
    ------
    UsageError
        If an option does not go with the model, or memory does not suffice.
    """
    parameters = sum(p.numel() for p in model.parameters())
    itemsize = model.dtype.itemsize
    if isinstance(model, BidirectionalMamba):
        return _windows(model, options, WindowCost.of(model.config, parameters, itemsize))
    for option in ("window", "halo"):
        if getattr(options, option) is not None:
            raise UsageError(
                f"--{option} is for bidirectional models; {model.name} is causal and streams "
                "whole contigs: leave it out"
            )
    cost = Cost.of(model.config, parameters, strands, itemsize)
    memory = DEFAULT_MEMORY if options.max_memory is None else options.max_memory
    tile = options.tile or cost.longest_tile(memory)
    _refuse_beyond(options.max_memory, cost.memory(tile), "--tile", tile)
    return Tiles(tile, cost)


def _windows(model: BidirectionalMamba, options: Options, cost: WindowCost) -> WindowShape:
    if options.tile is not None:
        raise UsageError(f"--tile is for causal models; {model.name} is bidirectional: --window")

    def halo_of(window: int) -> int:
        return window // HALO_SHARE if options.halo is None else options.halo

    window = options.window or model.trained_length or DEFAULT_WINDOW
    if options.window is None and options.max_memory is not None:
        window = cost.longest_window(options.max_memory, window, halo_of)
    halo = halo_of(window)
    _refuse_beyond(options.max_memory, cost.memory(window + 2 * halo), "--window", window)
    Windows(1, window, halo)  # refuses a halo that leaves no core
    return WindowShape(window, halo, cost)


def _refuse_beyond(limit: int | None, need: int, option: str, value: int) -> None:
    if limit is not None and need > limit:
        raise UsageError(
            f"{option} {value} needs {need // 2**20}M, more than --max-memory; "
            f"leave {option} out to have it chosen"
        )
