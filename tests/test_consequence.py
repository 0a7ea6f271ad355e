"""What variants do to proteins: hand-made genes, and translation of the whole by Biopython."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from Bio.Seq import Seq, reverse_complement
from hypothesis import given
from hypothesis import strategies as st

from pgf_genome.effects.by_contig import Variant
from pgf_genome.effects.consequence import Consequences, edit_of
from pgf_genome.effects.reference import BLOCK, Reference
from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.sequence import decode_fasta
from pgf_genome.sequence.annotation import Annotation, CodingSequence, read_annotation
from pgf_genome.sequence.overlaps import Overlaps, between


class Letters:
    """A reference that is one contig, given as text."""

    def __init__(self, text: str) -> None:
        self.text, self.lengths = text, {"c": len(text)}

    def letters(self, contig: str, start: int, stop: int) -> str:
        assert contig == "c"
        assert 0 <= start <= stop <= len(self.text)
        return self.text[start:stop]


def consequences(text: str, *sequences: CodingSequence, code: int = 1) -> Consequences:
    parts = [(*part, cds) for cds in sequences for part in cds.parts]
    return Consequences(Annotation({}, {"c": Overlaps(parts)}), Letters(text), code)


def cds(*parts: tuple[int, int], strand: str = "+", phase: int = 0, table=None, gene: str = "g"):
    """A coding sequence; parts from left to right."""
    ordered = parts[:: 1 if strand == "+" else -1]
    return CodingSequence("cds", "c", strand, ordered, phase, table, gene)


def told(found: Consequences, position: int, ref: str, alt: str) -> list[str]:
    return [each.text(alt) for each in found.of("c", Variant(position, ref, alt))]


#        0    5    10    15   20
GENE = "CCATGGAAAAATGGTAACCC"  # from 2: ATG GAA AAA TGG TAA


@pytest.mark.parametrize(
    ("position", "ref", "alt", "said"),
    [
        (5, "G", "C", "C|g|missense|2|E/Q|GAA/CAA"),
        (7, "A", "G", "G|g|synonymous|2|E/E|GAA/GAG"),
        (5, "G", "T", "T|g|stop_gained|2|E/*|GAA/TAA"),
        (2, "A", "G", "G|g|start_lost|1||ATG/GTG"),
        (2, "A", "C", "C|g|synonymous|1|M/M|ATG/CTG"),  # a start codon of the standard code
        (14, "T", "C", "C|g|stop_lost|5|*/Q|TAA/CAA"),
        (16, "A", "G", "G|g|synonymous|5|*/*|TAA/TAG"),
        (5, "GAA", "TTT", "TTT|g|missense|2|E/F|GAA/TTT"),
        (5, "G", "GC", "GC|g|frameshift|2||GAA/GCAA"),
        (4, "GG", "G", "G|g|frameshift|1||ATG/AT"),  # it begins with ATG all the same
        (7, "AA", "A", "A|g|frameshift|2||GAA/GA"),
        (7, "A", "ACCC", "ACCC|g|inframe_insertion|3|-/P|-/CCC"),
        (6, "A", "ACCC", "ACCC|g|inframe_insertion|2|E/DP|GAA/GACCCA"),
        (7, "A", "ATAA", "ATAA|g|stop_gained|2|E/E*|GAA/GAATAA"),
        (4, "GGAA", "G", "G|g|inframe_deletion|2|E/-|GAA/-"),
        (13, "GTAA", "G", "G|g|stop_lost|5|*/-|TAA/-"),
        (1, "CAT", "C", "C|g|start_lost|1||ATG/G"),
        (0, "CCAT", "C", "C|g|start_lost|1||"),
        (15, "AACC", "A", "A|g|stop_lost|5||"),
    ],
)  # fmt: skip
def test_changes_of_a_gene(position, ref, alt, said):
    assert GENE[position : position + len(ref)] == ref
    assert told(consequences(GENE, cds((2, 17))), position, ref, alt) == [said]


@pytest.mark.parametrize(
    ("position", "ref", "alt"), [(0, "C", "T"), (17, "C", "CAA"), (1, "C", "CAA")]
)
def test_what_lies_beside_a_gene_changes_nothing(position, ref, alt):
    assert told(consequences(GENE, cds((2, 17))), position, ref, alt) == []


def test_other_codes_have_other_starts_and_stops():
    for table, said in [(11, "synonymous|1|M/M"), (1, "start_lost|1|")]:
        assert told(consequences(GENE, cds((2, 17), table=table)), 2, "A", "G") == [
            f"G|g|{said}|ATG/GTG"
        ]
    assert told(consequences(GENE, cds((2, 17)), code=11), 2, "A", "G")[0].startswith("G|g|syn")
    # TGA is tryptophan in mycoplasmas
    assert told(consequences(GENE, cds((2, 17), table=4)), 13, "G", "A") == [
        "A|g|synonymous|4|W/W|TGG/TGA"
    ]
    with pytest.raises(UsageError, match="`genetic_code` 7 is not one of NCBI's"):
        told(consequences(GENE, cds((2, 17)), code=7), 2, "A", "G")


def test_a_codon_is_read_over_an_intron():
    #       0123456789
    text = "ATGGCCCCAATAA"  # ATG G|AA TAA, intron CCCC
    gene = cds((0, 4), (8, 13))
    assert told(consequences(text, gene), 3, "G", "C") == ["C|g|missense|2|E/Q|GAA/CAA"]
    assert told(consequences(text, gene), 9, "A", "G") == ["G|g|synonymous|2|E/E|GAA/GAG"]
    assert told(consequences(text, gene), 5, "C", "T") == []
    assert told(consequences(text, gene), 3, "GC", "G") == []
    assert told(consequences(text, gene), 2, "GGC", "G") == ["G|g|coding_sequence|2||"]


def test_a_partial_codon_at_either_end_is_not_translated():
    text = "AGAAGG"  # A|GAA|GG, the rest of the first codon is not there
    gene = cds((0, 6), phase=1)
    assert told(consequences(text, gene), 1, "G", "T") == ["T|g|stop_gained|1|E/*|GAA/TAA"]
    assert told(consequences(text, gene), 0, "A", "C") == ["C|g|coding_sequence|1||"]
    assert told(consequences(text, gene), 5, "G", "C") == ["C|g|coding_sequence|2||"]


def test_bases_that_are_not_known_have_no_consequence():
    assert told(consequences("ATGGNATAA", cds((0, 9))), 3, "G", "C") == ["C|g|coding_sequence|2||"]


def test_every_coding_sequence_that_is_changed_is_told_of():
    forward, backward = cds((2, 17), gene="f"), cds((5, 8), strand="-", gene="b")
    assert told(consequences(GENE, forward, backward), 5, "G", "T") == [
        "T|f|stop_gained|2|E/*|GAA/TAA",
        "T|b|missense|1|F/L|TTC/TTA",
    ]
    # transcripts of one gene that say the same are told of once
    assert len(told(consequences(GENE, forward, cds((2, 17), gene="f")), 5, "G", "T")) == 1


def spliced(text: str, gene: CodingSequence) -> str:
    pieces = [text[a:b] for a, b in gene.parts]
    if gene.strand == "-":
        pieces = [reverse_complement(piece) for piece in pieces]
    return "".join(pieces)[gene.phase :]


bases = st.text("ACGT", min_size=1, max_size=6)


@given(
    text=st.text("ACGT", min_size=30, max_size=30),
    cut=st.tuples(st.integers(3, 12), st.integers(14, 26)),
    strand=st.sampled_from("+-"),
    phase=st.integers(0, 2),
    at=st.integers(0, 29),
    length=st.integers(1, 5),
    alt=bases,
)
def test_the_protein_is_that_of_the_whole_sequence(text, cut, strand, phase, at, length, alt):
    gene = cds((1, cut[0]), (cut[1], 29), strand=strand, phase=phase)
    variant = Variant(at, text[at : at + length], alt)
    edit = edit_of(variant)
    for found in consequences(text, gene).of("c", variant):
        if not found.amino:
            continue
        # the part that holds the change is longer now, what is behind it has moved
        moved = [
            (a + (edit.grows if a >= edit.stop and a > edit.start else 0),
             b + (edit.grows if b >= edit.stop and b > edit.start else 0))
            for a, b in gene.parts
        ]  # fmt: skip
        changed = text[: edit.start] + edit.bases + text[edit.stop :]
        after = cds(*sorted(moved), strand=strand, phase=phase)
        proteins = [
            str(Seq(whole[: len(whole) // 3 * 3]).translate(1))
            for whole in (spliced(text, gene), spliced(changed, after))
        ]
        first = found.codon - 1
        tail = proteins[0][first + len(found.amino[0]) :]
        if first == 0 and found.amino[0][:1] == "M":
            proteins = [f"M{protein[1:]}" for protein in proteins]
        assert proteins[0][first:].startswith(found.amino[0])
        assert proteins[1] == proteins[0][:first] + found.amino[1] + tail
        same = proteins[0] == proteins[1]
        assert (found.kind == "synonymous") == (same and not edit.grows)


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), max_size=12),
    st.integers(0, 40),
    st.integers(0, 5),
)
def test_overlaps_are_those_of_a_search_through_all(spans, start, length):
    stop = start + length
    given_spans = [(a, a + n, i) for i, (a, n) in enumerate(spans)]
    if length:
        expected = {s for s in given_spans if s[0] < stop and start < s[1]}
    else:
        expected = {s for s in given_spans if s[0] < start < s[1]}
    overlaps = Overlaps(given_spans)
    assert set(overlaps.of(start, stop)) == expected
    nearest, distances = overlaps.nearest(start), [between(each, start) for each in given_spans]
    assert (nearest and between(nearest, start)) == min(distances, default=None)


GFF = """\
##gff-version 3
chr1\tx\tgene\t1\t40\t.\t+\t.\tID=gene-1;Name=one%2C first
chr1\tx\tmRNA\t1\t40\t.\t+\t.\tID=t1;Parent=gene-1
chr1\tx\tCDS\t3\t8\t.\t+\t0\tID=p1;Parent=t1
chr1\tx\tCDS\t20\t28\t.\t+\t0\tID=p1;Parent=t1
chr1\tx\ttRNA\t45\t50\t.\t-\t.\tID=r;Name=trnA
chr1\tx\tCDS\t60\t70\t.\t-\t1\tlocus_tag=L7;gene=dnaA
chr1\tx\tCDS\t75\t80\t.\t-\t0\tID=q;pseudo=true
chr2\tx\tgene\t1\t5\t.\t+\t.\tID=elsewhere
##FASTA
>chr1
ACGT
"""
GTF = """\
#!genome-build x
chr1\tx\tgene\t1\t40\t.\t-\t.\tgene_id "G1"; gene_name "one";
chr1\tx\ttranscript\t1\t40\t.\t-\t.\tgene_id "G1"; transcript_id "T1"; gene_name "one";
chr1\tx\tCDS\t20\t28\t.\t-\t0\tgene_id "G1"; transcript_id "T1"; exon_number 1;
chr1\tx\tCDS\t8\t13\t.\t-\t0\tgene_id "G1"; transcript_id "T1"; exon_number 2;
chr1\tx\tstop_codon\t5\t7\t.\t-\t0\tgene_id "G1"; transcript_id "T1"; exon_number 2;
"""


def annotated(path: Path, text: str) -> Annotation:
    path.write_text(text)
    return read_annotation(path, {"chr1": 100}, {"chr1": "chr1"}.get)


def coding(annotation: Annotation) -> list[CodingSequence]:
    return list(dict.fromkeys(cds for _, _, cds in annotation.coding["chr1"].of(0, 100)))


def test_genes_of_gff3_have_the_names_of_what_they_are_parts_of(tmp_path):
    found = annotated(tmp_path / "a.gff", GFF)
    assert found.genes["chr1"].of(0, 100) == [
        (0, 40, "one, first"), (44, 50, "trnA"), (59, 70, "dnaA"), (74, 80, "q"),
    ]  # fmt: skip
    first, second = coding(found)
    assert (first.gene, first.parts, first.phase) == ("one, first", ((2, 8), (19, 28)), 0)
    assert (second.gene, second.parts, second.phase) == ("dnaA", ((59, 70),), 1)
    assert "chr2" not in found.genes


def test_the_stop_codon_of_gtf_belongs_to_the_coding_sequence(tmp_path):
    found = annotated(tmp_path / "a.gtf", GTF)
    assert found.genes["chr1"].of(0, 100) == [(0, 40, "one")]
    (only,) = coding(found)
    assert (only.gene, only.strand, only.parts) == ("one", "-", ((19, 28), (4, 13)))
    assert len(only.positions) == 18


def test_an_annotation_of_another_genome_is_refused(tmp_path):
    with pytest.raises(
        SequenceError, match=r"none of its contigs \(c1, c2\) is one of the genome \(chr1\)"
    ):
        annotated(tmp_path / "a.gff", GFF.replace("chr", "c"))
    with pytest.raises(SequenceError, match="gene from 101 to 140 is not within chr1"):
        annotated(tmp_path / "a.gff", GFF.replace("1\t40", "101\t140"))
    with pytest.raises(SequenceError, match="no genes"):
        annotated(tmp_path / "a.gff", "##gff-version 3\n")


def test_what_crosses_the_end_of_a_circle_is_left_out_with_a_warning(tmp_path, caplog):
    found = annotated(tmp_path / "a.gff", GFF.replace("\t45\t50", "\t95\t104"))
    assert [name for _, _, name in found.genes["chr1"].of(0, 100)] == ["one, first", "dnaA", "q"]
    assert "1 features that cross the end of a contig are left out" in caplog.text


@pytest.mark.parametrize("span", [(0, 3), (BLOCK - 2, BLOCK + 2), (2 * BLOCK, 2 * BLOCK + 5)])
def test_the_reference_is_read_in_blocks(tmp_path, span):
    text = ("ACGTN" * BLOCK)[: 2 * BLOCK + 7]
    (tmp_path / "a.fa").write_text(f">a\nTTTT\n>b\n{text.lower()}\n")
    with decode_fasta(tmp_path / "a.fa", tmp_path / "codes") as genome:
        reference = Reference(genome)
        for contig in ("b", "a", "b"):
            want = text[slice(*span)] if contig == "b" else "TTTT"
            where = span if contig == "b" else (0, 4)
            assert reference.letters(contig, *where) == want
        assert reference.letters("b", 3, 2 * BLOCK) == text[3 : 2 * BLOCK]


@pytest.mark.data
def test_every_coding_sequence_of_ecoli_is_translated(real_data, tmp_path):
    folder = real_data / "ecoli_k12"
    fasta = folder / "GCF_000005845.2_ASM584v2_genomic.fna.gz"
    with decode_fasta(fasta, tmp_path / "codes") as genome:
        annotation = read_annotation(folder / "NC_000913.gff.gz", genome.lengths, str)
        name, reference = genome.contigs[0].name, Reference(genome)
        found = Consequences(annotation, reference)
        parts = annotation.coding[name].of(0, genome.lengths[name])
        kinds = []
        for start, stop, cds in parts:
            if len(cds.parts) > 1:
                continue
            # the last base but one of the start codon, T in all of E. coli's, becomes C
            at = start + 1 if cds.strand == "+" else stop - 2
            ref = reference.letters(name, at, at + 1)
            alt = {"T": "C", "A": "G"}.get(ref, "")
            if alt:
                ours = [c for c in found.of(name, Variant(at, ref, alt)) if c.gene == cds.gene]
                kinds += [c.kind for c in ours if c.codon == 1]
        genes = annotation.genes[name].of(189, 255)
    assert [gene for _, _, gene in genes] == ["thrL"]
    assert len(kinds) > 4200
    assert set(kinds) == {"start_lost"}


def test_compressed_annotation(tmp_path):
    (tmp_path / "a.gff").write_bytes(gzip.compress(GFF.encode()))
    found = read_annotation(tmp_path / "a.gff", {"chr1": 100}, {"chr1": "chr1"}.get)
    assert len(coding(found)) == 2
