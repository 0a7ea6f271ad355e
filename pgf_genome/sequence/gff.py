"""Features of a GFF3 or GTF file.

GFF3: version 1.26 of the Sequence Ontology's specification. GTF: version 2.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from pgf_genome.errors import SequenceError
from pgf_genome.lines import text_lines

# Types of features that are genes, or parts of them.
GENIC = re.compile(r"CDS|exon|transcript|start_codon|stop_codon|.*gene|.*RNA")
# Types of records that say what a sequence is, and are no features of it.
WHOLE = frozenset({"region", "chromosome", "contig", "scaffold", "supercontig", "source"})
# What the IDs begin with that features without ID and Parent are given.
NAMELESS = "line "
_COLUMNS = 9
_GTF = re.compile(r'\s*\w+ "')
# from a word's beginning only, or a long word would be tried from each of its letters
_GTF_ATTRIBUTE = re.compile(r'\b(\w+) "([^"]*)"')
POSITION = re.compile(r"\d{1,18}", re.ASCII)
# features, which are held in memory in part
_MOST = 10_000_000
_ATTRIBUTES = ("ID", "Parent", "Name", "gene", "locus_tag", "pseudo", "transl_table")


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
    count = 0
    in_sequence = False  # read on all the same, for the checksum at the end of gzip data
    for number, line in enumerate(text_lines(path, "GFF file"), 1):
        in_sequence = in_sequence or line.startswith(("##FASTA", ">"))
        if in_sequence or line.startswith("#") or not line.strip():
            continue
        fields = line.split("\t")[:_COLUMNS]
        if len(fields) < _COLUMNS or not all(map(POSITION.fullmatch, fields[3:5])):
            raise SequenceError(
                f"{path}: line {number}: not a GFF3 or GTF file: a line has nine columns, of which "
                "the fourth and fifth are positions"
            )
        contig, _, kind, first, last, _, strand, phase, attributes = fields
        if kind not in WHOLE:
            count += 1
            if count > _MOST:
                raise SequenceError(f"{path}: more than {_MOST:,} features; leave some out")
            read = _of_gtf(kind, attributes) if _GTF.match(attributes) else _of_gff3(attributes)
            read = {name: _shown(value) for name, value in read.items()}
            if not (read.get("ID") or read.get("Parent")):
                read["ID"] = f"{NAMELESS}{number}"
            phase_of = int(phase) if phase in ("0", "1", "2") else 0
            start, stop = int(first) - 1, int(last)
            yield Feature(_shown(unquote(contig)), kind, start, stop, strand, phase_of, read)


def read_genic(path: str | Path) -> Iterator[Feature]:
    """Read those features that are genes, or parts of them; see `read_features`."""
    return (feature for feature in read_features(path) if feature.is_genic)


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
