from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import MambaConfig as HfConfig
from transformers import MambaForCausalLM

from pgf_genome.checkpoints.load import load_model, read_checkpoint, resolve_device
from pgf_genome.checkpoints.source import resolve_source
from pgf_genome.errors import ModelError, ResourceError, UsageError
from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.mixers.mamba1 import Mamba1Config

ORACLES = Path(__file__).parent / "oracles"
LAYOUTS = ("hf_mamba_tiny", "mamba_ssm_tiny")
CAUSES = {
    "missing_tensor": r"layers\.1\.mixer\.dt_proj\.bias is missing",
    "missing_layer": "config.json says 4 layers, the weights hold 3",
    "wrong_shape": r"x_proj\.weight has shape \(14, 48\), expected \(13, 48\)",
    "nan_weight": r"A_log has NaN",
    "truncated_safetensors": "model.safetensors is truncated",
    "missing_shard": "model-00002-of-00003.safetensors, which is not there",
    "no_config": "no config.json",
    "lfs_pointer_weights": "model.safetensors is a Git LFS pointer",
    "helix_mrna": r"'mamba2'.*'HelixmRNAForCausalLM'.*hybrid of Mamba, attention and MLP",
    "native_with_attention": r"attn_layer_idx \[1\] means attention layers",
    "falcon_mamba": "falcon_mamba",
    "caduceus_ps_no_map": "neither config.json nor the weights have a complement_map",
}


def copy_of(name: str, directory: Path) -> Path:
    return Path(shutil.copytree(ORACLES / name, directory / name))


