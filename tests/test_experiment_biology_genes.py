"""Genes of a GFF3 file, substitutions in them, and their exact effects."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from Bio.Seq import Seq
from models import assert_within

import pgf_genome as pgf
from pgf_genome.errors import SequenceError
from pgf_genome.experiments import biology
from pgf_genome.experiments.gene_snvs import KINDS, Snvs, substitutions
from pgf_genome.experiments.genes import Annotation, Gene, is_whole, read_annotation
from pgf_genome.intervals import Interval
from pgf_genome.sequence import BASES, decode_fasta, encode, reverse_complement

LENGTHS = {"chr": 60, "other": 30}
GFF = """\
##gff-version 3
chr\tx\tgene\t4\t12\t.\t+\t.\tID=gene-a
chr\tx\tCDS\t4\t12\t.\t+\t0\tID=a;transl_table=4
chr\tx\tCDS\t21\t23\t.\t-\t0\tID=b
chr\tx\tCDS\t31\t36\t.\t-\t0\tID=b
chr\tx\tpseudogene\t40\t45\t.\t+\t.\tID=gene-c
chr\tx\tCDS\t40\t45\t.\t+\t0\tID=c;pseudo=true
chr\tx\ttRNA\t50\t52\t.\t+\t.\tID=t
chr\tx\trepeat_region\t54\t58\t.\t+\t.\tID=r
##FASTA
>chr
ACGT
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def cds(contig: str, start: int, stop: int, strand: str = "+", name: str = "g", **more: str) -> str:
    """A CDS line; coordinates as in the file, 1-based inclusive."""
    notes = "".join(f";{key}={value}" for key, value in more.items())
    return f"{contig}\tx\tCDS\t{start}\t{stop}\t.\t{strand}\t0\tID={name}{notes}\n"


def test_coding_sequences_are_half_open_and_in_the_order_of_translation(tmp_path):
    found = read_annotation(written(tmp_path / "a.gff", GFF), LENGTHS)
    assert [gene.name for gene in found.genes] == ["a", "b"]
    a, b = found.genes
    assert (a.strand, a.table, a.positions.tolist()) == ("+", 4, list(range(3, 12)))
    assert (b.strand, b.table) == ("-", 11)
    assert b.positions.tolist() == [35, 34, 33, 32, 31, 30, 22, 21, 20]


def test_pseudogenes_and_rna_are_genic_and_repeats_are_not(tmp_path):
    genic = read_annotation(written(tmp_path / "a.gff", GFF), LENGTHS).genic
    assert {(i.start, i.stop) for i in genic} == {
        (3, 12), (20, 23), (30, 36), (39, 45), (49, 52),
    }  # fmt: skip


def test_compression_is_seen_by_content(tmp_path):
    (tmp_path / "a.gff").write_bytes(gzip.compress(GFF.encode()))
    assert len(read_annotation(tmp_path / "a.gff", LENGTHS).genes) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (cds("chrr", 1, 9), "there is no contig 'chrr'; did you mean 'chr'"),
        (cds("chr", 55, 63), "CDS from 55 to 63 is not within chr, which has 60 bases"),
        (cds("chr", 9, 7), "CDS from 9 to 7 is not within chr"),
        (cds("chr", 1, 9, transl_table="99"), "transl_table=99, which is not one of NCBI's"),
        ("chr\tCDS\t1\t9\n", "line 1: not a GFF3 or GTF file"),
    ],
)
def test_faults_of_an_annotation_name_the_file(tmp_path, text, said):
    path = written(tmp_path / "a.gff", text)
    with pytest.raises(SequenceError, match=re.escape(said)) as error:
        read_annotation(path, LENGTHS)
    assert str(path) in str(error.value)


def test_an_annotation_that_cannot_be_read_is_reported(tmp_path):
    with pytest.raises(SequenceError, match=r"cannot read the GFF file .*No such file"):
        read_annotation(tmp_path / "absent.gff", LENGTHS)
    (tmp_path / "cut.gff.gz").write_bytes(gzip.compress(GFF.encode())[:-9])
    with pytest.raises(SequenceError, match="truncated or damaged"):
        read_annotation(tmp_path / "cut.gff.gz", LENGTHS)


def gene_of(text: str, strand: str = "+", table: int = 11) -> tuple[Gene, np.ndarray]:
    """A gene that is all of a sequence, which is given as it is translated."""
    codes, positions = encode(text), np.arange(len(text))
    if strand == "-":
        return Gene("g", "chr", "-", positions[::-1], table), reverse_complement(codes)
    return Gene("g", "chr", "+", positions, table), codes


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize(
    ("text", "table", "whole"),
    [
        ("ATGGCATAA", 11, True),
        ("GTGGCATAG", 11, True),
        ("GTGGCATAG", 1, False),  # no start codon of the standard code
        ("ATGGCATA", 11, False),  # not a multiple of three
        ("ATGGCAGCA", 11, False),  # no stop
        ("ATGTGATAA", 11, False),  # a stop inside
        ("ATGTGATAA", 4, True),  # which is tryptophan in mycoplasmas
        ("ATGGNATAA", 11, False),
        ("TAA", 11, False),
    ],
)
def test_whole_genes_read_from_start_to_stop(strand, text, table, whole):
    assert is_whole(*gene_of(text, strand, table)) is whole


