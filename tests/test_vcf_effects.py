"""The effects of the records of a VCF: which are scored together, and what is written of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import assert_within
from vcfs import CONTIGS, MEANING, genome_file, infos, records, scored, without

import pgf_genome as pgf
from pgf_genome.effects import by_contig
from pgf_genome.effects.by_contig import ByContig, Variant
from pgf_genome.effects.scorer import scorer
from pgf_genome.effects.scoring import score_vcf
from pgf_genome.effects.settings import Files, Scoring
from pgf_genome.effects.vcf import Flag
from pgf_genome.errors import IntegrityError, SequenceError
from pgf_genome.sequence import Genome


@pytest.fixture
def fasta(tmp_path) -> Path:
    return genome_file(tmp_path)


def brute_force(model):
    """A scorer that reads both whole sequences, on both strands."""
    pair = str.maketrans("ACGT", "TGCA")

    def likelihood(text: str) -> float:
        ids = model.tokenize(text)
        log_p = pgf.log_probs(model, ids)[:-1]
        scored = np.array([base != "N" for base in text[1:]])
        return float(log_p[np.arange(len(ids) - 1), ids[1:].numpy()][scored].sum())

    def both(text: str) -> float:
        return (likelihood(text) + likelihood(text[::-1].translate(pair))) / 2

    def of_genome(genome: Genome, kept: Path | None = None):
        def score(contig: str, variants: Sequence[Variant], report=None) -> Iterable[float]:
            whole = CONTIGS[contig].upper()
            for position, ref, alt in variants:
                assert whole[position : position + len(ref)] == ref
                yield both(whole[:position] + alt + whole[position + len(ref) :]) - both(whole)

        return score

    return of_genome


def test_effects_are_those_of_the_changed_sequences(fasta, tiny_model):
    # SNV, several alternatives, MNV, insertion, deletion, the last base; lower case; any order
    vcf = records("2:3 c a", "1:3 G A,T,GTT", "1:5 TGC AAA", "1:1 ACG A", "1:30 g C", "2:1 GG g,T")
    output, summary = scored(fasta, vcf, scorer=brute_force(tiny_model))
    found = [float(e) for info in infos(output) for e in info.split("=")[1].split(",")]
    one, two = CONTIGS["1"], CONTIGS["2"].upper()
    score = brute_force(tiny_model)(None)
    expected = [
        *score("2", [Variant(2, "C", "A")]),
        *score("1", [Variant(2, "G", alt) for alt in ("A", "T", "GTT")]),
        *score("1", [Variant(4, "TGC", "AAA"), Variant(0, "ACG", "A"), Variant(29, "G", "C")]),
        *score("2", [Variant(0, "GG", "G"), Variant(0, "GG", "T")]),
    ]
    assert len(one) == 30
    assert two[:2] == "GG"
    assert_within(1e-5, found, expected)  # six digits are written
    assert len(set(found)) == len(found)
    assert summary.flags == {Flag.SCORED: 9}


def test_the_counts_are_told_and_written(fasta):
    _, summary = scored(fasta, records("1:5 T C,*", "1:9 A C", "1:9 C A", "9:1 A C", "1:10 G *"))
    assert summary.lines() == [
        "5 records, 6 alternative alleles, of which 2 are scored",
        "not scored: 2 spanning_deletion (ALT is *, deleted by another record)",
        "not scored: 1 unknown_contig (CHROM is not in the FASTA)",
        "not scored: 1 ref_differs (REF differs from the FASTA)",
    ]
    facts = json.loads((fasta.parent / "o.summary.json").read_text())
    assert facts["records"], facts["scored"] == (5, 2)
    assert facts["not_scored"] == {"spanning_deletion": 2, "unknown_contig": 1, "ref_differs": 1}
    assert facts["contigs"] == {"1": 4, "9": 1}
    assert facts["effects"]["model"] == "tiny"
    assert len(facts["fasta"]["sha256_of_bases"]) == 64


@pytest.mark.parametrize("near", [None, 50])
def test_the_engine_gives_the_effects_of_the_changed_sequences(fasta, tiny_model, near):
    vcf = records("2:3 c a", "1:3 G A,T,GTT", "1:5 TGC AAA", "1:1 ACG A", "1:30 g C", "2:9 A ACC")
    found, _ = scored(fasta, vcf, scorer=lambda g, _: scorer(tiny_model, g, Scoring(near)))
    expected, _ = scored(fasta, vcf, scorer=brute_force(tiny_model))
    assert infos(found) == infos(expected)


def test_variants_of_a_contig_may_take_several_passes(fasta, tiny_model, monkeypatch):
    vcf = records("2:3 c a", "1:3 G A,T,GTT", "1:30 g C", "1:1 ACG A", "2:9 A ACC", "1:5 TGC AAA")
    expected, _ = scored(fasta, vcf, scorer=lambda g, _: scorer(tiny_model, g, Scoring(8)))
    monkeypatch.setattr("pgf_genome.effects.scorer.AT_ONCE", 2)
    found, _ = scored(fasta, vcf, scorer=lambda g, _: scorer(tiny_model, g, Scoring(8)))
    assert infos(found) == infos(expected)


@pytest.mark.parametrize("near", [None, 4])
def test_progress_goes_on_within_a_contig_and_ends_with_all_variants(fasta, tiny_model, near):
    seen = []
    vcf = records("1:3 G A,T,GTT", "1:30 g C", "2:1 G A", "2:3 c <DEL>")
    (fasta.parent / "in.vcf").write_text(vcf)
    files = Files(str(fasta.parent / "in.vcf"), str(fasta.parent / "o.vcf"))
    score_vcf(
        fasta, files, lambda g, _: scorer(tiny_model, g, Scoring(near)), MEANING,
        lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    done, totals = zip(*seen, strict=True)
    assert set(totals) == {5}
    assert sum(done) == pytest.approx(5)
    assert max(done) < 4
    assert all(part >= 0 for part in done)


def test_a_scorer_is_given_the_variants_of_a_contig_together(fasta):
    seen = []

    def scorer(genome: Genome, kept: Path):
        def score(contig, variants, report):
            seen.append((contig, list(variants), variants[1:], variants[-1]))
            return [v.position for v in variants]

        return score

    vcf = records("2:1 G A", "1:5 T C,G", "2:2 g c", "1:1 A ACC")
    output, _ = scored(fasta, vcf, scorer=scorer)
    one = [Variant(4, "T", "C"), Variant(4, "T", "G"), Variant(0, "A", "ACC")]
    two = [Variant(0, "G", "A"), Variant(1, "G", "C")]
    assert seen == [("1", one, one[1:], one[-1]), ("2", two, two[1:], two[-1])]
    assert infos(output) == [f"PGF_EFFECT={e}" for e in ("0", "4,4", "1", "0")]


def test_names_of_another_scheme_are_refused_and_a_table_helps(fasta, tmp_path):
    vcf = records("chr1:5 T C", "chr2:1 G A", "chrUn:1 A C")
    with pytest.raises(SequenceError) as error:
        scored(fasta, vcf)
    assert "the VCF has 'chr1', 'chr2', 'chrUn' (3 in all), the FASTA '1', '2', '3'" in str(
        error.value
    )
    assert "`chrom_alias`" in str(error.value)
    for table in ("1\tchr1\n2\tchr2\n", "chr1\t1\nchr2\t2\n", "# ucsc\tother\nchr1\t1\nchr2\t2\n"):
        (tmp_path / "alias.txt").write_text(table)
        output, summary = scored(fasta, vcf, chrom_alias=str(tmp_path / "alias.txt"))
        assert without(output) == vcf.encode()
        assert summary.flags == {Flag.SCORED: 2, Flag.UNKNOWN_CONTIG: 1}
    (tmp_path / "alias.txt").write_text("1\tchr1\n2\tchr1\n")
    with pytest.raises(SequenceError, match="'chr1' could be contig '1' or '2'"):
        scored(fasta, vcf, chrom_alias=str(tmp_path / "alias.txt"))


GFF = "1\tx\tgene\t2\t13\t.\t+\t.\tID=a;Name=ge,ne\n1\tx\tCDS\t2\t13\t.\t+\t0\tID=c;Parent=a\n"


def test_genes_and_consequences_are_added(fasta, tmp_path):
    (tmp_path / "g.gff").write_text(GFF)
    vcf = records("1:3 G A,T,*", "1:20 G C", "1:5 T <DEL>")
    output, _ = scored(
        fasta, vcf, "o.vcf.gz", gff=str(tmp_path / "g.gff"), tsv=str(tmp_path / "o.tsv")
    )  # from 2: CGT TGC AAG GCT
    assert infos(output) == [
        "PGF_EFFECT=3.1,3.1,.;PGF_FLAG=.,.,spanning_deletion;PGF_GENE=ge%2Cne;"
        "PGF_CONSEQUENCE=A|ge%2Cne|missense|1|R/H|CGT/CAT,T|ge%2Cne|missense|1|R/L|CGT/CTT",
        "PGF_EFFECT=20.1",
        "PGF_EFFECT=.;PGF_FLAG=symbolic;PGF_GENE=ge%2Cne",
    ]
    assert without(output) == vcf.encode()
    assert (tmp_path / "o.tsv").read_text().splitlines() == [
        "contig\tpos\tid\tref\talt\teffect\tflag\tgene\tconsequence",
        "1\t3\t.\tG\tA\t3.1\t\tge,ne\tA|ge%2Cne|missense|1|R/H|CGT/CAT",
        "1\t3\t.\tG\tT\t3.1\t\tge,ne\tT|ge%2Cne|missense|1|R/L|CGT/CTT",
        "1\t3\t.\tG\t*\t\tspanning_deletion\tge,ne\t",
        "1\t20\t.\tG\tC\t20.1\t\t\t",
        "1\t5\t.\tT\t<DEL>\t\tsymbolic\tge,ne\t",
    ]
    with pysam.VariantFile(str(tmp_path / "o.vcf.gz")) as file:
        first = next(iter(file))
    assert first.info["PGF_GENE"] == ("ge%2Cne",)
    assert len(first.info["PGF_CONSEQUENCE"]) == 2


def test_a_table_alone_can_be_the_output(fasta):
    vcf = records("1:3 G A,<D\u00c9L>").encode() + "\u00e9\t1\t\u00e9\tA\tC\t.\t.\t.".encode(
        "latin-1"
    )
    output, _ = scored(fasta, vcf, "o.tsv.gz")
    assert output.splitlines()[1:] == [
        b"1\t3\t.\tG\tA\t3.1\t\t\t",
        "1\t3\t.\tG\t<D\u00c9L>\t\tsymbolic\t\t".encode(),
        b"\xe9\t1\t\xe9\tA\tC\t\tunknown_contig\t\t",
    ]
    assert not (fasta.parent / "o.tsv.gz.tbi").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_effect_that_is_not_finite_is_an_error(fasta, value):
    values = iter([1.0, value, 2.0])
    with pytest.raises(IntegrityError, match="1:5 T>C: the effect is not a finite number"):
        scored(
            fasta,
            records("1:3 G A", "1:5 T C", "1:9 A C"),
            scorer=lambda *_: lambda *given: values,
        )
    assert not (fasta.parent / "o.vcf").exists()


def test_a_vcf_that_changes_during_the_run_is_an_error(fasta):
    for other in (records("1:3 G A"), records(*["1:3 G A"] * 3)):

        def scorer(genome: Genome, kept: Path, other: str = other):
            def score(contig, variants, report):
                (fasta.parent / "in.vcf").write_text(other)
                return [1.0] * len(variants)

            return score

        with pytest.raises(IntegrityError, match="the VCF has changed during the run"):
            scored(fasta, records("1:3 G A", "1:5 T C"), scorer=scorer)
        assert not (fasta.parent / "o.vcf").exists()


variant = st.builds(
    Variant, st.integers(0, 9), st.text("ACGT", max_size=5), st.text("ACGT", max_size=5)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from("abc"), variant), max_size=30), st.data())
def test_variants_come_back_contig_by_contig(tmp_path, monkeypatch, given_variants, data):
    monkeypatch.setattr(by_contig, "PIECE", data.draw(st.integers(1, 200)))
    monkeypatch.setattr(by_contig, "PENDING", data.draw(st.integers(1, 400)))
    with ByContig(tmp_path / "v") as store:
        for number, (contig, each) in enumerate(given_variants):
            store.add(number, contig, each)
        found = store.variants()
        assert found.keys() == {contig for contig, _ in given_variants}
        for contig, variants in found.items():
            expected = [each for name, each in given_variants if name == contig]
            assert list(variants) == expected
            assert [variants[i] for i in range(-len(expected), 0)] == expected
            assert variants[::-2] == expected[::-2]
            numbers = [i for i, (name, _) in enumerate(given_variants) if name == contig]
            assert np.concatenate(list(variants.column("number"))).tolist() == numbers
            with pytest.raises(IndexError):
                variants[len(expected)]
