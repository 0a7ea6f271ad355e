from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import (
    TOKENS,
    assert_within,
    keep_double,
    log_probs_and_gradient,
    perturb,
    random_ids,
    random_like,
    random_model,
    small_config,
)
from torch.nn import functional
from transformers import MambaConfig as HfConfig
from transformers import MambaForCausalLM
from transformers.models.mamba import modeling_mamba

from pgf_genome.checkpoints.load import load_model
from pgf_genome.engine.arrays import adjoint, log_probs
from pgf_genome.engine.objective import Likelihood
from pgf_genome.errors import ModelError
from pgf_genome.mamba.norm import Norm
from pgf_genome.mamba.projection import project
from pgf_genome.scan import Dual

VARIANTS = {
    "plain": {},
    "LayerNorm": {"rms_norm": False},
    "untied": {"tied": False},
    "no convolution bias": {"conv_bias": False},
    "projection bias": {"proj_bias": True},
    "one tap": {"d_conv": 1},
    "wider than a block": {"d_inner": 130, "n_layer": 1},
    "one of each": {"d_model": 1, "n_layer": 1, "d_inner": 1, "d_state": 1, "dt_rank": 1},
}


def inner(ones, others) -> torch.Tensor:
    return sum((one * other).sum() for one, other in zip(ones, others, strict=True))


def as_function_of_tensors(model):
    def function(*values):
        predictions, state = model(values[0], model.initial_state(1).filled(values[1:]))
        return (predictions, *state.tensors())

    return function


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("length", [1, 2, 37])
def test_tangent_and_adjoint_of_one_tile_are_transposes(variant, length):
    model = random_model(small_config(**VARIANTS[variant]))
    function = as_function_of_tensors(model)
    shapes = [torch.empty(2, length, 7), *model.initial_state(2).tensors()]
    inputs, dots = (random_like([v.double() for v in shapes], seed) for seed in (1, 2))
    moving = [Dual(v, v_dot[None]) for v, v_dot in zip(inputs, dots, strict=True)]
    outputs_dot = [moved.dots[0] for moved in function(*moving)]
    leaves = [v.requires_grad_() for v in inputs]
    outputs = function(*leaves)
    bars = random_like([*outputs], 3)
    inputs_bar = torch.autograd.grad(outputs, leaves, bars, materialize_grads=True)
    terms = sum((a * b).abs().sum() for a, b in zip(bars, outputs_dot, strict=True))
    assert abs(inner(bars, outputs_dot) - inner(inputs_bar, dots)) <= 1e-12 * terms


@settings(deadline=None, max_examples=30)
@given(st.data(), st.integers(2, 60), st.sampled_from([*VARIANTS]))
def test_two_tiles_of_a_model_are_one(data, length, variant):
    cut = data.draw(st.integers(1, length - 1))
    model = random_model(small_config(**VARIANTS[variant]))
    (x,) = random_like([torch.empty(2, length, 7, dtype=torch.float64)])
    blank = model.initial_state(2)
    head, middle = model(x[:, :cut], blank)
    tail, end = model(x[:, cut:], middle)
    joined, joined_end = model(x, blank)
    assert_within(1e-12, torch.cat([head, tail], dim=1), joined)
    for one, other in zip(end.tensors(), joined_end.tensors(), strict=True):
        assert_within(1e-12, one, other)


def test_sequences_of_a_batch_do_not_touch_each_other(tiny_model):
    ids = [random_ids(20, seed) for seed in (1, 2)]
    both, _ = tiny_model(tiny_model.one_hot(torch.stack(ids)), tiny_model.initial_state(2))
    for row, each in zip(both, ids, strict=True):
        alone, _ = tiny_model(tiny_model.one_hot(each[None]), tiny_model.initial_state(1))
        assert_within(1e-13, row, alone[0])


def test_probabilities_add_up_over_every_row_of_the_vocabulary(tiny_model):
    total = log_probs(tiny_model, random_ids(12))
    assert total.shape == (12, 7)
    assert_within(1e-14, torch.from_numpy(total).exp().sum(dim=1), torch.ones(12))


def test_a_prediction_depends_on_no_later_base(tiny_model):
    ids = random_ids(30)
    changed = torch.cat([ids[:17], (ids[17:] + 1) % len(TOKENS)])
    one, other = log_probs(tiny_model, ids), log_probs(tiny_model, changed)
    assert (one[:17] == other[:17]).all()
    assert (one[17:] != other[17:]).all()


