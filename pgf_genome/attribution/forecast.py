"""The plan of a run with its cost, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pgf_genome.attribution.task import Task

# Seconds for the records and rows of a segment and of each stretch that is written, besides the
# sweeps: a core of 2023, three tracks, 100,000 segments.
SEGMENT_SECONDS, STRETCH_SECONDS = 0.003, 0.0005


@dataclass(frozen=True)
class Speed:
    """Seconds that the adjoint sweep of one strand takes.

    Attributes
    ----------
    base : float
        For every base.
    sweep : float
        For a sweep, whatever its length.
    """

    base: float
    sweep: float

    def seconds(self, bases: int, segments: int, stretches: int, strands: int) -> float:
        """Time of a run that writes so many stretches of so many segments, in seconds."""
        sweeps = strands * (bases * self.base + segments * self.sweep)
        return sweeps + segments * SEGMENT_SECONDS + stretches * STRETCH_SECONDS


@dataclass(frozen=True, slots=True)
class Planned:
    """A segment as it will be computed.

    Attributes
    ----------
    contig : str
    start, stop : int
        Bases that the model sees, 0-based half-open.
    tiles : int
        Tiles, or batches of windows.
    write : int
        Bases that are written.
    """

    contig: str
    start: int
    stop: int
    tiles: int
    write: int

    @classmethod
    def of(cls, task: Task) -> Planned:
        s = task.segment
        written = sum(stop - start for start, stop in s.write)
        return cls(s.contig, s.start, s.stop, len(task.pieces), written)


@dataclass(frozen=True)
class Forecast:
    """A run before it begins.

    Attributes
    ----------
    segments : tuple of Planned
    cut : tuple of (str, str)
        What sequences are cut into, and how.
    layout : dict of str to int
        The same in numbers, as in ``run.json``.
    memory_bytes : int
        Expected peak of resident memory, whatever the length of the contigs.
    scratch_bytes : int
        Most scratch in use at once; linear in the length.
    scratch_folder : str
        Where it will lie until the run is done.
    seconds : float
        Expected time on ``device``.
    device : str
    """

    segments: tuple[Planned, ...]
    cut: tuple[str, str]
    layout: dict[str, int]
    memory_bytes: int
    scratch_bytes: int
    scratch_folder: str
    seconds: float
    device: str

    def facts(self) -> dict[str, Any]:
        """The forecast in plain values, for JSON."""
        facts = asdict(self)
        del facts["cut"]
        return facts

    def __str__(self) -> str:
        """Tab-separated lines: the segments, and what the run takes."""
        lines: list[tuple[object, ...]] = [("contig", "start", "stop", "tiles", "write")]
        lines += [(s.contig, s.start, s.stop, s.tiles, s.write) for s in self.segments]
        name, how = self.cut
        memory, scratch = self.memory_bytes / 2**20, self.scratch_bytes / 2**20
        lines += [
            (f"# {name}", how),
            ("# memory", f"{memory:,.0f} MiB, whatever the length of the contigs"),
            ("# scratch disk", f"{scratch:,.1f} MiB, linear in the length"),
            ("# scratch folder", f"{self.scratch_folder}, removed when the run is done"),
            ("# time", f"{self.seconds:,.0f} s on {self.device}, about"),
        ]
        return "\n".join("\t".join(map(str, line)) for line in lines)
