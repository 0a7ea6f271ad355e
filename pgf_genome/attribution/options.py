"""Options of `attribute`, checked before anything is read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

from pgf_genome.attribution.methods import DEFAULT_TRACKS, METHODS
from pgf_genome.attribution.values import track_names
from pgf_genome.engine.objective import Objective
from pgf_genome.errors import UsageError

FORMATS = ("bedgraph", "bigwig")
# What selects the bases to write, and how they are written: runs that differ in these alone can be
# merged.
VARYING = (
    "region", "bed", "contig", "formats", "compress", "track_line", "report", "max_memory",
)  # fmt: skip
STRANDS = {"+": "+", "-": "-", "both": "+-"}


@dataclass(frozen=True)
class Options:
    """Options of `attribute`; each is explained in the help of the command line.

    Where several things can be given, one alone can be given as it is.
    """

    region: Sequence[str] = ()
    bed: Sequence[str | Path] = ()
    contig: Sequence[str] = ()
    context: int | None = None
    target: Sequence[str] = ()
    objective: str | Objective = "likelihood"
    method: str = "corrected"
    tracks: Sequence[str] = DEFAULT_TRACKS
    strand: str = "both"
    gap_length: int = 10_000
    formats: Sequence[str] = FORMATS
    compress: bool = True
    track_line: bool = False
    bins: Sequence[int] = ()
    chrom_alias: str | Path | None = None
    report: bool = True
    tile: int | None = None
    window: int | None = None
    halo: int | None = None
    max_memory: int | None = None
    scratch_dir: str | Path | None = None
    threads: int | None = None
    resume: bool = True

    def __post_init__(self) -> None:
        for name in ("region", "bed", "contig", "target", "tracks", "formats", "bins"):
            object.__setattr__(self, name, _items(getattr(self, name)))
        for name in ("context", "gap_length", "tile", "window", "halo", "max_memory", "threads"):
            object.__setattr__(self, name, _whole(name, getattr(self, name)))
        object.__setattr__(self, "tracks", track_names(self.tracks))
        object.__setattr__(self, "formats", tuple(dict.fromkeys(self.formats)))
        object.__setattr__(self, "bins", tuple(dict.fromkeys(self.bins)))
        if not self.formats:
            raise UsageError(f"`formats` names none; choose from {', '.join(FORMATS)}")
        choices: list[tuple[str, str, Collection[str]]] = [
            ("strand", self.strand, STRANDS),
            ("method", self.method, METHODS),
            *(("formats", each, FORMATS) for each in self.formats),
        ]
        for option, name, allowed in choices:
            if name not in allowed:
                raise UsageError(f"`{option}` {name}: choose from {', '.join(allowed)}")
        for option, value, least in (
            ("gap_length", self.gap_length, 1),
            ("tile", self.tile, 1),
            ("window", self.window, 1),
            ("halo", self.halo, 0),
            ("context", self.context, 0),
            ("threads", self.threads, 1),
            *(("bins", width, 2) for width in self.bins),
        ):
            if value is not None and value < least:
                raise UsageError(f"`{option}` must be at least {least}, not {value}")
        if self.track_line and self.compress and "bedgraph" in self.formats:
            raise UsageError(
                "`track_line` needs `no_compress` (compress=False): tabix cannot index a track line"
            )


def _items(value: Any) -> tuple[Any, ...]:
    """The items of a list; one text, path or number is one item."""
    return (value,) if isinstance(value, str | PathLike | Integral) else tuple(value)


def _whole(name: str, value: Any) -> int | None:
    """A whole number of any library, or None.

    Raises
    ------
    UsageError
        For anything else.
    """
    if value is None or (isinstance(value, Integral) and not isinstance(value, bool)):
        return value if value is None else int(value)
    raise UsageError(f"`{name}` must be a whole number, not {value!r}")
