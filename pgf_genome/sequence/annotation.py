"""Genes and coding sequences of a GFF3 or GTF file.

GFF3: version 1.26 of the Sequence Ontology's specification. GTF: version 2.2, in which the stop
codon does not belong to the CDS; here it always does.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import unquote

import numpy as np
from Bio.Data import CodonTable

from pgf_genome.errors import SequenceError
from pgf_genome.intervals import Span, unknown_contig
from pgf_genome.lines import text_lines

# Types of features that are genes, or parts of them.
GENIC = re.compile(r"CDS|exon|transcript|start_codon|stop_codon|.*gene|.*RNA")
_COLUMNS = 9
_GTF = re.compile(r'\s*\w+ "')
# from a word's beginning only, or a long word would be tried from each of its letters
_GTF_ATTRIBUTE = re.compile(r'\b(\w+) "([^"]*)"')
_POSITION = re.compile(r"\d{1,18}", re.ASCII)
# features, which are held in memory in part
_MOST = 10_000_000
_ATTRIBUTES = ("ID", "Parent", "Name", "gene", "locus_tag", "pseudo", "transl_table")

T = TypeVar("T")

log = logging.getLogger("pgf_genome")


class Feature(NamedTuple):
    """A feature that is a gene or a part of one; positions are 0-based half-open.

    A GTF file is told in the words of GFF3: ``Parent`` is the gene, ``ID`` the transcript (or, for
    a gene, the gene), ``gene`` the gene's name. One with neither ID nor Parent is given an ID.
    """

    contig: str
    kind: str
    start: int
    stop: int
    strand: str
    phase: int
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class CodingSequence:
    """What is translated into one protein.

    Attributes
    ----------
    name : str
        Its ID.
    contig, strand : str
    parts : tuple of (start, stop)
        0-based half-open on the plus strand, in the order of translation, stop codon included.
    phase : int
        Bases at its beginning that belong to a codon of which the rest is not there.
    table : int or None
        NCBI's number of the translation table, if the file gives one.
    gene : str
        Name of the gene, "" if the file gives none.
    parent : str
        ID of what it is a part of, "" for nothing.
    """

    name: str
    contig: str
    strand: str
    parts: tuple[Span, ...]
    phase: int = 0
    table: int | None = None
    gene: str = ""
    parent: str = ""

    @property
    def positions(self) -> np.ndarray:
        """Positions of its bases in the order of translation, (n,) int64."""
        step = 1 if self.strand == "+" else -1
        return np.concatenate([np.arange(*part)[::step] for part in self.parts])


class Overlaps(Generic[T]):
    """Intervals of one contig with a value each, found by what they overlap."""

    def __init__(self, spans: Iterable[tuple[int, int, T]]) -> None:
        self._spans = sorted(spans, key=lambda span: span[:2])
        self._starts = [start for start, _, _ in self._spans]
        # the farthest stop up to each of them, which ascends
        self._reach = list(accumulate((stop for _, stop, _ in self._spans), max))

    def of(self, start: int, stop: int) -> list[tuple[int, int, T]]:
        """Those that share a base with a span, or that hold the place between two bases."""
        first, last = bisect_right(self._reach, start), bisect_left(self._starts, stop)
        return [span for span in self._spans[first:last] if span[1] > start]


@dataclass(frozen=True)
class Annotation:
    """Genes and coding sequences, by contig.

    Attributes
    ----------
    genes : mapping of str to Overlaps
        From the first to the last base of each gene, with its name.
    coding : mapping of str to Overlaps
        Every part of every coding sequence, with the coding sequence.
    """

    genes: Mapping[str, Overlaps[str]]
    coding: Mapping[str, Overlaps[CodingSequence]]


def read_features(path: str | Path) -> Iterator[Feature]:
    """Read the genic features of a GFF3 or GTF file, plain or gzip, in file order.

    Raises
    ------
    SequenceError
        If the file cannot be read, or a line is none of these formats.
    """
    count = 0
    in_sequence = False  # read on all the same, for the checksum at the end of gzip data
    for number, line in enumerate(text_lines(path, "GFF file"), 1):
        in_sequence = in_sequence or line.startswith(("##FASTA", ">"))
        if in_sequence or line.startswith("#") or not line.strip():
            continue
        fields = line.split("\t")[:_COLUMNS]
        if len(fields) < _COLUMNS or not all(map(_POSITION.fullmatch, fields[3:5])):
            raise SequenceError(
                f"{path}: line {number}: not a GFF3 or GTF file: a line has nine columns, of which "
                "the fourth and fifth are positions"
            )
        contig, _, kind, first, last, _, strand, phase, attributes = fields
        if GENIC.fullmatch(kind):
            count += 1
            if count > _MOST:
                raise SequenceError(f"{path}: more than {_MOST:,} features; leave some out")
            read = _of_gtf(kind, attributes) if _GTF.match(attributes) else _of_gff3(attributes)
            read = {name: _shown(value) for name, value in read.items()}
            if not (read.get("ID") or read.get("Parent")):
                read["ID"] = f"line {number}"
            phase_of = int(phase) if phase in ("0", "1", "2") else 0
            start, stop = int(first) - 1, int(last)
            yield Feature(_shown(unquote(contig)), kind, start, stop, strand, phase_of, read)


def _shown(text: str) -> str:
    """Blanks in the place of letters that cannot be shown, which would break a line of a table."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _of_gff3(text: str) -> dict[str, str]:
    pairs = (pair.strip().partition("=") for pair in text.split(";"))
    return {name: unquote(value) for name, _, value in pairs if name in _ATTRIBUTES}


