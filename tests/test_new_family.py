"""One file of a family and one of its mixer are all that a new kind of model needs.

They lie in ``new_family/`` and are laid beside those of the package.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from models import TOKENS, assert_within, random_ids, random_like, random_model
from safetensors.torch import save_file

import pgf_genome as pgf
from pgf_genome.cli import commands
from pgf_genome.engine.objective import Tile
from pgf_genome.engine.plan import Cost
from pgf_genome.engine.spool import nbytes
from pgf_genome.errors import ModelError, UsageError
from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.mixers.both_ways import TwoWay

NEW = Path(__file__).parent / "new_family"
PACKAGES = {"families": "pgf_genome.checkpoints.families", "mixers": "pgf_genome.mamba.mixers"}
OBJECTIVES = [
    pgf.Likelihood(),
    pgf.Likelihood(targets="fixed", positions=((20, 30),)),
    pgf.SquaredNorm(),
]


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """The module of the new mixer, with its family among those that are known."""
    for folder, name in PACKAGES.items():
        path = import_module(name).__path__
        monkeypatch.setattr(sys.modules[name], "__path__", [*path, str(NEW / folder)])
    yield import_module("pgf_genome.mamba.mixers.gated")
    for name in PACKAGES.values():
        sys.modules.pop(f"{name}.gated", None)


@pytest.fixture
def directory(gated, tmp_path: Path) -> Path:
    """A checkpoint of a random model, with the names and the files of transformers."""
    mixer = gated.GatedConfig(d_inner=5, d_state=1)
    model = random_model(MambaConfig(d_model=6, n_layer=3, vocab_rows=7, mixer=mixer))
    tensors = {f"backbone.{name}": t.contiguous() for name, t in model.state_dict().items()}
    save_file(tensors, tmp_path / "model.safetensors")
    sizes = {"hidden_size": 6, "num_hidden_layers": 3, "vocab_size": 7, "cells": 5}
    config = {"model_type": "gated", "architectures": ["GatedForCausalLM"]} | sizes
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    return tmp_path


@pytest.fixture
def model(directory: Path):
    return pgf.load_model(directory, dtype=torch.float64)


def test_it_is_loaded_as_strictly_as_the_others(directory):
    state = pgf.load_model(directory).initial_state(1).layers[0]
    assert state._fields == ("last", "cell", "norm")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"cells": 9}))
    with pytest.raises(ModelError, match="says cells 9, the weights say 5"):
        pgf.load_model(directory)


def test_without_its_files_it_is_unknown(directory, monkeypatch):
    families = import_module(PACKAGES["families"])
    monkeypatch.setattr(families, "__path__", families.__path__[:-1])
    with pytest.raises(ModelError, match=r"family of model_type 'gated'.* is not supported"):
        pgf.load_model(directory)


def test_it_is_streamed(model):
    ids = random_ids(40)
    whole, _ = model(model.one_hot(ids)[None], model.initial_state(1))
    for tile_length in (1, 7, 13, 40):
        assert_within(1e-12, pgf.log_probs(model, ids, tile_length), whole[0])


@pytest.mark.parametrize("objective", OBJECTIVES, ids=repr)
@pytest.mark.parametrize("tile_length", [7, 40])
@pytest.mark.parametrize("kept", [1, 3])
def test_its_adjoint_is_that_of_autograd_over_the_whole_sequence(
    model, objective, tile_length, kept
):
    ids = random_ids(40)
    x = model.one_hot(ids).requires_grad_()
    h = model.embed(x[None])
    for block, state in zip(model.layers, model.initial_state(1).layers, strict=True):
        h, _ = block(h, state)
    hidden = model.norm_f(h)
    logits = model.logits(hidden)[0]
    log_p = torch.cat([torch.zeros(1, 7), logits.log_softmax(-1)[:-1]])
    tile = Tile(0, x, log_p, logits, hidden[0], model.vocabulary.base_ids)
    value = objective(tile)
    (gradient,) = torch.autograd.grad(value, x)
    found = pgf.adjoint(model, ids, objective, tile_length, kept)
    assert_within(1e-9, found.value, value)
    assert_within(1e-9, found.gradient, gradient)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("tile_length", [7, 40])
def test_its_tangent_is_the_transpose_of_its_adjoint(model, tile_length, threads):
    ids = random_ids(40)
    (directions,) = random_like([torch.empty(2, 40, 7, dtype=torch.float64)])
    tangents = pgf.tangent(model, ids, directions, tile_length, threads)
    gradient = pgf.adjoint(model, ids, pgf.Likelihood(targets="fixed")).gradient
    for dx, moved in zip(directions.numpy(), tangents, strict=True):
        assert_within(1e-12, moved[np.arange(39), ids[1:]].sum(), (gradient * dx).sum())


@pytest.mark.parametrize("near", [None, 6])
def test_its_substitutions_have_effects(model, near):
    ids, bases = random_ids(40), model.vocabulary.base_ids
    whole = pgf.adjoint(model, ids).value
    found = pgf.substitution_effects(model, ids, 10, 14, near, tile_length=13)
    for t in range(10, 14):
        for a, base in enumerate(bases):
            changed = ids.clone()
            changed[t] = base
            if int(ids[t]) in bases:
                effect = pgf.adjoint(model, changed).value - whole
                assert abs(found[t - 10, a] - effect) <= (1e-9 if near is None else 0.2)
            else:
                assert np.isnan(found[t - 10, a])


def test_its_weights_have_gradients(model):
    ids = random_ids(30)
    found = pgf.parameter_gradient(model, ids, tile_length=7).gradient
    model.requires_grad_(True)
    log_p, _ = model(model.one_hot(ids)[None], model.initial_state(1))
    log_p[0, :-1].gather(1, ids[1:, None]).sum().backward()
    for name, weight in model.named_parameters():
        assert_within(1e-9, found[name], weight.grad, name)


def test_it_can_read_both_ways(gated):
    mixer = gated.GatedConfig(d_inner=5, d_state=1)
    config = MambaConfig(d_model=6, n_layer=2, vocab_rows=7, mixer=mixer, two_way=TwoWay())
    model, ids = random_model(config), random_ids(20)
    x = model.one_hot(ids)[None].requires_grad_()
    value = model(x)[0].gather(1, ids[:, None]).sum()
    (gradient,) = torch.autograd.grad(value, x)
    assert_within(1e-9, pgf.adjoint(model, ids).gradient, gradient[0])
    forward, reverse = (getattr(model.layers[0].mixer, f"mamba_{way}") for way in ("fwd", "rev"))
    assert forward.in_proj is reverse.in_proj
    assert forward.mu is not reverse.mu


def test_its_cost_is_known_before_it_runs(model, directory, tmp_path):
    config = model.config
    cost = Cost.of(config, 0, batch=2, itemsize=8)
    assert cost.state == nbytes(model.initial_state(2).tensors())
    assert cost.tape_per_base == 8 * (3 * (4 * 6 + 12 * 5) + 8 * 5 + 8 * 7)
    (tmp_path / "x.fa").write_text(">x\n" + "ACGT" * 50 + "\n")
    arguments = ["attribute", tmp_path / "x.fa", "-m", directory, "--tile", 64, "--dry-run"]
    done = CliRunner().invoke(commands, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0
    assert "64 bases" in done.stdout


def test_it_is_described(directory):
    done = CliRunner().invoke(commands, ["inspect", str(directory), "--json"])
    facts = json.loads(done.stdout)
    assert (facts["family"], facts["direction"], facts["gates"]) == ("gated", "causal", 15)
    assert facts["sizes"]["d_inner"] == 5
    assert facts["parameters"] == 7 * 6 + 3 * (6 + 5 * 5 * 6 + 5) + 6


def test_what_it_does_not_offer_is_refused_in_words(model):
    block, state = model.layers[0], model.initial_state(1).layers[0]
    with pytest.raises(UsageError, match="states of a Gated mixer cannot be analysed"):
        block.mixer.recurrence(torch.zeros(1, 2, 6), state)
