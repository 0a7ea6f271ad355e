"""Models without a head: what they can be asked for, and what they say to the rest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from models import TOKENS, assert_within, keep_double, log_probs_and_gradient, perturb, random_ids
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import layer_norm, silu, softplus
from transformers import Mamba2Config, Mamba2Model, MambaForCausalLM, MambaModel
from transformers import MambaConfig as HfConfig
from transformers.models.mamba import modeling_mamba

import pgf_genome as pgf
from pgf_genome.checkpoints.load import read_checkpoint
from pgf_genome.cli import commands
from pgf_genome.errors import UsageError

SIZES = {"vocab_size": 8, "hidden_size": 10, "num_hidden_layers": 2, "state_size": 3}


def save_base(directory: Path, **changes: object) -> MambaModel:
    """A random model of transformers, saved without its head."""
    model = MambaModel(HfConfig(**(SIZES | {"time_step_rank": 2} | changes))).eval()
    perturb(model)
    model.save_pretrained(directory)
    (directory / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    return model


@pytest.fixture
def headless(tmp_path: Path) -> Path:
    save_base(tmp_path / "base", tie_word_embeddings=False)
    return tmp_path / "base"


def test_a_base_model_with_a_tied_head_is_what_transformers_makes_of_it(tmp_path, monkeypatch):
    save_base(tmp_path, tie_word_embeddings=True)
    theirs = MambaForCausalLM.from_pretrained(tmp_path).double()
    keep_double(monkeypatch, modeling_mamba)
    ids = random_ids(40)
    log_p, gradient = log_probs_and_gradient(theirs, ids)
    model = pgf.load_model(tmp_path, dtype=torch.float64)
    assert model.config.has_head
    assert model.config.tied
    assert_within(1e-9, pgf.log_probs(model, ids, 13), log_p)
    found = pgf.adjoint(model, ids, pgf.Likelihood(targets="fixed"), 13)
    assert_within(1e-9, found.gradient, gradient)


@pytest.mark.parametrize(("tile_length", "kept"), [(7, 1), (7, 3), (40, 1)])
def test_without_the_tie_the_norm_of_the_hidden_layer_is_that_of_transformers(
    headless, monkeypatch, tile_length, kept
):
    theirs = MambaModel.from_pretrained(headless).double()
    keep_double(monkeypatch, modeling_mamba)
    ids = random_ids(40)
    table = theirs.embeddings.weight.detach()
    embeds = table[ids][None].requires_grad_()
    value = theirs(inputs_embeds=embeds, use_cache=False).last_hidden_state.square().sum()
    (gradient,) = torch.autograd.grad(value, embeds)
    model = pgf.load_model(headless, dtype=torch.float64)
    found = pgf.adjoint(model, ids, pgf.SquaredNorm(), tile_length, kept)
    assert_within(1e-9, found.value, value)
    assert_within(1e-9, found.gradient, gradient[0] @ table.T)


def test_mamba_2_has_no_head_unless_something_says_that_it_is_tied(tmp_path):
    sizes = {"vocab_size": 8, "hidden_size": 12, "num_hidden_layers": 1, "state_size": 5}
    heads = {"expand": 2, "num_heads": 4, "head_dim": 6, "n_groups": 1}
    Mamba2Model(Mamba2Config(**sizes, **heads)).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS) + "\n")
    assert not read_checkpoint(tmp_path).config.has_head


@pytest.mark.parametrize(
    ("ask", "remedy"),
    [
        (lambda model, ids: pgf.adjoint(model, ids), "an objective of its last hidden layer"),
        (lambda model, ids: pgf.adjoint(model, ids, pgf.Entropy()), "an objective"),
        (lambda model, ids: pgf.adjoint(model, ids, pgf.Logit(row=1)), "an objective"),
        (lambda model, ids: pgf.parameter_gradient(model, ids), "an objective"),
        (lambda model, ids: pgf.tangent(model, ids, torch.zeros(len(ids), 8)), "a model with"),
        (lambda model, ids: pgf.log_probs(model, ids), "a model with a head"),
    ],
)
def test_what_needs_predictions_is_refused(headless, ask, remedy):
    with pytest.raises(UsageError, match=f"base has no head and predicts nothing: .*use {remedy}"):
        ask(pgf.load_model(headless), random_ids(10))


def test_a_callable_of_the_hidden_layer_has_a_gradient(headless):
    model, ids = pgf.load_model(headless, dtype=torch.float64), random_ids(10)
    found = pgf.adjoint(model, ids, lambda tile: tile.hidden.square().sum(), tile_length=4)
    assert_within(1e-12, found.gradient, pgf.adjoint(model, ids, pgf.SquaredNorm()).gradient)


def test_its_weights_have_gradients(headless):
    model, ids = pgf.load_model(headless, dtype=torch.float64), random_ids(30)
    found = pgf.parameter_gradient(model, ids, pgf.SquaredNorm(), tile_length=7).gradient
    model.requires_grad_(True)
    h = model.embed(model.one_hot(ids)[None])
    for block, state in zip(model.layers, model.initial_state(1).layers, strict=True):
        h, _ = block(h, state)
    model.norm_f(h).square().sum().backward()
    for name, weight in model.named_parameters():
        assert_within(1e-9, found[name], weight.grad, name)


def attribute(directory: Path, folder: Path, *options: str):
    (folder / "x.fa").write_text(">x\n" + "ACGTTGCAAC" * 30 + "\n")
    return CliRunner().invoke(
        commands, ["attribute", str(folder / "x.fa"), "-m", str(directory), *options]
    )


def test_the_command_writes_the_tracks_of_the_norm(headless, tmp_path):
    out = str(tmp_path / "out")
    options = ["-o", out, "--objective", "norm", "--no-report", "--strand", "+", "--tile", "64"]
    done = attribute(headless, tmp_path, *options, "--track", "contribution")
    assert done.exit_code == 0, done.exception
    model = pgf.load_model(headless)
    ids = model.tokenize("ACGTTGCAAC" * 30)
    gradient = pgf.adjoint(model, ids, pgf.SquaredNorm()).gradient
    four = gradient[:, list(model.vocabulary.base_ids)]
    expected = (gradient[np.arange(300), ids] - four.mean(axis=1)).sum()
    run = json.loads(Path(f"{out}.run.json").read_text())
    assert run["contigs"][0]["objective"] > 0
    import pyBigWig

    with pyBigWig.open(f"{out}.contribution.bw") as track:
        assert_within(1e-3, np.nansum(track.values("x", 0, 300)), expected)


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["--objective", "norm"], "predicts nothing, so there is no surprisal"),
        ([], "has no head and predicts nothing"),
        (["--objective", "entropy"], "has no head and predicts nothing"),
        (["--objective", "logit:A"], "has no head and predicts nothing"),
    ],
)
def test_the_command_says_what_cannot_be_had(headless, tmp_path, options, cause):
    done = attribute(headless, tmp_path, *options, "--dry-run")
    assert isinstance(done.exception, UsageError)
    assert cause in str(done.exception)


def test_its_plan_is_made_without_predictions(headless, tmp_path):
    options = ["--objective", "norm", "--track", "contribution", "--dry-run"]
    done = attribute(headless, tmp_path, *options)
    assert done.exit_code == 0, done.exception
    assert "# time" in done.stdout


def test_inspect_says_that_there_are_no_predictions(headless):
    facts = json.loads(CliRunner().invoke(commands, ["inspect", str(headless), "--json"]).stdout)
    assert facts["predictions"].startswith("none")
    assert not facts["tied_head"]


ORTHRUS = {"model_type": "orthrus", "architectures": ["OrthrusPretrainedModel"], "n_tracks": 4}
WIDTH, LAYERS = 16, 3


def orthrus_tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inner, N, rank = 2 * WIDTH, 16, 1
    shapes = {"embedding.weight": (WIDTH, 4), "embedding.bias": (WIDTH,)}
    norm = {"weight": (WIDTH,), "bias": (WIDTH,)}
    mixer = {
        "in_proj.weight": (2 * inner, WIDTH),
        "conv1d.weight": (inner, 1, 4),
        "conv1d.bias": (inner,),
        "x_proj.weight": (rank + 2 * N, inner),
        "dt_proj.weight": (inner, rank),
        "dt_proj.bias": (inner,),
        "A_log": (inner, N),
        "D": (inner,),
        "out_proj.weight": (WIDTH, inner),
    }
    for i in range(LAYERS):
        shapes |= {f"layers.{i}.norm.{name}": shape for name, shape in norm.items()}
        shapes |= {f"layers.{i}.mixer.{name}": shape for name, shape in mixer.items()}
    shapes |= {f"norm_f.{name}": shape for name, shape in norm.items()}
    return {
        name: torch.randn(shape, generator=generator, dtype=torch.float64)
        / max(4, shape[-1]) ** 0.5
        for name, shape in shapes.items()
    }


def write_orthrus(directory: Path, **changes: object) -> dict[str, Tensor]:
    tensors = {name: t.float() for name, t in orthrus_tensors().items()}
    save_file(tensors, directory / "model.safetensors")
    config = ORTHRUS | {"ssm_model_dim": WIDTH, "ssm_n_layers": LAYERS} | changes
    (directory / "config.json").write_text(json.dumps(config))
    return {name: t.double() for name, t in tensors.items()}


def mamba1(u: Tensor, w: dict[str, Tensor]) -> Tensor:
    """(L, D) -> (L, D), one position after the other."""
    x, z = (u @ w["in_proj.weight"].T).chunk(2, dim=1)
    padded = torch.cat([x.new_zeros(3, x.shape[1]), x])
    taps, N, rank = w["conv1d.weight"][:, 0], w["A_log"].shape[1], w["dt_proj.weight"].shape[1]
    h, rows = x.new_zeros(w["A_log"].shape), []
    for t in range(len(u)):
        x_t = silu((padded[t : t + 4].T * taps).sum(1) + w["conv1d.bias"])
        dt, B, C = (w["x_proj.weight"] @ x_t).split([rank, N, N])
        delta = softplus(w["dt_proj.weight"] @ dt + w["dt_proj.bias"])[:, None]
        h = (delta * -w["A_log"].exp()).exp() * h + delta * x_t[:, None] * B
        rows.append((h @ C + w["D"] * x_t) * silu(z[t]))
    return torch.stack(rows) @ w["out_proj.weight"].T


def test_orthrus_is_a_linear_layer_of_four_tracks_and_mamba_without_a_head(tmp_path):
    tensors = write_orthrus(tmp_path)

    def of(prefix: str) -> dict[str, Tensor]:
        return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

    model = pgf.load_model(tmp_path, dtype=torch.float64)
    ids = model.tokenize("ACGUNNGATTACA")
    tracks = model.one_hot(ids)[:, :4].requires_grad_()  # N is zero in all of them
    h = tracks @ tensors["embedding.weight"].T + tensors["embedding.bias"]
    for i in range(LAYERS):
        norm = of(f"layers.{i}.norm.")
        u = layer_norm(h, (WIDTH,), norm["weight"], norm["bias"])
        h = h + mamba1(u, of(f"layers.{i}.mixer."))
    norm = of("norm_f.")
    value = layer_norm(h, (WIDTH,), norm["weight"], norm["bias"]).square().sum()
    (gradient,) = torch.autograd.grad(value, tracks)
    found = pgf.adjoint(model, ids, pgf.SquaredNorm(), tile_length=5)
    assert_within(1e-9, found.value, value)
    # an input that adds up to one has the bias once, whatever the base
    assert_within(1e-9, found.gradient[:, :4] - found.gradient[:, 4:], gradient, "against N")
    with pytest.raises(UsageError, match="has no head and predicts nothing"):
        pgf.log_probs(model, ids)
    facts = json.loads(CliRunner().invoke(commands, ["inspect", str(tmp_path), "--json"]).stdout)
    assert facts["family"] == "orthrus"
    assert facts["sizes"]["norm"] == "LayerNorm"
    assert facts["parameters"] == sum(t.numel() for t in tensors.values())


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"n_tracks": 6}, "n_tracks 6 is not supported, only with 4: the others say where splice"),
        ({"has_mlm_head": True}, "head for masked bases"),
        ({"architectures": ["OrthrusForCausalLM"]}, "not the Mamba encoder of RNA"),
        ({"ssm_n_layers": 4}, "says 4 layers, the weights hold 3"),
        ({"ssm_model_dim": 8}, "d_model 8, the weights say 16"),
    ],
)
def test_another_orthrus_is_refused(tmp_path, changes, cause):
    write_orthrus(tmp_path, **changes)
    with pytest.raises(pgf.PgfError, match=cause):
        read_checkpoint(tmp_path)


def test_a_bias_of_another_width_is_named(tmp_path):
    tensors = write_orthrus(tmp_path)
    tensors["embedding.bias"] = torch.zeros(WIDTH + 1)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(pgf.PgfError, match=r"embedding.bias has shape \(17,\), expected \(16,\)"):
        pgf.load_model(tmp_path)
