"""Impulse responses against changed sequences and autograd; their profiles; the noise floor."""

from __future__ import annotations

import functools
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import (
    MAMBA2,
    as_tensor,
    assert_within,
    bidirectional_config,
    copying_model,
    random_ids,
    random_model,
    small_config,
)

import pgf_genome as pgf
from pgf_genome import scan
from pgf_genome.effects.impulse import Pulse, pulse_reader, responses, substitution
from pgf_genome.effects.pulses.profile import Profile, bins
from pgf_genome.effects.pulses.rounding import rounding
from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.mamba import projection

STORED = Path(__file__).parent / "oracles"
ORACLES = ("hf_mamba_tiny", "mamba_ssm_tiny", "hf_mamba2_tiny")
KINDS = ("substitution", "tangent")
CONFIGS = {"mamba1": {}, "mamba2": MAMBA2, "one tap": {"d_conv": 1}}


@functools.cache
def random(name: str):
    return random_model(small_config(**CONFIGS[name]))


@functools.cache
def oracle(name: str):
    return pgf.load_model(STORED / name, dtype=torch.float64)


def whole(model, ids: torch.Tensor) -> np.ndarray:
    """All predictions by one model call, without tiles."""
    return model(model.one_hot(ids)[None], model.initial_state(1))[0][0].detach().numpy()


def changed(ids: torch.Tensor, position: int, base: int) -> torch.Tensor:
    other = ids.clone()
    other[position] = base
    return other


def another(model, ids: torch.Tensor, position: int) -> int:
    """The base after that at a position, in the order of the vocabulary."""
    bases = model.vocabulary.base_ids
    return bases[(bases.index(int(ids[position])) + 1) % 4]


def known_ids(model, length: int, seed: int = 0) -> torch.Tensor:
    """Bases, and a few N, but none of the latter at multiples of five."""
    bases = torch.tensor(model.vocabulary.base_ids)
    ids = bases[torch.randint(4, (length,), generator=torch.Generator().manual_seed(seed))]
    ids[3::101] = model.vocabulary.other_id
    return ids


@pytest.mark.parametrize("position", [0, 1500, 4090])
@pytest.mark.parametrize("name", ORACLES)
def test_a_substitution_is_the_difference_of_two_brute_force_passes(name, position):
    model = oracle(name)
    ids = known_ids(model, 4096)
    base = another(model, ids, position)
    expected = whole(model, changed(ids, position, base)) - whole(model, ids)
    found = pgf.impulse(model, ids, position, base, tile_length=512)
    assert not found[:position].any()
    assert np.abs(found[position]).max() > 1e-3
    assert_within(1e-9, found, expected)


@pytest.mark.parametrize("position", [0, 1500, 4090])
@pytest.mark.parametrize("name", ORACLES)
def test_a_tangent_is_what_autograd_pulls_back(name, position):
    """<R, J d> = <R J, d> for drawn R, over all predictions and over single ones."""
    model = oracle(name)
    ids = known_ids(model, 4096)
    base = another(model, ids, position)
    found = torch.from_numpy(pgf.impulse(model, ids, position, base, "tangent", tile_length=512))
    x = model.one_hot(ids)[None].requires_grad_()
    log_probs = model(x, model.initial_state(1))[0][0]
    along = substitution(model, int(ids[position]), base)
    drawn = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    single = torch.zeros_like(drawn)
    single[min(position + 40, 4095), 7] = 1
    for weights in (drawn, single):
        (bar,) = torch.autograd.grad((weights * log_probs).sum(), x, retain_graph=True)
        assert_within(1e-9, (weights * found).sum(), bar[0, position] @ along)


@pytest.mark.parametrize("name", ORACLES)
def test_a_tangent_is_the_jvp_of_torch_over_the_equations(name, monkeypatch):
    model = oracle(name)
    ids = known_ids(model, 150)
    base = another(model, ids, 35)
    found = pgf.impulse(model, ids, 35, base, "tangent", tile_length=64)
    monkeypatch.setattr(scan, "function", scan.reference)
    plain = staticmethod(lambda x, weight, precision: x @ weight.T)
    monkeypatch.setattr(projection._Project, "apply", plain)
    ends = model.one_hot(ids), model.one_hot(changed(ids, 35, base))

    def predict(x: torch.Tensor) -> torch.Tensor:
        return model(x[None], model.initial_state(1))[0][0]

    _, expected = torch.func.jvp(predict, (ends[0],), (ends[1] - ends[0],))
    assert_within(1e-9, found, expected)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(
    length=st.integers(1, 60),
    places=st.lists(st.integers(0, 59), min_size=1, max_size=4),
    tile=st.integers(1, 70),
)
def test_pulses_share_a_primal_and_do_not_know_each_other(kind, length, places, tile):
    model = random("mamba1")
    ids = torch.tensor(model.vocabulary.base_ids)[random_ids(length) % 4]
    x = model.one_hot(ids)[None]
    positions = [min(place, length - 1) for place in places]
    bases = [another(model, ids, position) for position in positions]
    pulses = [
        Pulse(position, substitution(model, int(ids[position]), base))
        for position, base in zip(positions, bases, strict=True)
    ]
    tiles = list(responses(model, lambda a, b: x[:, a:b], length, pulses, kind, tile))
    assert tiles[0].start <= min(positions) < tiles[0].start + tile
    together = torch.cat([each.changes for each in tiles], dim=1)
    predicted = torch.cat([each.log_probs for each in tiles])
    assert_within(1e-12, predicted, whole(model, ids)[tiles[0].start :])
    for position, base, found in zip(positions, bases, together, strict=True):
        alone = pgf.impulse(model, ids, position, base, kind, tile_length=length)
        assert not alone[:position].any()
        assert_within(1e-11, found, alone[tiles[0].start :])


