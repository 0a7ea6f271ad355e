"""What a prediction uses, and what a model's layers hold, on models built to be known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models import (
    MAMBA2,
    assert_within,
    bidirectional_config,
    copying_model,
    random_ids,
    random_model,
    small_config,
)

from pgf_genome.engine.arrays import adjoint
from pgf_genome.engine.objective import Likelihood, PseudoLikelihood
from pgf_genome.errors import IntegrityError
from pgf_genome.mamba.mixers.mamba2 import Mamba2Config
from pgf_genome.memory.closed_form import memory_function
from pgf_genome.memory.influence import Influence, influence
from pgf_genome.memory.layers import LayerSums


def bases(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, shape, dtype=np.uint8)


@pytest.mark.parametrize("tile_length", [5, 64])
def test_the_profile_of_a_copying_model_peaks_at_its_delay(tile_length):
    model = copying_model(layers=2, taps=9)
    found = influence(model, "uniform", bases(6, 64), tile_length)
    delay = 17  # of the predicted base; the position that predicts it is one earlier
    assert found.profile.argmax() == delay
    assert found.reach(0.5) == delay
    assert found.profile[delay] > 0.8 * found.profile.sum()


def test_influence_is_the_squared_gradient_on_the_simplex_by_distance(tiny_model):
    codes = bases(3, 40)
    found = influence(tiny_model, "uniform", codes, tile_length=7)
    for row, energy in zip(codes, found.energy, strict=True):
        objective = Likelihood(targets="fixed", positions=((39, 40),))
        ids = tiny_model.vocabulary.encode(row)
        g = adjoint(tiny_model, ids, objective).gradient[:, list(tiny_model.vocabulary.base_ids)]
        expected = ((g - g.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)[::-1]
        # the sweep ends where the cotangent has died
        assert_within(1e-6, energy, expected.copy())
    assert not found.energy[:, 0].any()


def test_the_sweep_ends_where_the_cotangent_has_died(tiny_model):
    with torch.no_grad():
        forgetful = random_model(small_config())
        for block in forgetful.layers:
            block.mixer.A_log.fill_(6.0)
    energy = influence(forgetful, "uniform", bases(2, 200), tile_length=10).energy
    assert energy[:, :10].any(axis=1).all()
    assert not energy[:, 50:].any()


def test_probes_do_not_depend_on_those_beside_them(tiny_model):
    codes = bases(6, 60)
    together = influence(tiny_model, "real", codes, tile_length=8).energy
    alone = [influence(tiny_model, "real", row[None], tile_length=8).energy[0] for row in codes]
    assert np.array_equal(together, np.stack(alone))


def test_a_bidirectional_model_is_probed_in_the_middle_and_both_sides_count():
    model = random_model(bidirectional_config())
    codes = bases(2, 21)
    found = influence(model, "uniform", codes, tile_length=8)
    assert found.energy.shape == (2, 11)
    ids = model.vocabulary.encode(codes[0])
    objective = PseudoLikelihood(positions=((10, 11),))
    g = adjoint(model, ids, objective).gradient[:, list(model.vocabulary.base_ids)]
    square = ((g - g.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    assert found.energy[0, 0] == 0
    assert found.energy[0, 3] == pytest.approx(square[7] + square[13], rel=1e-9)


def test_an_overflowing_model_is_an_error(tiny_model):
    broken = random_model(small_config())
    broken.norm_f.weight.data.fill_(torch.inf)
    with pytest.raises(IntegrityError, match="real sequence: a gradient is not finite"):
        influence(broken, "real", bases(1, 20), tile_length=8)


def test_reach_mean_and_tail_of_a_known_profile():
    found = Influence("real", np.array([[0, 4, 2, 1, 1], [0, 4, 2, 1, 1]], float))
    assert [found.reach(b) for b in (0.5, 0.51, 0.75, 0.9, 1.0)] == [1, 2, 2, 4, 4]
    assert found.mean_distance == (4 + 2 * 2 + 3 + 4) / 8
    assert found.tail == 0.5


def test_probes_that_agree_leave_no_doubt_and_others_do():
    one, other = np.eye(2000)[[3, 900]]
    assert Influence("real", np.stack([one] * 8)).interval(0.5) == (3, 3)
    low, high = Influence("real", np.stack([one] * 4 + [other] * 4)).interval(0.6)
    assert (low, high) == (3, 900)


def test_no_influence_has_no_distance():
    found = Influence("real", np.zeros((1, 8)))
    assert np.isnan(found.mean_distance)
    assert np.isnan(found.tail)
    assert found.binned() == {"distances": [], "mean": []}


def test_bins_hold_the_mean_of_every_distance():
    profile = np.concatenate([[0.0], 1 / np.arange(1, 3000) ** 2])
    found = Influence("real", profile[None])
    distances, mean = found.binned()["distances"], found.binned()["mean"]
    assert distances[:4] == [1, 2, 3, 4]
    assert mean[:4] == pytest.approx([1, 1 / 4, 1 / 9, 1 / 16])
    assert distances == sorted(distances)
    slopes = np.diff(np.log(mean)) / np.diff(np.log(distances))
    assert slopes == pytest.approx(-2, abs=0.2)


GROUPED = Mamba2Config(d_inner=12, d_state=3, d_conv=4, heads=6, groups=2, dt_limit=(0.1, 0.4))


@pytest.mark.parametrize(
    "config",
    [
        small_config(),
        small_config(**MAMBA2),
        small_config(mixer=GROUPED),
    ],
    ids=["mamba", "mamba-2", "mamba-2 in groups, limited steps"],
)
def test_states_at_every_position_end_in_the_states_of_the_model(config):
    model = random_model(config)
    x = model.one_hot(random_ids(30)[None].expand(2, -1))
    block, state = model.layers[0], model.initial_state(2).layers[0]
    channels = np.array([0, 3, 9])
    N = config.mixer.d_state
    held, h = np.zeros((2, 3, N)), model.embed(x)
    for start, stop in ((0, 11), (11, 30)):
        recurrence = block.mixer.recurrence(block.norm(h[:, start:stop]), state)
        states = recurrence.states(channels, held)
        assert states.shape == (stop - start, 2, 3, N)
        _, state = block(h[:, start:stop], state)
        held = states[-1]
        assert_within(1e-12, held, state.scan[:, :, channels].transpose(1, 2))


def diagonal_model():
    """One layer that does not select: constant step sizes and a constant B, so that every channel
    is a diagonal system driven by a function of the last base."""
    model = random_model(small_config(n_layer=1))
    mixer, sizes = model.layers[0].mixer, model.config.mixer
    with torch.no_grad():
        mixer.in_proj.weight[0] = 0
        mixer.conv1d.weight[:, 0, :-1] = 0
        mixer.conv1d.bias[0] = 2
        mixer.dt_proj.weight.zero_()
        mixer.dt_proj.bias.fill_(-2)
        B = mixer.x_proj.weight[sizes.dt_rank : sizes.dt_rank + sizes.d_state]
        B[:, 1:] = 0
        B[:, 0] = 1
        mixer.A_log.copy_(torch.tensor([0.5, 2.0, 6.0]).log().expand_as(mixer.A_log))
    return model


def measured(model, codes, lags, tile_length):
    sums = LayerSums(model, ["uniform"] * len(codes), lags, 4, tile_length)
    sums.add(codes, lambda bases: None)
    return sums.result()[0]


def test_a_layer_that_does_not_select_is_measured_at_its_closed_form():
    layer = measured(diagonal_model(), bases(1, 30_000), np.arange(12), 1000)
    step = np.log1p(np.exp(-2))
    exact = memory_function(np.exp(-step * np.array([0.5, 2.0, 6.0])), 12) / 3  # one of 3 contrasts
    for channel in [3, 6, 9]:
        found = layer.channels[channel]
        assert found.rank == 3
        error = np.sqrt(4 * exact * (1 - exact) ** 2 / found.count)
        assert (np.abs(np.array(found.values) - exact) < 4 * error + found.bias).all()
    assert layer.time_constants == pytest.approx(1 / (0.5 * step))


def test_layers_do_not_depend_on_tiles(tiny_model):
    codes, lags = bases(1, 600), np.array([0, 1, 5, 20])
    one, other = (measured(tiny_model, codes, lags, tile) for tile in (600, 37))
    assert other.output.values == pytest.approx(one.output.values, abs=1e-9)
    for channel, found in one.channels.items():
        assert other.channels[channel].values == pytest.approx(found.values, abs=1e-9)
    assert other.time_constants == pytest.approx(one.time_constants)
    assert one.output.count == 600 - 20


def test_the_floor_is_what_the_last_bases_tell_of_those_before():
    repeated = np.tile(bases(1, 40), 30)
    rng = np.random.default_rng(1)
    noisy = np.where(rng.random(repeated.shape) < 0.2, bases(1, 1200, seed=2), repeated)
    floor = measured(diagonal_model(), noisy, np.array([0, 8, 16, 40]), 300).output.floor
    assert floor[:2] == (0, 0)  # of the last 16 bases themselves
    assert floor[3] > 0.2  # the base one period ago is like the last