def _of_gtf(kind: str, text: str) -> dict[str, str]:
    given = dict(_GTF_ATTRIBUTE.findall(text))
    gene, transcript = given.get("gene_id", ""), given.get("transcript_id", "")
    read = {"gene": given.get("gene_name") or given.get("gene") or gene}
    read |= {name: given[name] for name in ("pseudo", "transl_table") if name in given}
    if kind == "gene" or not transcript:
        return read | {"ID": gene}
    # a transcript may have the name of its gene
    return read | {"ID": f"{gene}/{transcript}", "Parent": gene}


def coding_sequences(path: str | Path, features: Iterable[Feature]) -> list[CodingSequence]:
    """Join CDS features of one ID, in the order in which they appear.

    Those of pseudogenes are left out, and those without a strand. ``path`` is for errors.

    Raises
    ------
    SequenceError
        If a translation table is not one of NCBI's.
    """
    parts: dict[tuple[str, str], list[Feature]] = {}
    stops: dict[tuple[str, str], list[Span]] = {}
    for feature in features:
        given = feature.attributes
        name = given.get("ID") or given["Parent"]
        if feature.kind == "CDS" and feature.strand in ("+", "-") and "pseudo" not in given:
            parts.setdefault((feature.contig, name), []).append(feature)
        elif feature.kind == "stop_codon":
            stops.setdefault((feature.contig, name), []).append((feature.start, feature.stop))
    return [_joined(path, key[1], cds, stops.get(key, [])) for key, cds in parts.items()]


def _joined(
    path: str | Path, name: str, features: list[Feature], stop_codon: list[Span]
) -> CodingSequence:
    """Join the parts of a CDS; on the minus strand translation begins at the highest position."""
    first = features[0]
    spans = [(f.start, f.stop) for f in features]
    held = Overlaps((a, b, None) for a, b in spans)
    spans += [
        (a, b) for a, b in stop_codon if not any(s <= a and b <= e for s, e, _ in held.of(a, b))
    ]
    step = 1 if first.strand == "+" else -1
    parts = _without_seams(sorted(spans))[::step]
    begins = max(features, key=lambda f: -step * (f.start if step == 1 else f.stop))
    given = first.attributes
    return CodingSequence(
        name,
        first.contig,
        first.strand,
        tuple(parts),
        begins.phase,
        _table(path, given.get("transl_table"), first),
        given.get("gene", ""),
        given.get("Parent", "").partition(",")[0],
    )


