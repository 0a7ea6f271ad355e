"""Which checkpoints are causal Mamba-1, and how their tensors and sizes map to ours.

Two layouts, told apart by nothing but spelling: ``MambaForCausalLM`` of transformers
(``model_type`` "mamba", ``backbone.embeddings.weight``) and the native one of mamba_ssm
(no ``model_type``, options in ``ssm_cfg``, ``backbone.embedding.weight``, embedding rows padded
to a multiple of ``pad_vocab_size_multiple``). Files with both spellings exist, so every size is
taken from the tensors and everything the configuration states must agree with it.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from pgf_genome.errors import ModelError
from pgf_genome.mamba.config import MambaConfig

ARCHITECTURES = {"MambaForCausalLM", "MambaLMHeadModel", "MambaModel"}

HYBRID_KEYS = {
    "layers_block_type_string": "a hybrid of Mamba, attention and MLP layers",
    "layers_block_type": "a hybrid of Mamba, attention and MLP layers",
    "attn_layer_idx": "attention layers",
    "d_intermediate": "an MLP in every layer",
    "mixer_rms_eps": "norms on dt, B and C, as in falcon_mamba",
    "bidirectional": "a model that reads both directions, as Caduceus",
}

# Those of the second row act at initialisation or choose a kernel: no part of the function.
SSM_OPTIONS = {
    *("layer", "d_state", "d_conv", "expand", "dt_rank", "conv_bias", "bias"),
    *("dt_min", "dt_max", "dt_init", "dt_scale", "dt_init_floor", "use_fast_path"),
}

INTEGERS = {
    "d_model": ("d_model", "hidden_size"),
    "n_layer": ("n_layer", "num_hidden_layers"),
    "vocab_size": ("vocab_size",),
    "pad_vocab_size_multiple": ("pad_vocab_size_multiple",),
    "d_inner": ("d_inner", "intermediate_size"),
    "d_state": ("d_state", "state_size"),
    "d_conv": ("d_conv", "conv_kernel"),
    "dt_rank": ("dt_rank", "time_step_rank"),
}
SWITCHES = {
    "rms_norm": ("rms_norm",),
    "conv_bias": ("conv_bias", "use_conv_bias"),
    "proj_bias": ("bias", "use_bias"),
    "tied": ("tie_embeddings", "tie_word_embeddings"),
}
NUMBERS = {"expand": ("expand",), "norm_eps": ("norm_epsilon", "layer_norm_epsilon")}
DEFAULT_EPS = 1e-5
NATIVE_PADDING = 8
COMPULSORY = ("d_model", "n_layer", "vocab_size")


def refuse_other_families(config: dict[str, Any]) -> None:
    """Raise a ModelError, with the family's name, unless a configuration says causal Mamba-1.

    ``architectures`` and ``ssm_cfg.layer`` count as much as ``model_type``: falcon_mamba has
    Mamba's tensor names, hybrids call themselves mamba2, and Mamba-2 files call themselves mamba.
    """
    architectures = config.get("architectures") or []
    if not isinstance(architectures, list):
        raise ModelError(f"architectures in config.json is {architectures!r}, not a list")
    named = [f"model_type {config['model_type']!r}"] if config.get("model_type") else []
    named += [f"architecture {name!r}" for name in architectures]
    family = ", ".join(named) or "a native mamba_ssm model"
    supported = "is not supported by this version, which reads causal Mamba-1 only"
    for key, meaning in HYBRID_KEYS.items():
        if config.get(key):
            raise ModelError(f"{family}: {key} {config[key]!r} means {meaning}; this {supported}")
    known = ARCHITECTURES.issuperset(map(str, architectures))
    if config.get("model_type") not in (None, "mamba") or not known:
        raise ModelError(f"the family of {family} {supported}")
    options = _ssm_options(config)
    if options.get("layer") not in (None, "Mamba1"):
        raise ModelError(f"ssm_cfg.layer {options['layer']!r} {supported}")
    unknown = sorted(set(options) - SSM_OPTIONS)
    if unknown:
        raise ModelError(f"the Mamba-1 option ssm_cfg.{unknown[0]} is not known")
    if config.get("hidden_act") not in (None, "silu", "swish"):
        raise ModelError(f"hidden_act {config['hidden_act']!r} is not supported, only 'silu'")


def stated_values(config: dict[str, Any]) -> dict[str, Any]:
    """What a configuration states under any of the spellings of the two layouts.

    Keys are those of `INTEGERS`, `SWITCHES` and `NUMBERS`, absent where nothing is stated.

    Raises
    ------
    ModelError
        If two spellings disagree, a value has the wrong type or a compulsory one is absent.
    """
    stated: dict[str, Any] = {}
    for kinds, type_ in ((INTEGERS, int), (SWITCHES, bool), (NUMBERS, float)):
        for field, spellings in kinds.items():
            _state(stated, field, config, spellings, type_)
    for field in COMPULSORY:
        if field not in stated:
            raise ModelError(f"config.json does not state {' or '.join(INTEGERS[field])}")
    if config.get("model_type") is None:
        stated.setdefault("pad_vocab_size_multiple", NATIVE_PADDING)
        if stated.get("norm_eps", DEFAULT_EPS) != DEFAULT_EPS:
            raise ModelError(
                f"config.json states a norm epsilon of {stated['norm_eps']}, "
                f"but native mamba_ssm models always use {DEFAULT_EPS}"
            )
    return stated


def canonical_names(names: list[str], config: dict[str, Any]) -> dict[str, str]:
    """Name in the file of every tensor, by its name in `CausalMamba.state_dict`.

    Raises
    ------
    ModelError
        If two tensors have one canonical name, or the file is a base model without a head.
    """
    prefixed = any(name.startswith("backbone.") for name in names)
    has_head = "lm_head.weight" in names
    if not (prefixed or has_head or "MambaForCausalLM" in (config.get("architectures") or [])):
        raise ModelError(
            "a base model saved without its language-model head (no 'backbone.' names, no "
            "lm_head.weight): save it as MambaForCausalLM"
        )
    in_file: dict[str, str] = {}
    for name in names:
        canonical = name.removeprefix("backbone.")
        if canonical == name and prefixed and name != "lm_head.weight":
            raise ModelError(f"unknown tensor {name}")
        if canonical == "embedding.weight":
            canonical = "embeddings.weight"
        if canonical in in_file:
            raise ModelError(f"tensors {in_file[canonical]} and {name} are the same one")
        in_file[canonical] = name
    return in_file


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
    if any(name.endswith("mixer.dt_bias") for name in tensors):
        raise ModelError("the tensors are Mamba-2's (mixer.dt_bias): not supported by this version")
    n_layer = _layers(tensors)
    if n_layer != stated["n_layer"]:
        raise ModelError(f"config.json says {stated['n_layer']} layers, the weights hold {n_layer}")
    mixer = "layers.0.mixer"
    rows, d_model = _shape(tensors, "embeddings.weight", 2)
    d_inner, d_state = _shape(tensors, f"{mixer}.A_log", 2)
    found = {
        "d_model": d_model,
        "d_inner": d_inner,
        "d_state": d_state,
        "d_conv": _shape(tensors, f"{mixer}.conv1d.weight", 3)[2],
        "dt_rank": _shape(tensors, f"{mixer}.dt_proj.weight", 2)[1],
    }
    for field, value in found.items():
        if field in stated and stated[field] != value:
            raise ModelError(f"config.json says {field} {stated[field]}, the weights say {value}")
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
        tied=_tied(tensors, stated.get("tied")),
        **found,
    )


def expected_shapes(config: MambaConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of `CausalMamba.state_dict` for a configuration."""
    d, di, n, r = config.d_model, config.d_inner, config.d_state, config.dt_rank
    norm = {"weight": (d,)} if config.rms_norm else {"weight": (d,), "bias": (d,)}
    block = {f"norm.{name}": shape for name, shape in norm.items()}
    block |= {
        "mixer.in_proj.weight": (2 * di, d),
        "mixer.conv1d.weight": (di, 1, config.d_conv),
        "mixer.x_proj.weight": (r + 2 * n, di),
        "mixer.dt_proj.weight": (di, r),
        "mixer.dt_proj.bias": (di,),
        "mixer.A_log": (di, n),
        "mixer.D": (di,),
        "mixer.out_proj.weight": (d, di),
    }
    if config.conv_bias:
        block["mixer.conv1d.bias"] = (di,)
    if config.proj_bias:
        block |= {"mixer.in_proj.bias": (2 * di,), "mixer.out_proj.bias": (d,)}
    shapes = {"embeddings.weight": (config.vocab_rows, d)}
    for i in range(config.n_layer):
        shapes |= {f"layers.{i}.{name}": shape for name, shape in block.items()}
    shapes |= {f"norm_f.{name}": shape for name, shape in norm.items()}
    if not config.tied:
        shapes["lm_head.weight"] = (config.vocab_rows, d)
    return shapes


