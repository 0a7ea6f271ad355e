from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import random_model, small_config

from pgf_genome.engine.plan import LONGEST_TILE, SHORTEST_TILE, Cost, Plan
from pgf_genome.engine.spool import nbytes
from pgf_genome.errors import UsageError


@given(st.integers(1, 500), st.integers(1, 600))
def test_tiles_cover_every_position_once(length, tile_length):
    plan = Plan(length, tile_length)
    bounds = [plan.bounds(k) for k in range(plan.tiles)]
    assert [t for start, stop in bounds for t in range(start, stop)] == [*range(length)]
    assert {stop - start for start, stop in bounds[:-1]} <= {tile_length}
    assert 1 <= bounds[-1][1] - bounds[-1][0] <= tile_length


@pytest.mark.parametrize(("length", "tile_length"), [(0, 5), (5, 0), (-1, 5), (5, -1)])
def test_a_plan_without_positions_is_refused(length, tile_length):
    with pytest.raises(UsageError, match="length` must be at least 1"):
        Plan(length, tile_length)


@pytest.mark.parametrize("batch", [1, 2])
def test_the_cost_of_weights_and_state_is_their_size(tiny_model, batch):
    parameters = sum(p.numel() for p in tiny_model.parameters())
    cost = Cost.of(tiny_model.config, parameters, batch, itemsize=8)
    assert cost.weights == nbytes([*tiny_model.parameters()])
    assert cost.state == nbytes(tiny_model.initial_state(batch).tensors())


def test_the_tape_grows_with_precision_and_depth():
    def tape(layers, itemsize):
        return Cost.of(small_config(n_layer=layers), 0, 1, itemsize).tape_per_base

    assert tape(2, 8) == 2 * tape(2, 4)
    assert tape(1, 4) < tape(2, 4) < 2 * tape(1, 4)


def test_every_sequence_has_a_tape_and_a_single_one_has_one_for_every_stage():
    one, two, four = (Cost(0, 0, 1000, batch) for batch in (1, 2, 4))
    tapes = [cost.memory(8000) - cost.memory(0) for cost in (one, two, four)]
    assert tapes[0] == tapes[1] == tapes[2] / 2 == 2 * 10_400_000


def test_the_spool_holds_one_state_for_every_boundary_before_the_tiles_that_are_kept():
    cost = Cost(weights=0, state=100, tape_per_base=1)
    assert [cost.spool_bytes(Plan(n, 10)) for n in (1, 10, 11, 20, 21)] == [0, 0, 100, 100, 200]
    assert [cost.spool_bytes(Plan(50, 10, kept)) for kept in (2, 4, 5, 9)] == [300, 100, 0, 0]


def test_a_short_sequence_has_some_tiles_for_every_thread_and_keeps_their_tapes():
    cost = Cost(weights=0, state=0, tape_per_base=40_000)
    lengths = (1, 1000, 4096, 4097, 16_384, 16_385, 32_768)
    plans = [cost.plan(length) for length in lengths]
    assert [p.tile_length for p in plans] == [1024, 1024, 1024, 1024, 2048, 4096, 4096]
    assert [p.kept for p in plans] == [p.tiles for p in plans] == [1, 1, 4, 5, 8, 5, 8]


def test_a_long_sequence_or_large_tapes_are_replayed_in_the_memory_of_one_tile():
    assert Cost(0, 0, tape_per_base=40_000).plan(32_769) == Plan(32_769, 4096)
    assert Cost(0, 0, tape_per_base=140_000).plan(16_384) == Plan(16_384, 2048)


def test_a_plan_as_it_is_given_stays_so():
    cost = Cost(0, 0, tape_per_base=1)
    assert cost.plan(5000, tile_length=100) == Plan(5000, 100)
    assert cost.plan(5000, kept=2) == Plan(5000, 1024, kept=2)
    with pytest.raises(UsageError, match="`kept` must be at least 1, not 0"):
        cost.plan(5000, kept=0)
    with pytest.raises(UsageError, match="`tile_length` must be at least 1, not 0"):
        cost.plan(5000, tile_length=0)


def test_a_plan_that_keeps_no_tile_is_refused():
    with pytest.raises(UsageError, match="`kept` must be at least 1, not 0"):
        Plan(10, 2, kept=0)


costs = st.builds(
    Cost,
    weights=st.integers(0, 2**32),
    state=st.integers(1, 2**24),
    tape_per_base=st.integers(1, 2**22),
    batch=st.integers(1, 4),
)


@given(costs, st.integers(0, 2**42))
def test_the_longest_tile_is_the_longest_that_fits(cost, spare):
    memory = cost.memory(SHORTEST_TILE) + spare
    tile = cost.longest_tile(memory)
    assert tile & (tile - 1) == 0
    assert SHORTEST_TILE <= tile <= LONGEST_TILE
    assert cost.memory(tile) <= memory
    assert tile == LONGEST_TILE or cost.memory(2 * tile) > memory


@given(costs)
def test_memory_for_no_tile_is_refused_with_the_least_that_works(cost):
    with pytest.raises(UsageError, match="is too small for one tile of this model") as caught:
        cost.longest_tile(cost.memory(SHORTEST_TILE) - 1)
    message = str(caught.value)
    least = int(message.removesuffix("M").rsplit(" ", 1)[1])
    assert message.startswith("`max_memory` ")
    assert cost.longest_tile(least * 2**20) >= SHORTEST_TILE
    with pytest.raises(UsageError):
        cost.longest_tile((least - 1) * 2**20)


def test_a_model_of_a_few_megabytes_has_room_in_a_gigabyte():
    model = random_model(small_config(d_model=64, d_inner=128, d_state=16, n_layer=4))
    parameters = sum(p.numel() for p in model.parameters())
    cost = Cost.of(model.config, parameters, batch=2, itemsize=4)
    assert cost.longest_tile(2**30) >= 4096
