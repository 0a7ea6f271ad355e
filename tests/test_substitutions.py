"""Substitution effects against the objective of every changed sequence."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import MAMBA2, assert_within, random_ids, random_model, small_config
from torch import Tensor

import pgf_genome as pgf
from pgf_genome import scan
from pgf_genome.effects.strand import Strand
from pgf_genome.effects.substitutions import effects_of
from pgf_genome.engine.objective import Positional, Tile
from pgf_genome.engine.plan import Plan
from pgf_genome.errors import SequenceError, UsageError

STORED = Path(__file__).parent / "oracles"
ORACLES = ("hf_mamba_tiny", "mamba_ssm_tiny", "hf_mamba2_tiny")
LAYER_NORM = {"rms_norm": False}
CONFIGS = {"mamba1": {}, "mamba2": MAMBA2, "one tap": {"d_conv": 1}, "layer norm": LAYER_NORM}
# The complement of a token of ``models.TOKENS`` and of the padding row.
COMPLEMENT = torch.tensor([0, 2, 1, 4, 3, 5, 6])


@functools.cache
def random(name: str):
    return random_model(small_config(**CONFIGS[name]))


@functools.cache
def oracle(name: str):
    return pgf.load_model(STORED / name, dtype=torch.float64)


def evaluate(model, ids: Tensor, objective: Callable, targets: Tensor | None = None) -> float:
    """F of one sequence by its definition: a model call, no tiles."""
    x, blank = model.one_hot(ids)[None], model.initial_state(1)
    hidden, _ = model.hidden(x, blank)
    logits = model.logits(hidden)
    log_p = torch.cat([blank.log_probs[:, None], logits.log_softmax(dim=-1)[:, :-1]], dim=1)
    parts = (v[0] for v in (x, log_p, logits, hidden))
    fixed = model.one_hot(ids if targets is None else targets)
    return float(objective(Tile(0, *parts, model.vocabulary.base_ids, targets=fixed)))


def brute_force(model, ids: Tensor, start: int, stop: int, f: Callable[[Tensor], float]):
    """F of every sequence with one base changed, less F of the sequence."""
    bases = model.vocabulary.base_ids
    effects, whole = np.full((stop - start, 4), np.nan), f(ids)
    for t in range(start, stop):
        if int(ids[t]) in bases:
            for a, base in enumerate(bases):
                changed = ids.clone()
                changed[t] = base
                effects[t - start, a] = f(changed) - whole
    return effects


def log_likelihood(model, ids: Tensor) -> float:
    """By the primal sweep; the first base has no prediction, and other tokens do not count."""
    rows = np.arange(len(ids) - 1)
    counted = np.isin(ids[1:], model.vocabulary.base_ids)
    return pgf.log_probs(model, ids)[rows, ids[1:]][counted].sum()


def assert_effects(tolerance: float, found: np.ndarray, expected: np.ndarray) -> None:
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    scale = max(1.0, np.nanmax(np.abs(expected), initial=0))
    assert np.nanmax(np.abs(found - expected), initial=0) <= tolerance * scale


def reverse_complement(model, ids: Tensor) -> Tensor:
    bases = model.vocabulary.base_ids
    paired = dict(zip(bases, reversed(bases), strict=True))
    return torch.tensor([paired.get(i, i) for i in ids.flip(0).tolist()])


@pytest.mark.parametrize("near", [None, 40, 1000])
@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("name", CONFIGS)
def test_to_the_end_they_are_those_of_every_changed_sequence(name, strand, near):
    model, ids = random(name), random_ids(40)
    assert {0, 39} & {i for i, token in enumerate(ids.tolist()) if token in (1, 2, 3, 4)}
    assert 5 in ids  # N
    other = reverse_complement(model, ids)
    assert torch.equal(other, COMPLEMENT[ids.flip(0)])
    plus = brute_force(model, ids, 0, 40, functools.partial(log_likelihood, model))
    minus = brute_force(model, other, 0, 40, functools.partial(log_likelihood, model))[::-1, ::-1]
    expected = {"+": plus, "-": minus, "both": (plus + minus) / 2}[strand]
    found = pgf.substitution_effects(model, ids, 0, 40, near, strand, tile_length=11)
    assert_effects(1e-9, found, expected)
    observed = np.isin(ids, model.vocabulary.base_ids)
    assert ((found == 0).sum(axis=1) == observed).all()


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize("near", [None, 2000])
def test_those_of_checkpoints_are_those_of_changed_sequences(name, near):
    model = oracle(name)
    with np.load(STORED / name / "oracle.npz") as arrays:
        ids = torch.from_numpy(arrays["input_ids"])[:150]
    for start, stop in [(0, 3), (70, 74), (147, 150)]:
        exact = [
            brute_force(model, i, *span, functools.partial(log_likelihood, model))
            for i, span in [
                (ids, (start, stop)),
                (reverse_complement(model, ids), (150 - stop, 150 - start)),
            ]
        ]
        found = pgf.substitution_effects(model, ids, start, stop, near, "both", tile_length=64)
        assert_effects(1e-9, found, (exact[0] + exact[1][::-1, ::-1]) / 2)


def by_definition(model, ids: Tensor, t: int, base: int, near: int, objective: Callable):
    """Effect of one substitution: states by shorter tiles, the cotangent by autograd."""
    end = min(t + near, len(ids))
    changed = ids.clone()
    changed[t] = base

    def terms(i: Tensor, state, start: int, stop: int):
        x = model.one_hot(i[None, start:stop])
        hidden, layers = model.hidden(x, state)
        logits = model.logits(hidden)
        log_probs = logits.log_softmax(dim=-1)
        log_p = torch.cat([state.log_probs[:, None], log_probs[:, :-1]], dim=1)
        parts = (v[0] for v in (x, log_p, logits, hidden))
        tile = Tile(start, *parts, model.vocabulary.base_ids)
        return objective(tile), type(state)(layers, log_probs[:, -1])

    before = model.initial_state(1)
    if t:
        _, before = terms(ids, before, 0, t)
    (old, s), (new, moved) = (terms(i, before, t, end) for i in (ids, changed))
    if end == len(ids):
        return float(new - old)
    leaf = s.map(lambda v: v.detach().requires_grad_())
    onward, _ = terms(ids, leaf, end, len(ids))
    bars = torch.autograd.grad(onward, leaf.tensors(), allow_unused=True)
    columns = zip(moved.tensors(), s.tensors(), bars, strict=True)
    return float(new - old + sum(((m - u) * b).sum() for m, u, b in columns if b is not None))


@pytest.mark.parametrize("near", [1, 2, 5, 20])
@pytest.mark.parametrize("name", CONFIGS)
def test_what_lies_beyond_is_first_order_in_the_state(name, near):
    model, ids = random(name), random_ids(24, 3)
    found = pgf.substitution_effects(model, ids, 0, 24, near, tile_length=9)
    bases = model.vocabulary.base_ids
    for t in range(24):
        for a, base in enumerate(bases):
            if int(ids[t]) in bases:
                expected = by_definition(model, ids, t, base, near, pgf.Likelihood())
                assert found[t, a] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@dataclass(frozen=True)
class Squares(Positional):
    """An objective that is not among those of the package, by its terms."""

    def terms(self, tile: Tile) -> Tensor:
        return tile.logits.square().sum(dim=-1) * tile.x.square().sum(dim=-1)


def curved(tile: Tile) -> Tensor:
    """An objective that is a function and nothing else."""
    place = 1 + tile.start + torch.arange(len(tile.x))
    known = tile.x.square() * tile.log_p.sin() + tile.logits[:, :1].tanh()
    return (place * known.sum(dim=1)).sum() + (place * tile.hidden.pow(3).sum(dim=1)).sum()


SPANS = ((3, 6), (15, 19))
OBJECTIVES = [
    pgf.Likelihood(positions=SPANS),
    pgf.Likelihood(window=(14, 17)),
    pgf.Likelihood("fixed"),
    pgf.Likelihood("fixed", positions=SPANS),
    pgf.Entropy(),
    pgf.Entropy(positions=SPANS),
    pgf.Logit(row=2),
    pgf.Logit(row=2, positions=SPANS),
    pgf.SquaredNorm(),
    pgf.SquaredNorm(positions=SPANS),
    Squares(positions=SPANS),
    curved,
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda f: getattr(f, "__name__", str(f)))
def test_every_objective_sees_its_own_terms(objective):
    model, ids = random("mamba1"), random_ids(24, 1)
    exact = brute_force(model, ids, 0, 24, lambda i: evaluate(model, i, objective, ids))
    for near in (None, 24):
        found = pgf.substitution_effects(model, ids, 0, 24, near, "+", objective, tile_length=9)
        assert_effects(1e-9, found, exact)
    found = pgf.substitution_effects(model, ids, 0, 24, 4, "+", objective, tile_length=9)
    if getattr(objective, "targets", None) != "fixed":
        for t in (0, 2, 5, 13, 14, 19, 23):
            for a, base in enumerate(model.vocabulary.base_ids):
                if int(ids[t]) in model.vocabulary.base_ids:
                    expected = by_definition(model, ids, t, base, 4, objective)
                    assert found[t, a] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_a_model_without_a_head_has_effects_on_its_hidden_layer():
    model, ids = random_model(small_config(tied=False, has_head=False)), random_ids(20)
    objective = pgf.SquaredNorm()
    exact = brute_force(model, ids, 0, 20, lambda i: evaluate(model, i, objective))
    for near in (None, 20):
        found = pgf.substitution_effects(model, ids, 0, 20, near, "+", objective, tile_length=8)
        assert_effects(1e-9, found, exact)
    found = pgf.substitution_effects(model, ids, 0, 20, 10, "+", objective, tile_length=8)
    assert_effects(0.2, found, exact)


@pytest.mark.parametrize(("near", "tolerance"), [(None, 1e-6), (300, 1e-6), (8, 0.1)])
def test_a_target_far_downstream_is_reached(near, tolerance):
    model, ids = random("mamba1"), random_ids(250, 2)
    objective = pgf.Likelihood(positions=((100, 106),))
    exact = brute_force(model, ids, 40, 44, lambda i: evaluate(model, i, objective))
    found = pgf.substitution_effects(model, ids, 40, 44, near, "+", objective, tile_length=32)
    assert 0 < np.nanmax(np.abs(exact)) < 1e-2
    assert_within(tolerance, np.nan_to_num(found), np.nan_to_num(exact))
    beyond = pgf.substitution_effects(model, ids, 106, 110, near, "+", objective, tile_length=32)
    assert np.nanmax(np.abs(beyond)) == 0


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("objective", [None, pgf.Likelihood("fixed", positions=SPANS)], ids=str)
def test_first_order_effects_are_differences_of_the_gradient(objective, strand):
    model, ids = random("mamba2"), random_ids(50)
    bases, length = list(model.vocabulary.base_ids), len(ids)
    read = ids if strand == "+" else reverse_complement(model, ids)
    mirrored = objective and objective.on_minus_strand(length)
    chosen = objective if strand == "+" else mirrored
    gradient = pgf.adjoint(model, read, chosen, 16).gradient
    expected = gradient[:, bases] - gradient[np.arange(length), read][:, None]
    expected[~np.isin(read, bases)] = np.nan
    if strand == "-":
        expected = expected[::-1, ::-1]
    found = pgf.substitution_effects(model, ids, 7, 41, 0, strand, objective, tile_length=16)
    assert_effects(1e-12, found, expected[7:41])


@settings(deadline=None, max_examples=25)
@given(
    length=st.integers(1, 60),
    span=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    near=st.integers(1, 70),
    tile=st.integers(1, 70),
    size=st.integers(1, 70),
)
def test_no_effect_depends_on_how_the_sequence_is_cut(length, span, near, tile, size):
    model, ids = random("mamba1"), random_ids(length, 4)
    start, stop = sorted(min(edge, length) for edge in span)
    whole = pgf.substitution_effects(model, ids, 0, length, near, tile_length=length)
    part = pgf.substitution_effects(model, ids, start, stop, near, tile_length=tile)
    assert_effects(1e-11, part, whole[start:stop])
    x = model.one_hot(ids)[None]
    strand = Strand(model, lambda a, b: x[:, a:b], length, pgf.Likelihood())
    parts = list(effects_of(strand, Plan(length, tile), [(start, stop)], near, size))
    edges = [edge for part in reversed(parts) for edge in (part.start, part.stop)]
    assert edges[1:-1:2] == edges[2::2]
    assert (edges[0], edges[-1]) == (start, stop) if parts else start == stop
    if parts:
        found = np.concatenate([part.values for part in reversed(parts)])
        assert_effects(1e-11, found, whole[start:stop])


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("strand", ["+", "both"])
def test_threads_change_nothing_but_time(strand, threads):
    model, ids = random("mamba1"), random_ids(300)
    one = pgf.substitution_effects(model, ids, 0, 300, 4, strand, tile_length=64, threads=1)
    several = pgf.substitution_effects(
        model, ids, 0, 300, 4, strand, tile_length=64, threads=threads
    )
    assert_effects(1e-11, several, one)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_equations_alone_will_do(name, monkeypatch):
    """As on a device that has no compiled kernels."""
    model, ids = random(name), random_ids(30)
    compiled = pgf.substitution_effects(model, ids, 0, 30, 4, "both", tile_length=16)
    monkeypatch.setattr(scan, "function", scan.reference)
    by_equations = pgf.substitution_effects(model, ids, 0, 30, 4, "both", tile_length=16)
    assert_effects(1e-11, compiled, by_equations)


def test_single_precision_is_close():
    ids = random_ids(80)
    found = [
        pgf.substitution_effects(random_model(small_config(), dtype), ids, 0, 80, 8, "both")
        for dtype in (torch.float32, torch.float64)
    ]
    assert_effects(1e-4, *found)


def test_the_sequence_may_be_text():
    model = random("mamba1")
    text = "ACGTNACGTTGCA"
    found = pgf.substitution_effects(model, text, 2, 9)
    assert_effects(0, found, pgf.substitution_effects(model, model.tokenize(text), 2, 9))


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({"start": 3, "stop": 11}, r"positions 3\.\.11 \(`start`, `stop`\) are not within .* 10"),
        ({"start": 5, "stop": 4}, r"positions 5\.\.4"),
        ({"near": -1}, "`near` must be"),
        ({"strand": "plus"}, r"`strand` must be one of \+, -, both, not 'plus'"),
        ({"objective": pgf.PseudoLikelihood()}, "a causal model predicts a base"),
        ({"tile_length": 0}, "`tile_length` must be at least 1, not 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, cause):
    given_ = {"start": 0, "stop": 10} | arguments
    with pytest.raises(UsageError, match=cause):
        pgf.substitution_effects(random("mamba1"), random_ids(10), **given_)


def test_an_input_that_is_no_sequence_of_tokens_is_refused():
    model = random("mamba1")
    x = model.one_hot(random_ids(10))
    with pytest.raises(SequenceError, match=r"expected token ids \(L,\), a sequence as text$"):
        pgf.substitution_effects(model, x, 0, 10)