def _ssm_options(config: dict[str, Any]) -> dict[str, Any]:
    options = config.get("ssm_cfg") or {}
    if not isinstance(options, dict):
        raise ModelError(f"ssm_cfg in config.json is {options!r}, not an object")
    return options


def _state(
    stated: dict[str, Any],
    field: str,
    config: dict[str, Any],
    spellings: tuple[str, ...],
    type_: type,
) -> None:
    """Put the one value that all spellings of a field agree on into ``stated``, if any."""
    sources = {name: config.get(name) for name in spellings}
    sources |= {f"ssm_cfg.{name}": _ssm_options(config).get(name) for name in spellings}
    first = None
    for name, value in sources.items():
        if value is None:
            continue
        if field == "dt_rank" and value == "auto":
            value = math.ceil(stated.get("d_model", 1) / 16)
        if type_ is float and type(value) is int:
            value = float(value)
        if type(value) is not type_ or not (type_ is bool or 0 < value < math.inf):
            kind = {int: "a positive integer", bool: "true or false", float: "a positive number"}
            raise ModelError(f"{name} in config.json is {value!r}, not {kind[type_]}")
        if field in stated and stated[field] != value:
            raise ModelError(f"config.json says {first} {stated[field]} but {name} {value}")
        stated[field], first = value, first or name


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


def _tied(tensors: dict[str, torch.Tensor], stated: bool | None) -> bool:
    head = tensors.get("lm_head.weight")
    if head is None or stated is False:
        return stated is not False
    if torch.equal(head, tensors["embeddings.weight"]):
        return True
    if stated:
        raise ModelError(
            "config.json says that head and embedding are tied, but lm_head.weight differs from "
            "the embedding: set tie_word_embeddings (or tie_embeddings) to false to use the head"
        )
    return False
