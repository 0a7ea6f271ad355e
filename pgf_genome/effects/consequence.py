"""What a variant does to the proteins of the genes in which it lies.

Terms are those of the Sequence Ontology, without ``_variant``. Of several that are true of one
change, the first of this list is given; but a change over an end that takes a start or stop codon
with it is start_lost or stop_lost:

==================  ===============================================================================
start_lost          the start codon is no start codon of the genetic code any more
coding_sequence     the change reaches over an end of the CDS or of an exon, or its codons are not
                    complete or not known
frameshift          the length changes, and not by a multiple of three
stop_lost           the stop codon is none any more, and no other stands in its place
stop_gained         translation ends before it did
inframe_insertion   the length grows by whole codons
inframe_deletion    the length shrinks by whole codons
synonymous          the protein is the same; a start codon that becomes another one, too
missense            it has other amino acids
==================  ===============================================================================
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import NamedTuple
from urllib.parse import quote

from Bio.Data import CodonTable
from Bio.Seq import reverse_complement

from pgf_genome.effects.by_contig import Variant, shared_start
from pgf_genome.effects.reference import Reference
from pgf_genome.effects.settings import STANDARD_CODE
from pgf_genome.errors import UsageError
from pgf_genome.intervals import Span
from pgf_genome.sequence import BASES
from pgf_genome.sequence.annotation import Annotation, CodingSequence

UNKNOWN = "coding_sequence"
# The parts of a consequence, as they stand in the file.
FORMAT = "Allele|Gene|Consequence|Protein_position|Amino_acids|Codons"


class Edit(NamedTuple):
    """A change without what both alleles share: ``start .. stop - 1`` becomes ``bases``."""

    start: int
    stop: int
    bases: str

    @property
    def grows(self) -> int:
        """Bases that the sequence has more."""
        return len(self.bases) - (self.stop - self.start)


class Consequence(NamedTuple):
    """What an allele does to one coding sequence.

    Attributes
    ----------
    gene, kind : str
    codon : int
        Number of the first codon concerned, from 1.
    amino, codons : (str, str) or ()
        Before and after, such as E and V, GAA and GTA; () if not known.
    """

    gene: str
    kind: str
    codon: int
    amino: tuple[str, ...] = ()
    codons: tuple[str, ...] = ()

    def text(self, allele: str) -> str:
        """As it stands in the file, by `FORMAT`: ``T|thrA|missense|12|E/V|GAA/GTA``."""
        amino, codons = ("/".join(e or "-" for e in pair) for pair in (self.amino, self.codons))
        return "|".join((allele, escaped(self.gene), self.kind, str(self.codon), amino, codons))


class Code(NamedTuple):
    """A genetic code: the amino acid of every codon, ``*`` for a stop, and the start codons."""

    amino: dict[str, str]
    starts: frozenset[str]

    def translate(self, codons: str, from_start: bool) -> str:
        """Translate whole codons, of which the first may be a start codon, which is read as M."""
        protein = "".join(self.amino[codons[i : i + 3]] for i in range(0, len(codons), 3))
        return f"M{protein[1:]}" if from_start else protein


@cache
def code_of(table: int) -> Code:
    """Return NCBI's genetic code of that number.

    Raises
    ------
    UsageError
        If there is none.
    """
    known = CodonTable.unambiguous_dna_by_id.get(table)
    if known is None:
        raise UsageError(f"`genetic_code` {table} is not one of NCBI's, such as 1, 2, 4 and 11")
    codons = map("".join, product(BASES, repeat=3))
    amino = {codon: known.forward_table.get(codon, "*") for codon in codons}
    return Code(amino, frozenset(known.start_codons))


def escaped(name: str) -> str:
    """A name without the letters that have a meaning in an INFO field (VCFv4.5, 1.2)."""
    return quote(name, safe="!\"#$'()*+-./:<>?@[\\]^_`{}~")


def edit_of(variant: Variant) -> Edit:
    """Leave out what both alleles have in common, at the end and then at the beginning."""
    ref, alt = variant.ref.upper(), variant.alt.upper()
    shared = shared_start(ref[::-1], alt[::-1])
    ref, alt = ref[: len(ref) - shared], alt[: len(alt) - shared]
    shared = shared_start(ref, alt)
    start = variant.position + shared
    return Edit(start, variant.position + len(ref), alt[shared:])


class Consequences:
    """Genes and consequences of variants of one genome.

    Parameters
    ----------
    annotation : Annotation
    reference : Reference
    code : int
        NCBI's number of the genetic code of a CDS for which the annotation gives none.
    """

    def __init__(
        self, annotation: Annotation, reference: Reference, code: int = STANDARD_CODE
    ) -> None:
        self._annotation, self._reference, self._code = annotation, reference, code

    def genes(self, contig: str, start: int, stop: int) -> list[str]:
        """Names of the genes that share a base with a stretch, from left to right."""
        genes = self._annotation.genes.get(contig)
        found = () if genes is None else genes.of(start, stop)
        return list(dict.fromkeys(name for _, _, name in found))

    def of(self, contig: str, variant: Variant) -> list[Consequence]:
        """What a variant does to every coding sequence that it changes."""
        coding = self._annotation.coding.get(contig)
        edit = edit_of(variant)
        if coding is None or not (edit.bases or edit.stop > edit.start):
            return []
        touched: dict[int, tuple[CodingSequence, list[Span]]] = {}
        for start, stop, cds in coding.of(edit.start, edit.stop):
            touched.setdefault(id(cds), (cds, []))[1].append((start, stop))
        found = (self._one(cds, parts, edit) for cds, parts in touched.values())
        return list(dict.fromkeys(found))

    def _one(self, cds: CodingSequence, parts: list[Span], edit: Edit) -> Consequence:
        """What an edit does to a coding sequence, of which it touches some parts."""
        code = code_of(self._code if cds.table is None else cds.table)
        places = [_place(cds, part, edit) for part in parts]
        first, last = min(place[0] for place in places), max(place[1] for place in places)
        codons = (_length(cds) - cds.phase) // 3
        unknown = Consequence(cds.gene, UNKNOWN, max(first // 3, 0) + 1)
        if not (parts[0][0] <= edit.start and edit.stop <= parts[0][1]):
            return unknown._replace(kind=self._over_an_end(cds, code, first, last, codons))
        if first < 0 or last > 3 * codons:
            return unknown
        lower, upper = first // 3 * 3, -(-last // 3) * 3
        bases = edit.bases if cds.strand == "+" else reverse_complement(edit.bases)
        before, behind = self._read(cds, lower, upper), self._read(cds, upper, upper + 3)
        after = before[: first - lower] + bases + before[last - lower :]
        if "N" in before + behind:
            return unknown
        known = unknown._replace(codons=(before, after))
        starts = lower == 0 and cds.phase == 0 and before[:3] in code.starts
        if starts and (after + behind)[:3] not in code.starts:
            return known._replace(kind="start_lost")
        if edit.grows % 3:
            return known._replace(kind="frameshift")
        amino = code.translate(before, starts), code.translate(after, starts)
        return known._replace(kind=_kind(*amino, edit.grows), amino=amino)

    def _over_an_end(
        self, cds: CodingSequence, code: Code, first: int, last: int, codons: int
    ) -> str:
        """The kind of a change that has only its bases first .. last - 1 in a part of the CDS."""
        if first < 3 and cds.phase == 0 and self._read(cds, 0, 3) in code.starts:
            return "start_lost"
        end = 3 * codons
        if last > end - 3 and code.amino.get(self._read(cds, end - 3, end)) == "*":
            return "stop_lost"
        return UNKNOWN

    def _read(self, cds: CodingSequence, first: int, last: int) -> str:
        """Bases of a coding sequence in its frame, on its own strand."""
        first, last = first + cds.phase, last + cds.phase
        pieces, at = [], 0
        for start, stop in cds.parts:
            lower, upper = max(first - at, 0), min(last - at, stop - start)
            if lower < upper:
                span = (start + lower, start + upper)
                if cds.strand == "-":
                    span = (stop - upper, stop - lower)
                letters = self._reference.letters(cds.contig, *span)
                pieces.append(letters if cds.strand == "+" else reverse_complement(letters))
            at += stop - start
        return "".join(pieces)


def _length(cds: CodingSequence) -> int:
    return sum(stop - start for start, stop in cds.parts)


def _place(cds: CodingSequence, part: Span, edit: Edit) -> Span:
    """Where what an edit replaces in a part lies in the coding sequence, in its frame."""
    start, stop = max(edit.start, part[0]), min(edit.stop, part[1])
    before = cds.parts[: cds.parts.index(part)]
    at = sum(last - first for first, last in before) - cds.phase
    if cds.strand == "+":
        return at + start - part[0], at + stop - part[0]
    return at + part[1] - stop, at + part[1] - start


def _kind(before: str, after: str, grows: int) -> str:
    """Compare the amino acids of the codons that are changed, of which none is a start lost."""
    ends = [len(each) - each.index("*") if "*" in each else 0 for each in (before, after)]
    if ends[0] > ends[1]:
        return "stop_lost"
    if ends[0] < ends[1]:
        return "stop_gained"
    if grows:
        return "inframe_insertion" if grows > 0 else "inframe_deletion"
    return "synonymous" if before == after else "missense"
