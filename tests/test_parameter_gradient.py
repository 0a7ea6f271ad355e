"""Backpropagation through time over tiles: the weights' gradients, in the memory of a tile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import assert_within, bidirectional_config, random_ids, random_model, small_config
from torch.nn.functional import nll_loss

import pgf_genome as pgf
from pgf_genome.errors import UsageError

LENGTH = 97


@pytest.fixture(scope="module")
def ids():
    return torch.from_numpy(np.random.default_rng(3).integers(1, 5, LENGTH))


def by_autograd(model, ids):
    """One tape over the whole sequence, and torch's own loss."""
    model.requires_grad_(True)
    x = model.one_hot(ids[None])
    log_probs, _ = model(x, model.initial_state(1))
    value = -nll_loss(log_probs[0, :-1], ids[1:], reduction="sum")
    gradient = torch.autograd.grad(value, list(model.parameters()))
    model.requires_grad_(False)
    names = [name for name, _ in model.named_parameters()]
    return value.item(), dict(zip(names, gradient, strict=True))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, LENGTH + 3))
def test_weight_gradients_are_those_of_autograd_for_every_tile_length(tile_length):
    model = random_model(small_config())
    ids = torch.from_numpy(np.random.default_rng(3).integers(1, 5, LENGTH))
    value, expected = by_autograd(model, ids)
    found = pgf.parameter_gradient(model, ids, tile_length=tile_length)
    assert_within(1e-12, [found.value], [value])
    assert found.gradient.keys() == expected.keys()
    for name, gradient in expected.items():
        assert_within(1e-11, found.gradient[name], gradient)


def test_weight_gradients_are_slopes_of_the_objective(ids):
    model, step = random_model(small_config()), 1e-6
    objective = pgf.Entropy()
    found = pgf.parameter_gradient(model, ids, objective, tile_length=20)
    parameters = dict(model.named_parameters())
    draws = np.random.default_rng(0)
    for name, p in parameters.items():
        index = tuple(draws.integers(size) for size in p.shape)
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                p[index] += sign * step
            ends.append(pgf.adjoint(model, ids, objective).value)
            with torch.no_grad():
                p[index] -= sign * step
        slope = (ends[0] - ends[1]) / (2 * step)
        assert abs(found.gradient[name][index] - slope) < 1e-5 * max(1, abs(slope)), name


def test_the_model_is_left_as_it_was(ids):
    model = random_model(small_config()).requires_grad_(False)
    model.norm_f.weight.requires_grad_(True)
    pgf.parameter_gradient(model, ids, tile_length=30)
    asked = [name for name, p in model.named_parameters() if p.requires_grad]
    assert asked == ["norm_f.weight"]
    assert all(p.grad is None for p in model.parameters())


def test_bidirectional_models_are_refused():
    with pytest.raises(UsageError, match="causal"):
        pgf.parameter_gradient(random_model(bidirectional_config()), random_ids(5))
