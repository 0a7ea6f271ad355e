"""How the tensors of a checkpoint map to ours, and what sizes they have.

Layouts are told apart by spelling alone: ``MambaForCausalLM`` and ``Mamba2ForCausalLM`` of
transformers (``backbone.embeddings.weight``), the native one of mamba_ssm (no ``model_type``,
``backbone.embedding.weight``, rows padded to a multiple), and Caduceus (``caduceus.backbone.``,
a mixer for each direction, wrappers around what reads both strands).
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch

from pgf_genome.checkpoints.stated import DEFAULT_EPS
from pgf_genome.errors import ModelError
from pgf_genome.mamba.config import Heads, MambaConfig, TwoWay

DIRECTIONS = ("mamba_fwd", "mamba_rev")
SHARED = ("in_proj.weight", "in_proj.bias", "out_proj.weight", "out_proj.bias")
COMPLEMENT_MAPS = ("lm_head.complement_map", "embeddings.complement_map")
# Defaults of the Mamba-2 configurations: native, and of transformers.
DEFAULT_HEADS = {True: {"groups": 1, "d_state": 128}, False: {"groups": 8, "d_state": 128}}


def canonical_names(names: list[str], config: dict[str, Any]) -> dict[str, str]:
    """Name in the file of every tensor, by its name in ``LanguageModel.state_dict``.

    Complement maps, which are no weights, are named as in `COMPLEMENT_MAPS`.

    Raises
    ------
    ModelError
        If two tensors have one canonical name, or the file is a base model without a head.
    """
    caduceus = config.get("model_type") == "caduceus"
    prefixed = any("backbone." in name for name in names)
    with_head = {"MambaForCausalLM", "Mamba2ForCausalLM"} & set(config.get("architectures") or [])
    if not (prefixed or "lm_head.weight" in names or with_head):
        raise ModelError(
            "a base model saved without its language-model head (no 'backbone.' names, no "
            "lm_head.weight): save it as MambaForCausalLM"
        )
    in_file: dict[str, str] = {}
    for name in names:
        canonical = name.removeprefix("caduceus.") if caduceus else name
        bare = canonical.removeprefix("backbone.")
        if bare == canonical and prefixed and not name.startswith("lm_head."):
            raise ModelError(f"unknown tensor {name}")
        canonical = _without_wrappers(bare) if caduceus else bare
        if canonical == "embedding.weight":
            canonical = "embeddings.weight"
        if canonical in in_file:
            raise ModelError(f"tensors {in_file[canonical]} and {name} are the same one")
        in_file[canonical] = name
    return in_file


def _without_wrappers(name: str) -> str:
    """A name inside Caduceus without the modules that wrap both strands around others."""
    name = name.replace("embeddings.word_embeddings.", "embeddings.")
    name = name.replace("embeddings.embedding.", "embeddings.")
    name = name.replace("lm_head.lm_head.", "lm_head.")
    return re.sub(r"\b(norm|norm_f|mixer)\.submodule\.", r"\1.", name)


def check_wrappers(in_file: dict[str, str], stated: dict[str, Any]) -> None:
    """See that Caduceus' tensor names are those that its switches produce.

    Raises
    ------
    ModelError
        If not: the switches decide how the strands exchange places, and somebody changed them.
    """
    rcps, fused = stated.get("rcps", False), stated.get("fused", True)
    expected = {"layers.0.norm.weight": rcps and not fused, "layers.0.mixer.": rcps}
    for start, wrapped in expected.items():
        for canonical, name in in_file.items():
            if canonical.startswith(start) and (".submodule." in name) != wrapped:
                said = f"rcps {rcps} and fused_add_norm {fused}".lower()
                raise ModelError(
                    f"config.json says {said}, but the tensor {name} is named otherwise: restore "
                    "the configuration that the model was trained with"
                )


def fill_aliases(tensors: dict[str, torch.Tensor], in_file: dict[str, str]) -> None:
    """Give the reverse mixers the shared projections, which files may leave out.

    Raises
    ------
    ModelError
        If the file has both and they differ.
    """
    for name in [n for n in tensors if ".mamba_fwd." in n and n.endswith(SHARED)]:
        alias = name.replace(".mamba_fwd.", ".mamba_rev.")
        if not torch.equal(tensors.setdefault(alias, tensors[name]), tensors[name]):
            raise ModelError(
                f"{in_file[alias]} differs from {in_file[name]}, but config.json says that both "
                "directions share it (bidirectional_weight_tie)"
            )


def config_of(tensors: dict[str, torch.Tensor], stated: dict[str, Any]) -> MambaConfig:
    """Sizes from canonical tensors, checked against everything the configuration states.

    The head is tied if no ``lm_head.weight`` is stored, unless the configuration says untied. A
    stored head that differs from the embedding wins if the configuration does not mention tying;
    if it says tied the file contradicts itself, and implementations differ: an error.

    Raises
    ------
    ModelError
        If sizes disagree with the configuration, or no sizes can be read.
    """
    two_way = _two_way(tensors, stated)
    mixer = "layers.0.mixer" + (".mamba_fwd" if two_way else "")
    kind = 2 if f"{mixer}.dt_bias" in tensors else 1
    if stated.get("mixer", kind) != kind:
        raise ModelError(
            f"config.json says Mamba-{stated['mixer']}, but the tensors are Mamba-{kind}'s"
        )
    n_layer = _layers(tensors)
    if n_layer != stated["n_layer"]:
        raise ModelError(f"config.json says {stated['n_layer']} layers, the weights hold {n_layer}")
    rows, d_model = _shape(tensors, "embeddings.weight", 2)
    found = {"d_model": d_model, "d_conv": _shape(tensors, f"{mixer}.conv1d.weight", 3)[2]}
    found |= (_mamba1_sizes if kind == 1 else _mamba2_sizes)(tensors, mixer, stated)
    for field, value in found.items():
        if stated.get(field, value) != value and (field, kind) != ("dt_rank", 2):
            raise ModelError(f"config.json says {field} {stated[field]}, the weights say {value}")
    d_inner = found["d_inner"]
    if "expand" in stated and int(stated["expand"] * d_model) != d_inner:
        raise ModelError(
            f"config.json says expand {stated['expand']:g}, the weights say d_inner {d_inner} "
            f"at d_model {d_model}"
        )
    _check_rows(rows, stated)
    return MambaConfig(
        n_layer=n_layer,
        vocab_rows=rows,
        norm_eps=stated.get("norm_eps", DEFAULT_EPS),
        rms_norm=stated.get("rms_norm", True),
        conv_bias=stated.get("conv_bias", True),
        proj_bias=stated.get("proj_bias", False),
        tied=_tied(tensors, stated, kind),
        two_way=two_way,
        **found,
    )


def _two_way(tensors: dict[str, torch.Tensor], stated: dict[str, Any]) -> TwoWay | None:
    if not any(".mamba_fwd." in name for name in tensors):
        return None
    complement = None
    if stated.get("rcps"):
        complement = complement_map(tensors, stated)
    return TwoWay(stated.get("shared", True), stated.get("strategy", "add"), complement)


def complement_map(tensors: dict[str, torch.Tensor], stated: dict[str, Any]) -> tuple[int, ...]:
    """The one complement map that configuration and file agree on, padding rows included.

    Raises
    ------
    ModelError
        If there is none, or two differ.
    """
    rows = _shape(tensors, "embeddings.weight", 2)[0]
    found = {n: tuple(tensors[n].tolist()) for n in COMPLEMENT_MAPS if n in tensors}
    if "complement" in stated:
        short = stated["complement"]
        # padding rows that the configuration leaves out are their own complement
        found["complement_map in config.json"] = short + tuple(range(len(short), rows))
    if not found:
        raise ModelError(
            "rcps is true, but neither config.json nor the weights have a complement_map: without "
            "it the other strand is not known"
        )
    (first, chosen), *others = found.items()
    for name, other in others:
        if other != chosen:
            raise ModelError(f"{first} and {name} differ")
    return chosen


def _mamba1_sizes(
    tensors: dict[str, torch.Tensor], mixer: str, stated: dict[str, Any]
) -> dict[str, Any]:
    d_inner, d_state = _shape(tensors, f"{mixer}.A_log", 2)
    rank = _shape(tensors, f"{mixer}.dt_proj.weight", 2)[1]
    return {"d_inner": d_inner, "d_state": d_state, "dt_rank": rank}


def _mamba2_sizes(
    tensors: dict[str, torch.Tensor], mixer: str, stated: dict[str, Any]
) -> dict[str, Any]:
    """N and G appear in the shapes as a product only: they are stated, and checked."""
    defaults = DEFAULT_HEADS[stated["native"]]
    (heads,) = _shape(tensors, f"{mixer}.dt_bias", 1)
    d_inner = _shape(tensors, f"{mixer}.out_proj.weight", 2)[1]
    channels = _shape(tensors, f"{mixer}.conv1d.weight", 3)[0]
    groups, d_state = (stated.get(key, defaults[key]) for key in ("groups", "d_state"))
    if channels != d_inner + 2 * groups * d_state:
        raise ModelError(
            f"config.json says {groups} groups and d_state {d_state}, but the convolution has "
            f"{channels} channels at d_inner {d_inner}"
        )
    said = {"heads": heads, "head_dim": d_inner // heads}
    for field, value in said.items():
        if stated.get(field, value) != value:
            raise ModelError(f"config.json says {field} {stated[field]}, the weights say {value}")
    limits = stated.get("dt_limit", (0.0, math.inf))
    return {
        "d_inner": d_inner,
        "d_state": d_state,
        "dt_rank": heads,
        "mamba2": Heads(heads, groups, limits),
    }


def expected_shapes(config: MambaConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of ``LanguageModel.state_dict`` for a configuration."""
    d = config.d_model
    norm = {"weight": (d,)} if config.rms_norm else {"weight": (d,), "bias": (d,)}
    mixers = [f"mixer.{way}" for way in DIRECTIONS] if config.two_way else ["mixer"]
    block = {f"norm.{name}": shape for name, shape in norm.items()}
    for mixer in mixers:
        block |= {f"{mixer}.{name}": shape for name, shape in _mixer_shapes(config).items()}
    shapes = {"embeddings.weight": (config.vocab_rows, d)}
    for i in range(config.n_layer):
        shapes |= {f"layers.{i}.{name}": shape for name, shape in block.items()}
    shapes |= {f"norm_f.{name}": shape for name, shape in norm.items()}
    if not config.tied:
        shapes["lm_head.weight"] = (config.vocab_rows, d)
    return shapes