def test_the_state_has_the_size_that_the_configuration_says(tiny_model):
    state = tiny_model.initial_state(3)
    assert sum(t.numel() for t in state.tensors()) == 3 * tiny_model.config.state_size
    _, after = tiny_model(tiny_model.one_hot(random_ids(5).expand(3, 5)), state)
    assert [t.shape for t in after.tensors()] == [t.shape for t in state.tensors()]
    assert not any(t.any() for t in state.tensors())


def test_a_state_is_its_tensors(tiny_model):
    state = tiny_model.initial_state(1)
    again = state.filled(state.tensors())
    assert all(a is b for a, b in zip(again.tensors(), state.tensors(), strict=True))
    assert len(again.layers) == 2


def test_layer_norm_is_its_formula():
    norm = Norm(small_config(rms_norm=False, norm_eps=1e-2)).double()
    perturb(norm)
    (x,) = random_like([torch.empty(4, 6, dtype=torch.float64)])
    centred = x - x.mean(dim=1, keepdim=True)
    scaled = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-2).sqrt()
    assert_within(1e-13, norm(x), scaled * norm.weight + norm.bias)


@pytest.mark.parametrize("changes", [{"d_state": 0}, {"n_layer": 2.0}, {"norm_eps": 0.0}])
def test_impossible_sizes_are_refused(changes):
    with pytest.raises(ModelError, match=f"{next(iter(changes))} must be"):
        small_config(**changes)


def hugging_face(directory, changes: dict[str, object]) -> MambaForCausalLM:
    """A random transformers model, also saved to the directory with a tokenizer."""
    sizes = {"vocab_size": 8, "hidden_size": 10, "num_hidden_layers": 2, "state_size": 3}
    model = MambaForCausalLM(HfConfig(**(sizes | {"time_step_rank": 2} | changes))).eval()
    perturb(model)
    model.save_pretrained(directory)
    (directory / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    return model


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"expand": 1, "state_size": 1, "conv_kernel": 2},
        {"expand": 3, "state_size": 7, "conv_kernel": 3, "num_hidden_layers": 3},
        {"conv_kernel": 1, "use_bias": True},
        {"use_conv_bias": False, "time_step_rank": 5, "layer_norm_epsilon": 1e-2},
        {"tie_word_embeddings": False, "hidden_size": 7, "time_step_rank": "auto"},
        {"use_bias": True, "use_conv_bias": False, "tie_word_embeddings": False, "expand": 3},
    ],
    ids=str,
)
def test_random_models_agree_with_transformers(tmp_path, monkeypatch, changes, dtype):
    theirs = hugging_face(tmp_path, changes).to(dtype)
    ours = load_model(tmp_path, dtype=dtype)
    if dtype == torch.float64:
        keep_double(monkeypatch, modeling_mamba)
    tolerance = 1e-9 if dtype == torch.float64 else 1e-4
    for length in (1, 2, 50):
        ids = random_ids(length, seed=length)
        predictions, gradient = log_probs_and_gradient(theirs, ids)
        assert_within(tolerance, log_probs(ours, ids, 16), predictions, length)
        found = adjoint(ours, ids, Likelihood(targets="fixed"), 16).gradient
        assert_within(tolerance, found, gradient, length)


def test_bfloat16_is_for_the_factors_of_products_alone():
    exact, rough = (random_model(small_config(), torch.float32) for _ in range(2))
    rough.precision = torch.bfloat16
    ids = random_ids(40)
    assert not np.array_equal(log_probs(rough, ids), log_probs(exact, ids))
    assert log_probs(rough, ids).dtype == np.float32
    assert_within(0.03, *(torch.from_numpy(log_probs(m, ids)) for m in (rough, exact)))
    found, expected = (adjoint(m, ids, Likelihood(), tile_length=16) for m in (rough, exact))
    assert_within(0.05, *(torch.from_numpy(a.gradient) for a in (found, expected)))


@pytest.mark.parametrize("bias", [None, torch.ones(4, dtype=torch.float64)])
def test_a_product_has_the_derivatives_of_a_linear_map(bias):
    x, weight = random_like([torch.empty(2, 5, 3).double(), torch.empty(4, 3).double()])
    leaves = [v.requires_grad_() for v in (x, weight)]
    for mine, other in zip(
        torch.autograd.grad(project(*leaves, bias).sin().sum(), leaves),
        torch.autograd.grad(functional.linear(*leaves, bias).sin().sum(), leaves),
        strict=True,
    ):
        assert_within(1e-14, mine, other)
