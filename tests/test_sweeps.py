from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import assert_within, random_ids, random_like, random_model, small_config

from pgf_genome.checkpoints.load import load_model
from pgf_genome.engine import sweep
from pgf_genome.engine.arrays import adjoint, log_probs, tangent
from pgf_genome.engine.objective import Entropy, Likelihood
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.spool import StoredStates
from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.scan import Dual

ORACLES = Path(__file__).parent / "oracles"
TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4}
NUMPY = {torch.float64: np.float64, torch.float32: np.float32}
# Tiles of one base are slow. Both oracles hold the same weights: each takes one precision.
PRECISION_OF_ONE_BASE = {"hf_mamba_tiny": torch.float64, "mamba_ssm_tiny": torch.float32}
CASES = [
    (name, tile, dtype)
    for name, slow in PRECISION_OF_ONE_BASE.items()
    for tile in (1, 7, 64, 500, 777, 2000)
    for dtype in TOLERANCES
    if tile > 1 or dtype == slow
]


@pytest.fixture(scope="module")
def oracle():
    """A function from a name and a dtype to the model and what upstream code computed with it."""

    @functools.cache
    def load(name: str, dtype: torch.dtype):
        with np.load(ORACLES / name / "oracle.npz") as arrays:
            return load_model(ORACLES / name, dtype=dtype), dict(arrays)

    return load


@pytest.mark.parametrize(("name", "tile", "dtype"), CASES)
def test_predictions_are_those_of_upstream_code(oracle, name, tile, dtype):
    model, expected = oracle(name, dtype)
    found = log_probs(model, expected["input_ids"], tile)
    logits = torch.from_numpy(expected["logits"])
    assert found.dtype == NUMPY[dtype]
    assert_within(TOLERANCES[dtype], found, logits.log_softmax(dim=-1))


@pytest.mark.parametrize(("name", "tile", "dtype"), CASES)
def test_value_and_gradient_are_those_of_upstream_code(oracle, name, tile, dtype):
    model, expected = oracle(name, dtype)
    found = adjoint(model, expected["input_ids"], Likelihood(targets="fixed"), tile)
    assert found.gradient.dtype == NUMPY[dtype]
    assert_within(TOLERANCES[dtype], found.value, expected["objective"])
    assert_within(TOLERANCES[dtype], found.gradient, expected["grad_onehot"])
    assert (found.gradient[-1] == 0).all()


@pytest.mark.parametrize(("name", "tile", "dtype"), CASES)
def test_a_window_is_that_of_upstream_code(oracle, name, tile, dtype):
    model, expected = oracle(name, dtype)
    window = tuple(expected["window"].tolist())
    objective = Likelihood(targets="fixed", window=window)
    found = adjoint(model, expected["input_ids"], objective, tile)
    assert_within(TOLERANCES[dtype], found.value, expected["objective_window"])
    assert_within(TOLERANCES[dtype], found.gradient, expected["grad_onehot_window"])
    assert (found.gradient[window[1] :] == 0).all()


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 90), st.integers(1, 100))
def test_no_sweep_depends_on_the_tile_length(tiny_model, length, tile):
    ids = random_ids(length, seed=length)
    whole, tiled = (adjoint(tiny_model, ids, None, t) for t in (length, tile))
    assert_within(1e-12, tiled.value, whole.value)
    assert_within(1e-12, tiled.gradient, whole.gradient)
    assert_within(1e-12, log_probs(tiny_model, ids, tile), log_probs(tiny_model, ids, length))
    (direction,) = random_like([torch.empty(2, length, 7, dtype=torch.float64)])
    along = [tangent(tiny_model, ids, direction, t) for t in (tile, length)]
    assert_within(1e-12, *along)


@pytest.mark.parametrize("taps", [1, 2])
def test_a_short_memory_of_the_convolution_is_carried_over_tiles(taps):
    model = random_model(small_config(d_conv=taps))
    whole, tiled = (adjoint(model, random_ids(23), None, tile) for tile in (23, 5))
    assert_within(1e-12, tiled.gradient, whole.gradient)


