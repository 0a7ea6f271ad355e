"""Read the JSON and weight files of a checkpoint directory; nothing in them is ever executed.

Errors name the file and the cause; the caller adds the directory.
"""

from __future__ import annotations

import json
import re
import warnings
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pgf_genome.errors import ModelError

ZIP_MAGIC = b"PK\x03\x04"
# Axes of a tensor; PyTorch computes with 64 at most.
MOST_AXES = 8
# How often the bytes of a file may be in its tensors, which share them where weights are tied.
SHARED = 4
LFS_POINTER = b"version https://git-lfs"
# Files of an adapter (LoRA), without which the weights beside them are those of another model.
ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; ``Infinity`` and ``NaN`` are accepted, as transformers 4 writes them.

    Raises
    ------
    ModelError
        If the file cannot be read, is no JSON, or is not an object.
    """
    refuse_lfs_pointer(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path.name} is not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path.name} holds a {type(content).__name__}, not a JSON object")
    return content


def refuse_lfs_pointer(path: Path) -> None:
    """Raise a ModelError if the file cannot be opened or is the stand-in Git LFS leaves."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ModelError(f"{path.name} is not a regular file")  # a pipe or device may have no end
    try:
        with path.open("rb") as file:
            start = file.read(len(LFS_POINTER))
    except OSError as error:
        raise ModelError(f"{path.name} cannot be read ({error.strerror})") from None
    if start == LFS_POINTER:
        raise ModelError(
            f"{path.name} is a Git LFS pointer, not the file itself: run 'git lfs pull' there"
        )


def refuse_adapter(names: Collection[str]) -> None:
    """Raise a ModelError if an adapter is among the files of a checkpoint."""
    found = next((name for name in ADAPTERS if name in names), None)
    if found:
        raise ModelError(
            f"{found} changes the weights beside it: merge the adapter into them first"
        )


def read_weights(directory: Path) -> dict[str, torch.Tensor]:
    """Read every tensor of a checkpoint on the CPU, float16 and bfloat16 widened to float32.

    Integer tensors are read only under a name that says ``complement_map``.

    Looked for in this order, as transformers does: ``model.safetensors``, its shards,
    ``pytorch_model.bin``, its shards. A pickle is read with ``weights_only=True``.

    Parameters
    ----------
    directory : Path
        Folder that holds the files.

    Returns
    -------
    dict of str to torch.Tensor
        Names as they are in the files, in sorted order; float32 or float64, all finite, or
        int64.

    Raises
    ------
    ModelError
        If a file is missing, damaged, an LFS pointer or a pickle that wants to run code, or a
        tensor is not floating point or not finite.
    """
    tensors = _read_files(directory)
    if not tensors:
        raise ModelError("the weight file holds no tensors")
    return {name: _widened(name, tensors[name]) for name in sorted(tensors)}


def _read_files(directory: Path) -> dict[str, torch.Tensor]:
    readers = {"model.safetensors": _read_safetensors, "pytorch_model.bin": _read_pickle}
    for name, read in readers.items():
        index = directory / f"{name}.index.json"
        if (directory / name).exists():
            return read(directory / name)
        if index.exists():
            return _read_shards(index, read)
    expected = ", ".join(f"{name} or {name}.index.json" for name in readers)
    raise ModelError(f"no weights found: looked for {expected}")


def _read_shards(
    index: Path, read: Callable[[Path], dict[str, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ModelError(f"{index.name} has no weight_map")
    tensors: dict[str, torch.Tensor] = {}
    home: dict[str, str] = {}
    for shard in sorted(set(map(str, weight_map.values()))):
        path = index.parent / shard
        if Path(shard).name != shard:
            raise ModelError(f"{index.name} names {shard!r}, which is not a file name")
        if not path.exists():
            raise ModelError(f"{index.name} names the shard {shard}, which is not there")
        for name, tensor in read(path).items():
            if name in tensors:
                raise ModelError(f"tensor {name} is in two shards, {home[name]} and {shard}")
            if weight_map.get(name) != shard:
                raise ModelError(f"tensor {name} is in {shard}, but not according to {index.name}")
            tensors[name], home[name] = tensor, shard
    absent = sorted(set(weight_map) - set(tensors))
    if absent:
        raise ModelError(f"tensor {absent[0]} is not in the shard that {index.name} names for it")
    return tensors


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    refuse_lfs_pointer(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{path.name} is truncated or not a safetensors file ({_first_line(error)}): "
            "download it again"
        ) from None


def _read_pickle(path: Path) -> dict[str, torch.Tensor]:
    refuse_lfs_pointer(path)
    try:
        with warnings.catch_warnings():
            # The pickle's protocol is no concern of the user's: it either loads or it does not.
            warnings.simplefilter("ignore", UserWarning)
            _refuse_compressed(path)
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything at all
        if isinstance(error, ModelError):
            raise
        if isinstance(error, UnpicklingError):
            named = re.search(r"GLOBAL ([\w.]+)", str(error))
            call = f" (it calls {named[1]})" if named else ""
            raise ModelError(
                f"{path.name} is not a pickle of plain tensors{call}, so none of its code was "
                "run: use a checkpoint that holds tensors only"
            ) from None
        raise ModelError(
            f"{path.name} is truncated or not a PyTorch weight file ({_first_line(error)}): "
            "download it again"
        ) from None
    if not isinstance(content, dict):
        raise ModelError(f"{path.name} holds a {type(content).__name__}, not named tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise ModelError(f"{path.name} holds {name!r}, which is not a named tensor")
    dense = [t for t in content.values() if t.layout is torch.strided]
    if sum(t.numel() * t.element_size() for t in dense) > SHARED * path.stat().st_size:
        raise ModelError(f"the tensors of {path.name} are larger than the file")
    return content


def _refuse_compressed(path: Path) -> None:
    """Raise a ModelError for a zip file that holds more than its size; torch.save stores as is."""
    with path.open("rb") as file:
        if file.read(len(ZIP_MAGIC)) != ZIP_MAGIC:
            return
        with zipfile.ZipFile(file) as held:
            if sum(each.file_size for each in held.infolist()) > path.stat().st_size:
                raise ModelError(f"{path.name} is compressed, which a PyTorch weight file never is")


def _widened(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dtype is torch.int64 and name.endswith("complement_map") and tensor.dim() == 1:
        return tensor
    if tensor.dtype not in FLOATING:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise ModelError(f"tensor {name} is {kind}, not float16, bfloat16, float32 or float64")
    plain = tensor.layout is torch.strided and tensor.dim() <= MOST_AXES
    if not plain or tensor.device.type != "cpu":
        raise ModelError(f"tensor {name} is not stored as a plain dense array")
    if tensor.dtype is not torch.float64:
        tensor = tensor.to(torch.float32)
    tensor = tensor.detach().contiguous()
    if not tensor.isfinite().all():
        raise ModelError(f"tensor {name} has NaN or infinite values")
    return tensor


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
