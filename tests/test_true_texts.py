"""What a run says of its numbers is true of it: every method, objective, strand and family."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
import torch

import pgf_genome as pgf
from pgf_genome.attribution.methods import GRADIENT_TRACKS as TRACKS
from pgf_genome.attribution.methods import GRADIENTS as METHODS
from pgf_genome.attribution.options import Options
from pgf_genome.attribution.prepare import prepared

ORACLES = Path(__file__).parent / "oracles"
FAMILIES = ("hf_mamba_tiny", "hf_mamba2_tiny", "caduceus_ph_tiny", "caduceus_ps_tiny")
UNITS = {"likelihood": "nats", "entropy": "nats", "logit:C": "logits", "norm": "squared units"}
GRADIENT = ("sensitivity", "contribution", "tism.A", "tism.C", "tism.G", "tism.T")


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return pgf.load_model(ORACLES / request.param, dtype=torch.float64)


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    bases = np.random.default_rng(5).choice(list("ACGT"), 60)
    (tmp_path / "in.fa").write_text(f">c\n{''.join(bases)}\n")
    return tmp_path / "in.fa"


@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("objective", UNITS)
@pytest.mark.parametrize("method", METHODS)
def test_every_track_is_described_as_it_was_made(model, fasta, tmp_path, method, objective, strand):
    options = Options(method=method, objective=objective, strand=strand, tracks=TRACKS)
    with prepared(fasta, model, options, tmp_path) as plan:
        texts = plan.descriptions
    averaged = strand == "both" and not model.reads_both_strands
    assert tuple(texts) == TRACKS
    for track in GRADIENT:
        assert texts[track].unit == f"{UNITS[objective]} of F per unit change of the one-hot"
    for track in ("sensitivity", "contribution"):
        said = "simplex-corrected gradient" if method == "corrected" else "raw gradient"
        assert said in texts[track].meaning
    assert texts["surprisal"].unit == "bits"
    assert ("mean over the strands" in texts["surprisal"].meaning) == averaged
    causal = "hf" in Path(model.name).name
    assert ("before it" in texts["surprisal"].meaning) == causal
    assert ("whole window" in texts["surprisal"].meaning) == (not causal)


@pytest.mark.parametrize(
    ("family", "strand", "words"),
    [
        ("hf_mamba_tiny", "+", "plus strand only"),
        ("hf_mamba_tiny", "-", "minus strand only"),
        ("hf_mamba_tiny", "both", "averaged"),
        ("caduceus_ph_tiny", "both", "averaged"),
        ("caduceus_ps_tiny", "both", "reads both strands"),
    ],
)
def test_run_json_and_report_say_the_same_and_whose_strands(fasta, tmp_path, family, strand, words):
    model = pgf.load_model(ORACLES / family, dtype=torch.float64)
    options = {"strand": strand, "objective": "norm", "method": "saliency"}
    done = pgf.attribute(fasta, model, tmp_path / "out", **options)
    run = json.loads(done.files["run"].read_text())
    assert words in run["conventions"]["strands"]
    page = done.files["report"].read_text()
    for track, text in run["tracks"].items():
        assert text["title"] in page
        assert run["conventions"][track] == f"{text['meaning']} [{text['unit']}]"
    assert "nats" not in page.split("plotly.js v")[0]
    assert "simplex" not in json.dumps(run)


@pytest.mark.parametrize("method", METHODS)
def test_values_are_what_their_description_says(fasta, tmp_path, method):
    """The gradient by autograd over the whole sequence, and the words put into a formula."""
    model = pgf.load_model(ORACLES / "hf_mamba_tiny", dtype=torch.float64)
    done = pgf.attribute(
        fasta, model, tmp_path / "out", method=method, strand="+", tracks=GRADIENT, tile=16
    )
    ids = model.tokenize(fasta.read_text().split()[1])
    gradient = pgf.adjoint(model, ids).gradient[:, list(model.vocabulary.base_ids)]
    observed = [model.vocabulary.base_ids.index(i) for i in ids.tolist()]
    rows = np.arange(len(ids))
    slope = gradient - gradient.mean(axis=1, keepdims=True) if method == "corrected" else gradient
    expected = {
        "sensitivity": np.linalg.norm(slope, axis=1),
        "contribution": slope[rows, observed],
        "tism.G": gradient[:, 2] - gradient[rows, observed],
    }
    for track, values in expected.items():
        with pyBigWig.open(str(done.files[f"{track}.bigwig"])) as file:
            found = np.array(file.values("c", 0, 60))
        assert np.allclose(found, values, rtol=1e-5, atol=1e-6 * np.abs(values).max())
