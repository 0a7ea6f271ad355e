"""Genes, their parts and coding sequences, from the features of a GFF3 or GTF file.

In GTF the stop codon does not belong to the CDS; here it always does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from Bio.Data import CodonTable

from pgf_genome.errors import SequenceError
from pgf_genome.intervals import Span
from pgf_genome.sequence.families import Families
from pgf_genome.sequence.gff import POSITION, Feature, read_features
from pgf_genome.sequence.overlaps import Overlaps, by_contig
from pgf_genome.sequence.parts import Collected, Parts

# Contigs that a message names at most.
SHOWN = 3

log = logging.getLogger("pgf_genome")


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


@dataclass(frozen=True)
class Annotation:
    """Genes and coding sequences, by contig.

    Attributes
    ----------
    genes : mapping of str to Overlaps
        From the first to the last base of each gene, with its name.
    coding : mapping of str to Overlaps
        Every part of every coding sequence, with the coding sequence.
    parts : mapping of str to tuple of Parts
        All features of every gene by type, and those that belong to no gene; none if not asked for.
    """

    genes: Mapping[str, Overlaps[str]]
    coding: Mapping[str, Overlaps[CodingSequence]]
    parts: Mapping[str, tuple[Parts, ...]] = field(default_factory=dict)


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
    if not POSITION.fullmatch(stated) or int(stated) not in CodonTable.unambiguous_dna_by_id:
        raise SequenceError(
            f"{path}: CDS {feature.contig}:{feature.start + 1}-{feature.stop} has "
            f"transl_table={stated}, which is not one of NCBI's; correct it"
        )
    return int(stated)


def read_annotation(
    path: str | Path,
    lengths: Mapping[str, int],
    contig_of: Callable[[str], str | None],
    parts: bool = False,
) -> Annotation:
    """Read genes and coding sequences of the contigs of a genome.

    Contigs of the file that the genome lacks are named in a warning with those of the genome that
    have nothing in the file, if there are both.

    Parameters
    ----------
    path : path
        A GFF3 or GTF file, plain or gzip.
    lengths : mapping of str to int
        Length in bases of every contig of the genome.
    contig_of : callable
        Gives the genome's name for a contig of the file, or None; features of other contigs are
        left out.
    parts : bool
        Whether `Annotation.parts` is wanted.

    Raises
    ------
    SequenceError
        If the file cannot be read, has no genes, or nothing on a contig of the genome; if a feature
        lies outside its contig. One that crosses the end of a contig, which is circular then, is
        left out with a warning.

    Notes
    -----
    Memory is that of the coding sequences, some 200 bytes a CDS line, and of the spans of parts.
    """
    families, crossing = Families(), 0
    collected = Collected(families)
    met: dict[str, str | None] = {}

    def known() -> Iterator[Feature]:
        nonlocal crossing
        for feature in read_features(path):
            if feature.contig not in met:
                met[feature.contig] = contig_of(feature.contig)
            contig = met[feature.contig]
            if contig is None or not (parts or feature.is_genic):
                continue
            if feature.start < lengths[contig] < feature.stop:
                crossing += 1
                continue
            check_within(path, feature, lengths[contig])
            families.note(feature := feature._replace(contig=contig))
            if parts:
                collected.note(feature)
            yield feature

    sequences = coding_sequences(path, known())
    genes: dict[str, list[tuple[int, int, str]]] = {}
    for (contig, top), (start, stop) in families.genes().items():
        genes.setdefault(contig, []).append((start, stop, families.name(contig, top)))
    if crossing:
        log.warning("%s: %d features that cross the end of a contig are left out", path, crossing)
    _compare_contigs(path, lengths, met)
    found = collected.parts()
    if not genes and not found:
        raise SequenceError(f"{path}: no genes; give a GFF3 or GTF file with genes or CDS lines")
    coding: dict[str, list[tuple[int, int, CodingSequence]]] = {}
    for cds in sequences:
        top = families.top(cds.contig, cds.parent or cds.name)
        named = replace(cds, gene=families.name(cds.contig, top))
        coding.setdefault(cds.contig, []).extend((*part, named) for part in cds.parts)
    return Annotation(by_contig(genes), by_contig(coding), found)


def _compare_contigs(
    path: str | Path, lengths: Mapping[str, int], met: Mapping[str, str | None]
) -> None:
    """Warn of contigs that only the file or only the genome has; raise if they share none."""
    others = [name for name, contig in met.items() if contig is None]
    without = [name for name in lengths if name not in set(met.values())]
    if others and len(without) == len(lengths):
        raise SequenceError(
            f"{path}: none of its contigs ({_some(others)}) is one of the genome "
            f"({_some(without)}); name them alike by `chrom_alias`, or give the annotation of this "
            "assembly"
        )
    if others and without:
        log.warning(
            "%s: %d of its contigs (%s) are not in the genome, and it has nothing on %d contigs of "
            "the genome (%s); if these are the same, give a table of their names (chrom_alias)",
            *(path, len(others), _some(others), len(without), _some(without)),
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(islice(names, SHOWN)) + (", .." if len(names) > SHOWN else "")


def check_within(path: str | Path, feature: Feature, length: int) -> None:
    """Raise SequenceError unless a feature is a stretch of its contig."""
    if not 0 <= feature.start < feature.stop <= length:
        raise SequenceError(
            f"{path}: {feature.kind} from {feature.start + 1} to {feature.stop} is not within "
            f"{feature.contig}, which has {length} bases; give the annotation of this assembly"
        )
