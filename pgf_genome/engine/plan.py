"""Plans: how a sequence is cut into tiles, and what that costs, before anything runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pgf_genome.errors import UsageError
from pgf_genome.intervals import Span
from pgf_genome.quantities import whole_number

if TYPE_CHECKING:
    from pgf_genome.mamba.config import MambaConfig

STEPS = 16  # of integrated gradients, unless another number is given
TILE_LENGTH = 4096  # of causal models in the Python API, unless another is given
# A sequence of up to so many of them is cut into about so many shorter ones, of which two threads
# have some each, and whose tapes are kept if they are not larger than this.
SHARES, SHORTEST_SHARE = 8, 1024
KEPT_BYTES = 2 * 2**30
# Positions times directions of one tile of tangents: longer ones outgrow the caches.
TANGENT_ROWS = 4 * TILE_LENGTH
# Resident memory of the process before the first tile: interpreter, torch, compiled kernels.
BASE_BYTES = 450 * 2**20
DEFAULT_MEMORY = 1400 * 2**20
LONGEST_TILE = 16_384  # longer ones are not faster
HOLES = 1.3  # heap fragmentation factor
TAPES = 2  # tapes alive at once for a single sequence on several threads
SHORTEST_TILE = 64
# Positions of one tile of a layer, and of a batch of short windows, in bidirectional models.
LAYER_TILE = 2048
# A layer has two tiles at least, for the two sweeps that meet, unless they were shorter than this.
SHORTEST_LAYER_TILE = 256
BATCH_POSITIONS = 8192
# Window of one that does not say what it was trained on.
DEFAULT_WINDOW = 8192
ALL = "all"  # the window that is all of every sequence
HALO_SHARE = 8  # a halo is the window divided by this, unless it is given


@dataclass(frozen=True)
class Plan:
    """A sequence of ``length`` positions in tiles of ``tile_length``; the last may be shorter.

    The last ``kept`` tiles run forward once, with their tapes kept until the adjoint sweep; all
    others run forward in the primal sweep, and again when they are replayed.
    """

    length: int
    tile_length: int
    kept: int = 1

    def __post_init__(self) -> None:
        for name in ("length", "tile_length", "kept"):
            object.__setattr__(self, name, whole_number(getattr(self, name), name, 1))

    @property
    def tiles(self) -> int:
        return -(-self.length // self.tile_length)

    @property
    def replayed(self) -> int:
        """Tiles of the primal sweep, which the adjoint sweep replays: 0, 1, .. replayed - 1."""
        return max(self.tiles - self.kept, 0)

    def bounds(self, k: int) -> tuple[int, int]:
        """Start and stop of tile k."""
        start = k * self.tile_length
        return start, min(start + self.tile_length, self.length)

    def meeting(self, spans: Iterable[Span]) -> list[int]:
        """Tiles that hold a position of the spans, ascending."""
        size = self.tile_length
        return sorted(set().union(*(range(a // size, -(-b // size)) for a, b in spans)))


def layer_plan(length: int, tile_length: int = LAYER_TILE) -> Plan:
    """The tiles of the layers of a bidirectional model."""
    return Plan(length, min(tile_length, max(-(-length // 2), SHORTEST_LAYER_TILE)))


@dataclass(frozen=True)
class Cost:
    """Bytes that sweeps of a model need; ``batch`` sequences run in lock-step.

    Attributes
    ----------
    weights, state : int
        Bytes of the weights, and of one boundary state of the batch.
    tape_per_base : int
        Bytes kept per position of a tile of one sequence between forward and backward pass.
    """

    weights: int
    state: int
    tape_per_base: int
    batch: int = 1

    @classmethod
    def of(cls, config: MambaConfig, parameters: int, batch: int, itemsize: int) -> Cost:
        """Cost of a causal stack with numbers of ``itemsize`` bytes."""
        c = config
        # The backward pass of one layer holds about as many cotangents as its tape.
        numbers = c.n_layer * _tape_of_layer(c) + 8 * c.mixer.d_inner + 8 * c.vocab_rows
        return cls(
            weights=parameters * itemsize,
            state=batch * c.state_size * itemsize,
            tape_per_base=numbers * itemsize,
            batch=batch,
        )

    def memory(self, tile_length: int) -> int:
        """Peak resident bytes of an adjoint sweep, whatever the length of the sequence."""
        tapes = HOLES * max(self.batch, TAPES) * tile_length * self.tape_per_base
        return BASE_BYTES + 2 * self.weights + 4 * self.state + math.ceil(tapes)

    def plan(self, length: int, tile_length: int | None = None, kept: int | None = None) -> Plan:
        """The plan of a fast adjoint sweep over one sequence, or as it is given.

        A tile whose tape is kept need not be replayed, which saves a quarter of its time. All of
        a short sequence are kept, and one of a long sequence, whose memory is then constant.

        Parameters
        ----------
        tile_length, kept : int, optional
            As in `Plan`; None is for us to choose.
        """
        if tile_length is not None:
            return Plan(length, tile_length, 1 if kept is None else kept)
        share = 1 << (-(-length // SHARES) - 1).bit_length()  # a power of two
        plan = Plan(length, min(max(share, SHORTEST_SHARE), TILE_LENGTH))
        if kept is None:
            short = plan.tiles <= SHARES and length * self.tape_per_base <= KEPT_BYTES
            kept = plan.tiles if short else 1
        return replace(plan, kept=kept)

    def longest_tile(self, memory: int) -> int:
        """Longest tile, a power of two, whose sweep stays within ``memory`` bytes.

        Raises
        ------
        UsageError
            When not even the shortest useful tile fits.
        """
        tile = LONGEST_TILE
        while tile >= SHORTEST_TILE:
            if self.memory(tile) <= memory:
                return tile
            tile //= 2
        least = -(-self.memory(SHORTEST_TILE) // 2**20)
        raise UsageError(
            f"`max_memory` {memory // 2**20}M is too small for one tile of this model; "
            f"give at least {least}M"
        )

    def spool_bytes(self, plan: Plan) -> int:
        """Disk for the boundary states of one sweep."""
        return plan.replayed * self.state


def _tape_of_layer(c: MambaConfig) -> int:
    """Numbers kept per position of a tile for the backward pass of one layer."""
    # the residual, the norm and its output, and the mixer's
    return 4 * c.d_model + c.mixer.tape


@dataclass(frozen=True)
class WindowCost:
    """Bytes that a bidirectional model needs, in windows or layer by layer.

    Attributes
    ----------
    weights : int
        Bytes of the weights.
    layer_tape : int
        Bytes of the tapes of one position of one layer, of all sweeps that run at a time.
    per_base : int
        Bytes kept per position of a window.
    rows, direct, states : int
        Bytes that are stored of one sequence, layer by layer: of a layer for each position, of the
        input for each position, of the boundary states of a layer for each tile.
    n_layer : int
    """

    weights: int
    layer_tape: int
    per_base: int
    rows: int = 0
    direct: int = 0
    states: int = 0
    n_layer: int = 1

    @classmethod
    def of(cls, config: MambaConfig, parameters: int, itemsize: int) -> WindowCost:
        """Cost of a bidirectional stack with numbers of ``itemsize`` bytes."""
        c = config
        # The input of every layer; outputs and cotangents of the two directions of one.
        strands = 1 if c.complement is None else 2
        stream = strands * (c.n_layer + 7) * c.d_model
        return cls(
            weights=parameters * itemsize,
            layer_tape=4 * 2 * _tape_of_layer(c) * itemsize,
            per_base=(stream + 12 * c.vocab_rows) * itemsize,
            rows=strands * c.d_model * itemsize,
            direct=c.vocab_rows * itemsize,
            states=2 * strands * c.mixer.state_size * itemsize,
            n_layer=c.n_layer,
        )

    def memory(self, window: int, tile_length: int = LAYER_TILE) -> int:
        """Peak resident bytes, whatever the length of the sequence."""
        positions = max(window, BATCH_POSITIONS, 4 * tile_length)
        tapes = tile_length * self.layer_tape
        return BASE_BYTES + 2 * self.weights + tapes + positions * self.per_base

    def in_memory(self, memory: int) -> int:
        """The longest sequence that is run in memory within ``memory`` bytes; 0 if none is."""
        if self.memory(1) > memory:
            return 0
        return BATCH_POSITIONS + (memory - self.memory(BATCH_POSITIONS)) // self.per_base

    def longest_window(
        self, memory: int, at_most: int, halo: Callable[[int], int] = lambda window: 0
    ) -> int:
        """Longest window, ``at_most`` halved as often as needed, that stays within ``memory``.

        Parameters
        ----------
        halo : callable
            The halo of a window; it is doubled where its error is measured.

        Raises
        ------
        UsageError
            When not even a short one fits.
        """
        window = at_most
        while self.memory(window + 2 * halo(window)) > memory:
            if window <= BATCH_POSITIONS:
                least = -(-self.memory(1) // 2**20)
                raise UsageError(
                    f"`max_memory` {memory // 2**20}M is too small for one window of this model; "
                    f"give at least {least}M"
                )
            window = max(window // 2, 1)
        return window

    def longest_tile(self, memory: int) -> int:
        """Longest tile of a layer, `LAYER_TILE` halved as often as needed, within ``memory``.

        Raises
        ------
        UsageError
            When not even a short one fits.
        """
        tile = LAYER_TILE
        while self.memory(1, tile) > memory:
            tile //= 2
            if tile < SHORTEST_TILE:
                least = -(-self.memory(1, SHORTEST_TILE) // 2**20)
                raise UsageError(
                    f"`max_memory` {memory // 2**20}M is too small for one tile of this model; "
                    f"give at least {least}M"
                )
        return tile
