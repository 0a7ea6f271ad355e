"""The memory function: closed forms against known cases, the estimator against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgf_genome.errors import IntegrityError, UsageError
from pgf_genome.memory.closed_form import (
    memory_function,
    memory_function_by_moments,
    random_gate,
    reachable_poles,
)
from pgf_genome.memory.estimator import (
    MemoryFunction,
    Moments,
    functions_of,
    lagged_bases,
    log_lags,
)

PAIR = [0.9 * np.exp(0.5j), 0.9 * np.exp(-0.5j)]
RING = 0.9 * np.exp(2j * np.pi * np.arange(4) / 4)
INSIDE = st.builds(
    lambda radius, angle: radius * np.exp(1j * angle), st.floats(0, 0.97), st.floats(0, 6.28)
)


@pytest.mark.parametrize(
    ("poles", "expected"),
    [
        ([0.0] * 3, [1, 1, 1, 0, 0]),
        ([0.9], [0.19, 0.1539, 0.124659, 0.10097379]),
        ([0.9, 0.5], [0.7975, 0.2046, 0.12591975, 0.12378531, 0.11999752, 0.10855858]),
        (PAIR, [0.3439, 0.25382004, 0.23686669, 0.23546570, 0.20837522, 0.15562267]),
        (RING, [0.56953279] * 4 + [0.24516519] * 4),
    ],
    ids=["delay line", "leaky integrator", "two poles", "conjugate pair", "ring"],
)
def test_known_cases(poles, expected):
    assert memory_function(poles, len(expected)) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("poles", [[0.0] * 3, [0.9], [0.9, 0.5], PAIR, RING])
def test_all_lags_sum_to_the_number_of_states(poles):
    assert memory_function(poles, 400).sum() == pytest.approx(len(poles), abs=1e-10)


@given(st.lists(INSIDE, min_size=1, max_size=6))
@settings(deadline=None, max_examples=40)
def test_memory_never_rises_with_lag_and_starts_at_one_minus_the_squared_product(poles):
    found = memory_function(poles, 50)
    assert found[0] == pytest.approx(1 - np.prod(np.abs(poles) ** 2), abs=1e-12)
    assert (np.diff(found) <= 1e-12).all()


@given(st.lists(INSIDE, min_size=1, max_size=3, unique_by=lambda p: round(p.real, 1)))
@settings(deadline=None, max_examples=40)
def test_both_forms_agree_where_the_matrix_is_not_singular(poles):
    by_moments = memory_function_by_moments(poles, 30)
    assert memory_function(poles, 30) == pytest.approx(by_moments, abs=1e-6)


def test_mambas_default_spectrum_keeps_its_capacity():
    poles = np.exp(-0.1 * np.arange(1, 17))
    assert memory_function(poles, 3000).sum() == pytest.approx(16, abs=1e-6)
    # the matrix of the definition is singular to rounding, and loses a third
    assert memory_function_by_moments(poles, 3000).sum() < 13


@pytest.mark.parametrize(
    ("poles", "states"),
    [
        ([0.9, 0.5, 0.9], 2),
        ([0.8j], 2),
        ([0.8j, -0.8j], 2),
        (np.exp(0.05 * (-0.5 + 1j * np.pi * np.arange(4))), 7),
    ],
    ids=["duplicated pole", "half a pair", "pair", "S4D-Lin, whose first pole is real"],
)
def test_a_diagonal_system_holds_each_pole_once_and_conjugates_together(poles, states):
    distinct = reachable_poles(poles)
    assert len(distinct) == states
    assert memory_function(distinct, 4000).sum() == pytest.approx(states, abs=1e-6)


def test_a_duplicated_pole_costs_one_state():
    twice = memory_function_by_moments([0.9, 0.5, 0.9], 400)
    assert twice.sum() == pytest.approx(2, abs=1e-6)
    assert twice == pytest.approx(memory_function([0.9, 0.5], 400), abs=1e-6)


def test_correlated_input_is_remembered_beyond_the_number_of_states_and_not_monotonically():
    found = memory_function_by_moments([0.9], 600, correlation=0.5)
    expected = {0: 0.238245, 1: 0.328926, 3: 0.311935, 10: 0.082294}
    assert {k: found[k] for k in expected} == pytest.approx(expected, abs=1e-6)
    assert found.sum() == pytest.approx(2.716, abs=1e-3)


def test_input_that_correlates_as_the_state_decays_is_no_exception():
    at, near = (memory_function_by_moments([0.9], 20, correlation=c) for c in (0.9, 0.9 - 1e-7))
    assert at == pytest.approx(near, abs=1e-5)


def test_a_random_gate_loses_capacity():
    found = random_gate([1.0, 0.8], [0.0, 1.0], [0.5, 0.5], 200)
    assert found[:5] == pytest.approx(0.09 * 0.81 ** np.arange(5))
    assert found.sum() == pytest.approx(0.09 / 0.19)


@pytest.mark.parametrize("poles", [[], [1.0], [0.5, 1.01j], [np.nan]])
def test_poles_that_never_settle_are_refused(poles):
    with pytest.raises(UsageError, match="unit circle"):
        memory_function(poles, 3)


def test_an_impossible_correlation_is_refused():
    with pytest.raises(UsageError, match="correlation"):
        memory_function_by_moments([0.5], 3, correlation=1.0)


def run_diagonal(poles, intake, u):
    """States (T, N) of x_t = poles x_{t-1} + intake u_t."""
    states = np.empty((len(u), len(poles)))
    x = np.zeros(len(poles))
    for t, value in enumerate(u):
        x = poles * x + intake * value
        states[t] = x
    return states


def moments_of(states, u, lags, tiles=1):
    """Moments of states and lagged input, tile by tile, after the longest lag."""
    at = np.array_split(np.arange(max(lags), len(u)), tiles)
    each = [Moments.of(states[t], u[t[:, None] - lags][..., None]) for t in at]
    return sum(each[1:], each[0])


LAGS = np.arange(6)
POLES = np.array([0.9, 0.5, -0.3])


@pytest.fixture(scope="module")
def white():
    return np.random.default_rng(0).standard_normal(100_000)


def test_the_estimator_meets_the_closed_form(white):
    states = run_diagonal(POLES, np.ones(3), white)
    values, rank = moments_of(states, white, LAGS).explained(1e-16)
    exact = memory_function(POLES, 6)
    error = np.sqrt(4 * exact * (1 - exact) ** 2 / len(white))  # of R^2
    assert rank == 3
    assert (np.abs(values - exact) < 4 * error + 3 / len(white)).all()
    assert exact == pytest.approx([0.9818, 0.9499, 0.1260, 0.1255, 0.1251, 0.1151], abs=5e-4)


def test_input_weights_and_coordinates_of_the_state_do_not_matter(white):
    u = white[:5000]
    plain, _ = moments_of(run_diagonal(POLES, np.ones(3), u), u, LAGS).explained(1e-16)
    turn = np.random.default_rng(1).standard_normal((3, 3))
    masked = run_diagonal(POLES, np.array([2.0, -0.5, 3.0]), u) @ turn
    changed, _ = moments_of(masked, u, LAGS).explained(1e-16)
    assert changed == pytest.approx(plain, abs=1e-8)


def test_features_that_know_nothing_score_the_bias():
    rng = np.random.default_rng(2)
    count, p = 2000, 10
    y = rng.standard_normal((count, 300, 1))
    moments = Moments.of(rng.standard_normal((count, p)), y)
    found = functions_of(moments, range(300), 1e-16)[0]
    assert found.bias == p / count
    spread = np.sqrt(2 * p) / count
    assert np.mean(found.values) == pytest.approx(found.bias, abs=4 * spread / np.sqrt(300))


@given(st.integers(1, 40))
@settings(deadline=None, max_examples=20)
def test_moments_do_not_depend_on_tiles(tiles):
    u = np.random.default_rng(3).standard_normal(400) + 5
    states = run_diagonal(POLES, np.ones(3), u)
    whole, tiled = moments_of(states, u, LAGS), moments_of(states, u, LAGS, tiles)
    assert tiled.count == whole.count
    for name in ("x_mean", "y_mean", "xx", "xy", "yy"):
        expected = getattr(whole, name)
        error = np.abs(getattr(tiled, name) - expected).max()
        assert error <= 1e-12 * np.abs(expected).max(), name


def test_a_repeated_feature_does_not_count_in_the_rank(white):
    u = white[:3000]
    states = run_diagonal(POLES, np.ones(3), u)
    doubled = np.concatenate([states, states[:, :2] + 7], axis=1)
    once, rank = moments_of(states, u, LAGS).explained(1e-16)
    twice, same_rank = moments_of(doubled, u, LAGS).explained(1e-16)
    assert same_rank == rank == 3
    assert twice == pytest.approx(once, abs=1e-9)


def test_directions_below_the_precision_of_the_features_are_dropped(white):
    u = white[:3000]
    states = run_diagonal(np.array([0.9, 0.9 + 1e-6]), np.ones(2), u)
    moments = moments_of(states, u, LAGS)
    assert [int(moments.explained(precision)[1]) for precision in (1e-9, 1e-3)] == [2, 1]


def test_every_set_of_features_is_measured_on_its_own(white):
    u = white[:3000]
    sets = np.stack(
        [run_diagonal(np.array([a, b]), np.ones(2), u) for a, b in [(0.9, 0.5), (0, 0.8)]]
    )
    at = np.arange(5, len(u))
    together = Moments.of(sets[:, at], u[at[:, None] - LAGS][..., None])
    found = functions_of(together, LAGS, 1e-16)
    for one, states in zip(found, sets, strict=True):
        alone, _ = moments_of(states, u, LAGS).explained(1e-16)
        assert one.values == pytest.approx(alone, abs=1e-12)


def test_a_dead_state_holds_nothing(white):
    moments = moments_of(np.zeros((3000, 2)), white[:3000], LAGS)
    values, rank = moments.explained(1e-16)
    assert rank == 0
    assert not values.any()


def test_a_state_that_overflows_is_an_error(white):
    states = np.full((100, 2), np.inf)
    with np.errstate(invalid="ignore"):
        moments = moments_of(states, white[:100], LAGS)
    with pytest.raises(IntegrityError, match="overflows"):
        moments.explained(1e-16)


def test_bases_are_three_contrasts_and_n_is_none():
    codes = np.array([0, 1, 2, 3, 4], np.uint8)
    y = lagged_bases(codes, 1, 5, np.array([0, 1]))
    assert y.shape == (4, 2, 3)
    assert y[0].tolist() == [[-1, 1, 1], [1, -1, 1]]  # C, and A before it
    assert y[3].tolist() == [[0, 0, 0], [-1, -1, -1]]  # N, and T before it


def test_a_window_of_bases_remembers_itself_and_no_more():
    codes = np.random.default_rng(4).integers(0, 4, 20_000).astype(np.uint8)
    features = lagged_bases(codes, 10, len(codes), np.arange(3)).reshape(-1, 9)
    moments = Moments.of(features, lagged_bases(codes, 10, len(codes), np.arange(5)))
    found = functions_of(moments, range(5), 1e-16)[0]
    assert found.rank == 9
    assert found.values[:3] == pytest.approx([1, 1, 1])
    assert max(found.values[3:]) < 4 * found.bias
    assert found.length(0.1) == 3
    assert found.capacity == pytest.approx(3, abs=0.02)


def test_what_the_floor_explains_is_not_memory():
    values = (0.9, 0.5, 0.3, 0.05)
    found = MemoryFunction((0, 1, 10, 100), values, 4, 1000, floor=(0, 0, 0.29, 0))
    assert found.excess.tolist() == pytest.approx([0.896, 0.496, 0.01, 0.046])
    assert found.length(0.1) == 10
    assert found.length(0.001) is None


@given(st.integers(1, 10**6))
def test_lags_ascend_from_nothing_to_the_longest(longest):
    lags = log_lags(longest)
    assert lags[0] == 0
    assert lags[-1] == longest
    assert (np.diff(lags) > 0).all()
    assert len(lags) < 80
