"""Variant effects against the log-likelihood of every changed sequence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import assert_within, random_model
from test_substitutions import ORACLES, log_likelihood, oracle, random, reverse_complement

import pgf_genome as pgf
from pgf_genome.effects.changes import Tokens, change_of
from pgf_genome.effects.strand import Strand
from pgf_genome.effects.streamed import effects_of
from pgf_genome.engine.plan import Plan
from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.mamba.model import CausalMamba

TEXT = "ACGTNNACGGGTTACACACAGTCCATGNACGTAAAACGTCA"


def changed(text: str, position: int, ref: str, alt: str) -> str:
    assert text[position : position + len(ref)] == ref
    return text[:position] + alt + text[position + len(ref) :]


def brute_force(model: CausalMamba, text: str, variants: list, strand: str) -> np.ndarray:
    """F of the changed sequence less F of the sequence, with no use of states."""

    def f(sequence: str) -> float:
        if not sequence:
            return 0.0
        ids = model.tokenize(sequence)
        both = {"+": [ids], "-": [reverse_complement(model, ids)]}
        chosen = both["+"] + both["-"] if strand == "both" else both[strand]
        return float(np.mean([log_likelihood(model, i) for i in chosen]))

    return np.array([f(changed(text, *variant)) - f(text) for variant in variants])


VARIANTS = [
    (6, "A", "T"),  # SNV
    (0, "A", "C"),
    (len(TEXT) - 1, "A", "G"),
    (7, "CG", "TT"),  # MNV
    (13, "ACA", "A"),  # deletion in a repeat
    (0, "ACG", "G"),
    (len(TEXT) - 3, "TCA", "T"),
    (20, "G", "GATTACA"),  # insertion
    (len(TEXT) - 1, "A", "ATT"),
    (0, "A", "TTA"),
    (8, "GGGT", "CA"),  # block substitution
    (10, "", "GG"),
    (10, "GT", ""),
]


@pytest.mark.parametrize("near", [None, 100])
@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("name", ["mamba1", "mamba2"])
def test_to_the_end_they_are_those_of_changed_sequences(name, strand, near):
    found = pgf.variant_effects(random(name), TEXT, VARIANTS, near, strand, tile_length=16)
    assert_within(1e-9, found, brute_force(random(name), TEXT, VARIANTS, strand))


@pytest.mark.parametrize("name", ORACLES)
def test_those_of_checkpoints_are_those_of_changed_sequences(name):
    model, text = oracle(name), TEXT * 3
    variants = [(60, text[60:63], "T"), (90, text[90], "ACGT"), (30, text[30:32], "TGA")]
    found = pgf.variant_effects(model, text, variants, tile_length=50)
    assert_within(1e-9, found, brute_force(model, text, variants, "both"))


@st.composite
def texts_and_variants(draw):
    letters = st.text("ACGT", max_size=5)
    # few letters, so that there are repeats
    text = draw(st.text("AC", min_size=1, max_size=30)) + draw(st.text("ACGTN", max_size=20))
    variants = []
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, len(text)))
        ref = text[position : position + draw(st.integers(0, 5))].partition("N")[0]
        variants.append((position, ref, draw(letters)))
    return text, variants


@settings(deadline=None, max_examples=40)
@given(texts_and_variants(), st.integers(1, 60), st.integers(1, 60), st.sampled_from("+-"))
def test_any_variant_of_any_sequence(text_and_variants, tile, size, sign):
    text, variants = text_and_variants
    model = random("mamba1")
    expected = brute_force(model, text, variants, sign)
    found = pgf.variant_effects(model, text, variants, None, sign, tile_length=tile)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    ids = model.tokenize(text)
    x = model.one_hot(ids)[None]
    plus = Strand(model, lambda a, b: x[:, a:b], len(text), pgf.Likelihood())
    tokens = Tokens.of(ids, model.vocabulary)
    changes = [change_of(tokens, *variant) for variant in variants]
    near = [
        effects_of(plus, Plan(len(text), t), changes, 3, s) for t, s in ((99, 99), (tile, size))
    ]
    assert near[0] == pytest.approx(near[1], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("near", [None, 0, 4])
@pytest.mark.parametrize(
    "ways",
    [
        [(12, "TACA", "TA"), (13, "AC", ""), (13, "ACA", "A"), (17, "ACA", "A"), (16, "CAC", "C")],
        [(31, "T", "TA"), (32, "", "A"), (35, "A", "AA"), (33, "AAA", "AAAA"), (36, "", "A")],
        [(6, "A", "T"), (6, "AC", "TC"), (6, "ACGG", "TCGG")],
    ],
)
def test_a_change_has_one_effect_however_it_is_written(ways, near):
    assert len({changed(TEXT, *way) for way in ways}) == 1
    found = pgf.variant_effects(random("mamba1"), TEXT, ways, near, tile_length=16)
    assert found == pytest.approx(np.full(len(ways), found[0]), rel=1e-12, abs=1e-12)
    assert found[0] != 0


def test_the_rest_is_first_order_in_the_state():
    """A substitution is the same branch, run again up to the same position."""
    model = random("mamba2")
    for near in (1, 2, 16):
        effects = pgf.substitution_effects(model, TEXT, 0, len(TEXT), near, "+")
        places = [(t, a) for t in (0, 9, 20, len(TEXT) - 1) for a in "ACGT" if a != TEXT[t]]
        variants = [(t, TEXT[t], a) for t, a in places]
        found = pgf.variant_effects(model, TEXT, variants, near, "+", tile_length=16)
        assert found == pytest.approx([effects[t, "ACGT".index(a)] for t, a in places], abs=1e-10)


def test_an_indel_is_approached_as_more_bases_are_run():
    model, variants = random("mamba1"), [(20, "G", "GATTACA"), (13, "ACA", "A"), (8, "GGGT", "CA")]
    text = TEXT + "ACGTTGCATGCCGATTGCAT" * 2
    exact = pgf.variant_effects(model, text, variants)
    errors = [
        np.abs(pgf.variant_effects(model, text, variants, near) - exact).max()
        for near in (0, 10, 30, 80)
    ]
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[3] < 1e-9


def test_no_variants_have_no_effects():
    assert pgf.variant_effects(random("mamba1"), TEXT, []).shape == (0,)


def test_single_precision_is_close():
    variants = [(20, "G", "GATTACA"), (13, "ACA", "A")]
    single, double = (
        pgf.variant_effects(random_model(random("mamba1").config, dtype), TEXT, variants, 8)
        for dtype in (torch.float32, torch.float64)
    )
    assert_within(1e-4, single, double)


@pytest.mark.parametrize(
    ("variant", "cause"),
    [
        ((6, "C", "T"), "variant 6 C>T: the sequence has other bases there than 'C'"),
        ((4, "N", "A"), "'N' has letters other than A, C, G, T"),
        ((6, "A", "<DEL>"), "'<DEL>' has letters other than"),
        ((len(TEXT), "A", "C"), "not within a sequence of 41 bases"),
        ((-1, "A", "C"), "not within a sequence"),
    ],
)
def test_what_is_no_variant_of_the_sequence_is_refused(variant, cause):
    with pytest.raises(SequenceError, match=cause):
        pgf.variant_effects(random("mamba1"), TEXT, [variant])


def test_arguments_out_of_range_are_refused():
    with pytest.raises(UsageError, match="`near` must be"):
        pgf.variant_effects(random("mamba1"), TEXT, [(6, "A", "T")], -1)
    with pytest.raises(UsageError, match="`strand` plus: choose from"):
        pgf.variant_effects(random("mamba1"), TEXT, [(6, "A", "T")], strand="plus")
