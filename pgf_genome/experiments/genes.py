"""Genes of an annotation: positions of their codons, and the genetic code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from Bio.Data import CodonTable

from pgf_genome.intervals import Interval, unknown_contig
from pgf_genome.sequence import BASES, N_CODE, complement
from pgf_genome.sequence.annotation import check_within, coding_sequences
from pgf_genome.sequence.gff import read_genic

# The code of bacteria and plastids, for a CDS that does not name another one.
DEFAULT_TABLE = 11
# Codon c1 c2 c3 has index 16 c1 + 4 c2 + c3.
PLACES = np.array([16, 4, 1])


@dataclass(frozen=True, eq=False)
class Gene:
    """The coding sequence of a gene.

    Attributes
    ----------
    name, contig, strand : str
    positions : ndarray of int, (n,)
        Positions of its bases, 0-based on the plus strand, in the order of translation.
    table : int
        NCBI's number of the translation table.
    """

    name: str
    contig: str
    strand: str
    positions: np.ndarray
    table: int

    def bases(self, codes: np.ndarray) -> np.ndarray:
        """Read its bases (n,), on its own strand, from the contig's codes (L,)."""
        read = codes[self.positions]
        return read if self.strand == "+" else complement(read)


class Annotation(NamedTuple):
    """The genes of a file, and everything that is genic."""

    genes: tuple[Gene, ...]
    genic: tuple[Interval, ...]  # every feature that is a gene or a part of one


class Code(NamedTuple):
    """A translation table, by index of the codon."""

    amino: np.ndarray  # (64,) of one-letter str, "*" for a stop
    start: np.ndarray  # (64,) of bool: whether it can be the first codon


@cache
def code_of(table: int) -> Code:
    """Return NCBI's translation table of that number."""
    known = CodonTable.unambiguous_dna_by_id[table]
    codons = [a + b + c for a in BASES for b in BASES for c in BASES]
    amino = [known.forward_table.get(codon, "*") for codon in codons]
    return Code(np.array(amino), np.array([codon in known.start_codons for codon in codons]))


def is_whole(gene: Gene, codes: np.ndarray) -> bool:
    """Return whether a gene reads from a start codon to its one stop codon, with no N."""
    bases = gene.bases(codes)
    if len(bases) % 3 or len(bases) < 6 or (bases == N_CODE).any():
        return False
    codons, code = bases.reshape(-1, 3) @ PLACES, code_of(gene.table)
    return bool(code.start[codons[0]]) and list(np.flatnonzero(code.amino[codons] == "*")) == [
        len(codons) - 1
    ]


def read_annotation(path: str | Path, lengths: Mapping[str, int]) -> Annotation:
    """Read the genes of a GFF3 or GTF file (plain, gzip or bgzip), in file order.

    Pseudogenes count as genic but are no genes.

    Parameters
    ----------
    path : path
        The file.
    lengths : mapping of str to int
        Length in bases of every contig.

    Raises
    ------
    SequenceError
        If the file cannot be read or is of another format, names a contig that ``lengths`` does
        not have, or a feature lies outside its contig.
    """
    features, genic = [], []
    for feature in read_genic(path):
        if feature.contig not in lengths:
            raise unknown_contig(feature.contig, lengths, str(path))
        check_within(path, feature, lengths[feature.contig])
        features.append(feature)
        genic.append(Interval(feature.contig, feature.start, feature.stop))
    genes = (
        Gene(cds.name, cds.contig, cds.strand, cds.positions, cds.table or DEFAULT_TABLE)
        for cds in coding_sequences(path, features)
    )
    return Annotation(tuple(genes), tuple(genic))
