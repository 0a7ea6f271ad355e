"""Bidirectional models: the published form, the single-strand form, and the files they come in."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from models import (
    COMPLEMENT,
    MAMBA2,
    assert_within,
    bidirectional_config,
    random_ids,
    random_like,
    random_model,
)
from safetensors.torch import load_file, save_file

import pgf_genome as pgf
from pgf_genome.checkpoints.families.caduceus import single_strand
from pgf_genome.checkpoints.load import load_model, read_checkpoint
from pgf_genome.engine import windows
from pgf_genome.mamba.bidirectional import whole_window
from pgf_genome.mamba.mixers.both_ways import TwoWay

ORACLES = Path(__file__).parent / "oracles"
PH, PS = ORACLES / "caduceus_ph_tiny", ORACLES / "caduceus_ps_tiny"
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("layer_tile", [32, 300])
@pytest.mark.parametrize("directory", [PH, PS], ids=lambda d: d.name)
def test_the_oracle_is_met_for_every_tile_of_a_layer(directory, layer_tile, dtype):
    def one_window(ids, objective):
        x = model.one_hot(torch.as_tensor(ids))[None]
        whole = windows.Windows(len(ids), len(ids), halo=0, layer_tile=layer_tile)
        return windows.adjoint(model, lambda start, stop: x[:, start:stop], whole, [objective])

    oracle = np.load(directory / "oracle.npz")
    model = load_model(directory, dtype=dtype)
    ids = model.tokenize(str(oracle["sequence"]))
    assert ids.tolist() == oracle["input_ids"].tolist()
    expected = torch.from_numpy(oracle["logits"]).log_softmax(-1)
    assert_within(TOLERANCE[dtype], pgf.log_probs(model, ids), expected)
    found = one_window(ids, pgf.PseudoLikelihood())
    assert_within(TOLERANCE[dtype], found.log_p[0], expected)
    assert_within(TOLERANCE[dtype], found.values[0], oracle["objective"])
    assert_within(TOLERANCE[dtype], found.gradient[0], oracle["grad_onehot"])
    whole = pgf.adjoint(model, ids)
    assert_within(TOLERANCE[dtype], whole.gradient, oracle["grad_onehot"])
    at = tuple((int(t), int(t) + 1) for t in oracle["mask_positions"])
    masked = pgf.PseudoLikelihood(targets=ids, positions=at)
    found = one_window(oracle["input_ids_masked"], masked)
    assert_within(TOLERANCE[dtype], found.values[0], oracle["objective_masked"])
    assert_within(TOLERANCE[dtype], found.gradient[0], oracle["grad_onehot_masked"])


def test_a_model_of_both_strands_is_equivariant():
    model = load_model(PS, dtype=torch.float64)
    complement = list(model.config.two_way.complement)
    ids = torch.from_numpy(np.load(PS / "oracle.npz")["input_ids"])
    other = torch.tensor(complement)[ids].flip(0)
    there, back = (pgf.log_probs(model, x) for x in (ids, other))
    assert_within(1e-13, back[::-1][:, complement], there)
    there, back = (pgf.adjoint(model, x).gradient for x in (ids, other))
    assert_within(1e-12, back[::-1][:, complement], there)


def published_hidden(model, ids: torch.Tensor) -> torch.Tensor:
    """The last hidden layer, (L, D) or (L, 2 D), with halves and channels as published."""
    hidden = model.hidden(model.one_hot(ids)[None])[0]
    if model.config.two_way.complement is None:
        return hidden
    strand, other = hidden.chunk(2, dim=-1)
    halves = [strand, other.flip(1)]
    return torch.cat(halves[::-1] if model.config.n_layer % 2 else halves, dim=-1)


@pytest.mark.parametrize("directory", [PH, PS], ids=lambda d: d.name)
def test_the_last_hidden_layer_is_that_of_the_oracle(directory):
    oracle = np.load(directory / "oracle.npz")
    model = load_model(directory, dtype=torch.float64)
    found = published_hidden(model, torch.from_numpy(oracle["input_ids"]))
    assert_within(1e-9, found, oracle["final_hidden"])


GOLDEN = json.loads((ORACLES / "real_checkpoint_golden.json").read_text())


@pytest.mark.parametrize("repo", GOLDEN["checkpoints"])
def test_a_real_checkpoint_has_the_hidden_layer_on_record(repo):
    """Directories ORG/NAME below $PGF_GENOME_CHECKPOINTS, if somebody has the weights."""
    folder = Path(os.environ.get("PGF_GENOME_CHECKPOINTS", "/nonexistent")) / repo
    if not folder.is_dir():
        pytest.skip(f"no weights of {repo}: set PGF_GENOME_CHECKPOINTS to a folder that has them")
    model, record = load_model(folder), GOLDEN["checkpoints"][repo]
    found = published_hidden(model, model.tokenize(GOLDEN["sequence"])).mean(0)
    assert_within(1e-4, found, record["values"])


def two_strand_log_probs(model, ids: torch.Tensor, fused: bool) -> torch.Tensor:
    """Both strands in one residual stream, as published: two halves, the second one conjugated."""
    weights, complement = model.embeddings.weight, torch.tensor(COMPLEMENT)
    conjugate = lambda v: v.flip(1, 2)  # noqa: E731  time and channels
    both = lambda f, a, b: (f(a), conjugate(f(conjugate(b))))  # noqa: E731
    first, second = weights[ids][None], weights[complement[ids]][None].flip(2)
    for block in model.layers:
        if fused:
            first, second = second, first  # the strands change places
        mixed = both(lambda h: block.mixer.join(*whole_window(block, h)), first, second)  # noqa: B023
        first, second = first + mixed[0], second + mixed[1]
    first, second = both(model.norm_f, first, second)
    logits = first @ weights.T + second.flip(2) @ weights[complement].T
    return logits[0].log_softmax(-1)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"n_layer": 1},
        {"n_layer": 2},
        {"n_layer": 3, "rms_norm": False, "proj_bias": True},
        {"n_layer": 2, "two_way": TwoWay(False, "ew_multiply", COMPLEMENT)},
        {"n_layer": 3} | MAMBA2,
    ],
    ids=str,
)
def test_the_single_strand_form_is_the_published_function(fused, changes):
    published = random_model(bidirectional_config(both_strands=True, **changes))
    ids, config = random_ids(40), published.config
    tensors = dict(published.state_dict())
    if fused:
        tensors = single_strand(tensors, config.n_layer, COMPLEMENT)
    config = dataclasses.replace(config, tied="lm_head.weight" not in tensors)
    ours = random_model(config)
    ours.load_state_dict(tensors)
    assert_within(1e-12, pgf.log_probs(ours, ids), two_strand_log_probs(published, ids, fused))


@pytest.mark.parametrize("directory", [PH, PS], ids=lambda d: d.name)
def test_the_tangent_is_the_transpose_of_the_adjoint(directory):
    model = load_model(directory, dtype=torch.float64)
    ids = model.tokenize("ACGTTNGCA" * 3)
    directions = torch.randn(2, len(ids), 16, dtype=torch.float64)
    tangents = pgf.tangent(model, ids, directions)
    gradient = pgf.adjoint(model, ids).gradient
    for dx, tangent in zip(directions.numpy(), tangents, strict=True):
        assert_within(1e-12, tangent[np.arange(len(ids)), ids].sum(), (gradient * dx).sum())


@pytest.mark.parametrize(
    "objective",
    [
        pgf.PseudoLikelihood(targets="input"),
        pgf.PseudoLikelihood(targets=[1, 2, 3, 4] * 3, positions=((3, 9),)),
        pgf.Entropy(),
        pgf.Logit(row=3, positions=((2, 5),)),
        pgf.SquaredNorm(),
    ],
    ids=repr,
)
def test_every_objective_agrees_with_central_differences(objective):
    model = random_model(bidirectional_config(both_strands=True))
    x = random_like([torch.empty(12, 7, dtype=torch.float64)])[0].softmax(-1)
    (direction,) = random_like([x], seed=1)
    step = 2e-6
    ahead, behind = (
        pgf.adjoint(model, x + sign * step * direction, objective).value for sign in (1, -1)
    )
    slope = (pgf.adjoint(model, x, objective).gradient * direction.numpy()).sum()
    assert_within(1e-6, slope, (ahead - behind) / (2 * step))


def test_an_objective_of_the_other_kind_of_model_is_refused():
    with pytest.raises(pgf.PgfError, match="bidirectional model has no likelihood"):
        pgf.adjoint(load_model(PH), [7, 8], pgf.Likelihood())
    with pytest.raises(pgf.PgfError, match="causal model predicts a base from those before"):
        pgf.adjoint(load_model(ORACLES / "hf_mamba_tiny"), [4, 5], pgf.PseudoLikelihood())


def changed_copy(source: Path, directory: Path, config: dict, tensors: dict) -> Path:
    """A checkpoint with other configuration and tensors (None removes one)."""
    shutil.copytree(source, directory, dirs_exist_ok=True)
    stated = json.loads((directory / "config.json").read_text()) | config
    (directory / "config.json").write_text(json.dumps(stated))
    found = load_file(directory / "model.safetensors") | tensors
    # clones, because a safetensors file has no shared storage
    found = {name: tensor.clone() for name, tensor in found.items() if tensor is not None}
    save_file(found, directory / "model.safetensors")
    return directory


LAYER = "caduceus.backbone.layers.0.mixer.submodule."
MAPS = ("lm_head.complement_map", "caduceus.backbone.embeddings.word_embeddings.complement_map")
OTHER_MAP = torch.tensor([0, 1, 2, 3, 4, 5, 6, 9, 10, 7, 8, 11, 12, 13, 14, 15])


@pytest.mark.parametrize(
    ("config", "tensors", "cause"),
    [
        ({}, {LAYER + "mamba_rev.D": None}, "mamba_rev.D is missing"),
        ({}, {LAYER + "mamba_rev.surplus": torch.ones(2)}, "unknown tensor .*surplus"),
        (
            {},
            {LAYER + "mamba_rev.out_proj.weight": torch.ones(20, 40)},
            "mamba_rev.out_proj.weight differs from .*both directions share it",
        ),
        ({}, {"lm_head.lm_head.weight": torch.ones(16, 20)}, "lm_head.weight differs"),
        ({}, {MAPS[0]: OTHER_MAP}, r"lm_head.complement_map and .*complement_map.* differ"),
        (
            {"complement_map": {str(i): int(v) for i, v in enumerate(OTHER_MAP)}},
            dict.fromkeys(MAPS, OTHER_MAP),
            r"pairs row 7 \(A\) with 9",
        ),
        ({"complement_map": {"0": 1, "1": 2}}, dict.fromkeys(MAPS), "not its own inverse"),
        ({"complement_map": {"a": 1}}, {}, "does not map rows"),
        ({"complement_map": None}, dict.fromkeys(MAPS), "neither config.json nor the weights"),
        ({"fused_add_norm": False}, {}, "restore the configuration"),
        ({"rcps": False}, {}, "restore the configuration"),
        ({"bidirectional": False}, {}, "bidirectional false"),
        ({"bidirectional_strategy": "concat"}, {}, "'concat' is not one of add, ew_multiply"),
        ({"bidirectional_weight_tie": False}, {}, "mamba_rev.in_proj.weight is missing"),
        ({"n_layer": 4}, {}, "says 4 layers, the weights hold 3"),
        ({"flip_lm_head_channels": True}, {}, "flip_lm_head_channels"),
    ],
)
def test_a_bad_directory_is_refused_with_its_cause(tmp_path, config, tensors, cause):
    directory = changed_copy(PS, tmp_path / "bad", config, tensors)
    with pytest.raises(pgf.PgfError, match=cause):
        read_checkpoint(directory)


def test_a_model_of_one_strand_has_its_complement_map_checked(tmp_path):
    wrong = {str(i): int(v) for i, v in enumerate(OTHER_MAP)}
    directory = changed_copy(PH, tmp_path / "bad", {"complement_map": wrong}, {})
    with pytest.raises(pgf.PgfError, match=r"pairs row 7 \(A\) with 9"):
        read_checkpoint(directory)
    unstated = changed_copy(PH, tmp_path / "none", {"complement_map": None}, {})
    assert read_checkpoint(unstated).digest == read_checkpoint(PH).digest


def test_remote_code_beside_the_weights_is_never_run(tmp_path):
    directory = changed_copy(PS, tmp_path / "trap", {}, {})
    load_model(directory)
    assert (directory / "modeling_caduceus.py").exists()
    assert not (directory / "REMOTE_CODE_WAS_EXECUTED").exists()


@pytest.mark.parametrize("source", [PH, PS], ids=lambda d: d.name)
def test_a_pickle_with_every_alias_is_the_same_model(tmp_path, source):
    directory = changed_copy(source, tmp_path / "pickle", {"architectures": ["Caduceus"]}, {})
    tensors = load_file(directory / "model.safetensors")
    for name in [n for n in tensors if ".mamba_fwd." in n and "_proj.weight" in n]:
        if "in_proj" in name or "out_proj" in name:
            tensors[name.replace("mamba_fwd", "mamba_rev")] = tensors[name]
    embedding = next(tensors[n] for n in tensors if "word_embeddings" in n and "weight" in n)
    tensors["lm_head.lm_head.weight" if source == PS else "lm_head.weight"] = embedding
    torch.save(tensors, directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()
    assert read_checkpoint(directory).digest == read_checkpoint(source).digest


def test_the_map_of_the_weights_suffices(tmp_path):
    directory = changed_copy(PS, tmp_path / "nomap", {"complement_map": None}, {})
    assert read_checkpoint(directory).digest == read_checkpoint(PS).digest


def test_the_nested_configuration_of_the_successors_is_read(tmp_path):
    stated = json.loads((PS / "config.json").read_text())
    moved = {key: stated[key] for key in ("fused_add_norm", "rms_norm", "norm_epsilon")}
    nested = {
        "norm_cfg": moved,
        "layer_cfg": {"mamba_cfg": {"version": "v1", "ssm_cfg": stated["ssm_cfg"], "mlp_cfg": {}}},
    }
    flat = dict.fromkeys([*moved, "ssm_cfg"])
    directory = changed_copy(PS, tmp_path / "nested", flat | nested, {})
    assert read_checkpoint(directory).digest == read_checkpoint(PS).digest
    wrong = {"layer_cfg": {"mamba_cfg": {"version": "v2", "ssm_cfg": stated["ssm_cfg"]}}}
    with pytest.raises(pgf.PgfError, match="says Mamba-2, but the tensors are Mamba-1's"):
        read_checkpoint(changed_copy(directory, tmp_path / "wrong", wrong, {}))


def test_n_can_be_fed_as_the_padding_token():
    plain, padded = load_model(PH), load_model(PH, n_as_pad=True)
    assert plain.tokenize("AN").tolist() == [7, 11]
    assert padded.tokenize("AN").tolist() == [7, 4]
    assert padded.digest != plain.digest
    with pytest.raises(pgf.PgfError, match="`n_as_pad` is for bidirectional models"):
        load_model("ecoli-yeast-d128", n_as_pad=True)


def test_what_a_checkpoint_is_shows_in_its_family():
    names = {PH: "caduceus-ph", PS: "caduceus-ps", ORACLES / "hf_mamba_tiny": "mamba"}
    for directory, family in names.items():
        assert read_checkpoint(directory).family == family
    assert read_checkpoint(PH).trained_length == 1024


def test_a_tokenizer_that_lowers_its_text_is_read(tmp_path):
    """As PlantCaduceus': three special tokens, then a, c, g, t; no token for N."""
    tokens = ("[PAD]", "[MASK]", "[UNK]", "a", "c", "g", "t")
    rows = (0, 1, 2, 6, 5, 4, 3, 7)
    embedding = "caduceus.backbone.embeddings.word_embeddings.embedding.weight"
    few = {embedding: load_file(PS / "model.safetensors")[embedding][:8].clone()}
    few |= dict.fromkeys(MAPS, torch.tensor(rows))
    config = {"vocab_size": 8, "complement_map": {str(i): v for i, v in enumerate(rows)}}
    directory = changed_copy(PS, tmp_path / "plant", config, few)
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = {
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    }
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    model = load_model(directory)
    assert model.tokenize("ACGTNacgt").tolist() == [3, 4, 5, 6, 2, 3, 4, 5, 6]