def set_config(directory: Path, **changes: object) -> None:
    """Change keys of config.json; None removes one."""
    path = directory / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def set_tensors(directory: Path, changes: dict[str, torch.Tensor | None]) -> None:
    """Change tensors of the weight file; None removes one."""
    path = directory / "model.safetensors"
    if path.exists():
        tensors, save = load_file(path), save_file
    else:
        path = directory / "pytorch_model.bin"
        tensors, save = torch.load(path, weights_only=True), torch.save
    tensors = {name: tensor.clone() for name, tensor in tensors.items()} | changes
    save({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)


def assert_refused(directory: Path, cause: str) -> None:
    with pytest.raises(ModelError, match=cause) as caught:
        read_checkpoint(directory)
    assert str(caught.value).startswith(f"{directory}: ")
    assert "\n" not in str(caught.value)


@pytest.fixture(params=LAYOUTS)
def tiny(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return copy_of(request.param, tmp_path)


@pytest.fixture
def hf(tmp_path: Path) -> Path:
    return copy_of("hf_mamba_tiny", tmp_path)


@pytest.fixture
def native(tmp_path: Path) -> Path:
    return copy_of("mamba_ssm_tiny", tmp_path)


def test_sizes_are_those_of_the_tensors(tiny):
    checkpoint = read_checkpoint(tiny)
    mixer = Mamba1Config(d_inner=48, d_state=5, d_conv=4, dt_rank=3)
    assert checkpoint.config == MambaConfig(d_model=24, n_layer=3, vocab_rows=16, mixer=mixer)
    assert checkpoint.vocabulary.code_to_id.tolist() == [4, 6, 7, 5, 8]
    assert (checkpoint.family, checkpoint.source) == ("mamba", tiny)


def test_both_layouts_of_a_model_are_the_same_model():
    hf, native = (read_checkpoint(ORACLES / name) for name in LAYOUTS)
    assert hf.digest == native.digest
    assert list(hf.tensors) == list(native.tensors)
    for name, tensor in hf.tensors.items():
        assert torch.equal(tensor, native.tensors[name])


def test_the_digest_follows_weights_tokens_and_configuration(hf):
    digests = {read_checkpoint(hf).digest}
    set_config(hf, layer_norm_epsilon=1e-6)
    digests.add(read_checkpoint(hf).digest)
    (hf / "vocab.txt").write_text((hf / "vocab.txt").read_text().replace("A\nT", "T\nA"))
    digests.add(read_checkpoint(hf).digest)
    set_tensors(hf, {"backbone.norm_f.weight": torch.ones(24)})
    digests.add(read_checkpoint(hf).digest)
    assert len(digests) == 4


def test_the_spelling_of_transformers_4_is_read(hf):
    digest = read_checkpoint(hf).digest
    shutil.copy(hf / "config.v4.json", hf / "config.json")
    assert read_checkpoint(hf).digest == digest


def test_infinity_in_either_spelling_is_no_obstacle(hf):
    text = (hf / "config.json").read_text().rstrip().removesuffix("}")
    (hf / "config.json").write_text(
        text + ', "time_step_limit": [0.0, Infinity], "other": {"__float__": "Infinity"}}'
    )
    assert read_checkpoint(hf).config.n_layer == 3


@pytest.mark.parametrize("name", [*CAUSES])
def test_a_bad_directory_is_refused_with_its_cause(name):
    assert_refused(ORACLES / "reject" / name, CAUSES[name])


def test_every_rejected_oracle_has_a_cause_here():
    assert set(CAUSES) == set(json.loads((ORACLES / "reject" / "WHY.json").read_text()))


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"model_type": "falcon_mamba"}, "'falcon_mamba'.*not supported"),
        ({"architectures": ["FalconMambaForCausalLM"]}, "'FalconMambaForCausalLM'.*not supported"),
        ({"mixer_rms_eps": 1e-6}, "falcon_mamba"),
        ({"model_type": "jamba"}, "'jamba'.*not supported"),
        ({"architectures": "MambaForCausalLM"}, "not a list"),
        ({"ssm_cfg": {"layer": "Mamba2"}}, "says Mamba-2, but the tensors are Mamba-1's"),
        ({"ssm_cfg": {"layer": "Mamba3"}}, "ssm_cfg.layer 'Mamba3' is not supported"),
        ({"ssm_cfg": {"heads": 8}}, "ssm_cfg.heads is not known"),
        ({"ssm_cfg": [1]}, "ssm_cfg.*not an object"),
        ({"d_intermediate": 96}, "d_intermediate 96 means an MLP"),
        ({"attn_layer_idx": [0]}, "attention layers"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
    ],
)
def test_another_family_is_refused_by_name_in_either_layout(tiny, changes, cause):
    set_config(tiny, **changes)
    assert_refused(tiny, cause)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"d_model": 25, "hidden_size": 25}, "d_model 25, the weights say 24"),
        ({"d_inner": 96, "intermediate_size": 96}, "d_inner 96, the weights say 48"),
        ({"ssm_cfg": {"d_state": 16}, "state_size": 16}, "d_state 16, the weights say 5"),
        ({"ssm_cfg": {"d_conv": 3}, "conv_kernel": 3}, "d_conv 3, the weights say 4"),
        ({"ssm_cfg": {"dt_rank": "auto"}, "time_step_rank": 2}, "dt_rank 2, the weights say 3"),
        ({"expand": 3}, "expand 3, the weights say d_inner 48"),
        ({"n_layer": 2, "num_hidden_layers": 2}, "says 2 layers, the weights hold 3"),
        ({"vocab_size": 17}, r"vocab_size 17 \(padded 24\), the embedding has 16 rows"),
        ({"d_model": 24, "hidden_size": 25}, "d_model 24 but hidden_size 25"),
        ({"d_model": 24.0}, "d_model in config.json is 24.0, not a positive integer"),
        ({"ssm_cfg": {"layer": ["Mamba1"]}}, r"layer in config.json is \['Mamba1'\], not a text"),
        ({"n_layer": 0}, "n_layer in config.json is 0, not a positive integer"),
        ({"conv_bias": 1}, "conv_bias in config.json is 1, not true or false"),
        ({"norm_epsilon": -1e-5}, "norm_epsilon in config.json is -1e-05, not a positive number"),
        ({"d_model": None, "hidden_size": None}, "does not state d_model or hidden_size"),
        ({"conv_bias": False, "use_conv_bias": False}, "unknown tensor .*conv1d.bias"),
        ({"bias": True, "use_bias": True}, r"in_proj.bias is missing"),
        ({"rms_norm": False}, r"norm.bias is missing"),
    ],
)
def test_a_configuration_that_disagrees_with_the_weights_is_refused(tiny, changes, cause):
    set_config(tiny, **changes)
    assert_refused(tiny, cause)


def test_sizes_that_are_not_stated_come_from_the_tensors(hf):
    expected = read_checkpoint(hf).config
    optional = ["expand", "d_inner", "intermediate_size", "state_size", "conv_kernel"]
    set_config(hf, **dict.fromkeys([*optional, "time_step_rank", "layer_norm_epsilon"]))
    assert read_checkpoint(hf).config == expected


def test_a_native_model_has_a_fixed_epsilon(native):
    set_config(native, norm_epsilon=1e-6)
    assert_refused(native, "always use 1e-05")


