"""The parts of genes by type, and other features: what lies where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from pgf_genome.intervals import Span
from pgf_genome.sequence.families import Families
from pgf_genome.sequence.gff import NAMELESS, Feature
from pgf_genome.sequence.overlaps import Overlaps, between, by_contig

# What the IDs of features without a name begin with: ours, and NCBI's.
_MADE_UP = (NAMELESS, "id-")


@dataclass(frozen=True)
class Parts:
    """The parts of one type that a gene has, or a feature that belongs to no gene.

    Attributes
    ----------
    name : str
        Of the gene, or of the feature.
    kind : str
        Type of feature.
    strand : str
    spans : tuple of (start, stop)
        The bases of all of them, 0-based half-open: joined where they overlap, ascending.
    family : str
        What the parts of one gene have in common, and those of no other on the contig.
    is_genic : bool
    """

    name: str
    kind: str
    strand: str
    spans: tuple[Span, ...]
    family: str
    is_genic: bool = True

    @property
    def extent(self) -> Span:
        """From the first to the last base."""
        return self.spans[0][0], self.spans[-1][1]


class Near(NamedTuple):
    """What lies at a position, or nearest to it.

    Attributes
    ----------
    name : str
        Of the gene, or of the feature that belongs to no gene.
    kind : str
        Type of the smallest feature that holds the position; "upstream" or "downstream" outside.
    distance : int
        Bases to it, 0 inside; negative upstream, on the strand of the gene.
    """

    name: str
    kind: str
    distance: int


class Places:
    """What lies at the positions of a genome.

    Parameters
    ----------
    parts : mapping of str to iterable of Parts
        By contig.
    """

    def __init__(self, parts: Mapping[str, Iterable[Parts]]) -> None:
        self.parts = parts

    @cached_property
    def _all_parts(self) -> dict[str, Overlaps[Parts]]:
        return by_contig(_spans_of(self.parts, genic_only=False))

    @cached_property
    def _genic_parts(self) -> dict[str, Overlaps[Parts]]:
        return by_contig(_spans_of(self.parts, genic_only=True))

    def near(self, contig: str, position: int) -> Near | None:
        """Find the smallest feature at a position, or else the nearest one of a gene.

        Of features of one size a CDS comes before an exon, that before a transcript, and a gene
        last.
        """
        if contig not in self._all_parts:
            return None
        here = self._all_parts[contig].of(position, position + 1)
        if here:
            start, _, part = min(here, key=lambda span: (span[1] - span[0], _depth(span[2].kind)))
            return Near(part.name, part.kind, 0)
        nearest = self._genic_parts.get(contig, self._all_parts[contig]).nearest(position)
        if nearest is None:
            return None
        start, _, part = nearest
        before = (position < start) == (part.strand != "-")
        distance = between(nearest, position)
        return Near(part.name, *(("upstream", -distance) if before else ("downstream", distance)))


def _spans_of(
    parts: Mapping[str, Iterable[Parts]], genic_only: bool
) -> dict[str, list[tuple[int, int, Parts]]]:
    kept = {
        contig: [(*span, each) for each in found if each.is_genic or not genic_only
                 for span in each.spans]
        for contig, found in parts.items()
    }  # fmt: skip
    return {contig: spans for contig, spans in kept.items() if spans}


def _depth(kind: str) -> int:
    """Types by what is a part of what, outermost last."""
    if kind.endswith("gene"):
        return 3
    return 2 if kind.endswith(("RNA", "transcript")) else int(kind == "exon")


class Collected:
    """The spans of features by contig, family and type, in file order."""

    def __init__(self, families: Families) -> None:
        self._families = families
        self._spans: dict[tuple[str, str, str], set[Span]] = {}
        self._kinds: dict[tuple[str, str, str], tuple[str, bool]] = {}

    def note(self, feature: Feature) -> None:
        given, contig = feature.attributes, feature.contig
        own = given.get("Parent", "").partition(",")[0] or given["ID"]
        # parents mostly come first, and then all of a gene share one set from the start
        key = contig, self._families.top(contig, own), feature.kind
        self._spans.setdefault(key, set()).add((feature.start, feature.stop))
        self._kinds.setdefault(key, (feature.strand, feature.is_genic))

    def parts(self) -> dict[str, tuple[Parts, ...]]:
        """All of them, by contig."""
        families, joined = self._families, dict[tuple[str, str, str], set[Span]]()
        kinds: dict[tuple[str, str, str], tuple[str, bool]] = {}
        for (contig, name, kind), spans in self._spans.items():
            key = contig, families.top(contig, name), kind
            joined.setdefault(key, set()).update(spans)
            kinds.setdefault(key, self._kinds[contig, name, kind])
        found: dict[str, list[Parts]] = {}
        for (contig, top, kind), spans in joined.items():
            name = families.name(contig, top)
            name = kind if name.startswith(_MADE_UP) else name
            strand, is_genic = kinds[contig, top, kind]
            parts = Parts(name, kind, strand, _union(spans), top, is_genic)
            found.setdefault(contig, []).append(parts)
        return {contig: tuple(each) for contig, each in found.items()}


def _union(spans: Iterable[Span]) -> tuple[Span, ...]:
    joined: list[Span] = []
    for start, stop in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], stop)
        else:
            joined.append((start, stop))
    return tuple(joined)
