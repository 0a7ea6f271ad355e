from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from models import assert_within, keep_double, log_probs_and_gradient, perturb, random_ids
from safetensors.torch import load_file
from transformers import Mamba2Config, Mamba2ForCausalLM
from transformers.models.mamba2 import modeling_mamba2

import pgf_genome as pgf
from pgf_genome.checkpoints.load import load_model, read_checkpoint

ORACLE = Path(__file__).parent / "oracles" / "hf_mamba2_tiny"
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


def write_vocabulary(directory: Path) -> None:
    (directory / "vocab.txt").write_text("<unk>\nA\nT\nC\nG\nN\n<s>\n</s>\n")


def hf_model(directory: Path, seed: int = 0, **changes: object) -> Mamba2ForCausalLM:
    """A random model of transformers, saved to a directory."""
    sizes = {
        "vocab_size": 8,
        "hidden_size": 12,
        "num_hidden_layers": 2,
        "expand": 2,
        "num_heads": 4,
        "head_dim": 6,
        "n_groups": 1,
        "state_size": 5,
        "conv_kernel": 4,
        "chunk_size": 16,
        "bos_token_id": 6,
        "eos_token_id": 7,
        "pad_token_id": 0,
    }
    model = Mamba2ForCausalLM(Mamba2Config(**(sizes | changes))).double().eval()
    perturb(model, seed)
    model.save_pretrained(directory)
    write_vocabulary(directory)
    return model


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("tile_length", [7, 64, 777])
def test_the_oracle_is_met_for_every_tile_length(dtype, tile_length):
    oracle = np.load(ORACLE / "oracle.npz")
    model = load_model(ORACLE, dtype=dtype)
    ids = model.tokenize(str(oracle["sequence"]))
    assert ids.tolist() == oracle["input_ids"].tolist()
    expected = torch.from_numpy(oracle["logits"]).log_softmax(-1)
    assert_within(TOLERANCE[dtype], pgf.log_probs(model, ids, tile_length), expected)
    window = tuple(oracle["window"].tolist())
    for suffix, objective in (
        ("", pgf.Likelihood(targets="fixed")),
        ("_window", pgf.Likelihood(targets="fixed", window=window)),
    ):
        found = pgf.adjoint(model, ids, objective, tile_length)
        assert_within(TOLERANCE[dtype], found.value, oracle["objective" + suffix])
        assert_within(TOLERANCE[dtype], found.gradient, oracle["grad_onehot" + suffix])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"n_groups": 2},
        {"n_groups": 4, "state_size": 3},
        {"time_step_limit": (0.05, 0.3)},
        {"time_step_limit": (0.0, 0.2), "n_groups": 2},
        {"use_bias": True, "use_conv_bias": False},
        {"num_heads": 3, "head_dim": 12, "expand": 3, "conv_kernel": 3},
        {"tie_word_embeddings": True, "layer_norm_epsilon": 1e-3},
    ],
    ids=str,
)
def test_random_configurations_agree_with_transformers(tmp_path, monkeypatch, changes):
    peer = hf_model(tmp_path, **changes)
    keep_double(monkeypatch, modeling_mamba2)
    ids = random_ids(50)
    log_p, gradient = log_probs_and_gradient(peer, ids)
    model = load_model(tmp_path, dtype=torch.float64)
    assert_within(1e-9, pgf.log_probs(model, ids, 13), log_p)
    found = pgf.adjoint(model, ids, pgf.Likelihood(targets="fixed"), 13)
    assert_within(1e-9, found.gradient, gradient)


def test_the_tangent_is_the_transpose_of_the_adjoint():
    model = load_model(ORACLE, dtype=torch.float64)
    ids = model.tokenize("ACGTTNGCA" * 4)
    direction = torch.randn(2, len(ids), 16, dtype=torch.float64)
    tangents = pgf.tangent(model, ids, direction, tile_length=5)
    gradient = pgf.adjoint(model, ids, pgf.Likelihood(targets="fixed")).gradient
    at = np.arange(len(ids) - 1)
    for dx, tangent in zip(direction.numpy(), tangents, strict=True):
        assert_within(1e-12, tangent[at, ids[1:]].sum(), (gradient * dx).sum())


def native_copy(directory: Path, **ssm: object) -> Path:
    """The oracle's weights in the layout of mamba_ssm."""
    weights = load_file(ORACLE / "model.safetensors")
    weights["backbone.embedding.weight"] = weights.pop("backbone.embeddings.weight")
    directory.mkdir(exist_ok=True)
    torch.save(weights, directory / "pytorch_model.bin")
    cfg = {"layer": "Mamba2", "d_state": 5, "headdim": 8, "ngroups": 2, "chunk_size": 32} | ssm
    config = {
        "d_model": 24,
        "n_layer": 3,
        "vocab_size": 16,
        "ssm_cfg": cfg,
        "rms_norm": True,
        "pad_vocab_size_multiple": 16,
        "tie_embeddings": False,
    }
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "vocab.txt").write_text((ORACLE / "vocab.txt").read_text())
    return directory


def test_both_layouts_of_a_model_are_the_same_model(tmp_path):
    native = read_checkpoint(native_copy(tmp_path / "native"))
    assert native.digest == read_checkpoint(ORACLE).digest
    assert native.family == "mamba2"


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"rmsnorm": False}, "ssm_cfg.rmsnorm False is not supported"),
        ({"norm_before_gate": True}, "ssm_cfg.norm_before_gate True is not supported"),
        ({"D_has_hdim": True}, "ssm_cfg.D_has_hdim True is not supported"),
        ({"d_ssm": 24}, "d_inner 24, the weights say 48"),
        ({"headdim": 16}, "head_dim 16, the weights say 8"),
        ({"ngroups": 1}, "1 groups and d_state 5, but the convolution has 68 channels"),
        ({"dt_limit": [0.5, 0.1]}, r"time_step_limit \(0.5, 0.1\) is not an interval"),
        ({"dt_limit": 3}, "time_step_limit in config.json is 3, not two numbers"),
    ],
)
def test_options_that_are_not_of_this_function_are_refused(tmp_path, options, cause):
    with pytest.raises(pgf.PgfError, match=cause):
        read_checkpoint(native_copy(tmp_path, **options))


def test_the_spelling_of_transformers_4_is_read(tmp_path):
    for name in ("model.safetensors", "vocab.txt"):
        (tmp_path / name).symlink_to(ORACLE / name)
    (tmp_path / "config.json").write_text((ORACLE / "config.v4.json").read_text())
    assert read_checkpoint(tmp_path).digest == read_checkpoint(ORACLE).digest
