"""``experiment biology``: what is measured of a model and its genes, and what is told of it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from Bio.Seq import Seq
from models import bidirectional_config, random_model

from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.experiments import biology, biology_text
from pgf_genome.experiments.gene_snvs import KINDS
from pgf_genome.experiments.runner import run
from pgf_genome.intervals import Interval
from pgf_genome.pretrain.initial import new_model
from pgf_genome.pretrain.saving import save_model
from pgf_genome.pretrain.settings import Training


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> dict[str, str]:
    """A genome of two contigs with genes on both strands, and a small random model."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(3)
    letters, lines = list("".join(rng.choice(list("ACGT"), 3000))), ""
    for i in range(5):
        start, strand = 200 + 500 * i, "+-"[i % 2]
        gene = "ATG" + "".join(rng.choice(["GCA", "CTG", "AAA", "GAT", "TAC"], 98)) + "TAA"
        read = gene if strand == "+" else str(Seq(gene).reverse_complement())
        letters[start : start + 300] = read
        lines += f"chr\tx\tCDS\t{start + 1}\t{start + 300}\t.\t{strand}\t0\tID=g{i}\n"
    fasta, gff = folder / "a.fa", folder / "a.gff"
    fasta.write_text(f">chr\n{''.join(letters)}\n>bare\n{'ACGT' * 100}\n")
    gff.write_text(lines)
    save_model(new_model(Training(d_model=16, n_layer=2, d_state=4)), folder / "model", "random\n")
    return {"fasta": str(fasta), "gff": str(gff), "model": str(folder / "model")}


SMALL = {"snvs": 30, "per_kind": 6, "resamples": 10, "horizon": 1024, "threads": 1}


