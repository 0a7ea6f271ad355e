"""Options of the experiment `throughput`, for the command line too: nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgf_genome.errors import UsageError
from pgf_genome.quantities import finite_number, whole_number

# keys of `peers.METHODS`
PEERS = (
    "pgf",
    "transformers",
    "mambapy",
    "transformers-compiled",
    "checkpoint",
    "segments",
    "mamba_ssm",
)
# the least that options with whole numbers may be
LEAST = {
    "lengths": 2,
    "segments": 1,
    "tiles": 1,
    "kept": 1,
    "layers": 1,
    "width": 1,
    "states": 1,
    "threads": 0,
    "repeat": 1,
    "max_memory": 1,
    "seed": 0,
}


@dataclass(frozen=True)
class Settings:
    """Options of the experiment.

    Attributes
    ----------
    lengths : tuple of int
        Lengths of the sequences in bases, L.
    methods : tuple of str
        Keys of `peers.METHODS`.
    layers, width, states : int
        Sizes of the model; D = ``width``, N = ``states``.
    segments : tuple of int
        Segment lengths that the method "segments" tries; the fastest is reported.
    tiles : tuple of int
        Tile lengths that our method tries; the fastest is reported. If empty, these are the default
        of `adjoint` and the length that `attribute` chooses for its default memory.
    kept : tuple of int
        Numbers of tiles whose tapes our method keeps, as `adjoint` does; the fastest is reported.
    threads : int
        0 is all cores.
    repeat : int
        Runs whose median counts, after one that does not.
    timeout : float
        Seconds of wall time for one method at one length, with all its runs and preparation.
    max_memory : int, optional
        Resident bytes at which a method is stopped; 80 % of the machine's if None.
    device : str
        ``"cpu"``, ``"cuda[:INDEX]"`` or ``"auto"``.
    seed : int
        Seed of model and sequence.
    """

    lengths: Sequence[int] = (1024, 4096, 16384)
    methods: Sequence[str] = PEERS
    layers: int = 4
    width: int = 128
    states: int = 16
    segments: Sequence[int] = (256, 512, 1024, 2048)
    tiles: Sequence[int] = ()
    kept: Sequence[int] = (1, 16)
    threads: int = 0
    repeat: int = 3
    timeout: float = 300.0
    max_memory: int | None = None
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        # heavy, and the command line reads the fields above
        from pgf_genome.checkpoints.load import resolve_device
        from pgf_genome.experiments.peers import METHODS

        for name in ("lengths", "methods", "segments", "tiles", "kept"):
            object.__setattr__(self, name, tuple(dict.fromkeys(getattr(self, name))))
            if not getattr(self, name) and name != "tiles":
                raise UsageError(f"`{name}` names none; leave it out for the default")
        object.__setattr__(self, "lengths", tuple(sorted(self.lengths)))
        object.__setattr__(self, "device", str(resolve_device(self.device)))
        for name in self.methods:
            if name not in METHODS:
                raise UsageError(f"`methods` {name}: choose from {', '.join(METHODS)}")
        for name, least in LEAST.items():
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if number is not None:
                    whole_number(number, name, least)
        finite_number(self.timeout, "timeout", positive=True)