def _mixer_shapes(config: MambaConfig) -> dict[str, tuple[int, ...]]:
    d, di, n, r = config.d_model, config.d_inner, config.d_state, config.dt_rank
    channels, inputs = config.conv_channels, 2 * di
    if config.mamba2:
        inputs = di + channels + r
        shapes = {"dt_bias": (r,), "A_log": (r,), "D": (r,), "norm.weight": (di,)}
    else:
        shapes = {
            "x_proj.weight": (r + 2 * n, di),
            "dt_proj.weight": (di, r),
            "dt_proj.bias": (di,),
            "A_log": (di, n),
            "D": (di,),
        }
    shapes |= {
        "in_proj.weight": (inputs, d),
        "conv1d.weight": (channels, 1, config.d_conv),
        "out_proj.weight": (d, di),
    }
    if config.conv_bias:
        shapes["conv1d.bias"] = (channels,)
    if config.proj_bias:
        shapes |= {"in_proj.bias": (inputs,), "out_proj.bias": (d,)}
    return shapes


def _layers(tensors: dict[str, torch.Tensor]) -> int:
    return len({name.split(".")[1] for name in tensors if name.startswith("layers.")})


def _shape(tensors: dict[str, torch.Tensor], name: str, rank: int) -> tuple[int, ...]:
    if name not in tensors:
        raise ModelError(f"tensor {name} is missing")
    shape = tuple(tensors[name].shape)
    if len(shape) != rank:
        raise ModelError(f"tensor {name} has shape {shape}, expected {rank} dimensions")
    return shape


def _check_rows(rows: int, stated: dict[str, Any]) -> None:
    """Embedding rows must be the vocabulary size, as stated or rounded up to the multiple."""
    size, multiple = stated["vocab_size"], stated.get("pad_vocab_size_multiple", 1)
    padded = -(-size // multiple) * multiple
    if rows not in (size, padded):
        raise ModelError(
            f"config.json says vocab_size {size} (padded {padded}), the embedding has {rows} rows"
        )


def _tied(tensors: dict[str, torch.Tensor], stated: dict[str, Any], kind: int) -> bool:
    head, said = tensors.get("lm_head.weight"), stated.get("tied")
    if any(".mamba_fwd." in name for name in tensors):
        said = True  # Caduceus knows nothing else
    if head is None and said is None:
        # transformers ties the heads of Mamba-1 unless told otherwise, not those of Mamba-2
        return kind == 1 or stated["native"]
    if head is None or said is False:
        return said is not False
    if torch.equal(head, tensors["embeddings.weight"]):
        return True
    if said:
        raise ModelError(
            "config.json says that head and embedding are tied, but lm_head.weight differs from "
            "the embedding: set tie_word_embeddings (or tie_embeddings) to false to use the head"
        )
    return False
