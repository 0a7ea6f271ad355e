"""The lane of genes and other features: one BED file that every browser reads.

Browsers label a GFF3 file by attributes of their own choice, often the accession of a protein, and
some read none. In this file a gene is one line of twelve columns: its name, its strand, and its
coding sequence or exons as blocks (genome.ucsc.edu/FAQ/FAQformat.html#format1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pgf_genome.intervals import Span
from pgf_genome.sequence.parts import Parts

# Of the parts of a gene, the first of these types that it has are its blocks.
BLOCKS = ("CDS", "exon")


def genes_bed(parts: Mapping[str, Sequence[Parts]], contigs: Iterable[str]) -> str:
    """Text of the file, ascending; a family of parts is a line, as a gene or a feature of its own.

    Parameters
    ----------
    parts : mapping of str to sequence of Parts
        By contig.
    contigs : iterable of str
        In the order of the run.
    """
    lines = []
    for contig in contigs:
        families: dict[str, list[Parts]] = {}
        for each in parts.get(contig, ()):
            families.setdefault(each.family, []).append(each)
        lines += sorted(_line(contig, each) for each in families.values())
    return "".join("\t".join(map(str, line)) + "\n" for line in lines)


def _line(contig: str, parts: Sequence[Parts]) -> tuple[str | int, ...]:
    start = min(each.extent[0] for each in parts)
    stop = max(each.extent[1] for each in parts)
    by_kind = {each.kind: each.spans for each in parts}
    thick = next((by_kind[kind] for kind in BLOCKS if kind in by_kind), ((start, stop),))
    spans = list(_filling(thick, start, stop))
    strand = parts[0].strand if parts[0].strand in ("+", "-") else "."
    # a space would end the name for some readers
    name = "_".join(parts[0].name.split()) or parts[0].kind
    return (
        *(contig, start, stop, name, 0, strand, thick[0][0], thick[-1][1], 0, len(spans)),
        ",".join(str(b - a) for a, b in spans),
        ",".join(str(a - start) for a, _ in spans),
    )


def _filling(spans: Sequence[Span], start: int, stop: int) -> Iterator[Span]:
    """The spans, with the rest up to both ends: the first block begins and the last ends there."""
    if spans[0][0] > start:
        yield start, spans[0][0]
    yield from spans
    if spans[-1][1] < stop:
        yield spans[-1][1], stop
