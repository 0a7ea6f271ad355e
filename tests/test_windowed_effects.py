"""Scores under bidirectional models against windows that are written down and run whole."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models import COMPLEMENT, MAMBA2, assert_within, bidirectional_config, random_model
from test_substitutions import STORED, assert_effects, reverse_complement
from test_variants import TEXT, VARIANTS, changed

import pgf_genome as pgf
from pgf_genome.effects.changes import Change, Tokens
from pgf_genome.effects.windowed import Window, window_around
from pgf_genome.errors import UsageError

ORACLES = ("caduceus_ph_tiny", "caduceus_ps_tiny")
CONFIGS = {
    "one strand": bidirectional_config(),
    "both strands": bidirectional_config(both_strands=True),
    "mamba2": bidirectional_config(**MAMBA2),
    "both, mamba2": bidirectional_config(both_strands=True, **MAMBA2),
}
LONG = TEXT * 6


@functools.cache
def model_of(name: str):
    if name in CONFIGS:
        return random_model(CONFIGS[name])
    return pgf.load_model(STORED / name, dtype=torch.float64)


def pseudo_likelihood(model, text: str, strand: str) -> float:
    """The sum of log p of the bases of a window; N does not count."""

    def f(ids: torch.Tensor) -> float:
        counted = np.isin(ids, model.vocabulary.base_ids)
        return pgf.log_probs(model, ids)[np.arange(len(ids)), ids][counted].sum()

    ids = model.tokenize(text)
    both = {"+": [ids], "-": [reverse_complement(model, ids)]}
    both["both"] = both["+"] + both["-"]
    return float(np.mean([f(each) for each in both[strand]]))


def brute_force(model, text: str, variants: list, strand: str, span=None) -> np.ndarray:
    """F of the window with a variant less F without it; a window is the whole text, or a span."""
    effects = []
    for position, ref, alt in variants:
        start, stop = span or (0, len(text))
        window = text[start:stop]
        with_it = changed(window, position - start, ref, alt)
        effects.append(
            pseudo_likelihood(model, with_it, strand) - pseudo_likelihood(model, window, strand)
        )
    return np.array(effects)


@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("name", [*CONFIGS, *ORACLES])
def test_a_sequence_that_fits_is_one_window(name, strand):
    model = model_of(name)
    found = pgf.variant_effects(model, TEXT, VARIANTS, strand=strand)
    assert_within(1e-9, found, brute_force(model, TEXT, VARIANTS, strand))


@pytest.mark.parametrize(
    ("variant", "span"),  # window of 40: halves beside the longer allele, at least 5 on either side
    [
        ((100, LONG[100], "T"), (81, 120)),
        ((0, "A", "C"), (0, 39)),
        ((len(LONG) - 1, "A", "G"), (len(LONG) - 39, len(LONG))),
        ((103, "T", "TGG"), (85, 123)),
        ((130, LONG[130:136], LONG[130]), (114, 153)),
        ((130, LONG[130], LONG[130] + "ACGT" * 12), (126, 136)),
    ],
)
@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("name", ORACLES)
def test_a_long_sequence_is_seen_by_windows_around_the_changes(name, strand, variant, span):
    model = model_of(name)
    found = pgf.variant_effects(model, LONG, [variant], strand=strand, window=40)
    assert_within(1e-9, found, brute_force(model, LONG, [variant], strand, span))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 60), st.integers(0, 80), st.data())
def test_windows_are_the_same_on_the_other_strand(length, size, replaced, new, data):
    leave = data.draw(st.integers(0, length))
    change = Change(leave, (1,) * new, min(leave + replaced, length))
    start, stop = window_around(change, length, size)
    assert 0 <= start <= change.leave <= change.rejoin <= stop <= length
    other = change.on_minus_strand(length, [0, 1])
    assert window_around(other, length, size) == (length - stop, length - start)
    if length <= size:
        assert (start, stop) == (0, length)
    elif size >= max(change.rejoin - leave, new) + 2 * (size // 8):
        assert max(stop - start, Window(start, stop, change).length) <= size
        left, right = change.leave - start, stop - change.rejoin
        assert left == right or start == 0 or stop == length


def test_nothing_is_left_where_all_is_deleted():
    model = model_of("one strand")
    found = pgf.variant_effects(model, "ACGT", [(0, "ACGT", ""), (0, "A", "A")], strand="+")
    assert found == pytest.approx([-pseudo_likelihood(model, "ACGT", "+"), 0], abs=1e-12)
    assert pgf.variant_effects(model, "ACGT", []).shape == (0,)
    assert pgf.substitution_effects(model, "ACGT", 2, 2, None).shape == (0, 4)


def test_equal_windows_are_run_once(monkeypatch):
    from pgf_genome.engine import windows

    seen, observe = [], windows.observe

    def counted(model, x, *more):
        seen.append(len(x))
        return observe(model, x, *more)

    monkeypatch.setattr(windows, "observe", counted)
    alts = [(100, LONG[100], base) for base in "ACGT" if base != LONG[100]]
    pgf.variant_effects(model_of("both strands"), LONG, alts, window=40)
    assert sum(seen) == 4  # one strand stands for both
    pgf.variant_effects(model_of("one strand"), LONG, alts, window=40, score="likelihood")
    assert sum(seen) == 4 + 8


@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("name", ORACLES)
def test_substitution_effects_are_those_of_every_changed_window(name, strand):
    model, (start, stop) = model_of(name), (3, 12)
    expected = np.full((stop - start, 4), np.nan)
    for t in range(start, stop):
        if TEXT[t] != "N":
            variants = [(t, TEXT[t], base) for base in "ACGT"]
            expected[t - start] = brute_force(model, TEXT, variants, strand)
    found = pgf.substitution_effects(model, TEXT, start, stop, None, strand)
    assert_effects(1e-9, found, expected)
    assert (found[np.arange(4, 9), ["ACGT".index(b) for b in TEXT[7:12]]] == 0).all()


def test_an_objective_may_be_another_one():
    """Fixed targets are the bases of the sequence, and positions are those of the plus strand."""
    model, length = model_of("caduceus_ph_tiny"), len(TEXT)
    objective = pgf.PseudoLikelihood(positions=((20, 25),))
    found = pgf.substitution_effects(model, TEXT, 21, 24, None, "both", objective)
    ids, counted = model.tokenize(TEXT), np.arange(20, 25)
    strands = ((ids, counted), (reverse_complement(model, ids), length - 1 - counted))

    def effect(t: int, base: int) -> float:
        values = []
        for sign, (whole, at) in enumerate(strands):
            other = ids.clone()
            other[t] = base
            other = reverse_complement(model, other) if sign else other
            before, after = (pgf.log_probs(model, each)[at, whole[at]] for each in (whole, other))
            values.append((after - before).sum())
        return float(np.mean(values))

    expected = [[effect(t, base) for base in model.vocabulary.base_ids] for t in range(21, 24)]
    assert_within(1e-9, found, expected)


def test_substitutions_and_variants_agree_on_long_sequences(monkeypatch):
    model = model_of("one strand")
    monkeypatch.setattr(model, "trained_length", 40, raising=False)
    effects = pgf.substitution_effects(model, LONG, 100, 104, None, "both")
    variants = [(t, LONG[t], base) for t in range(100, 104) for base in "ACGT"]
    found = pgf.variant_effects(model, LONG, variants)
    assert_within(1e-12, found.reshape(4, 4), effects)
    assert np.abs(pgf.variant_effects(model, LONG, variants, window=200) - found).max() > 1e-6


@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("name", ORACLES)
def test_masked_scores_are_log_ratios_at_the_masked_position(name, strand):
    model = model_of(name)
    mask, rows = model.vocabulary.mask_id, model.vocabulary.base_ids
    expected, variants = [], []
    for t in (0, 9, 100, len(LONG) - 1):
        ids = model.tokenize(LONG)
        ids[t] = mask
        start = min(max(t - 19, 0), len(LONG) - 39)
        window = ids[start : start + 39]
        row = pgf.log_probs(model, window)[t - start]
        other = pgf.log_probs(model, reverse_complement(model, window))[::-1][t - start]
        for a, alt in enumerate("ACGT"):
            r = "ACGT".index(LONG[t])
            plus = row[rows[a]] - row[rows[r]]
            minus = other[rows[3 - a]] - other[rows[3 - r]]
            expected.append({"+": plus, "-": minus, "both": (plus + minus) / 2}[strand])
            variants.append((t, LONG[t], alt))
    found = pgf.variant_effects(model, LONG, variants, strand=strand, score="masked", window=40)
    assert_within(1e-9, found, expected)


def test_only_substitutions_have_a_masked_score():
    model = model_of("caduceus_ph_tiny")
    variants = [(6, "AC", "TC"), (6, "A", "a"), (6, "AC", "TG"), (6, "A", "AT"), (6, "AC", "A")]
    found = pgf.variant_effects(model, TEXT, variants, score="masked")
    alone = pgf.variant_effects(model, TEXT, [(6, "A", "T")], score="masked")
    assert found[0] == alone[0]
    assert found[1] == 0
    assert np.isnan(found[2:]).all()


def test_strands_of_a_model_that_reads_both_are_the_same():
    model = model_of("caduceus_ps_tiny")
    for score in ("likelihood", "masked"):
        plus, minus, both = (
            pgf.variant_effects(model, TEXT, VARIANTS[:3], strand=s, score=score)
            for s in ("+", "-", "both")
        )
        assert_within(1e-10, minus, plus)
        assert (both == plus).all()


def test_the_other_strand_of_tokens_is_read_from_its_end():
    model = model_of("one strand")
    ids = model.tokenize(TEXT)
    other = Tokens.of(ids, model.vocabulary).reverse()
    assert other.between(3, 9) == tuple(reverse_complement(model, ids)[3:9].tolist())
    assert [COMPLEMENT[i] for i in other.between(0, 41)] == ids.flip(0).tolist()


@pytest.mark.parametrize("near", [0, 1, 16])
def test_near_is_refused_in_words(near):
    model = model_of("one strand")
    for call in (
        lambda: pgf.variant_effects(model, TEXT, [(6, "A", "T")], near),
        lambda: pgf.substitution_effects(model, TEXT, 0, 4, near),
    ):
        with pytest.raises(UsageError, match=r"random is bidirectional: .* only be exact"):
            call()


def test_what_does_not_go_with_a_model_is_refused():
    causal = pgf.load_model(STORED / "hf_mamba_tiny")
    for options, said in (
        ({"score": "masked"}, "`score` masked is for bidirectional models; .* is causal"),
        ({"window": 100}, "`window` is for bidirectional models; .* is causal"),
    ):
        with pytest.raises(UsageError, match=said):
            pgf.variant_effects(causal, "ACGT", [(1, "C", "T")], **options)
    with pytest.raises(UsageError, match="`score` masked needs a mask token, which random has not"):
        pgf.variant_effects(model_of("one strand"), TEXT, [(6, "A", "T")], score="masked")
    with pytest.raises(UsageError, match="`score` effect: choose from likelihood, masked"):
        pgf.variant_effects(causal, "ACGT", [(1, "C", "T")], score="effect")
    headless = random_model(bidirectional_config(has_head=False, tied=False))
    with pytest.raises(UsageError, match="predicts nothing: a variant is scored by predictions"):
        pgf.variant_effects(headless, TEXT, [(6, "A", "T")])
    with pytest.raises(UsageError, match="`window` must be at least 1, not 0"):
        pgf.variant_effects(model_of("one strand"), TEXT, [(6, "A", "T")], window=0)
