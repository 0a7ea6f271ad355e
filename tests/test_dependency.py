"""Dependency maps against every changed sequence, and against autograd's Jacobian."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import (
    MAMBA2,
    assert_within,
    bidirectional_config,
    random_ids,
    random_model,
    small_config,
)
from test_influence import copying_model
from torch import Tensor

import pgf_genome as pgf
from pgf_genome.effects import dependency
from pgf_genome.effects.definitions import DEFINITIONS, frobenius_apc, largest, log_odds_max
from pgf_genome.errors import SequenceError, UsageError

STORED = Path(__file__).parent / "oracles"
CONFIGS = {"mamba1": {}, "mamba2": MAMBA2, "one tap": {"d_conv": 1}}
ORACLES = ("hf_mamba_tiny", "mamba_ssm_tiny", "hf_mamba2_tiny")


@functools.cache
def model_of(name: str):
    if name in ORACLES:
        return pgf.load_model(STORED / name, dtype=torch.float64)
    return random_model(small_config(**CONFIGS[name]))


def ids_of(name: str, length: int) -> Tensor:
    if name in ORACLES:
        with np.load(STORED / name / "oracle.npz") as arrays:
            return torch.from_numpy(arrays["input_ids"])[:length]
    return random_ids(length)


def reverse_complement(model, ids: Tensor) -> Tensor:
    return torch.tensor(model.vocabulary.complement)[ids.flip(0)]


def predictions(model, ids: Tensor) -> np.ndarray:
    """log p_j(b | x) of sequences, (batch, L, 4); the first base has no prediction."""
    with torch.no_grad():
        log_probs, _ = model(model.one_hot(ids), model.initial_state(len(ids)))
    given = log_probs[..., list(model.vocabulary.base_ids)].numpy()
    return np.concatenate([np.zeros_like(given[:, :1]), given[:, :-1]], axis=1)


def plus_blocks(model, ids: Tensor, start: int, stop: int) -> np.ndarray:
    """J of the plus strand: every sequence with one base changed, run from its beginning."""
    n, rows = stop - start, torch.arange(4 * (stop - start))
    changed = ids.repeat(4 * n, 1)
    changed[rows, start + rows // 4] = torch.tensor(model.vocabulary.base_ids).repeat(n)
    moved = predictions(model, changed) - predictions(model, ids[None])
    return moved[:, start:stop].reshape(n, 4, n, 4)


def brute_force(model, ids: Tensor, start: int, stop: int, strand: str, of_plus=plus_blocks):
    """J, and the predictions that each of its columns is a change of, by strand."""
    length, J, log_p = len(ids), 0, {}
    if strand != "-":
        J = J + of_plus(model, ids, start, stop)
        log_p["+"] = predictions(model, ids[None])[0, start:stop]
    if strand != "+":
        other, span = reverse_complement(model, ids), (length - stop, length - start)
        J = J + np.flip(of_plus(model, other, *span))
        log_p["-"] = np.flip(predictions(model, other[None])[0, slice(*span)])
    unknown = ~np.isin(ids[start:stop], model.vocabulary.base_ids)
    J[unknown], J[:, :, unknown] = np.nan, np.nan
    return J, log_p


def odds_by_definition(J: np.ndarray, log_p: dict[str, np.ndarray]) -> np.ndarray:
    """As in the notebook of the paper."""

    def log_odds(log_p: np.ndarray) -> np.ndarray:
        p = np.exp(log_p) + 1e-10
        p /= p.sum(axis=-1, keepdims=True)
        others = np.stack([np.delete(p, b, axis=-1).sum(axis=-1) for b in range(4)], axis=-1)
        return np.log2(p) - np.log2(others)  # 1 - p without its digits lost

    cells = np.zeros((len(J), len(J)))
    for sign, reference in log_p.items():
        triangle = np.triu if sign == "+" else np.tril
        moved = log_odds(reference + J) - log_odds(reference)
        cells += triangle(np.abs(moved).max(axis=(1, 3)))
    np.fill_diagonal(cells, 0)
    return np.where(np.isnan(J).any(axis=(1, 3)), np.nan, cells)


def infinity_by_definition(J: np.ndarray, log_p: dict[str, np.ndarray]) -> np.ndarray:
    cells = np.abs(J).max(axis=(1, 3))
    return (cells + cells.T) / 2


def norm_by_definition(J: np.ndarray, log_p: dict[str, np.ndarray]) -> np.ndarray:
    cells = np.full((len(J), len(J)), np.nan)
    known = np.flatnonzero(~np.isnan(J).all(axis=(1, 2, 3)))
    J = J[known][:, :, known]
    for axis in range(4):
        J = J - J.mean(axis=axis, keepdims=True)
    norm = np.linalg.norm(np.moveaxis(J, 1, 2), axis=(2, 3))
    norm = (norm + norm.T) / 2 * (1 - np.eye(len(norm)))
    sums = norm.sum(axis=0)
    cells[known[:, None], known] = norm - sums[:, None] * sums / sums.sum()
    return cells


BY_DEFINITION = {
    "logodds-max": odds_by_definition,
    "jacobian-inf": infinity_by_definition,
    "frobenius-apc": norm_by_definition,
}


def assert_same(tolerance: float, found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert_within(tolerance, np.nan_to_num(found), np.nan_to_num(expected))


def assert_triangular(blocks: np.ndarray, strand: str) -> None:
    """What a strand has not read changes none of its predictions."""
    n = len(blocks)
    unseen = {"+": np.tri(n, dtype=bool), "-": np.tri(n, dtype=bool).T, "both": np.eye(n) > 0}
    known = np.isfinite(blocks).all(axis=(1, 3))
    assert not np.moveaxis(blocks, 1, 2)[unseen[strand] & known].any()
    assert np.moveaxis(blocks, 1, 2)[~unseen[strand] & known].any(axis=(1, 2)).mean() > 0.99


@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("name", [*CONFIGS, *ORACLES])
def test_blocks_and_maps_are_those_of_every_changed_sequence(name, strand, monkeypatch):
    monkeypatch.setattr(dependency, "ROWS", 2000)  # several batches
    model, ids, span = model_of(name), ids_of(name, 110), (30, 94)
    J, log_p = brute_force(model, ids, *span, strand)
    found = pgf.dependency_map(model, ids, *span, blocks=True, strand=strand, tile_length=16)
    assert_same(1e-9, found, J)
    assert_triangular(found, strand)
    observed = np.array([model.vocabulary.base_ids.index(i) if i in model.vocabulary.base_ids
                         else 0 for i in ids[slice(*span)].tolist()])  # fmt: skip
    assert not np.nan_to_num(found[np.arange(64), observed]).any()
    for definition, expected in BY_DEFINITION.items():
        cells = pgf.dependency_map(model, ids, *span, definition, strand=strand, tile_length=16)
        assert_same(1e-6, cells, expected(J, log_p))


def plus_jacobian(model, ids: Tensor, start: int, stop: int) -> np.ndarray:
    """Derivatives of the plus strand by autograd, along the change of a base."""
    bases, x = list(model.vocabulary.base_ids), model.one_hot(ids)[None]

    def predict(x: Tensor) -> Tensor:
        log_probs, _ = model(x, model.initial_state(1))
        return log_probs[0, start - 1 : stop - 1, bases]

    assert start > 0
    gradient = torch.autograd.functional.jacobian(predict, x)[:, :, 0]  # (n, 4, L, V)
    along = gradient[:, :, start:stop] - (gradient[:, :, start:stop] * x[0, start:stop]).sum(
        -1, keepdim=True
    )
    return along[..., bases].permute(2, 3, 0, 1).numpy()


@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("name", ["mamba1", "mamba2", *ORACLES])
def test_first_order_blocks_are_the_jacobian_of_autograd(name, strand, monkeypatch):
    monkeypatch.setattr(dependency, "ROWS", 2000)
    model, ids, span = model_of(name), ids_of(name, 70), (20, 60)
    J, log_p = brute_force(model, ids, *span, strand, plus_jacobian)
    call = functools.partial(pgf.dependency_map, model, ids, *span, first_order=True, strand=strand)
    found = call(blocks=True)
    assert_same(1e-9, found, J)
    assert_triangular(found, strand)
    for definition, expected in BY_DEFINITION.items():
        assert_same(1e-6, call(definition=definition), expected(J, log_p))


def test_both_strands_are_stitched(tiny_model):
    ids = random_ids(50)
    plus, minus, both = (
        np.nan_to_num(pgf.dependency_map(tiny_model, ids, 5, 45, strand=s))
        for s in ("+", "-", "both")
    )
    assert np.array_equal(both, plus + minus)
    assert np.array_equal(plus, np.triu(plus, 1))
    assert np.array_equal(minus, np.tril(minus, -1))


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_the_map_of_a_copying_model_is_a_diagonal_at_its_delay(definition):
    model, delay = copying_model(layers=2, taps=9), 17
    letters = np.random.default_rng(0).choice(list("ACGT"), 120)
    found = pgf.dependency_map(model, "".join(letters), 30, 100, definition, strand="+")
    rows = np.arange(70 - delay)
    assert np.array_equal(np.triu(found).argmax(axis=1)[rows], rows + delay)
    there = np.eye(70, k=delay, dtype=bool)
    if definition != "logodds-max":
        there |= there.T
    assert found[there].min() > 10 * np.abs(found[~there]).max()
    backward = pgf.dependency_map(model, "".join(letters), 30, 100, definition, strand="-")
    assert np.array_equal(np.tril(backward).argmax(axis=1)[delay:], rows)


@settings(max_examples=25)
@given(
    length=st.integers(1, 40),
    span=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    tile=st.integers(1, 40),
    cut=st.tuples(st.integers(1, 50), st.integers(1, 300)),
    first_order=st.booleans(),
)
def test_no_map_depends_on_how_the_work_is_cut(length, span, tile, cut, first_order):
    model, ids = model_of("mamba1"), random_ids(length, 4)
    start, stop = sorted(min(edge, length) for edge in span)
    if start == stop:
        start, stop = 0, length
    call = functools.partial(
        pgf.dependency_map, model, ids, start, stop, "jacobian-inf", first_order
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dependency, "STEP", cut[0])
        patch.setattr(dependency, "ROWS", cut[1])
        found = call(tile_length=tile)
    assert_same(1e-11, found, call())


def test_a_map_of_a_part_is_part_of_the_map(tiny_model):
    ids = random_ids(60, 2)
    whole = pgf.dependency_map(tiny_model, ids, 0, 60, blocks=True)
    part = pgf.dependency_map(tiny_model, ids, 20, 41, blocks=True)
    assert_same(1e-11, part, whole[20:41, :, 20:41])


def test_several_regions_are_come_to_in_one_sweep(tiny_model):
    ids, spans = random_ids(80, 3), [(5, 20), (5, 30), (18, 19), (40, 80)]
    read, length = dependency.reader_of(tiny_model, ids)
    plus = dependency.Strand(tiny_model, read, length, pgf.Likelihood())
    met = {
        sign: dict(zip(order, dependency.approaches(plus, sign, order, 7), strict=True))
        for sign, order in (("+", spans), ("-", sorted(spans, key=lambda s: -s[1])))
    }
    definition = DEFINITIONS["logodds-max"]
    for span in spans:
        found = dependency.region_map(tiny_model, [met["+"][span], met["-"][span]], definition)
        assert found.blocks is None
        assert_same(1e-11, found.cells, pgf.dependency_map(tiny_model, ids, *span))


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("first_order", [False, True])
def test_threads_change_nothing_but_time(tiny_model, threads, first_order, monkeypatch):
    monkeypatch.setattr(dependency, "ROWS", 200)
    call = functools.partial(
        pgf.dependency_map, tiny_model, random_ids(50), 0, 50, first_order=first_order, blocks=True
    )
    assert_same(1e-11, call(threads=threads), call(threads=1))


def test_single_precision_is_close_and_the_blocks_have_it():
    ids = random_ids(60)
    for definition in DEFINITIONS:
        found = [
            pgf.dependency_map(random_model(small_config(), dtype), ids, 0, 60, definition)
            for dtype in (torch.float32, torch.float64)
        ]
        assert found[0].dtype == np.float64
        assert_same(1e-3, *found)
    single = random_model(small_config(), torch.float32)
    assert pgf.dependency_map(single, ids, 0, 9, blocks=True).dtype == np.float32


def test_a_sequence_without_a_base_has_an_empty_map(tiny_model):
    for definition in DEFINITIONS:
        assert np.isnan(pgf.dependency_map(tiny_model, "NNNNN", 0, 5, definition)).all()
        assert pgf.dependency_map(tiny_model, "NNANN", 2, 3, definition).tolist() == [[0]]


def test_definitions_take_any_number_of_rows():
    rng = np.random.default_rng(0)
    changes, log_p = rng.standard_normal((3, 4, 7, 4)), np.log(rng.dirichlet(np.ones(4), 7))
    for cells in (log_odds_max, largest):
        whole = cells(changes, log_p)
        assert whole.shape == (3, 7)
        assert np.array_equal(whole[1], cells(changes[1], log_p))
        assert not cells(0 * changes, log_p).any()


def test_the_odds_of_a_certain_base_keep_their_digits():
    log_p = np.log(np.array([[1 - 3e-9, 1e-9, 1e-9, 1e-9]]))
    changes = np.zeros((4, 1, 4))
    changes[2, 0, 1:] = np.log(2)
    odds = np.log2([2, 2]) + np.log2([1, (1e-9 + 5e-11) / (1e-9 + 1e-10)])
    assert log_odds_max(changes, log_p)[0] == pytest.approx(odds[1], rel=1e-6)


def test_the_correction_removes_what_positions_have_in_common():
    strength = np.array([1.0, 2.0, 3.0, 5.0, 8.0])
    blocks = np.zeros((5, 4, 5, 4))
    blocks[:, 0, :, 0] = np.outer(strength, strength)
    found = frobenius_apc(blocks)
    assert np.array_equal(found, found.T)
    assert abs(found.sum()) < 1e-12


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({"stop": 11}, r"a region 3\.\.11 \(`start`, `stop`\) is not within a sequence of 10"),
        ({"stop": 3}, r"a region 3\.\.3"),
        ({"strand": "plus"}, r"`strand` must be one of \+, -, both, not 'plus'"),
        ({"definition": "max"}, "`definition` 'max': choose from logodds-max, jacobian-inf, frob"),
        ({"tile_length": 0}, "`tile_length` must be at least 1, not 0"),
    ],
)
def test_arguments_out_of_range_are_refused(tiny_model, arguments, cause):
    given_ = {"start": 3, "stop": 9} | arguments
    with pytest.raises(UsageError, match=cause):
        pgf.dependency_map(tiny_model, random_ids(10), **given_)


def test_models_that_predict_nothing_from_the_bases_before_are_refused():
    with pytest.raises(UsageError, match="needs a causal model; random is bidirectional"):
        pgf.dependency_map(random_model(bidirectional_config()), random_ids(10), 0, 10)
    headless = random_model(small_config(tied=False, has_head=False))
    with pytest.raises(UsageError, match="has no head and predicts nothing"):
        pgf.dependency_map(headless, random_ids(10), 0, 10)


def test_an_input_that_is_no_sequence_of_tokens_is_refused(tiny_model):
    with pytest.raises(SequenceError, match=r"expected token ids \(L,\), a sequence as text$"):
        pgf.dependency_map(tiny_model, tiny_model.one_hot(random_ids(10)), 0, 10)
