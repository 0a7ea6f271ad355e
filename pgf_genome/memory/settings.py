"""Options of a measurement, which the command line reads too: nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from pgf_genome.errors import UsageError
from pgf_genome.quantities import whole_number

MEASURES = ("layers", "influence")
DRIVES = ("uniform", "markov", "real")
# the least that options with whole numbers may be, if it is not 1
LEAST = {"span": 2, "seed": 0}


@dataclass(frozen=True)
class Settings:
    """Options of a measurement, under the names that they have on the command line.

    Attributes
    ----------
    measure : sequence of str
        ``"layers"`` (memory functions and time constants), ``"influence"`` (adjoint probes); both
        if empty, or influence alone with ``halo``.
    drives : sequence of str
        Any of ``"uniform"``, ``"markov"`` and ``"real"``.
    bases : int
        Bases of the FASTA to measure the layers on, and as many of every other drive.
    probes : int
        Predictions that are differentiated under every drive.
    channels : int
        Channels of every layer whose states are measured.
    max_lag : int
        Longest lag of the memory functions.
    span : int
        Largest number of bases that a probe sees; for a bidirectional model its window.
    tile : int
        Positions per tile.
    gap_length : int
        A run of N of at least this length is not measured across.
    seed : int
        Seed of the random drives.
    halo : float, optional
        Part of the influence that may lie beyond a halo.
    """

    measure: Sequence[str] = ()
    drives: Sequence[str] = DRIVES
    bases: int = 200_000
    probes: int = 16
    channels: int = 16
    max_lag: int = 4000
    span: int = 8192
    tile: int = 1024
    gap_length: int = 10_000
    seed: int = 0
    halo: float | None = None

    def __post_init__(self) -> None:
        if not self.measure:
            object.__setattr__(self, "measure", MEASURES if self.halo is None else ("influence",))
        for name, known in (("measure", MEASURES), ("drives", DRIVES)):
            given = getattr(self, name)
            chosen = (given,) if isinstance(given, str) else tuple(given)
            wrong = [value for value in chosen if value not in known]
            if wrong or not chosen:
                what = f"`{name}` {wrong[0]}" if wrong else f"`{name}` names none"
                raise UsageError(f"{what}: choose from {', '.join(known)}")
            object.__setattr__(self, name, tuple(v for v in known if v in chosen))
        if self.halo is not None and not 0 < self.halo < 1:
            raise UsageError(f"`halo` must lie between 0 and 1, not {self.halo}")
        if self.halo is not None and "influence" not in self.measure:
            raise UsageError("`halo` needs `measure` influence")
        for name in (field.name for field in fields(self) if field.type == "int"):
            value = whole_number(getattr(self, name), name, LEAST.get(name, 1))
            object.__setattr__(self, name, value)
