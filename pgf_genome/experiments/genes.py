"""Genes of a GFF3 file: positions of their codons, and the genetic code."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pysam
from Bio.Data import CodonTable

from pgf_genome.errors import SequenceError
from pgf_genome.intervals import Interval, unknown_contig
from pgf_genome.sequence import BASES, N_CODE, complement

# The code of bacteria and plastids, for a CDS that does not name another one.
DEFAULT_TABLE = 11
# Types of features that are genes, or parts of them.
GENIC = re.compile(r"CDS|exon|.*gene|.*RNA")
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
    """The genes of a GFF3 file, and everything that is genic."""

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
    """Read the genes of a GFF3 file (plain, gzip or bgzip), in file order.

    CDS features of one ID are the parts of one coding sequence. Pseudogenes count as genic but are
    no genes. The stop codon belongs to the CDS, as GFF3 defines it (Sequence Ontology, "GFF3",
    1.26).

    Parameters
    ----------
    path : path
        The GFF3 file.
    lengths : mapping of str to int
        Length in bases of every contig.

    Raises
    ------
    SequenceError
        If the file cannot be read or is no GFF3, names a contig that ``lengths`` does not have, or
        a feature lies outside its contig.
    """
    parts: dict[str, list[tuple[Interval, str, int]]] = {}
    genic = []
    for number, (record, attributes) in enumerate(_genic_records(path)):
        interval = _interval(record, lengths, path)
        genic.append(interval)
        if record.feature == "CDS" and record.strand in ("+", "-") and "pseudo" not in attributes:
            name = str(attributes.get("ID") or attributes.get("Parent") or number)
            table = _table(attributes, path, interval)
            parts.setdefault(name, []).append((interval, record.strand, table))
    return Annotation(tuple(_gene(name, cds) for name, cds in parts.items()), tuple(genic))


def _genic_records(path: str | Path) -> Iterator[tuple[pysam.libctabixproxies.GFF3Proxy, dict]]:
    """Yield features that are genes or parts of them, and the attributes of those that are CDS."""
    features = _text(path).partition(b"\n##FASTA")[0]
    # pysam refuses a last line without an end; its stub asks for a file's name, wrongly
    whole_lines: Any = io.BytesIO(features + b"\n")
    try:
        for record in pysam.tabix_iterator(whole_lines, pysam.asGFF3()):
            if GENIC.fullmatch(record.feature):
                yield record, record.to_dict() if record.feature == "CDS" else {}
    except ValueError as error:
        raise SequenceError(f"{path}: not a GFF3 file ({error}); give one with CDS lines") from None


def _text(path: str | Path) -> bytes:
    try:
        data = Path(path).read_bytes()
        return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SequenceError(f"{path}: the gzip data is truncated or damaged ({error})") from error
    except OSError as error:
        raise SequenceError(
            f"cannot read the GFF3 file {path}: {error.strerror}; give a file, plain or gzip"
        ) from error


def _interval(record: Any, lengths: Mapping[str, int], path: str | Path) -> Interval:
    """Return the interval of a feature, which pysam has made 0-based half-open."""
    contig, start, stop = record.contig, record.start, record.end
    if contig not in lengths:
        raise unknown_contig(contig, lengths, str(path))
    if not 0 <= start < stop <= lengths[contig]:
        raise SequenceError(
            f"{path}: {record.feature} from {start + 1} to {stop} is not within {contig}, which "
            f"has {lengths[contig]} bases; give the annotation of this assembly"
        )
    return Interval(contig, start, stop)


def _table(attributes: Mapping[str, object], path: str | Path, interval: Interval) -> int:
    stated = str(attributes.get("transl_table", DEFAULT_TABLE))
    if not stated.isdigit() or int(stated) not in CodonTable.unambiguous_dna_by_id:
        raise SequenceError(
            f"{path}: CDS {interval} has transl_table={stated}, which is not one of NCBI's; "
            "correct it"
        )
    return int(stated)


def _gene(name: str, parts: list[tuple[Interval, str, int]]) -> Gene:
    """Join the parts of a CDS; on the minus strand translation begins at the highest position."""
    interval, strand, table = parts[0]
    spans = sorted((part.start, part.stop) for part, *_ in parts)
    positions = np.concatenate([np.arange(*span) for span in spans])
    return Gene(name, interval.contig, strand, positions[:: 1 if strand == "+" else -1], table)
