"""The command ``variants``: what it gives to the library, with a scorer in place of the engine."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace

import click
import pytest
from vcfs import by_position, genome_file, infos, records

from pgf_genome.cli import commands
from pgf_genome.effects.settings import Scoring
from pgf_genome.errors import UsageError


@pytest.fixture
def given(tmp_path, monkeypatch):
    """Run the command on a small VCF; returns what the engine is given, and the output."""
    fasta, vcf, out = genome_file(tmp_path), tmp_path / "in.vcf", tmp_path / "o.vcf"
    vcf.write_text(records("1:3 G A,*"))

    def run(*options: str) -> tuple[tuple, bytes]:
        seen = []

        def scorer(model, genome, scoring, threads):
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
