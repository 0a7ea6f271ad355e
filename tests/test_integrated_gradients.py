"""Integrated gradients: their integral, their sum, and the track of a run."""

from __future__ import annotations

import json
from math import factorial
from pathlib import Path

import numpy as np
import pytest
import torch

import pgf_genome as pgf
from pgf_genome.engine.path import nodes, on_path
from pgf_genome.errors import UsageError

ORACLES = Path(__file__).parent / "oracles"
FAMILIES = ("hf_mamba_tiny", "hf_mamba2_tiny", "caduceus_ph_tiny", "caduceus_ps_tiny")
TEXT = "ACGTNACGGTTACGTACGATCGATTNACGTTGCATGCAAT"


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return pgf.load_model(ORACLES / request.param, dtype=torch.float64)


def by_autograd(model, text: str, steps: int) -> np.ndarray:
    """The definition over the whole sequence at once, with torch's own gradient."""
    x = model.one_hot(model.tokenize(text))
    rows = list(model.vocabulary.base_ids)
    baseline = x.clone()
    baseline[:, rows] = x[:, rows].sum(dim=1, keepdim=True) / 4
    places, weights = np.polynomial.legendre.leggauss(steps)
    total = torch.zeros_like(x)
    for place, weight in zip(places, weights, strict=True):
        soft = (baseline + (place + 1) / 2 * (x - baseline)).requires_grad_()
        log_p = model_log_p(model, soft)
        # the pseudo-likelihood holds its targets fixed, whatever tokens they are
        targets, counted = (soft, rows) if is_causal(model) else (x, slice(None))
        value = (targets[:, counted] * log_p[:, counted]).sum()
        total += weight / 2 * torch.autograd.grad(value, soft)[0]
    return ((x - baseline) * total)[:, rows].numpy()


def is_causal(model) -> bool:
    return hasattr(model, "initial_state")


def model_log_p(model, x: torch.Tensor) -> torch.Tensor:
    """Row t is the prediction of base t; nothing predicts the first one of a causal model."""
    if not is_causal(model):
        return model(x[None])[0]
    blank = model.initial_state(1)
    hidden, _ = model.hidden(x[None], blank)
    log_p = model.logits(hidden).log_softmax(dim=-1)
    return torch.cat([torch.zeros_like(log_p[:, :1]), log_p[:, :-1]], dim=1)[0]


@pytest.mark.parametrize("steps", [1, 3])
def test_they_are_the_mean_gradient_along_the_path(model, steps):
    found = pgf.integrated_gradients(model, TEXT, steps, tile_length=7)
    expected = by_autograd(model, TEXT, steps)
    np.testing.assert_allclose(found.attribution, expected, rtol=0, atol=1e-9 * abs(expected).max())
    assert found.value == pytest.approx(pgf.adjoint(model, TEXT).value, rel=1e-12)
    assert found.attribution[[4, 25]].any() == np.False_


@pytest.mark.parametrize(("degree", "steps"), [(1, 1), (2, 1), (3, 2), (4, 2), (6, 3)])
def test_the_gap_is_zero_where_the_quadrature_is_exact(tiny_model, degree, steps):
    weights = torch.linspace(0.5, 2, 8, dtype=torch.float64)[:, None]

    def polynomial(tile):
        return (tile.x**degree * weights[tile.start : tile.start + len(tile.x)]).sum()

    found = pgf.integrated_gradients(tiny_model, "ACGTTGCA", steps, polynomial, tile_length=3)
    assert degree == 1 or found.value - found.baseline_value > 0.1
    assert abs(found.gap) < 1e-12


def test_the_gap_falls_with_the_steps_as_quadrature_promises(tiny_model):
    """The error of K nodes for e^(4 s) is at most 4^(2K+1) (K!)^4 e^4 / ((2K + 1) ((2K)!)^3)."""
    found = [
        pgf.integrated_gradients(tiny_model, "A", k, lambda tile: (tile.x * 16 / 3).exp().sum())
        for k in (1, 2, 3, 4)
    ]
    for k, each in enumerate(found, 1):
        bound = 4 ** (2 * k) * factorial(k) ** 4 / ((2 * k + 1) * factorial(2 * k) ** 3)
        slope = 4 * np.exp(16 / 3)
        assert abs(each.gap) < 2 * slope * bound
    assert abs(found[3].gap) < 1e-4 * abs(found[0].gap)


def test_the_nodes_integrate_polynomials_on_the_unit_interval():
    for power in range(8):
        total = sum(node.weight * node.at**power for node in nodes(4))
        assert total == pytest.approx(1 / (power + 1), rel=1e-12)


def test_other_tokens_stay_on_the_path():
    x = torch.eye(6)
    mixed = on_path(x, (1, 2, 3, 4), 0.0)
    assert torch.equal(mixed[[0, 5]], x[[0, 5]])
    assert torch.allclose(mixed[1:5, 1:5], torch.full((4, 4), 0.25))
    assert torch.equal(on_path(x, (1, 2, 3, 4), 1.0), x)


@pytest.mark.parametrize("strand", ["+", "-", "both"])
def test_the_track_is_their_sum_over_bases(model, tmp_path, strand):
    (tmp_path / "in.fa").write_text(f">c\n{TEXT}\n")
    back = TEXT.translate(str.maketrans("ACGT", "TGCA"))[::-1]
    causal = {"tile": 9} if is_causal(model) else {}
    done = pgf.attribute(
        tmp_path / "in.fa", model, tmp_path / "x", method="ig 3", strand=strand,
        tracks=("ig", "surprisal"), **causal,
    )  # fmt: skip
    strands = [pgf.integrated_gradients(model, text, 3) for text in (TEXT, back)]
    plus, minus = (each.attribution.sum(axis=1) for each in strands)
    expected = {"+": plus, "-": minus[::-1], "both": (plus + minus[::-1]) / 2}[strand]
    found = done.values("ig", "c")
    known = np.array(list(TEXT)) != "N"
    assert np.array_equal(~np.isnan(found), known)
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-6, atol=1e-6)
    chosen = {"+": strands[:1], "-": strands[1:], "both": strands}[strand]
    assert done.record.gap.missed == pytest.approx(np.mean([s.gap for s in chosen]), rel=1e-6)
    ordinary = pgf.attribute(
        tmp_path / "in.fa", model, tmp_path / "y", strand=strand, tracks="surprisal", **causal
    )
    assert np.array_equal(
        done.values("surprisal", "c"), ordinary.values("surprisal", "c"), equal_nan=True
    )
    assert done.record.contigs[0].objective == ordinary.record.contigs[0].objective


def test_the_command_prints_the_gap(command, tmp_path):
    (tmp_path / "in.fa").write_text(f">c\n{TEXT}\n")
    done = command(
        "attribute", tmp_path / "in.fa", "-o", tmp_path / "x", "--method", "ig", "--steps", "2"
    )
    assert done.code == 0, done.err
    assert "the attributions miss the change of F" in done.err
    run = json.loads((tmp_path / "x.run.json").read_text())
    assert run["arguments"]["method"] == "ig 2"
    assert "by 2 nodes of Gauss and Legendre" in run["tracks"]["ig"]["meaning"]
    assert "the attributions miss" in (tmp_path / "x.report.html").read_text()


def test_steps_are_a_whole_number(tiny_model):
    with pytest.raises(UsageError, match="steps"):
        pgf.integrated_gradients(tiny_model, "ACGT", 0)
