from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pgf_genome.checkpoints.files import read_json, read_weights
from pgf_genome.checkpoints.load import read_checkpoint
from pgf_genome.errors import ModelError

SAFE, PICKLE = "model.safetensors", "pytorch_model.bin"
TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4), "c": torch.zeros(1, 1, 2)}


def save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    (save_file if path.suffix == ".safetensors" else torch.save)(tensors, path)


def assert_equal(read: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(read) == sorted(expected)
    assert all(torch.equal(read[name], tensor) for name, tensor in expected.items())


@pytest.fixture(params=[SAFE, PICKLE])
def shards(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The index of a checkpoint in two shards: a and c in the first, b in the second."""
    one, two = f"one-{request.param}", f"two-{request.param}"
    save({"a": TENSORS["a"], "c": TENSORS["c"]}, tmp_path / one)
    save({"b": TENSORS["b"]}, tmp_path / two)
    index = tmp_path / f"{request.param}.index.json"
    index.write_text(json.dumps({"weight_map": {"a": one, "b": two, "c": one}}))
    return index


def set_weight_map(index: Path, **changes: str | None) -> None:
    """Change where tensors are said to be; {one} and {two} stand for the shards' names."""
    base = index.name.removesuffix(".index.json")
    weight_map = json.loads(index.read_text())["weight_map"]
    for name, shard in changes.items():
        weight_map[name] = shard and shard.format(one=f"one-{base}", two=f"two-{base}")
    kept = {name: shard for name, shard in weight_map.items() if shard is not None}
    index.write_text(json.dumps({"weight_map": kept}))


@pytest.mark.parametrize("name", [SAFE, PICKLE])
def test_a_single_file_is_read(tmp_path, name):
    save(TENSORS, tmp_path / name)
    assert_equal(read_weights(tmp_path), TENSORS)


def test_safetensors_are_preferred_to_a_pickle(tmp_path):
    save(TENSORS, tmp_path / SAFE)
    (tmp_path / PICKLE).write_bytes(b"never opened")
    assert_equal(read_weights(tmp_path), TENSORS)


def test_pickles_of_the_time_before_zip_files_are_read(tmp_path):
    torch.save(TENSORS, tmp_path / PICKLE, _use_new_zipfile_serialization=False)
    assert_equal(read_weights(tmp_path), TENSORS)


def test_shards_are_joined(shards):
    assert_equal(read_weights(shards.parent), TENSORS)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"b": "three.bin"}, r"names the shard three\.bin, which is not there"),
        ({"b": "../{two}"}, "which is not a file name"),
        ({"c": None}, r"tensor c is in one-.*, but not according to"),
        ({"c": "{two}"}, r"tensor c is in one-.*, but not according to"),
        ({"d": "{two}"}, r"tensor d is not in the shard"),
    ],
)
def test_an_index_that_disagrees_with_its_shards_is_refused(shards, changes, cause):
    set_weight_map(shards, **changes)
    with pytest.raises(ModelError, match=cause):
        read_weights(shards.parent)


def test_a_tensor_in_two_shards_is_refused(shards):
    second = shards.parent / f"two-{shards.name.removesuffix('.index.json')}"
    save({"a": TENSORS["a"], "b": TENSORS["b"]}, second)
    with pytest.raises(ModelError, match=r"tensor a is in two shards, one-.* and two-"):
        read_weights(shards.parent)


@pytest.mark.parametrize("content", ["{}", '{"weight_map": {}}', '{"weight_map": ["a"]}'])
def test_an_index_without_a_weight_map_is_refused(shards, content):
    shards.write_text(content)
    with pytest.raises(ModelError, match="has no weight_map"):
        read_weights(shards.parent)


def test_without_weights_the_error_names_the_files_looked_for(tmp_path):
    with pytest.raises(ModelError, match=r"model\.safetensors or .*pytorch_model\.bin\.index"):
        read_weights(tmp_path)


def test_a_file_without_tensors_is_refused(tmp_path):
    save({}, tmp_path / PICKLE)
    with pytest.raises(ModelError, match="holds no tensors"):
        read_weights(tmp_path)


@pytest.mark.parametrize("name", [SAFE, PICKLE])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path, name, share):
    save(TENSORS, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelError, match=rf"^{name} is truncated or not a .*: download it again$"):
        read_weights(tmp_path)


