"""Load a checkpoint: strict in both directions, without running its code.

Nothing is initialised and nothing is ignored: a tensor that is missing, unknown, of another
shape or not finite is an error that names it. Python files beside the weights are never imported.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from pgf_genome.checkpoints.choices import DEFAULT_DEVICE, DEFAULT_DTYPE, DTYPES
from pgf_genome.checkpoints.families import candidates_of, choose
from pgf_genome.checkpoints.family import Stored, canonical_names
from pgf_genome.checkpoints.files import read_json, read_weights, refuse_adapter
from pgf_genome.checkpoints.source import resolve_source
from pgf_genome.checkpoints.tokenizer import trained_length
from pgf_genome.errors import ModelError, ResourceError, UsageError
from pgf_genome.mamba.bidirectional import BidirectionalMamba
from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.model import CausalMamba, LanguageModel
from pgf_genome.mamba.vocabulary import Vocabulary
from pgf_genome.torch_modes import in_ordinary_modes

log = logging.getLogger("pgf_genome")

# precision asked for -> that of everything but the products of the blocks
STORED = {torch.bfloat16: torch.float32}


@dataclass(frozen=True)
class Checkpoint:
    """A model as read from disk, before any computation.

    Attributes
    ----------
    config : MambaConfig
        Sizes and switches.
    vocabulary : Vocabulary
        Token map.
    tensors : dict of str to Tensor
        Weights under the names of `LanguageModel.state_dict`, in sorted order; float32, or
        float64 where the file has it. A head tied to the embedding is left out, projections that
        two mixers share are there twice, and Caduceus-PS is in its single-strand form.
    family : str
        For example "mamba", "mamba2", "caduceus-ph", "caduceus-ps-mamba2".
    parameters : int
        Numbers of the model as it is stored; shared tensors count once.
    tied_head : bool
        Whether the head of the model as it is stored is the embedding.
    facts : mapping
        Facts that only its family has.
    trained_length : int or None
        Longest input that the tokenizer's files promise, if they do.
    source : Path
        Directory that was read.
    digest : str
        SHA-256 of config, token map and weights, hexadecimal: the same for every layout on disk
        of the same model.
    """

    config: MambaConfig
    vocabulary: Vocabulary
    tensors: dict[str, Tensor]
    family: str
    parameters: int
    tied_head: bool
    facts: Mapping[str, Any]
    trained_length: int | None
    source: Path
    digest: str


@in_ordinary_modes
def load_model(
    source: str | Path,
    device: str | torch.device = DEFAULT_DEVICE,
    dtype: str | torch.dtype = DEFAULT_DTYPE,
    *,
    n_as_pad: bool = False,
) -> LanguageModel:
    """Load a frozen model, ready for the sweeps.

    Parameters
    ----------
    source : str or Path
        Bundled name, checkpoint directory or hub id: see `resolve_source`.
    device : str or torch.device
        "cpu", "cuda", "cuda:INDEX" or "auto" (the first GPU, or the CPU if there is none).
    dtype : str or torch.dtype
        float32, float64, or bfloat16: the products inside the blocks take bfloat16 factors, and
        everything else, states and sums among it, is float32.
    n_as_pad : bool
        Feed N as the padding token: Caduceus saw its Ns as [PAD] when it was trained, although
        its tokenizer has an N.

    Returns
    -------
    CausalMamba or BidirectionalMamba
        In evaluation mode, without weight gradients; ``name`` is the bundled or directory name,
        or the hub's, and ``digest`` that of `Checkpoint`.

    Raises
    ------
    ModelError
        If the source is not a checkpoint that this version reads.
    ResourceError, UsageError
        If the device is not there, or device or dtype is not one of those above.
    """
    precision, place = resolve_dtype(dtype), resolve_device(device)
    found = resolve_source(source)
    checkpoint = read_checkpoint(found.directory, n_as_pad=n_as_pad)
    model = skeleton(checkpoint.config, checkpoint.vocabulary, found.name, checkpoint.digest)
    model.trained_length, model.origin = checkpoint.trained_length, found.origin
    stored = STORED.get(precision, precision)
    weights = {name: t.to(stored, copy=True) for name, t in checkpoint.tensors.items()}
    model.load_state_dict(weights, strict=True, assign=True)
    model.precision = precision
    log.debug(
        "model %s from %s: %s, %s parameters, %s on %s",
        *(found.name, found.directory, checkpoint.family, f"{checkpoint.parameters:,}"),
        *(str(precision).removeprefix("torch."), place),
    )
    return model.to(place).requires_grad_(False).eval()


def skeleton(
    config: MambaConfig, vocabulary: Vocabulary | None, name: str = "", digest: str = ""
) -> LanguageModel:
    """The model of a configuration with all its modules and shapes, and no memory for weights.

    For its shapes alone it needs no vocabulary.
    """
    kind = BidirectionalMamba if config.two_way else CausalMamba
    with torch.device("meta"):
        return kind(config, cast(Vocabulary, vocabulary), name, digest)


def resolve_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """Find the type that a name means: see `load_model`."""
    name = getattr(dtype, "__name__", str(dtype)).removeprefix("torch.")
    if name not in DTYPES:
        raise UsageError(f"`dtype` must be {', '.join(DTYPES[:-1])} or {DTYPES[-1]}, not {name}")
    return getattr(torch, name)


def resolve_device(device: str | torch.device) -> torch.device:
    """Find the device that `device` means: see `load_model`."""
    if str(device) == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        place = torch.device(device)
    except RuntimeError:
        place = None
    if place is None or place.type not in ("cpu", "cuda"):
        raise UsageError(f"`device` must be auto, cpu, cuda or cuda:INDEX, not {str(device)!r}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if place.type == "cuda" and (place.index or 0) >= count:
        raise ResourceError(
            f"`device` {device}: this machine has {count} usable CUDA devices; use `device` cpu"
        )
    return place


def read_checkpoint(directory: Path, *, n_as_pad: bool = False) -> Checkpoint:
    """Read and check a checkpoint directory in any layout of the families that are known.

    Raises
    ------
    ModelError
        If the directory is incomplete or damaged, holds a model of another family, disagrees
        with its own configuration, or has no per-base tokens. The message starts with the
        directory.
    """
    try:
        return _read(directory, n_as_pad)
    except ModelError as error:
        raise ModelError(f"{directory}: {error}") from None


def _read(directory: Path, n_as_pad: bool) -> Checkpoint:
    if not directory.is_dir():
        raise ModelError("no such directory")
    if not (directory / "config.json").exists():
        raise ModelError("no config.json, so this is not a complete checkpoint directory")
    refuse_adapter([path.name for path in directory.iterdir()])
    candidates = candidates_of(read_json(directory / "config.json"))
    weights = read_weights(directory)
    family, mixer, stated = choose(candidates, weights)
    in_file = canonical_names(family, weights)
    stored = Stored(stated, {name: weights[in_file[name]] for name in sorted(in_file)}, in_file)
    config = family.config(stored, mixer)
    tensors = family.weights(stored, config)
    if config.tied:
        tensors = {name: t for name, t in tensors.items() if name != "lm_head.weight"}
    model = skeleton(config, None)
    _check_tensors(tensors, in_file, model)
    vocabulary = family.vocabulary(directory, config.vocab_rows)
    if n_as_pad:
        if not config.two_way:
            raise UsageError(
                f"`n_as_pad` is for bidirectional models, whose Ns were padding in training; "
                f"{directory} is causal: leave it out"
            )
        vocabulary = vocabulary.with_n_as_pad()
    computed, tensors = family.converted(config, tensors, vocabulary, stated)
    tensors = dict(sorted(tensors.items()))
    return Checkpoint(
        config=computed,
        vocabulary=vocabulary,
        tensors=tensors,
        family=family.called(config),
        parameters=sum(p.numel() for p in model.parameters()),
        tied_head=config.tied,
        facts=family.facts(config),
        trained_length=trained_length(directory),
        source=directory,
        digest=_digest(computed, vocabulary, tensors),
    )


def _check_tensors(
    tensors: dict[str, Tensor], in_file: dict[str, str], model: LanguageModel
) -> None:
    expected = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    missing = sorted(set(expected) - set(tensors))
    if missing:
        raise ModelError(f"tensor {missing[0]} is missing{_others(missing)}")
    unknown = sorted(set(tensors) - set(expected))
    if unknown:
        raise ModelError(f"unknown tensor {in_file[unknown[0]]}{_others(unknown)}")
    for name, shape in expected.items():
        found = tuple(tensors[name].shape)
        if found != shape:
            raise ModelError(f"tensor {in_file[name]} has shape {found}, expected {shape}")


def _others(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _digest(config: MambaConfig, vocabulary: Vocabulary, tensors: dict[str, Tensor]) -> str:
    header: dict[str, Any] = {"config": config.identity(), "vocabulary": asdict(vocabulary)}
    header["tensors"] = [(name, str(t.dtype), list(t.shape)) for name, t in tensors.items()]
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for tensor in tensors.values():
        digest.update(tensor.numpy().data.cast("B"))
    return digest.hexdigest()