def run_adjoint(model, x, plan, objectives, cotangent, folder, **options):
    """All tiles of an adjoint sweep, from the last to the first, after a primal sweep."""
    blank = model.initial_state(x.shape[0])

    def read(start, stop):
        return x[:, start:stop].clone()

    with StoredStates(folder / "states", blank, "test") as states:
        for step in sweep.primal(model, read, plan, blank):
            states[step.k + 1] = step.state
        return [*sweep.adjoint(model, read, plan, objectives, states, cotangent, **options)]


def test_tangent_and_adjoint_are_transposes_from_end_to_end(tiny_model, tmp_path):
    plan = Plan(50, 8)
    shape = torch.empty(1, plan.length, 7, dtype=torch.float64)
    blank = tiny_model.initial_state(1)
    x, x_dot, out_bar = random_like([shape] * 3)
    start_dot, end_bar = (random_like(blank.tensors(), seed) for seed in (4, 5))

    def weighted(tile):
        return (tile.log_p * out_bar[0, tile.start : tile.start + len(tile.x)]).sum()

    end = blank.filled(end_bar)
    tiles = run_adjoint(tiny_model, x, plan, [weighted], end, tmp_path)
    assert [tile.k for tile in tiles] == [*reversed(range(plan.tiles))]
    x_bar = torch.cat([tile.gradient for tile in reversed(tiles)], dim=1)
    start = [Dual(t, t_dot[None]) for t, t_dot in zip(blank.tensors(), start_dot, strict=True)]
    out, end_moved = tiny_model(Dual(x, x_dot[None]), blank.filled(start))
    out_dot, end_dot = out.dots[0], [t.dots[0] for t in end_moved.tensors()]
    # The objective sees the predictions shifted by one; the first is in the state at the start.
    shifted = torch.cat([start_dot[-1][:, None], out_dot[:, :-1]], dim=1)
    outputs = [out_bar * shifted]
    outputs += [a * b for a, b in zip(end_bar, end_dot, strict=True)]
    inputs = [x_bar * x_dot]
    inputs += [a * b for a, b in zip(tiles[-1].cotangent.tensors(), start_dot, strict=True)]
    size = sum(term.abs().sum() for term in outputs)
    assert abs(sum(v.sum() for v in outputs) - sum(v.sum() for v in inputs)) <= 1e-12 * size


def test_sweeps_over_tiles_are_transposes(tiny_model):
    ids = random_ids(60)
    direction, weights = random_like([torch.empty(60, 7, dtype=torch.float64)] * 2)

    def weighted(tile):
        return (tile.log_p * weights[tile.start : tile.start + len(tile.x)]).sum()

    gradient = adjoint(tiny_model, ids, weighted, 7).gradient
    moved = tangent(tiny_model, ids, direction, 11)
    terms = weights[1:].numpy() * moved[:-1]
    assert abs(terms.sum() - (gradient * direction.numpy()).sum()) <= 1e-12 * abs(terms).sum()


def test_several_directions_are_as_many_single_ones(tiny_model):
    ids = random_ids(40)
    (directions,) = random_like([torch.empty(3, 40, 7, dtype=torch.float64)])
    together = tangent(tiny_model, ids, directions, 16)
    assert together.shape == (3, 40, 7)
    for one, direction in zip(together, directions, strict=True):
        assert_within(1e-13, tangent(tiny_model, ids, direction.numpy(), 16), one)


def test_the_tangent_of_a_substitution_is_the_limit_of_a_small_one(tiny_model):
    ids = random_ids(30)
    x = tiny_model.one_hot(ids)
    substitution = torch.zeros_like(x)
    substitution[12] = tiny_model.one_hot(torch.tensor((int(ids[12]) + 1) % 5)) - x[12]
    moved = tangent(tiny_model, ids, substitution, 8)
    ahead, behind = (log_probs(tiny_model, x + step * substitution, 8) for step in (1e-5, -1e-5))
    assert_within(1e-8, moved, (ahead - behind) / 2e-5)
    assert (moved[:12] == 0).all()
    assert (moved[12:] != 0).all()


