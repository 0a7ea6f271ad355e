"""Bits per base of a model beside those of a Markov mixture that reads the same bases."""

from __future__ import annotations

import json
from math import log2
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pgf_genome as pgf
from pgf_genome.attribution.fit import FitMeter
from pgf_genome.runs.fit import UNKNOWN, Fit, pooled
from pgf_genome.sequence import store_codes
from pgf_genome.sequence.markov import Mixture, mixture_bits


def bits_of(codes: np.ndarray, cuts: list[int]) -> float:
    """What a sequence takes that is read in pieces."""
    mixture = Mixture()
    for piece in np.split(codes, sorted(cut % (len(codes) + 1) for cut in cuts)):
        mixture.add(piece, np.zeros(len(piece), np.float32))
    return mixture.bits


@given(st.lists(st.integers(0, 3), max_size=60), st.integers(1, 5), st.lists(st.integers(0, 300)))
def test_the_kernel_does_what_the_definition_says_however_the_sequence_is_cut(codes, times, cuts):
    sequence = np.array(codes * times, np.uint8)
    whole = bits_of(sequence, [])
    assert whole == pytest.approx(sum(mixture_bits(codes * times)), rel=1e-12, abs=1e-12)
    assert bits_of(sequence, cuts) == whole


def test_the_first_bases_take_two_bits_and_a_repeat_takes_none():
    bits = mixture_bits([0, 1, 2, 3] * 100)
    assert bits[:3] == [2.0, 2.0, 2.0]
    assert max(bits[200:]) < 0.02


def test_a_word_does_not_reach_across_what_is_no_base_or_was_not_read():
    mixture, numbers = Mixture(), np.zeros(1, np.float32)
    for _ in range(50):
        for code in (0, 1, 2):
            mixture.add(np.array([code], np.uint8), numbers)
        mixture.add(np.array([4], np.uint8), numbers)
    # only the base after two others is ever predicted
    assert mixture.bits == pytest.approx(50 * 4 + surprise_of_the_third(50), rel=1e-12)
    before = mixture.bits
    mixture.add(np.array([0, 1], np.uint8), np.zeros(2, np.float32))
    mixture.begin()
    mixture.add(np.array([2], np.uint8), numbers)
    assert mixture.bits == before + 6


def surprise_of_the_third(times: int) -> float:
    """C after AC is seen again and again, while the two longer orders know nothing."""
    weights, bits = [1 / 3] * 3, 0.0
    for n in range(times):
        for p in ([0.25] * 3, [0.25] * 3, [(n + 0.5) / (n + 2), 0.25, 0.25]):
            mixed = sum(w * each for w, each in zip(weights, p, strict=True))
            weights = [max(w * each / mixed, 1e-6) for w, each in zip(weights, p, strict=True)]
            weights = [w / sum(weights) for w in weights]
        bits -= log2(mixed)
    return bits


def test_only_bases_with_a_surprisal_count(tmp_path):
    codes = np.array([0, 1, 2, 3, 0, 4, 0, 1], np.uint8)
    surprisal = np.array([np.nan, 1, 1, 1, 3, np.nan, 1, 1], np.float32)
    with store_codes(codes, tmp_path / "codes", "a") as genome:
        meter = FitMeter(genome)
        meter.add("a", 0, surprisal[:3])
        meter.add("a", 3, surprisal[3:])
        fit = meter.result()
    assert (fit.bases, fit.model) == (6, 8 / 6)
    assert fit.order_0 == pytest.approx(-(4 / 6 * log2(2 / 6) + 2 / 6 * log2(1 / 6)))


def test_a_run_says_in_one_sentence_if_the_model_does_not_know_the_sequence(
    tmp_path, tiny_model, caplog
):
    unknown, known = "A" * 400, "".join(np.random.default_rng(0).choice(list("ACGT"), 400))
    for name, sequence in (("unknown", unknown), ("known", known)):
        fasta = tmp_path / f"{name}.fa"
        fasta.write_text(f">a\n{sequence}\n")
        caplog.clear()
        run = pgf.attribute(fasta, tiny_model, tmp_path / name, strand="+")
        fit, page = run.record.fit, run.files["report"].read_text()
        assert json.loads(run.files["run"].read_text())["fit"]["bases"] == 399
        values = run.values("surprisal", "a")
        assert fit.model == pytest.approx(np.nanmean(values.astype(float)))
        said = caplog.text.count(UNKNOWN), page.count(UNKNOWN[1:])
        assert said == ((0, 0) if fit.knows else (1, 1))
        assert str(fit) in page
    assert not pgf.open_run(tmp_path / "unknown").record.fit.knows


def test_without_surprisal_nothing_is_said_of_the_fit(tmp_path, tiny_model):
    (tmp_path / "a.fa").write_text(f">a\n{'ACGT' * 20}\n")
    run = pgf.attribute(tmp_path / "a.fa", tiny_model, tmp_path / "x", tracks="contribution")
    assert run.record.fit is None


def test_the_fit_of_merged_runs_is_the_mean_over_their_bases():
    assert pooled([Fit(1, 1.0, 2.0, 3.0), Fit(3, 2.0, 2.0, 2.0)]) == Fit(4, 1.75, 2.0, 2.25)
    assert pooled([Fit(1, 1.0, 2.0, 3.0), None]) is None


@pytest.fixture
def surprisal_of(tmp_path: Path):
    """Fit of the bundled model on a text."""
    model = pgf.load_model("ecoli-yeast-d128")

    def fit(sequence: str) -> Fit:
        (tmp_path / "s.fa").write_text(f">s\n{sequence}\n")
        given = {"tracks": "surprisal", "report": False, "strand": "+", "formats": "bigwig"}
        return pgf.attribute(tmp_path / "s.fa", model, tmp_path / "s", **given).record.fit

    return fit


def test_the_bundled_model_knows_its_genome_and_no_shuffled_one(surprisal_of):
    text = (Path(__file__).parents[1] / "data" / "demo.fa").read_text()
    rng = np.random.default_rng(0)
    known = "".join(line for line in text.splitlines() if not line.startswith(">"))[:8000]
    assert not surprisal_of("A" * 4000).knows
    shuffled = surprisal_of("".join(rng.permutation(list(known))))
    assert shuffled.model > shuffled.order_0
