"""``experiment trna``: cloverleaves, precision, and what is measured of planted tRNAs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from Bio.Seq import Seq

from pgf_genome.errors import SequenceError
from pgf_genome.experiments import trna, trna_text
from pgf_genome.experiments.cloverleaf import stems
from pgf_genome.experiments.resampling import Sample, average_precision, weights_of
from pgf_genome.experiments.runner import run

MODEL = Path(__file__).parent / "oracles" / "hf_mamba_tiny"
# E. coli, as Sprinzl's database draws them; tRNA-Leu has a long variable arm, tRNA-His a base more
# before its acceptor stem.
KNOWN = {
    "ileV": (
        "AGGCTTGTAGCTCAGGTGGTTAGAGCGCACCCCTGATAAGGGTGAGGTCGGTGGTTCAAGTCCACTCAGGCCTACCA",
        "(((((((..((((.........)))).(((((.......))))).....(((((.......))))))))))))....",
    ),
    "leuV": (
        "GCGAAGGTGGCGGAATTGGTAGACGCGCTAGCTTCAGGTGTTAGTGTCCTTACGGACGTGGGGGTTCAAGTCCCCCCCCTCGCACCA",
        "((((.((..(((...........))).(((((.......)))))...............(((((.......))))))).))))....",
    ),
    "hisR": (
        "GGTGGCTATAGCTCAGTTGGTAGAGCCCTGGATTGTGATTCCAGTTGTCGTGGGTTCGAATCCCATTAGCCACCCCA",
        ".(((((((..((((........)))).(((((.......))))).....(((((.......))))))))))))....",
    ),
}  # fmt: skip


def drawn(sequence: str) -> str:
    """Dots and brackets."""
    marks = ["."] * len(sequence)
    for first, second in stems(sequence):
        marks[first], marks[second] = "(", ")"
    return "".join(marks)


@pytest.mark.parametrize("name", KNOWN)
def test_stems_of_known_trnas(name):
    sequence, structure = KNOWN[name]
    assert drawn(sequence) == structure


def test_what_is_no_cloverleaf_has_no_stems():
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert stems("".join(rng.choice(list("ACGT"), 76))) == []
    for short in ("", "CCA", "ACGT" * 8):
        assert stems(short) == []


def test_precision_is_that_of_a_list():
    values, is_pair = np.array([5.0, 4, 4, 3, 2, 1]), np.array([1, 0, 1, 0, 1, 0])
    lower, higher = (Sample(values[is_pair == k], np.zeros(3, int)) for k in (0, 1))
    found = average_precision(lower, higher, np.ones((1, 1)))
    assert found.value == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    rng = np.random.default_rng(0)
    unit = rng.integers(0, 5, 400)
    noise = Sample(rng.random(400), unit), Sample(rng.random(400), unit)
    chance = average_precision(*noise, weights_of(5, 100, rng))
    assert chance.low < 0.5 < chance.high


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict[str, str]:
    """A genome with three tRNAs, one of them on the minus strand, and a gene that is none."""
    folder = tmp_path_factory.mktemp("trna")
    rng = np.random.default_rng(1)
    letters, lines = list("".join(rng.choice(list("ACGT"), 700))), ""
    for k, (name, (sequence, _)) in enumerate(KNOWN.items()):
        start, strand = 100 + 150 * k, "+-+"[k]
        read = sequence if strand == "+" else str(Seq(sequence).reverse_complement())
        letters[start : start + len(read)] = read
        lines += f"chr\tx\ttRNA\t{start + 1}\t{start + len(read)}\t.\t{strand}\t.\tID={name}\n"
    lines += "chr\tx\ttRNA\t1\t76\t.\t+\t.\tID=none\nchr\tx\tCDS\t1\t90\t.\t+\t0\tID=c\n"
    fasta, gff = folder / "a.fa", folder / "a.gff"
    fasta.write_text(f">bare\nACGT\n>chr\n{''.join(letters)}\n")
    gff.write_text(lines)
    return {"fasta": str(fasta), "gff": str(gff), "model": str(MODEL)}


@pytest.fixture(scope="module")
def found(inputs, tmp_path_factory):
    return run("trna", tmp_path_factory.mktemp("out"), quick=True, **inputs, threads=1)


def test_every_method_has_both_statistics_with_an_interval(found):
    table = found.table
    assert set(table["annotated"]) == {4}
    assert set(table["genes"]) == {3}
    assert len(table) == 2 * (2 * 3 + 2)
    assert ((table["low"] <= table["high"]) & table["value"].between(0, 1)).all()
    exact, first = (
        table[(table["method"] == m) & (table["definition"] == "logodds-max")]["value"].to_numpy()
        for m in trna.METHODS
    )
    assert not np.array_equal(exact, first)


def test_baselines_know_what_they_should(found):
    """Most pairs of stems have bonds, and they are not near each other."""
    complementary = trna_text.find(found.table, "complementarity", "AUROC")
    assert complementary["low"] > 0.7
    assert complementary["chance"] == 0.5
    share = trna_text.find(found.table, "complementarity", "AUPRC")["chance"]
    cells = sum(len(trna.cells_of(len(s))[0]) for s, _ in KNOWN.values())
    pairs = sum(structure.count("(") for _, structure in KNOWN.values())
    assert share == pytest.approx(pairs / cells)


def test_text_and_claims_are_those_of_the_table(found):
    assert "Of 4 annotated genes 3 are cloverleaves" in found.paragraph
    assert [claim.verdict for claim in found.claims] != []
    assert len(found.shown) == 8
    assert len(found.figure.data) == 2


@pytest.mark.parametrize(
    ("values", "verdicts"),
    [
        ({"exact": 0.9, "first-order": 0.9, "complementarity": 0.5}, ["holds", "holds", "holds"]),
        (
            {"exact": 0.4, "first-order": 0.2, "complementarity": 0.8},
            ["does not hold", "does not hold", "not tested"],
        ),
    ],
)
def test_claims_follow_the_values(found, values, verdicts):
    table: pd.DataFrame = found.table.copy()
    for method, value in values.items():
        chosen = table["method"] == method
        table.loc[chosen, ["low", "value", "high"]] = [value - 0.05, value, value + 0.05]
    assert [claim.verdict for claim in trna_text.claims(table)] == verdicts


def test_pairs_lie_on_the_plus_strand(inputs, tmp_path):
    with trna.decode_fasta(inputs["fasta"], tmp_path / "codes") as genome:
        genes = list(trna.annotated(inputs["gff"], genome))
    assert [len(g.pairs) for g in genes] == [0, 21, 19, 21]
    for gene, (sequence, structure) in zip(genes[1:], KNOWN.values(), strict=True):
        is_plus = gene.letters == sequence
        marks = structure if is_plus else structure[::-1].translate(str.maketrans("()", ")("))
        assert all(marks[pair.first] + marks[pair.second] == "()" for pair in gene.pairs)


def test_a_genome_without_trnas_is_refused(inputs, tmp_path):
    bare = tmp_path / "bare.gff"
    bare.write_text("chr\tx\tCDS\t1\t90\t.\t+\t0\tID=c\n")
    with pytest.raises(SequenceError, match="0 tRNA genes, of which 0 are cloverleaves"):
        run("trna", tmp_path, quick=True, **(inputs | {"gff": str(bare)}))