@pytest.mark.parametrize("name", [SAFE, PICKLE])
def test_a_git_lfs_pointer_is_named_as_such(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ModelError, match=f"{name} is a Git LFS pointer"):
        read_weights(tmp_path)


@pytest.mark.parametrize("name", [SAFE, PICKLE])
def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ModelError, match=f"{name} cannot be read"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([torch.ones(1)], "a list"),
        ({"a": 1}, "'a', which"),
        ({1: torch.ones(1)}, "1, which"),
        ({"state_dict": {"a": torch.ones(1)}}, "'state_dict', which"),
    ],
)
def test_a_pickle_of_anything_but_named_tensors_is_refused(tmp_path, content, what):
    torch.save(content, tmp_path / PICKLE)
    with pytest.raises(ModelError, match=f"{PICKLE} holds {what}"):
        read_weights(tmp_path)


class Bomb:
    """Makes a directory when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("protocol", ["zip", 0, 2, 4])
def test_a_pickle_that_runs_code_is_refused_and_the_code_does_not_run(tmp_path, protocol):
    marker, path = tmp_path / "ran", tmp_path / PICKLE
    content = {"a": Bomb(marker)}
    if protocol == "zip":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(ModelError, match="not a pickle of plain tensors"):
        read_weights(tmp_path)
    assert not marker.exists()


def test_the_code_that_a_pickle_would_run_is_named(tmp_path):
    torch.save({"a": Bomb(tmp_path / "ran")}, tmp_path / PICKLE)
    with pytest.raises(ModelError, match=r"\(it calls posix\.mkdir\)"):
        read_weights(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_half_precision_is_widened_and_double_precision_kept(tmp_path, dtype):
    stored = torch.linspace(-1, 1, 24).to(dtype)
    save({"a": stored}, tmp_path / SAFE)
    read = read_weights(tmp_path)["a"]
    assert read.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(read, stored.to(read.dtype))


@pytest.mark.parametrize(
    ("tensor", "cause"),
    [
        (torch.ones(3, dtype=torch.int8), "tensor a is int8, not float16"),
        (torch.ones(3, dtype=torch.float8_e4m3fn), "tensor a is float8_e4m3fn, not float16"),
        (torch.ones(3, dtype=torch.complex64), "tensor a is complex64, not float16"),
        (torch.tensor([1.0, torch.nan]), "tensor a has NaN or infinite values"),
        (torch.tensor([-torch.inf]), "tensor a has NaN or infinite values"),
        (torch.tensor([1e300, torch.inf], dtype=torch.float64), "tensor a has NaN or infinite"),
        (torch.eye(3).to_sparse(), "tensor a is not stored as a plain dense array"),
        (torch.ones(3, device="meta"), "tensor a is not stored as a plain dense array"),
    ],
)
def test_a_tensor_that_is_no_array_of_finite_numbers_is_refused(tmp_path, tensor, cause):
    save({"a": tensor}, tmp_path / PICKLE)
    with pytest.raises(ModelError, match=cause):
        read_weights(tmp_path)


def test_tensors_that_share_their_storage_are_read(tmp_path):
    save({"a": TENSORS["a"], "b": TENSORS["a"].T}, tmp_path / PICKLE)
    assert_equal(read_weights(tmp_path), {"a": TENSORS["a"], "b": TENSORS["a"].T})


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "3", "\x80", "[" * 100_000])
def test_anything_but_a_json_object_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match=r"^config\.json "):
        read_json(tmp_path / "config.json")


def test_infinity_in_json_is_accepted(tmp_path):
    (tmp_path / "config.json").write_text('{"limit": [0.0, Infinity]}')
    assert read_json(tmp_path / "config.json") == {"limit": [0.0, float("inf")]}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    source = Path(__file__).parent / "oracles" / "hf_mamba_tiny"
    return Path(shutil.copytree(source, tmp_path / "tiny"))


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_beside_the_weights_is_refused(tiny, name):
    (tiny / name).write_text("{}")
    with pytest.raises(ModelError, match=f"{name} changes the weights beside it: merge"):
        read_checkpoint(tiny)


def test_text_files_may_begin_with_a_byte_order_mark(tiny):
    digest = read_checkpoint(tiny).digest
    for name in ("config.json", "vocab.txt"):
        (tiny / name).write_text((tiny / name).read_text(), encoding="utf-8-sig")
    assert read_checkpoint(tiny).digest == digest
