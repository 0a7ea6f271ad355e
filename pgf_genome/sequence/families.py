"""Which features of an annotation belong together, and under which name."""

from __future__ import annotations

from pgf_genome.intervals import Span
from pgf_genome.sequence.gff import Feature

# The attribute that names a gene: the first of these that is there.
_NAMED_BY = ("gene", "Name", "locus_tag")


class Families:
    """What is a part of what, and how far each reaches."""

    def __init__(self) -> None:
        self._parents: dict[tuple[str, str], str] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._spans: dict[tuple[str, str], Span] = {}

    def note(self, feature: Feature) -> None:
        given = feature.attributes
        own, parent = given.get("ID", ""), given.get("Parent", "").partition(",")[0]
        if own and parent and feature.kind not in ("CDS", "exon"):
            self._parents[feature.contig, own] = parent
        top = feature.contig, parent or own
        # what a CDS has as its Name is often the accession of a protein
        words = ("gene", "locus_tag", "Name") if feature.kind == "CDS" else _NAMED_BY
        if name := next(filter(None, map(given.get, words[:1] if parent else words)), None):
            self._names.setdefault(top, name)
        if feature.is_genic:
            start, stop = self._spans.get(top, (feature.start, feature.stop))
            self._spans[top] = min(start, feature.start), max(stop, feature.stop)

    def top(self, contig: str, name: str) -> str:
        """The ID at the top of a family; a circle has none, and is left where it is met again."""
        seen = {name}
        while (parent := self._parents.get((contig, name), "")) and parent not in seen:
            seen.add(parent)
            name = parent
        for each in seen - {name}:  # so that a long line of parents is gone up once
            self._parents[contig, each] = name
        self._parents.pop((contig, name), None)
        return name

    def name(self, contig: str, top: str) -> str:
        """The name of a gene: that which the file gives, or its ID."""
        return self._names.get((contig, top)) or top.removeprefix("gene:").removeprefix("gene-")

    def genes(self) -> dict[tuple[str, str], Span]:
        """First and last base of each family, by contig and top."""
        spans: dict[tuple[str, str], Span] = {}
        for (contig, name), (start, stop) in self._spans.items():
            key = contig, self.top(contig, name)
            known = spans.get(key, (start, stop))
            spans[key] = min(known[0], start), max(known[1], stop)
        return spans