def _without_seams(spans: list[Span]) -> list[Span]:
    """Join spans, in ascending order, that touch; those that overlap are read twice."""
    joined = spans[:1]
    for before, span in pairwise(spans):
        if span[0] == before[1]:
            joined[-1] = joined[-1][0], span[1]
        else:
            joined.append(span)
    return joined


def _table(path: str | Path, stated: str | None, feature: Feature) -> int | None:
    if stated is None:
        return None
    if not _POSITION.fullmatch(stated) or int(stated) not in CodonTable.unambiguous_dna_by_id:
        raise SequenceError(
            f"{path}: CDS {feature.contig}:{feature.start + 1}-{feature.stop} has "
            f"transl_table={stated}, which is not one of NCBI's; correct it"
        )
    return int(stated)


class _Families:
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
        words = ("gene",) if parent else ("gene", "Name", "locus_tag")
        if name := next(filter(None, map(given.get, words)), None):
            self._names.setdefault(top, name)
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


def read_annotation(
    path: str | Path, lengths: Mapping[str, int], contig_of: Callable[[str], str | None]
) -> Annotation:
    """Read genes and coding sequences of the contigs of a genome.

    Parameters
    ----------
    path : path
        A GFF3 or GTF file, plain or gzip.
    lengths : mapping of str to int
        Length in bases of every contig of the genome.
    contig_of : callable
        Gives the genome's name for a contig of the file, or None; features of other contigs are
        left out.

    Raises
    ------
    SequenceError
        If the file cannot be read, has no genes, or none on a contig of the genome; if a feature
        lies outside its contig. One that crosses the end of a contig, which is circular then, is
        left out with a warning.

    Notes
    -----
    Memory is that of the coding sequences, some 200 bytes a CDS line.
    """
    families, others, crossing = _Families(), "", 0

    def known() -> Iterator[Feature]:
        nonlocal others, crossing
        for feature in read_features(path):
            contig = contig_of(feature.contig)
            if contig is None:
                others = others or feature.contig
            elif feature.start < lengths[contig] < feature.stop:
                crossing += 1
            else:
                check_within(path, feature, lengths[contig])
                families.note(feature := feature._replace(contig=contig))
                yield feature

    sequences = coding_sequences(path, known())
    genes: dict[str, list[tuple[int, int, str]]] = {}
    for (contig, top), (start, stop) in families.genes().items():
        genes.setdefault(contig, []).append((start, stop, families.name(contig, top)))
    if crossing:
        log.warning("%s: %d features that cross the end of a contig are left out", path, crossing)
    if not genes and others:
        raise unknown_contig(others, lengths, str(path))
    if not genes:
        raise SequenceError(f"{path}: no genes; give a GFF3 or GTF file with genes or CDS lines")
    coding: dict[str, list[tuple[int, int, CodingSequence]]] = {}
    for cds in sequences:
        top = families.top(cds.contig, cds.parent or cds.name)
        named = replace(cds, gene=families.name(cds.contig, top))
        coding.setdefault(cds.contig, []).extend((*part, named) for part in cds.parts)
    return Annotation(_by_contig(genes), _by_contig(coding))


def _by_contig(spans: Mapping[str, list[tuple[int, int, T]]]) -> dict[str, Overlaps[T]]:
    return {contig: Overlaps(each) for contig, each in spans.items()}


def check_within(path: str | Path, feature: Feature, length: int) -> None:
    """Raise SequenceError unless a feature is a stretch of its contig."""
    if not 0 <= feature.start < feature.stop <= length:
        raise SequenceError(
            f"{path}: {feature.kind} from {feature.start + 1} to {feature.stop} is not within "
            f"{feature.contig}, which has {length} bases; give the annotation of this assembly"
        )
