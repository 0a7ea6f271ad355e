"""What may be asked of ``impulse``, for the command line too: nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pgf_genome.engine.plan import TILE_LENGTH
from pgf_genome.errors import UsageError
from pgf_genome.intervals import Site, parse_site
from pgf_genome.quantities import whole_number

SUBSTITUTION, TANGENT = "substitution", "tangent"
KINDS = (SUBSTITUTION, TANGENT)
# By strand, those that are read, upstream first.
STRANDS: Mapping[str, str] = {"+": "+", "-": "-", "both": "-+"}
FORMATS = ("bedgraph", "bigwig")


def kind_of(kind: str) -> str:
    """The kind itself.

    Raises
    ------
    UsageError
        If it is none of `KINDS`.
    """
    if kind not in KINDS:
        raise UsageError(f"`kind` must be {' or '.join(KINDS)}, not {kind!r}")
    return kind


@dataclass(frozen=True)
class Options:
    """What is computed and written.

    Attributes
    ----------
    at : sequence of str
        Sites, 1-based: ``chr1:1,001:A>G``; ``chr1:1,001`` stands for the three substitutions there.
    kind : str
        substitution or tangent.
    strand : str
        +, - or both: the strand that the model reads. + responds downstream of a site, - upstream;
        both are put together.
    gap_length : int
        The model starts anew after every run of N of at least this length.
    formats : sequence of str
        Any of bedgraph, bigwig.
    compress : bool
        Whether bedGraph is bgzip with a tabix index.
    tile : int
        Positions per tile.
    scratch_dir : path, optional
        Folder for temporary files; beside the outputs if None.

    Raises
    ------
    SequenceError
        If a text is no site.
    UsageError
        If another value is not known or out of its range.
    """

    LEAST: ClassVar[Mapping[str, int]] = {"gap_length": 1, "tile": 1}

    at: Sequence[str]
    kind: str = SUBSTITUTION
    strand: str = "+"
    gap_length: int = 10_000
    formats: Sequence[str] = FORMATS
    compress: bool = True
    tile: int = TILE_LENGTH
    scratch_dir: str | Path | None = None

    def __post_init__(self) -> None:
        for name in ("at", "formats"):
            given = getattr(self, name)
            values = (given,) if isinstance(given, str) else tuple(dict.fromkeys(given))
            if not values:
                raise UsageError(f"`{name}` names none; give at least one")
            object.__setattr__(self, name, values)
        for text in self.at:
            parse_site(text)
        kind_of(self.kind)
        if self.strand not in STRANDS:
            raise UsageError(f"`strand` must be {', '.join(STRANDS)}, not {self.strand!r}")
        unknown = [kind for kind in self.formats if kind not in FORMATS]
        if unknown:
            raise UsageError(f"`formats` {unknown[0]}: choose from {', '.join(FORMATS)}")
        for name, least in self.LEAST.items():
            object.__setattr__(self, name, whole_number(getattr(self, name), name, least))

    @property
    def signs(self) -> str:
        """The strands that are read, upstream first."""
        return STRANDS[self.strand]

    @property
    def sites(self) -> list[Site]:
        """The sites that are named."""
        return [parse_site(text) for text in self.at]