def test_files_of_2023_lack_the_newer_native_keys(native):
    digest = read_checkpoint(native).digest
    optional = ["d_intermediate", "attn_layer_idx", "attn_cfg", "tie_embeddings"]
    set_config(native, ssm_cfg={}, pad_vocab_size_multiple=None, **dict.fromkeys(optional))
    assert read_checkpoint(native).digest == digest


PREFIX = "backbone.layers.1."


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({PREFIX + "mixer.surplus": torch.ones(3)}, "unknown tensor backbone.layers.1.mixer.s"),
        ({"score.weight": torch.ones(2, 24)}, "unknown tensor score.weight"),
        ({"backbone.layers.3.norm.weight": torch.ones(24)}, "says 3 layers, the weights hold 4"),
        ({PREFIX + "mixer.D": None}, r"tensor layers.1.mixer.D is missing"),
        ({"backbone.layers.0.mixer.A_log": None}, r"tensor layers.0.mixer.A_log is missing"),
        ({"backbone.layers.0.mixer.A_log": torch.ones(48)}, r"shape \(48,\), expected 2 dim"),
        ({PREFIX + "mixer.D": torch.ones(47)}, r"mixer.D has shape \(47,\), expected \(48,\)"),
        ({PREFIX + "mixer.dt_bias": torch.ones(6)}, "unknown tensor backbone.layers.1.mixer.dt_"),
        ({"backbone.layers.0.mixer.dt_bias": torch.ones(6)}, "says Mamba-1, .* Mamba-2's"),
        ({PREFIX + "mixer.D": torch.ones(48, dtype=torch.int8)}, "mixer.D is int8, not float16"),
        ({PREFIX + "mixer.D": torch.full((48,), torch.inf)}, "mixer.D has NaN or infinite values"),
        ({"lm_head.bias": torch.ones(16)}, "unknown tensor lm_head.bias"),
    ],
)
def test_weights_that_are_not_exactly_the_models_are_refused(tiny, changes, cause):
    set_tensors(tiny, changes)
    assert_refused(tiny, cause)


def test_two_names_for_the_embedding_are_refused(hf):
    set_tensors(hf, {"backbone.embedding.weight": torch.ones(16, 24)})
    assert_refused(hf, "backbone.embedding.weight and backbone.embeddings.weight are the same")


def test_a_stored_head_wins_where_tying_is_not_mentioned(tiny):
    head = torch.randn(16, 24)
    set_config(tiny, tie_embeddings=None)
    set_tensors(tiny, {"lm_head.weight": head})
    checkpoint = read_checkpoint(tiny)
    assert not checkpoint.config.tied
    assert torch.equal(checkpoint.tensors["lm_head.weight"], head)


def test_a_head_that_should_be_tied_but_differs_is_refused(tiny):
    set_config(tiny, tie_embeddings=True)
    set_tensors(tiny, {"lm_head.weight": torch.randn(16, 24)})
    assert_refused(tiny, "lm_head.weight differs from the embedding")


def test_an_untied_head_must_be_stored(hf):
    set_config(hf, tie_word_embeddings=False)
    assert_refused(hf, "lm_head.weight is missing")


def test_layer_norm_has_a_bias_everywhere(native):
    names = ["layers.0.norm", "layers.1.norm", "layers.2.norm", "norm_f"]
    set_config(native, rms_norm=False)
    set_tensors(native, {f"backbone.{name}.bias": torch.zeros(24) for name in names})
    checkpoint = read_checkpoint(native)
    assert not checkpoint.config.rms_norm
    assert "norm_f.bias" in checkpoint.tensors


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "model.safetensors"])
def test_each_file_of_a_checkpoint_is_needed(hf, name):
    (hf / name).unlink()
    assert_refused(hf, name)


def test_an_empty_directory_is_refused(tmp_path):
    assert_refused(tmp_path, "no config.json")


def test_python_files_beside_the_weights_are_not_run(hf, tmp_path):
    marker = tmp_path / "ran"
    for name in ("modeling_mamba.py", "configuration_mamba.py", "__init__.py"):
        (hf / name).write_text(f"import os\nos.mkdir({str(marker)!r})\n")
    set_config(hf, auto_map={"AutoConfig": "configuration_mamba.MambaConfig"})
    read_checkpoint(hf)
    assert not marker.exists()


