"""The sweeps beside the equations that they are the fast form of."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import MAMBA2, assert_within, random_ids, random_like, random_model, small_config

from pgf_genome.engine import equations, sweep
from pgf_genome.engine.arrays import adjoint
from pgf_genome.engine.objective import Entropy, Likelihood, observe
from pgf_genome.engine.pipeline import stages_of
from pgf_genome.engine.plan import Plan
from pgf_genome.mamba import norm
from pgf_genome.mamba.mixers import convolved, mamba1
from pgf_genome.scan import reference


def random_case(layers, batch, length, family=None):
    """A model, and the input of a batch of sequences."""
    model = random_model(small_config(n_layer=layers, **(family or {}))).requires_grad_(False)
    ids = torch.stack([random_ids(length, seed=b) for b in range(batch)])
    return model, model.one_hot(ids)


def reader(x):
    return lambda start, stop: x[..., start:stop, :].clone()


def by_equations(model, x, plan, objectives, parameters=()):
    """Gradient, values, cotangent at the start, weight gradients, state at the end."""
    states = [model.initial_state(len(x))]
    states += [tile.state for tile in equations.primal(model, reader(x), plan, states[0])]
    blank = states[0]
    tiles = equations.adjoint(
        model, reader(x), plan, objectives, states, blank, parameters=parameters
    )
    return collected([*tiles], plan)


def swept(model, x, plan, objectives, parameters=(), threads=None):
    """As `by_equations`, by the sweeps."""
    tiles = sweep.there_and_back(model, reader(x), plan, objectives, parameters, threads)
    return collected([*tiles], plan)


def collected(tiles, plan):
    assert [tile.k for tile in tiles] == [*reversed(range(plan.tiles))]
    weights = [sum(shares) for shares in zip(*(tile.weights for tile in tiles), strict=True)]
    gradient, log_p = (torch.cat([tile[i] for tile in reversed(tiles)], dim=1) for i in (1, 2))
    ends = tiles[-1].cotangent.tensors(), tiles[0].end.tensors()
    return [gradient, log_p, sum(tile.values for tile in tiles), *ends[0], *ends[1]], weights


def assert_same_bits(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


FAMILIES = {"mamba": {}, "mamba2": MAMBA2}


@settings(deadline=None, max_examples=40)
@given(
    layers=st.integers(1, 4),
    length=st.integers(1, 40),
    tile=st.integers(1, 12),
    kept=st.integers(1, 12),
    threads=st.integers(1, 4),
    family=st.sampled_from(sorted(FAMILIES)),
)
def test_one_sequence_is_swept_as_the_equations_say_bit_for_bit(
    layers, length, tile, kept, threads, family
):
    model, x = random_case(layers, 1, length, FAMILIES[family])
    expected, _ = by_equations(model, x, Plan(length, tile), [Likelihood()])
    found, _ = swept(model, x, Plan(length, tile, kept), [Likelihood()], threads=threads)
    assert_same_bits(found, expected)


@settings(deadline=None, max_examples=25)
@given(
    layers=st.integers(1, 3),
    batch=st.integers(2, 3),
    length=st.integers(1, 40),
    tile=st.integers(1, 12),
    kept=st.integers(1, 12),
    threads=st.integers(1, 4),
    family=st.sampled_from(sorted(FAMILIES)),
)
def test_a_batch_is_swept_as_the_equations_say(layers, batch, length, tile, kept, threads, family):
    model, x = random_case(layers, batch, length, FAMILIES[family])
    objectives = [Likelihood(), Entropy(), Likelihood(targets="fixed")][:batch]
    plan = Plan(length, tile, kept)
    found, _ = swept(model, x, plan, objectives, threads=threads)
    together, _ = by_equations(model, x, plan, objectives)
    for one, other in zip(found, together, strict=True):
        assert_within(1e-12, one, other)
    # products of matrices may depend on how many rows they have; one sequence at a time has as many
    alone = [by_equations(model, x[b : b + 1], plan, [f])[0] for b, f in enumerate(objectives)]
    assert_same_bits(found, [torch.cat(parts) for parts in zip(*alone, strict=True)])


@settings(deadline=None, max_examples=25)
@given(
    layers=st.integers(1, 4),
    batch=st.integers(1, 2),
    length=st.integers(1, 40),
    tile=st.integers(1, 12),
    directions=st.integers(1, 3),
    threads=st.integers(1, 4),
    family=st.sampled_from(sorted(FAMILIES)),
)
def test_predictions_and_tangents_are_those_of_the_equations(
    layers, batch, length, tile, directions, threads, family
):
    model, x = random_case(layers, batch, length, FAMILIES[family])
    (moving,) = random_like([torch.empty(directions, *x.shape).double()])
    plan, blank = Plan(length, tile), model.initial_state(batch)
    given = model, reader(x), reader(moving), plan, blank
    for one, other in zip(sweep.tangent(*given, threads), equations.tangent(*given), strict=True):
        assert one.k == other.k
        assert_within(1e-12, one.log_probs, other.log_probs)
        assert_within(1e-12, one.tangents, other.tangents)
    steps = zip(
        sweep.primal(model, reader(x), plan, blank, threads=threads),
        equations.primal(model, reader(x), plan, blank),
        strict=True,
    )
    for one, other in steps:
        assert one.k == other.k
        assert_within(1e-12, one.log_probs, other.log_probs)
        for mine, theirs in zip(one.state.tensors(), other.state.tensors(), strict=True):
            assert_within(1e-12, mine, theirs)


def test_no_bit_of_a_tangent_depends_on_the_threads():
    model, x = random_case(3, 1, 40)
    (moving,) = random_like([torch.empty(2, *x.shape).double()])
    given = model, reader(x), reader(moving), Plan(40, 6), model.initial_state(1)
    alone, side_by_side = ([*sweep.tangent(*given, threads)] for threads in (1, 3))
    for one, other in zip(alone, side_by_side, strict=True):
        assert_same_bits(one[1:], other[1:])


def test_the_equations_are_those_of_autograd_over_the_whole_sequence(monkeypatch):
    """Every kernel is replaced by its equations, and every sweep by one tape."""
    monkeypatch.setattr(norm, "rms_norm", reference.rms_norm)
    monkeypatch.setattr(convolved, "causal_conv", reference.causal_conv)
    monkeypatch.setattr(mamba1, "selective_scan", reference.selective_scan)
    model, x = random_case(2, 1, 23)
    blank, objective = model.initial_state(1), Likelihood()

    def value(x, *state):
        start = blank.filled(state)
        hidden, _ = model.hidden(x, start)
        (seen,), _ = observe(model, x, hidden, start.log_probs, [0])
        return objective(seen)

    inputs = [t.clone().requires_grad_() for t in (x, *blank.tensors())]
    bars = torch.autograd.grad(value(*inputs), inputs)
    monkeypatch.undo()
    found, _ = by_equations(model, x, Plan(23, 5), [objective])
    assert_within(1e-12, found[0], bars[0])
    for one, other in zip(found[3:], bars[1:], strict=False):
        assert_within(1e-12, one, other)


def test_a_single_sequence_is_worked_on_in_stages_where_there_are_threads_and_tiles():
    model = random_model(small_config(n_layer=3))

    def depths(tiles, lanes, threads):
        found = stages_of(model, Plan(10 * tiles, 10), lanes, threads)
        return [(stage.first, stage.stop) for stage in found]

    assert depths(2, 1, 2) == [(0, 1), (1, 2), (2, 3)]
    assert depths(1, 1, 2) == depths(4, 2, 2) == depths(4, 1, 1) == [(0, 3)]


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (2, 3)])
def test_no_more_tiles_are_in_work_than_there_are_threads_for(threads, ahead):
    model, x = random_case(3, 1, 60)
    given: list[int] = []

    def read(start, stop):
        given.append(start // 10)
        return x[:, start:stop].clone()

    state = model.initial_state(1)
    for tile in sweep.primal(model, read, Plan(60, 10), state, threads=threads):
        assert len(given) == min(tile.k + ahead, 6)
    given.clear()
    plan = Plan(60, 10, kept=3)
    for tile in sweep.there_and_back(model, read, plan, [Likelihood()], threads=threads):
        # 3 tiles of the primal sweep, 3 whose tapes are kept
        assert len(given) == min(max(3 + 3, 3 + 6 - tile.k + ahead - 1), 3 + 6)


def test_weight_gradients_of_stages_add_up():
    model, x = random_case(2, 1, 40)
    model.requires_grad_(True)
    given = model, x, Plan(40, 6), [Likelihood()], [*model.parameters()]
    _, expected = by_equations(*given)
    for threads in (1, 2):
        _, found = swept(*given, threads)
        for one, other in zip(found, expected, strict=True):
            assert_within(1e-13, one, other)


def test_an_error_in_a_stage_reaches_the_caller():
    def broken(tile):
        raise ZeroDivisionError("in an objective")

    model = random_model(small_config(n_layer=2))
    with pytest.raises(ZeroDivisionError, match="in an objective"):
        adjoint(model, random_ids(40), broken, 6, threads=2)
