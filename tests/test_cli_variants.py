"""The command ``variants``: what it gives to the library, and whole runs with small models."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
import torch
from vcfs import by_position, genome_file, infos, records

import pgf_genome as pgf
from pgf_genome.cli import commands
from pgf_genome.effects.settings import Scoring
from pgf_genome.errors import UsageError

ORACLES = Path(__file__).parent / "oracles"
BASES = "ACGTTGCAAGGCTTAACCGGTTAACGATCG"


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Run the command on a small VCF; returns what the engine is given, and the output."""
    fasta, vcf, out = genome_file(tmp_path), tmp_path / "in.vcf", tmp_path / "o.vcf"
    vcf.write_text(records("1:3 G A,*"))

    def run(*options: str) -> tuple[tuple, bytes]:
        seen = []

        def scorer(model, genome, scoring, threads, kept):
            seen.append((scoring, threads))
            return by_position(genome)

        engine = SimpleNamespace(scorer=scorer)
        monkeypatch.setitem(sys.modules, "pgf_genome.effects.scorer", engine)
        words = ["variants", str(fasta), str(vcf), "-o", str(out), *options]
        commands.main(words, standalone_mode=False)
        return seen[0], out.read_bytes()

    return run


@pytest.mark.parametrize(
    ("options", "near", "said"),
    [
        ([], 16, b"near 16: 16 bases are run again, the last changed one the first"),
        (["--near", "4"], 4, b"near 4: 4 bases are run again"),
        (["--near", "exact"], None, b"exact: all bases downstream"),
        (["--near", "first-order"], 0, b"first-order in the state behind"),
        (["--near", "1"], 1, b"first-order in the state behind"),
    ],
)
def test_the_method_is_in_the_header(given, options, near, said):
    asked, output = given(*options, "--strand", "-", "-t", "1")
    assert asked == (Scoring(near, "-"), 1)
    assert said in output
    assert b"Strand -;" in output
    assert infos(output) == ["PGF_EFFECT=3.1,.;PGF_FLAG=.,spanning_deletion"]


def test_the_counts_are_logged(given, caplog):
    with caplog.at_level(logging.INFO, "pgf_genome"):
        given()
    assert "1 records, 2 alternative alleles, of which 1 are scored" in caplog.text
    assert "not scored: 1 spanning_deletion" in caplog.text


@pytest.mark.parametrize("near", ["0", "-1", "x", "1.5", ""])
def test_a_reach_that_is_none_is_refused(given, near):
    with pytest.raises(click.BadParameter, match="is not exact, first-order or a number of bases"):
        given("--near", near)


def test_outputs_are_checked_before_the_model_is_loaded(given):
    with pytest.raises(UsageError, match="`tsv` x: the name of a table ends in"):
        given("--tsv", "x", "-m", "no such model")


@pytest.fixture
def scored(tmp_path, command):
    """Run the command whole, with a model of the oracles; its outcome, and the output."""
    fasta, vcf, out = tmp_path / "g.fa", tmp_path / "in.vcf", tmp_path / "o.vcf"
    fasta.write_text(f">1\n{BASES}\n>2\n{'N' * 30}{BASES}{'N' * 30}{BASES[::-1]}\n")
    vcf.write_text(records("1:3 G A,T", "1:5 TG T", "2:33 G C", "2:95 G C,*"))

    def run(model: str, *options: str):
        done = command(
            "variants", fasta, vcf, "-o", out, "-m", ORACLES / model, "-t", "1",
            "--dtype", "float64", "--gap-length", "20", *options,
        )  # fmt: skip
        return done, out.read_text() if out.exists() else ""

    return run


def numbers(output: str, key: str) -> list[float]:
    found = [dict(f.split("=") for f in info.split(";"))[key] for info in infos(output.encode())]
    return [float(value) for values in found for value in values.split(",") if value != "."]


def test_segments_are_scored_each_by_itself(scored):
    done, output = scored("hf_mamba_tiny", "--near", "exact")
    assert done.code == 0
    loaded, two = pgf.load_model(ORACLES / "hf_mamba_tiny", dtype=torch.float64), BASES[::-1]
    expected = [
        *pgf.variant_effects(loaded, BASES, [(2, "G", "A"), (2, "G", "T"), (4, "TG", "T")]),
        *pgf.variant_effects(loaded, BASES, [(2, "G", "C")]),
        *pgf.variant_effects(loaded, two, [(4, two[4], "C")]),
    ]
    assert numbers(output, "PGF_EFFECT") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("model", ["caduceus_ph_tiny", "caduceus_ps_tiny"])
def test_a_bidirectional_model_runs_windows_within_segments(scored, model):
    done, output = scored(model, "--window", "16")
    assert done.code == 0
    loaded = pgf.load_model(ORACLES / model, dtype=torch.float64)
    runs = {"window": 16}
    one = [(2, "G", "A"), (2, "G", "T"), (4, "TG", "T")]
    two = BASES[::-1]
    expected = [
        *pgf.variant_effects(loaded, BASES, one, **runs),
        *pgf.variant_effects(loaded, BASES, [(2, "G", "C")], **runs),
        *pgf.variant_effects(loaded, two, [(4, two[4], "C")], **runs),
    ]
    assert numbers(output, "PGF_EFFECT") == pytest.approx(expected, rel=1e-5)
    assert "Pseudo-log-likelihood of a window of the sequence with ALT minus" in output
    assert "exact: window of 16 bases around the change" in output


def test_masked_scores_are_named_as_such(scored, tmp_path):
    table = tmp_path / "o.tsv"
    done, output = scored("caduceus_ps_tiny", "--score", "masked", "--tsv", str(table))
    assert "not scored: 1 not_snv (only SNVs have a masked score)" in done.err
    loaded = pgf.load_model(ORACLES / "caduceus_ps_tiny", dtype=torch.float64)
    two = BASES[::-1]
    expected = [
        *pgf.variant_effects(loaded, BASES, [(2, "G", "A"), (2, "G", "T")], score="masked"),
        *pgf.variant_effects(loaded, BASES, [(2, "G", "C")], score="masked"),
        *pgf.variant_effects(loaded, two, [(4, two[4], "C")], score="masked"),
    ]
    assert numbers(output, "PGF_MASKED_SCORE") == pytest.approx(expected, rel=1e-5)
    assert "PGF_EFFECT" not in output
    assert infos(output.encode())[1] == "PGF_MASKED_SCORE=.;PGF_FLAG=not_snv"
    assert "##INFO=<ID=PGF_MASKED_SCORE,Number=A,Type=Float" in output
    assert "log p of ALT less log p of REF at the masked position" in output
    assert table.read_text().splitlines()[0].split("\t")[5] == "masked_score"


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (
            "caduceus_ph_tiny",
            ["--near", "16"],
            "--near is for causal models, which hand",
        ),
        ("caduceus_ph_tiny", ["--near", "first-order"], "--near can only be exact"),
        ("hf_mamba_tiny", ["--score", "masked"], "--score masked is for bidirectional models"),
        ("hf_mamba_tiny", ["--window", "64"], "--window is for bidirectional models"),
        ("caduceus_ph_tiny", ["--window", "0"], "--window must be at least 1, not 0"),
    ],
)
def test_what_a_model_has_not_is_told_in_one_line(scored, model, options, said):
    done, output = scored(model, *options)
    assert done.code == 2
    assert said in done.error
    assert output == ""


def test_near_may_be_said_to_be_exact(scored):
    assert scored("caduceus_ph_tiny", "--near", "exact")[1] == scored("caduceus_ph_tiny")[1]
