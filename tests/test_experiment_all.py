"""``experiment all``: one page of every experiment; and what an experiment's files hold."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import pytest

from pgf_genome import experiments
from pgf_genome.experiments import Entry, everything
from pgf_genome.experiments.frame import Claim, Findings, stored


def findings(name: str, *claims: Claim) -> Findings:
    table = pd.DataFrame({"L": [1, 2], "error < 1": ["a&b", "<c>"]})
    return Findings(name, f"About {name}", table, table, go.Figure(), f"{name} & more.", claims)


@pytest.fixture
def asked(monkeypatch):
    """Two experiments that record how they were run; one of them needs a genome."""
    calls = {}

    def run(name, directory, quick, **options):
        calls[name] = (quick, options)
        return findings(name, Claim(f"{name} is flat", "O(1)", "slope 0.01", "holds"))

    known = {"alone": Entry("One."), "genes": Entry("Two.", ("fasta", "gff", "model"))}
    monkeypatch.setattr(everything, "EXPERIMENTS", known)
    monkeypatch.setattr(everything.runner, "run", run)
    return calls


def test_all_is_one_page_with_every_claim(asked, tmp_path):
    inputs = {"fasta": "x.fa", "gff": "x.gff"}
    found = everything.run(tmp_path, True, inputs, threads=1)
    shared = {"threads": 1, "device": "cpu"}
    assert asked == {"alone": (True, shared), "genes": (True, inputs | shared)}
    page, text = (tmp_path / "all.html").read_text(), (tmp_path / "all.md").read_text()
    for name in ("alone", "genes"):
        assert f'<h2 id="section-{name}">About {name}</h2>' in page
        assert f"{name} &amp; more." in page
        assert f"| {name} | {name} is flat | O(1) | slope 0.01 | holds |" in text
    assert page.count('class="figure"') == 2
    assert "Left out" not in page
    assert list(everything.claims(found)["experiment"]) == ["alone", "genes"]


def test_an_experiment_without_its_files_is_left_out_and_named(asked, tmp_path):
    everything.run(tmp_path, False, {"fasta": "x.fa"})
    assert asked.keys() == {"alone"}
    assert "Left out: genes (needs --gff)." in (tmp_path / "all.html").read_text()


def test_an_experiment_alone_writes_claims_paragraph_and_table(tmp_path):
    claim = Claim("It's < 1", "23 times", "7 times", "does not hold")
    html, text = findings("one", claim).write(tmp_path)
    page = html.read_text()
    assert "<h1>About one</h1>" in page
    assert "It's &lt; 1" in page or "It&#x27;s &lt; 1" in page
    assert "&lt;c&gt;" in page
    assert "| It's < 1 | 23 times | 7 times | does not hold |" in text.read_text()


def test_a_verdict_is_one_of_four_words():
    with pytest.raises(ValueError, match="maybe"):
        Claim("x", "y", "z", "maybe")


def test_what_is_told_is_what_the_file_holds(tmp_path):
    read = stored([{"x": 1 / 3, "note": ""}], tmp_path / "t.csv")
    assert read.equals(pd.read_csv(tmp_path / "t.csv"))


def test_inputs_that_an_experiment_needs_are_asked_for(command, tmp_path):
    done = command("experiment", "biology", "-o", tmp_path)
    assert done.code == 2
    assert "biology needs --fasta and --gff" in done.error


def test_every_experiment_is_a_command_and_a_module():
    from pgf_genome.cli.experiment import experiment

    assert set(experiment.commands) == {*experiments.EXPERIMENTS, "all"}
    for name in experiments.EXPERIMENTS:
        assert callable(experiments.load(name).rows)