@pytest.fixture(scope="module")
def result(inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("result")
    return run("biology", folder, **inputs, **SMALL), folder


def test_csv_page_and_paragraph_say_the_same(result):
    findings, folder = result
    stored = pd.read_csv(folder / "biology.csv", keep_default_na=False, na_values=[""])
    pd.testing.assert_frame_equal(findings.table, stored)
    assert set(stored["panel"]) == {
        "codon", "start", "between", "first order", "third positions", "exact", "single",
    }  # fmt: skip
    told = biology_text.findings(stored)
    assert told.paragraph == findings.paragraph
    assert told.claims == findings.claims
    assert len(told.paragraph.split()) <= 150
    page, text = ((folder / f"biology.{kind}").read_text() for kind in ("html", "md"))
    assert findings.paragraph in text
    assert findings.paragraph.replace("'", "&#x27;") in page
    assert re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", page) == []
    assert stored["genes"].unique().tolist() == [5]


def test_small_weights_make_first_order_nearly_exact(result):
    table = result[0].table
    row = biology_text.find(table, "exact", "all", "first order", "Pearson")
    assert row["n"] == 30
    assert row["value"] > 0.8
    near = [biology_text.find(table, "exact", "all", f"near {w}", "Pearson") for w in (4, 16)]
    assert row["value"] < near[0]["value"] < near[1]["value"]


def test_single_substitutions_are_one_based_and_of_every_kind(result, inputs):
    single = result[0].table.query("panel == 'single'")
    sequence = Path(inputs["fasta"]).read_text().split("\n")[1]
    for position, change in zip(single["position"], single["statistic"], strict=True):
        assert sequence[int(position) - 1] == change[0] != change[-1]
    counts = single[single["quantity"] == "exact"]["group"].value_counts()
    assert counts.sum() >= 30
    assert counts[list(KINDS[:3])].min() >= 6


def test_the_same_run_gives_the_same_table(result, inputs, tmp_path):
    run("biology", tmp_path, **inputs, **SMALL)
    assert (tmp_path / "biology.csv").read_bytes() == (result[1] / "biology.csv").read_bytes()


def with_values(table: pd.DataFrame, where: tuple[str, ...], *values: float) -> pd.DataFrame:
    """The table with another estimate and interval in one row."""
    doctored = table.copy()
    doctored.loc[biology_text.find(table, *where).name, ["value", "low", "high"]] = values
    return doctored


@pytest.mark.parametrize("expected", biology_text.EXPECTATIONS, ids=lambda e: e.label)
def test_verdicts_are_read_from_the_table(expected, result):
    table, rank = result[0].table, biology_text.EXPECTATIONS.index(expected)

    def verdict(*values: float) -> str:
        doctored = with_values(table, expected.where, *values)
        claims = biology_text.claims(doctored)
        claim, text = claims[rank], biology_text.paragraph(doctored, claims)
        assert f"{values[0]:.3f}" in claim.measured
        missing = text.partition("Expected but not found: ")[2]
        assert (expected.label in missing) == (claim.verdict == "does not hold")
        return claim.verdict

    # an AUROC or a correlation is near one, a Cohen's d far from zero
    good, bad = (0.9 * expected.sign, -0.9 * expected.sign)
    assert verdict(good, good - 0.05, good + 0.05) == "holds"
    assert verdict(bad, bad - 0.05, bad + 0.05) == "does not hold"
    slight = expected.null + 0.02 * expected.sign
    against_reference = expected.enough == expected.null
    narrow = verdict(slight, slight - 0.01, slight + 0.01)
    assert narrow == ("holds" if against_reference else "holds in part")
    wide = verdict(slight, slight - 0.5, slight + 0.5)
    assert wide == ("holds in part" if against_reference else "does not hold")


def test_what_was_not_measured_is_not_tested(result):
    rare = result[0].table.query("group != 'stop-gained'")
    told = biology_text.findings(rare)
    verdicts = [c.verdict for c in told.claims if "stop-gained" in c.statement]
    assert verdicts == ["not tested"] * 3
    assert "stop-gained" not in told.paragraph


def test_default_stretch_is_what_the_bundled_model_did_not_see():
    settings = biology.Settings("a.fa", "a.gff", bases=1000)
    coli = {"plasmid": 500, "NC_000913.3": 4_641_652}
    assert settings.interval(coli) == Interval("NC_000913.3", 4_000_000, 4_001_000)
    assert settings.interval({"chr1": 700}) == Interval("chr1", 0, 700)
    other = biology.Settings("a.fa", "a.gff", model="mine", bases=100)
    assert other.interval(coli) == Interval("plasmid", 0, 100)
    asked = biology.Settings("a.fa", "a.gff", region="plasmid:11-")
    assert asked.interval(coli) == Interval("plasmid", 10, 500)


def test_a_stretch_without_genes_is_reported(inputs, tmp_path):
    with pytest.raises(SequenceError, match="no whole gene lies within bare:1-400"):
        run("biology", tmp_path, **inputs, region="bare", threads=1)


def test_a_model_of_both_directions_is_refused(inputs, tmp_path, monkeypatch):
    both = random_model(bidirectional_config(), torch.float32)
    monkeypatch.setattr(biology, "load_model", lambda *arguments: both)
    with pytest.raises(UsageError, match="biology needs a causal model"):
        run("biology", tmp_path, **inputs)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bases": 0}, "--bases must be at least 1, not 0"),
        ({"snvs": 2}, "--snvs must be at least 3, not 2"),
        ({"per_kind": -1}, "--per-kind must be at least 0, not -1"),
        ({"horizon": 0}, "--horizon must be at least 1, not 0"),
        ({"device": "tpu"}, "`device` must be"),
    ],
)
def test_options_out_of_range_are_usage_errors(options, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        biology.Settings("a.fa", "a.gff", **options)


def test_command_prints_the_table(command, inputs, tmp_path):
    files = [text for name, path in inputs.items() for text in (f"--{name}", path)]
    done = command("experiment", "biology", "--quick", "-q", "-t", "1", "-o", tmp_path, *files)
    assert (done.code, done.err) == (0, "")
    printed = pd.read_csv(io.StringIO(done.out), sep="\t", keep_default_na=False)
    assert {"question", "group", "quantity", "mean", "AUROC", "Pearson"} <= set(printed.columns)
    assert len(printed) > 30


@pytest.mark.data
def test_bundled_model_finds_stops_costly_in_real_genes(real_data, tmp_path):
    folder = real_data / "ecoli_k12"
    findings = run(
        "biology", tmp_path, quick=True, bases=5000, snvs=3, per_kind=0, horizon=64, threads=1,
        fasta=str(folder / "GCF_000005845.2_ASM584v2_genomic.fna.gz"),
        gff=str(folder / "NC_000913.gff.gz"),
    )  # fmt: skip
    assert findings.table["unseen"].all()
    assert findings.table["start"].unique().tolist() == [4_000_000]
    area = biology_text.find(findings.table, "first order", "stop-gained", "first order", "AUROC")
    assert area["value"] > 0.6
