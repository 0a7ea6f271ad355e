"""Load a checkpoint: strict in both directions, without running its code.

Nothing is initialised and nothing is ignored: a tensor that is missing, unknown, of another
shape or not finite is an error that names it. Python files beside the weights are never imported.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from pgf_genome.checkpoints.files import read_json, read_weights
from pgf_genome.checkpoints.layouts import (
    COMPLEMENT_MAPS,
    SHARED,
    canonical_names,
    check_wrappers,
    config_of,
    expected_shapes,
    fill_aliases,
)
from pgf_genome.checkpoints.refused import refuse_foreign_tensors, refuse_other_families
from pgf_genome.checkpoints.source import resolve_source
from pgf_genome.checkpoints.stated import stated_values
from pgf_genome.checkpoints.strands import check_complement, single_strand
from pgf_genome.checkpoints.tokenizer import read_vocabulary, trained_length
from pgf_genome.errors import ModelError, ResourceError, UsageError
from pgf_genome.mamba.bidirectional import BidirectionalMamba
from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.model import CausalMamba, LanguageModel
from pgf_genome.mamba.vocabulary import Vocabulary

# dtype asked for -> that of everything but the products of the blocks
DTYPES = {torch.float32: torch.float32, torch.float64: torch.float64, torch.bfloat16: torch.float32}


@dataclass(frozen=True)
class Checkpoint:
    """A model as read from disk, before any computation.

    Attributes
    ----------
    config : MambaConfig
        Sizes and switches.
    vocabulary : Vocabulary
        Token map.
    tensors : dict of str to torch.Tensor
        Weights under the names of `LanguageModel.state_dict`, in sorted order; float32, or
        float64 where the file has it. A head tied to the embedding is left out, projections that
        two mixers share are there twice, and Caduceus-PS is in its single-strand form.
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
    tensors: dict[str, torch.Tensor]
    trained_length: int | None
    source: Path
    digest: str

    @property
    def parameters(self) -> int:
        """Numbers in the file that are not the same as others."""
        repeated = self.config.two_way and self.config.two_way.shared
        return sum(
            tensor.numel()
            for name, tensor in self.tensors.items()
            if not (repeated and ".mamba_rev." in name and name.endswith(SHARED))
            and not (self.config.two_way and name == "lm_head.weight")
        )

    @property
    def family(self) -> str:
        """ "mamba", "mamba2", "caduceus-ph" or "caduceus-ps", the latter also with Mamba-2."""
        mixer = "mamba2" if self.config.mamba2 else "mamba"
        if self.config.two_way is None:
            return mixer
        strands = "ph" if self.config.two_way.complement is None else "ps"
        return f"caduceus-{strands}" + ("-mamba2" if self.config.mamba2 else "")


def load_model(
    source: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
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
    dtype : torch.dtype
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
    if dtype not in DTYPES:
        raise UsageError(f"--dtype must be float32, float64 or bfloat16, not {dtype}")
    place = resolve_device(device)
    found = resolve_source(source)
    checkpoint = read_checkpoint(found.directory, n_as_pad=n_as_pad)
    kind = BidirectionalMamba if checkpoint.config.two_way else CausalMamba
    model = kind(checkpoint.config, checkpoint.vocabulary, found.name, checkpoint.digest)
    model.trained_length, model.origin = checkpoint.trained_length, found.origin
    model.to(DTYPES[dtype]).load_state_dict(checkpoint.tensors, strict=True)
    model.precision = dtype
    return model.to(place).requires_grad_(False).eval()


def resolve_device(device: str | torch.device) -> torch.device:
    """Find the device that ``--device`` means: see `load_model`."""
    if str(device) == "auto":
        return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    try:
        place = torch.device(device)
    except RuntimeError:
        place = None
    if place is None or place.type not in ("cpu", "cuda"):
        raise UsageError(f"--device must be auto, cpu, cuda or cuda:INDEX, not {str(device)!r}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if place.type == "cuda" and (place.index or 0) >= count:
        raise ResourceError(
            f"--device {device}: this machine has {count} usable CUDA devices; use --device cpu"
        )
    return place


def read_checkpoint(directory: Path, *, n_as_pad: bool = False) -> Checkpoint:
    """Read and check a checkpoint directory in any layout of ``layouts.py``.

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
    stated_config = read_json(directory / "config.json")
    refuse_other_families(stated_config)
    stated = stated_values(stated_config)
    weights = read_weights(directory)
    refuse_foreign_tensors(weights)
    in_file = canonical_names(list(weights), stated_config)
    tensors = {name: weights[in_file[name]] for name in sorted(in_file)}
    config = config_of(tensors, stated)
    if config.two_way:
        check_wrappers(in_file, stated)
        tensors = {n: t for n, t in tensors.items() if n not in COMPLEMENT_MAPS}
        if config.two_way.shared:
            fill_aliases(tensors, in_file)
    if config.tied:
        tensors.pop("lm_head.weight", None)
    _check_tensors(tensors, in_file, config)
    vocabulary = read_vocabulary(directory, config.vocab_rows)
    if n_as_pad:
        vocabulary = vocabulary.with_n_as_pad()
    complement = config.two_way and config.two_way.complement
    if complement:
        check_complement(complement, vocabulary.base_ids)
        if stated.get("fused", True):
            tensors = single_strand(tensors, config.n_layer, complement)
            config = replace(config, tied="lm_head.weight" not in tensors)
    tensors = dict(sorted(tensors.items()))
    digest = _digest(config, vocabulary, tensors)
    length = trained_length(directory)
    return Checkpoint(config, vocabulary, tensors, length, directory, digest)


def _check_tensors(
    tensors: dict[str, torch.Tensor], in_file: dict[str, str], config: MambaConfig
) -> None:
    expected = expected_shapes(config)
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


def _digest(config: MambaConfig, vocabulary: Vocabulary, tensors: dict[str, torch.Tensor]) -> str:
    header = {"config": asdict(config), "vocabulary": asdict(vocabulary)}
    header["tensors"] = [(name, str(t.dtype), list(t.shape)) for name, t in tensors.items()]
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for tensor in tensors.values():
        digest.update(memoryview(tensor.numpy()).cast("B"))
    return digest.hexdigest()