@pytest.mark.parametrize("name", CONFIGS)
def test_a_small_substitution_is_a_tangent(name):
    model = random(name)
    ids = known_ids(model, 80)
    x, length = model.one_hot(ids)[None], len(ids)
    along = substitution(model, int(ids[20]), another(model, ids, 20))

    def read(start: int, stop: int) -> torch.Tensor:
        return x[:, start:stop]

    (tangent,) = responses(model, read, length, [Pulse(20, along)], "tangent")
    (change,) = responses(model, read, length, [Pulse(20, 1e-6 * along)])
    assert_within(1e-4, change.changes / 1e-6, tangent.changes)


def test_a_reader_of_pulses_is_zero_but_where_they_are():
    directions = torch.eye(3)
    read = pulse_reader([Pulse(7, directions[0]), Pulse(9, directions[1])], origin=5)
    seen = read(1, 4)
    assert seen.shape == (2, 1, 3, 3)
    assert seen.nonzero().tolist() == [[0, 0, 1, 0]]
    assert read(4, 5).nonzero().tolist() == [[1, 0, 0, 1]]
    assert not read(0, 2).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tile_length", [5, 64])
def test_the_impulse_peaks_at_a_planted_delay(kind, tile_length):
    model = copying_model(layers=2, taps=9)
    ids = model.tokenize("ACGTTGCA" * 8)
    found = pgf.impulse(model, ids, 10, "A", kind, tile_length=tile_length)
    response = np.linalg.norm(found[:, list(model.vocabulary.base_ids)], axis=1)
    assert response.argmax() == 10 + 16  # the position that predicts base 27
    assert response[26] > 0.6 * response.sum()


def test_float32_is_close_and_keeps_its_type():
    ids, found = known_ids(random("mamba1"), 100), {}
    for dtype in (torch.float32, torch.float64):
        model = random_model(small_config(), dtype)
        found[dtype] = pgf.impulse(model, ids, 50, another(model, ids, 50))
        assert as_tensor(found[dtype]).dtype == dtype
    assert_within(1e-4, found[torch.float32].astype(float), found[torch.float64])


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_nothing_but_time(kind, threads):
    model = random("mamba1")
    ids = known_ids(model, 300)
    one, several = (
        pgf.impulse(model, ids, 100, another(model, ids, 100), kind, 32, threads=count)
        for count in (1, threads)
    )
    assert_within(1e-12, several, one)


def test_the_base_is_a_letter_or_its_token_id():
    model = random("mamba1")
    found = [pgf.impulse(model, "ACGTACGT", 3, base) for base in ("g", "G", model.tokenize("G"))]
    row = int(model.tokenize("G")[0])
    found.append(pgf.impulse(model, "ACGTACGT", np.int64(3), row))
    assert all(np.array_equal(each, found[0]) for each in found)
    assert not pgf.impulse(model, "ACGTACGT", 3, "T").any()