def test_a_batch_is_swept_in_lock_step_each_with_its_own_objective(tiny_model, tmp_path):
    objectives = [Likelihood(positions=((13, 17),)), Entropy()]
    ids = torch.stack([random_ids(20, seed) for seed in (1, 2)])
    tiles = run_adjoint(
        tiny_model,
        tiny_model.one_hot(ids),
        Plan(20, 6),
        objectives,
        tiny_model.initial_state(2),
        tmp_path,
        origins=[10, 0],
    )
    both = torch.cat([tile.gradient for tile in reversed(tiles)], dim=1)
    values = sum(tile.values for tile in tiles)
    for i, objective in enumerate([Likelihood(positions=((3, 7),)), Entropy()]):
        alone = adjoint(tiny_model, ids[i], objective, 6)
        assert_within(1e-12, both[i], alone.gradient)
        assert_within(1e-12, values[i], alone.value)


def test_a_sweep_goes_on_from_where_it_stopped_with_the_same_bits(tiny_model, tmp_path):
    plan, x = Plan(30, 7), tiny_model.one_hot(random_ids(30))[None]
    blank = tiny_model.initial_state(1)
    whole = run_adjoint(tiny_model, x, plan, [Likelihood()], blank, tmp_path)
    rest = run_adjoint(
        tiny_model, x, plan, [Likelihood()], whole[1].cotangent, tmp_path, tiles=[2, 1, 0]
    )
    assert [tile.k for tile in rest] == [2, 1, 0]
    for one, other in zip(rest, whole[2:], strict=True):
        assert torch.equal(one.gradient, other.gradient)
    steps = [*sweep.primal(tiny_model, lambda *span: x[:, slice(*span)], plan, blank)]
    rest = range(2, plan.tiles)
    resumed = sweep.primal(tiny_model, lambda *span: x[:, slice(*span)], plan, steps[1].state, rest)
    for one, other in zip(resumed, steps[2:], strict=True):
        assert one.k == other.k
        assert torch.equal(one.log_probs, other.log_probs)


def test_replayed_predictions_are_those_before_each_base(tiny_model, tmp_path):
    ids = random_ids(20)
    x, blank = tiny_model.one_hot(ids)[None], tiny_model.initial_state(1)
    tiles = run_adjoint(tiny_model, x, Plan(20, 6), [Likelihood()], blank, tmp_path)
    before = torch.cat([tile.log_p[0] for tile in reversed(tiles)])
    assert_within(1e-13, before[1:], log_probs(tiny_model, ids)[:-1])
    assert not before[0].any()


def test_the_input_is_left_as_it_was(tiny_model):
    x = tiny_model.one_hot(random_ids(10))
    before = x.clone()
    adjoint(tiny_model, x, None, 4)
    tangent(tiny_model, x, x, 4)
    assert torch.equal(x, before)
    assert not x.requires_grad


@pytest.mark.parametrize(
    ("ids", "cause"),
    [
        ([], "the sequence is empty"),
        ([1.0, 2.0], "ids of shape .* and type torch.float32"),
        ([[1, 2]], r"ids of shape \(1, 2\)"),
        (
            torch.zeros(3, 6),
            r"expected token ids \(L,\), a sequence as text, or an input of shape \(L, 7\)",
        ),
        ([0, 7], r"token ids 0\.\.7 outside the vocabulary of 7 rows"),
        ([-1, 2], r"token ids -1\.\.2 outside"),
    ],
)
def test_what_is_no_sequence_is_refused(tiny_model, ids, cause):
    with pytest.raises(SequenceError, match=cause):
        log_probs(tiny_model, ids)


def test_an_input_without_positions_is_refused(tiny_model):
    with pytest.raises(UsageError, match="`length` must be at least 1"):
        adjoint(tiny_model, torch.zeros(0, 7, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(7,), (4, 7), (5, 6), (2, 4, 7), (1, 2, 5, 7), (0, 5, 7)])
def test_a_direction_of_another_shape_is_refused(tiny_model, shape):
    with pytest.raises(SequenceError, match=r"expected \(5, 7\) or \(k, 5, 7\)"):
        tangent(tiny_model, random_ids(5), torch.zeros(shape))