def test_kinds_of_substitutions_of_a_tiny_gene():
    found = substitutions(*gene_of("ATGTATTAA"))
    kinds = {
        (int(p), BASES[a]): KINDS[k]
        for p, a, k in zip(found.position, found.alt, found.kind, strict=True)
    }
    assert len(kinds) == 27
    assert kinds[0, "G"] == "synonymous"  # GTG starts a protein too, in table 11
    assert kinds[1, "C"] == "start-lost"
    assert kinds[5, "C"] == "synonymous"  # TAC, tyrosine as TAT
    assert kinds[5, "A"] == kinds[5, "G"] == "stop-gained"
    assert kinds[3, "C"] == "missense"
    assert kinds[8, "G"] == "synonymous"  # TAG, another stop
    assert kinds[8, "C"] == "stop-lost"


@pytest.mark.parametrize("table", [1, 11, 4])
@pytest.mark.parametrize("strand", ["+", "-"])
def test_kinds_agree_with_translation_of_the_mutated_gene(strand, table):
    letters = "".join(np.random.default_rng(5).choice(list("ACG"), 60))  # no T, so no stop
    gene, codes = gene_of(f"ATG{letters}TAA", strand, table)

    def protein(sequence: np.ndarray) -> str:
        return str(Seq("".join(BASES[c] for c in gene.bases(sequence))).translate(table=table))

    before = protein(codes)
    found = substitutions(gene, codes)
    for position, alt, kind in zip(found.position, found.alt, found.kind, strict=True):
        codon = int(np.flatnonzero(gene.positions == position)[0]) // 3
        mutant = codes.copy()
        mutant[position] = alt
        after = protein(mutant)
        if codon == 0:
            assert KINDS[kind] in ("synonymous", "start-lost")
        elif after == before:
            assert KINDS[kind] == "synonymous"
        else:
            named = {"*": "stop-gained"}.get(after[codon], "missense")
            assert KINDS[kind] == ("stop-lost" if before[codon] == "*" else named)


def likelihood(model, codes: np.ndarray) -> float:
    """Mean log-likelihood of both strands, by whole sequences."""
    strands = (codes, reverse_complement(codes))
    ids = [model.vocabulary.encode(strand) for strand in strands]
    return float(np.mean([pgf.adjoint(model, each, pgf.Likelihood()).value for each in ids]))


@pytest.fixture(scope="module")
def sequence() -> np.ndarray:
    """Random bases with an N."""
    codes = np.random.default_rng(1).integers(0, 4, 40).astype(np.uint8)
    codes[17] = 4
    return codes


@pytest.fixture(scope="module")
def some(sequence) -> Snvs:
    """Substitutions in no order, both ends and a position twice among them."""
    position = np.array([30, 0, 39, 12, 12, 16, 3])
    alt = ((sequence[position] + np.array([1, 2, 3, 1, 2, 3, 1])) % 4).astype(np.uint8)
    return Snvs(position, alt, np.zeros(7, np.int64), np.zeros(7, np.int64))


@pytest.fixture
def whole_effects(tiny_model, sequence, some) -> np.ndarray:
    """Effects by running mutants from end to end."""
    reference, effects = likelihood(tiny_model, sequence), []
    for position, alt in zip(some.position, some.alt, strict=True):
        mutant = sequence.copy()
        mutant[position] = alt
        effects.append(likelihood(tiny_model, mutant) - reference)
    return np.array(effects)


def test_exact_effects_are_those_of_whole_sequences(tiny_model, sequence, some, whole_effects):
    found = biology.effects_of(tiny_model, sequence, some, horizon=100)
    assert_within(1e-10, found["exact"], whole_effects)
    errors = [np.abs(found[f"near {w}"] - whole_effects).max() for w in (4, 16)]
    assert errors[0] > errors[1] > 1e-9


def test_first_order_is_the_derivative_of_the_likelihood_of_both_strands(tiny_model, tmp_path):
    codes = np.random.default_rng(2).integers(0, 4, 30).astype(np.uint8)
    text = "".join(BASES[c] for c in codes)
    interval, nothing = Interval("chr", 0, 30), Annotation((), ())
    with decode_fasta(written(tmp_path / "a.fa", f">chr\n{text}\n"), tmp_path / "codes") as genome:
        scored = biology.score(tiny_model, genome, interval, nothing, tmp_path)
    position, alt = np.array([3, 29, 11]), (codes[[3, 29, 11]] + 2) % 4
    found = scored.first_order(Snvs(position, alt, position, position))

    def mixed(strand: np.ndarray, at: int, new: int, share: float) -> float:
        x = tiny_model.one_hot(tiny_model.vocabulary.encode(strand))
        rows = tiny_model.vocabulary.base_ids
        x[at, rows[strand[at]]] -= share
        x[at, rows[new]] += share
        return pgf.adjoint(tiny_model, x, pgf.Likelihood()).value

    h, expected = 1e-5, []
    for at, new in zip(position, alt, strict=True):
        sides = ((codes, at, new), (reverse_complement(codes), 29 - at, 3 - new))
        slopes = [(mixed(*side, h) - mixed(*side, -h)) / (2 * h) for side in sides]
        expected.append(np.mean(slopes))
    assert_within(1e-6, found, np.array(expected))
