"""Plans: how a sequence is cut into tiles, and what that costs, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

from pgf_genome.errors import UsageError
from pgf_genome.mamba.config import MambaConfig

# Resident memory of the process before the first tile: interpreter, torch, compiled kernels.
BASE_BYTES = 450 * 2**20
DEFAULT_MEMORY = 1200 * 2**20
LONGEST_TILE = 65_536
SHORTEST_TILE = 64


@dataclass(frozen=True)
class Plan:
    """A sequence of ``length`` positions in tiles of ``tile_length``; the last may be shorter."""

    length: int
    tile_length: int

    def __post_init__(self) -> None:
        if self.length < 1 or self.tile_length < 1:
            raise UsageError(
                f"cannot cut {self.length} bases into tiles of {self.tile_length}; both must be "
                "at least 1"
            )

    @property
    def tiles(self) -> int:
        return -(-self.length // self.tile_length)

    def bounds(self, k: int) -> tuple[int, int]:
        """Start and stop of tile k."""
        start = k * self.tile_length
        return start, min(start + self.tile_length, self.length)


@dataclass(frozen=True)
class Cost:
    """Bytes that sweeps of a model need; ``batch`` sequences run in lock-step.

    Attributes
    ----------
    weights, state : int
        Bytes of the weights, and of one boundary state of the batch.
    tape_per_base : int
        Bytes kept per position of a tile between its replay and its backward pass.
    """

    weights: int
    state: int
    tape_per_base: int

    @classmethod
    def of(cls, config: MambaConfig, parameters: int, batch: int, itemsize: int) -> Cost:
        """Cost of a causal Mamba-1 stack with numbers of ``itemsize`` bytes."""
        c = config
        projections = c.dt_rank + 2 * c.d_state
        # Per layer: residual, norm and its output; input of the convolution, its output, gate,
        # step size, scan output; B, C and their joint projection; stored states of the scan.
        layer = 4 * c.d_model + 6 * c.d_inner + 2 * projections + c.d_inner * c.d_state // 16
        # The backward pass of one layer holds about as many cotangents at once.
        numbers = c.n_layer * layer + 8 * c.d_inner + 8 * c.vocab_rows
        return cls(
            weights=parameters * itemsize,
            state=batch * c.state_size * itemsize,
            tape_per_base=batch * numbers * itemsize,
        )

    def memory(self, tile_length: int) -> int:
        """Peak resident bytes of an adjoint sweep, whatever the length of the sequence."""
        return BASE_BYTES + 2 * self.weights + 4 * self.state + tile_length * self.tape_per_base

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
            f"--max-memory {memory // 2**20}M is too small for one tile of this model; "
            f"give at least {least}M"
        )

    def spool_bytes(self, plan: Plan) -> int:
        """Disk for the boundary states of one sweep."""
        return max(plan.tiles - 1, 0) * self.state