def random_model(**changes: object) -> MambaForCausalLM:
    torch.manual_seed(7)
    sizes = {"hidden_size": 12, "state_size": 3, "num_hidden_layers": 2, "vocab_size": 11}
    model = MambaForCausalLM(HfConfig(**(sizes | changes)))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def add_tokenizer(directory: Path) -> Path:
    shutil.copy(ORACLES / "hf_mamba_tiny" / "vocab.txt", directory)
    return directory


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"expand": 3, "conv_kernel": 3, "use_conv_bias": False},
        {"use_bias": True, "tie_word_embeddings": False, "layer_norm_epsilon": 3e-3},
        {"time_step_rank": 5, "num_hidden_layers": 1},
    ],
)
@pytest.mark.parametrize("shard", ["1GB", "4KB"])
def test_what_transformers_saves_is_read_back(tmp_path, changes, shard):
    model = random_model(**changes)
    model.save_pretrained(tmp_path, max_shard_size=shard)
    assert (tmp_path / "model.safetensors.index.json").exists() == (shard == "4KB")
    checkpoint = read_checkpoint(add_tokenizer(tmp_path))
    saved = {name.removeprefix("backbone."): t for name, t in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del saved["lm_head.weight"]
    assert set(checkpoint.tensors) == set(saved)
    assert all(torch.equal(checkpoint.tensors[name], saved[name]) for name in saved)
    config, read = model.config, checkpoint.config
    mixer = read.mixer
    assert mixer.d_inner == config.intermediate_size
    assert (mixer.d_conv, mixer.dt_rank) == (config.conv_kernel, config.time_step_rank)
    assert (read.norm_eps, read.tied) == (config.layer_norm_epsilon, config.tie_word_embeddings)


def test_a_source_that_is_no_model_says_what_would_be(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ModelError, match="is a file: give the directory"):
        resolve_source(tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"neither a bundled model .* nor a hub id$"):
        resolve_source("no-such-model")
    with pytest.raises(ModelError, match="hf download org/name"):
        resolve_source("org/name")
    assert resolve_source(str(tmp_path)).directory == tmp_path


def test_a_hub_id_means_its_snapshot_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    home, commit = tmp_path / "models--org--tiny", "0123456789" * 4
    shutil.copytree(ORACLES / "hf_mamba_tiny", home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit)
    model = load_model("org/tiny")
    assert model.name == "org/tiny"
    assert model.origin == {"repo": "org/tiny", "commit": commit, "licence": None}
    assert load_model(f"org/tiny@{commit}").digest == load_model(home).digest == model.digest


def test_a_bundled_name_means_the_bundled_model(tmp_path, monkeypatch):
    monkeypatch.setattr("pgf_genome.checkpoints.choices.BUNDLED", ORACLES)
    monkeypatch.chdir(tmp_path)
    Path("hf_mamba_tiny").mkdir()
    assert resolve_source("hf_mamba_tiny").directory == ORACLES / "hf_mamba_tiny"
    assert resolve_source("./hf_mamba_tiny").directory == Path("hf_mamba_tiny")
    with pytest.raises(ModelError, match=r"\(.*hf_mamba_tiny, mamba_ssm_tiny\)"):
        resolve_source("other")


def test_a_loaded_model_is_frozen_and_knows_its_origin():
    model = load_model(ORACLES / "hf_mamba_tiny", dtype=torch.float64)
    checkpoint = read_checkpoint(ORACLES / "hf_mamba_tiny")
    assert (model.name, model.digest) == ("hf_mamba_tiny", checkpoint.digest)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    weights = model.state_dict()
    assert all(torch.equal(weights[n], t.double()) for n, t in checkpoint.tensors.items())


def test_double_precision_weights_reach_the_model_undiminished(hf):
    stored = torch.linspace(0, 1, 24, dtype=torch.float64) / 3
    set_tensors(hf, {"backbone.norm_f.weight": stored})
    model = load_model(hf, dtype=torch.float64)
    assert torch.equal(model.state_dict()["norm_f.weight"], stored)


@pytest.mark.parametrize("device", ["gpu", "mps", "cuda:x", ""])
def test_a_device_that_is_no_device_is_a_usage_error(device):
    with pytest.raises(UsageError, match="`device` must be auto, cpu, cuda"):
        resolve_device(device)


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == torch.device("cuda", 0)
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ResourceError, match="`device` cuda:2: this machine has 2 usable"):
        resolve_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(ResourceError, match=r"`device` cuda: .* use `device` cpu"):
        load_model(ORACLES / "hf_mamba_tiny", device="cuda")


def test_a_dtype_that_the_sweeps_cannot_use_is_refused():
    with pytest.raises(UsageError, match="`dtype`"):
        load_model(ORACLES / "hf_mamba_tiny", dtype=torch.float16)