@pytest.mark.parametrize(
    ("arguments", "error", "cause"),
    [
        ({"position": 8}, UsageError, "`position` must be at most 7, not 8"),
        ({"position": -1}, UsageError, "`position` must be at least 0, not -1"),
        ({"position": 2.0}, UsageError, "`position` must be a whole number"),
        ({"position": 4}, SequenceError, "position 4 has none of A, C, G, T"),
        ({"base": "N"}, UsageError, "`base` must be A, C, G or T, or one of their token ids"),
        ({"base": "AC"}, UsageError, "not 'AC'"),
        ({"base": 0}, UsageError, "not 0"),
        ({"kind": "change"}, UsageError, "`kind` must be substitution or tangent, not 'change'"),
        ({"tile_length": 0}, UsageError, "`tile_length` must be at least 1, not 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, error, cause):
    with pytest.raises(error, match=cause):
        pgf.impulse(random("mamba1"), "ACGTNCGT", **({"position": 2, "base": "A"} | arguments))


def test_a_model_without_a_state_or_without_predictions_is_refused():
    with pytest.raises(UsageError, match="impulse needs a causal model; random is bidirectional"):
        pgf.impulse(random_model(bidirectional_config()), "ACGT", 1, "A")
    with pytest.raises(UsageError, match="has no head and predicts nothing"):
        pgf.impulse(random_model(small_config(tied=False, has_head=False)), "ACGT", 1, "A")


# Profiles


@pytest.mark.parametrize("lags", [1, 2, 9, 137, 100_000])
def test_bins_of_lags_are_the_same_for_every_length(lags):
    edges = bins(lags)
    assert edges[0] == 0
    assert edges[-1] < lags
    assert (np.diff(edges) > 0).all()
    assert (np.isin(edges, bins(10 * lags))).all()


@settings(max_examples=40)
@given(
    reach=st.integers(1, 400),
    cuts=st.lists(st.integers(0, 400), max_size=5),
    unknown=st.lists(st.integers(0, 399), max_size=40),
    floor=st.floats(0, 2),
    seed=st.integers(0, 9),
)
def test_a_profile_is_that_of_the_whole_however_it_comes(reach, cuts, unknown, floor, seed):
    rng = np.random.default_rng(seed)
    response = np.abs(rng.standard_normal(reach)).astype(np.float32)
    change = rng.standard_normal(reach).astype(np.float32)
    response[[i for i in unknown if i < reach]] = np.nan
    profile = Profile(reach, floor)
    edges = sorted({0, reach, *(cut for cut in cuts if cut < reach)})
    for start, stop in pairwise(edges):
        profile.add(start + 1, response[start:stop], change[start:stop])
    assert [each.first for each in profile.bins] == [
        first
        for first, after in zip(bins(reach + 1)[1:], [*bins(reach + 1)[2:], reach + 1], strict=True)
        if not np.isnan(response[first - 1 : after - 1]).all()
    ]
    for each in profile.bins:
        values = response[each.first - 1 : each.last]
        values = values[~np.isnan(values)]
        assert each.scored == len(values)
        assert each.largest.response == values.max()
        assert response[each.largest.distance - 1] == values.max()
        assert change[each.largest.distance - 1] == np.float32(each.largest.change)
        middle = np.sort(values)[(len(values) - 1) // 2]
        assert each.median == pytest.approx(middle, rel=1 / 4000)
    above = np.flatnonzero(response > floor) + 1
    assert profile.above == len(above)
    assert (profile.furthest and profile.furthest.distance) == (above[-1] if len(above) else None)
    listed = [point.distance for point in profile.table()]
    assert listed == sorted(set(listed), reverse=True)
    assert all(response[distance - 1] > floor for distance in listed)


def test_a_profile_of_nothing_has_nothing():
    profile = Profile(0, 1.0)
    assert (profile.largest, profile.table(), profile.bins) == (None, [], [])
    silent = Profile(9, 0.0)
    silent.add(1, np.zeros(9, np.float32), np.zeros(9, np.float32))
    assert (silent.above, silent.table()) == (0, [])
    assert {each.median for each in silent.bins} == {0.0}


# The noise floor


def test_the_floor_is_twice_the_largest_error_of_a_prediction():
    single = random_model(small_config(), torch.float32)
    double = random_model(small_config(), torch.float32).double()
    double.precision = torch.float64
    ids = known_ids(single, 500)
    x = single.one_hot(ids)[None]
    found = rounding(single, lambda a, b: x[:, a:b], 500, 20)
    bases = list(single.vocabulary.base_ids)
    errors = (whole(single, ids).astype(float) - whole(double, ids))[:, bases]
    norms = np.linalg.norm(errors, axis=1)
    assert (found.dtype, found.predictions) == ("float32", 500)
    assert 1e-9 < found.rms < found.largest < 1e-4
    assert found.largest == pytest.approx(norms.max(), rel=0.5)  # up to how matrices are multiplied
    assert found.floor == 2 * found.largest
    other = rounding(double, lambda a, b: x[:, a:b].double(), 500, 20)
    assert other.dtype == "float64"
    assert other.floor == pytest.approx(found.floor * 2.0**-29, rel=0.5)


def test_the_floor_is_measured_around_the_site_and_leaves_the_model_alone():
    model, seen = random_model(small_config(), torch.float32), []
    x = model.one_hot(random_ids(9000))[None]

    def read(start: int, stop: int) -> torch.Tensor:
        seen.append((start, stop))
        return x[:, start:stop]

    for position, span in ((0, (0, 4096)), (4000, (1952, 6048)), (8999, (4904, 9000))):
        seen.clear()
        assert rounding(model, read, 9000, position).predictions == 4096
        assert set(seen) == {span}
    assert model.dtype == model.precision == torch.float32
