"""Features of a GFF3 or GTF file.

GFF3: version 1.26 of the Sequence Ontology's specification. GTF: version 2.2.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from pgf_genome.errors import SequenceError

# Types of features that are genes, or parts of them.
GENIC = re.compile(r"CDS|exon|transcript|start_codon|stop_codon|.*gene|.*RNA")
# Types of records that say what a sequence is, and are no features of it.
WHOLE = frozenset({"region", "chromosome", "contig", "scaffold", "supercontig", "source"})
# What the IDs begin with that features without ID and Parent are given.
NAMELESS = "line "
_COLUMNS = 9
_GTF = re.compile(r'\s*\w+ "')
_GTF_ATTRIBUTE = re.compile(r'(\w+) "([^"]*)"')
_ATTRIBUTES = ("ID", "Parent", "Name", "gene", "locus_tag", "pseudo", "transl_table")
_GZIP_MAGIC = b"\x1f\x8b"


class Feature(NamedTuple):
    """A feature of a contig; positions are 0-based half-open.

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

    @property
    def is_genic(self) -> bool:
        """Whether it is a gene or a part of one."""
        return GENIC.fullmatch(self.kind) is not None


def read_features(path: str | Path) -> Iterator[Feature]:
    """Read the features of a GFF3 or GTF file, plain or gzip, in file order.

    Records of a whole sequence, such as ``region``, are left out.

    Raises
    ------
    SequenceError
        If the file cannot be read, or a line is none of these formats.
    """
    in_sequence = False  # read on all the same, for the checksum at the end of gzip data
    for number, line in enumerate(_lines(path), 1):
        in_sequence = in_sequence or line.startswith(("##FASTA", ">"))
        if in_sequence or line.startswith("#") or not line.strip():
            continue
        fields = line.rstrip("\r\n").split("\t")
        try:
            contig, _, kind, first, last, _, strand, phase, attributes = fields[:_COLUMNS]
            start, stop = int(first) - 1, int(last)
        except ValueError:
            raise SequenceError(
                f"{path}: line {number}: not a GFF3 or GTF file: a line has nine columns, of which "
                "the fourth and fifth are positions"
            ) from None
        if kind not in WHOLE:
            read = _of_gtf(kind, attributes) if _GTF.match(attributes) else _of_gff3(attributes)
            if not (read.get("ID") or read.get("Parent")):
                read["ID"] = f"{NAMELESS}{number}"
            phase_of = int(phase) if phase in ("0", "1", "2") else 0
            yield Feature(unquote(contig), kind, start, stop, strand, phase_of, read)


def read_genic(path: str | Path) -> Iterator[Feature]:
    """Read those features that are genes, or parts of them; see `read_features`."""
    return (feature for feature in read_features(path) if feature.is_genic)


def _lines(path: str | Path) -> Iterator[str]:
    try:
        with Path(path).open("rb") as file:
            zipped = file.peek(2)[:2] == _GZIP_MAGIC
            for line in gzip.GzipFile(fileobj=file) if zipped else file:
                yield line.decode("utf-8", "replace").removeprefix("\ufeff")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SequenceError(f"{path}: the gzip data is truncated or damaged ({error})") from error
    except OSError as error:
        raise SequenceError(
            f"cannot read the GFF file {path}: {error.strerror}; give a file, plain or gzip"
        ) from error


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
