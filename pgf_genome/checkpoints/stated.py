"""What a ``config.json`` states, under any of the spellings in use.

Sizes are taken from the tensors; everything that is stated must agree with them.
"""

from __future__ import annotations

import math
from typing import Any

from pgf_genome.checkpoints.refused import stated_mixer
from pgf_genome.errors import ModelError

# Those of the last rows act at initialisation or choose a kernel: no part of the function.
SSM_OPTIONS = {
    *("layer", "d_state", "d_conv", "expand", "dt_rank", "conv_bias", "bias"),
    *("headdim", "ngroups", "d_ssm", "D_has_hdim", "rmsnorm", "norm_before_gate", "dt_limit"),
    *("dt_min", "dt_max", "dt_init", "dt_scale", "dt_init_floor", "use_fast_path"),
    *("A_init_range", "conv_init", "chunk_size", "use_mem_eff_path"),
}
# Options of Mamba-2 with the one value that is supported.
ONLY = {"D_has_hdim": False, "rmsnorm": True, "norm_before_gate": False}

INTEGERS = {
    "d_model": ("d_model", "hidden_size"),
    "n_layer": ("n_layer", "num_hidden_layers"),
    "vocab_size": ("vocab_size",),
    "pad_vocab_size_multiple": ("pad_vocab_size_multiple",),
    "d_inner": ("d_inner", "intermediate_size", "d_ssm"),
    "d_state": ("d_state", "state_size"),
    "d_conv": ("d_conv", "conv_kernel"),
    "dt_rank": ("dt_rank", "time_step_rank"),
    "heads": ("num_heads",),
    "head_dim": ("head_dim", "headdim"),
    "groups": ("n_groups", "ngroups"),
}
SWITCHES = {
    "rms_norm": ("rms_norm",),
    "conv_bias": ("conv_bias", "use_conv_bias"),
    "proj_bias": ("bias", "use_bias"),
    "tied": ("tie_embeddings", "tie_word_embeddings"),
    "rcps": ("rcps",),
    "fused": ("fused_add_norm",),
    "shared": ("bidirectional_weight_tie",),
}
NUMBERS = {"expand": ("expand",), "norm_eps": ("norm_epsilon", "layer_norm_epsilon")}
DEFAULT_EPS = 1e-5
NATIVE_PADDING = 8
COMPULSORY = ("d_model", "n_layer", "vocab_size")


def stated_values(config: dict[str, Any]) -> dict[str, Any]:
    """What a configuration states, by our names; absent where nothing is stated.

    Keys are those of `INTEGERS`, `SWITCHES` and `NUMBERS`, and ``mixer`` (1 or 2), ``dt_limit``,
    ``strategy``, ``complement`` and ``native`` (whether the layout is mamba_ssm's own).

    Raises
    ------
    ModelError
        If two spellings disagree, a value has the wrong type or a compulsory one is absent.
    """
    config = _flattened(config)
    options = _ssm_options(config)
    stated: dict[str, Any] = {"native": config.get("model_type") is None}
    for kinds, type_ in ((INTEGERS, int), (SWITCHES, bool), (NUMBERS, float)):
        for field, spellings in kinds.items():
            _state(stated, field, config, spellings, type_)
    for field in COMPULSORY:
        if field not in stated:
            raise ModelError(f"config.json does not state {' or '.join(INTEGERS[field])}")
    mixer = stated_mixer(config, options.get("layer"))
    extra = {
        "mixer": mixer,
        "dt_limit": _limits(config.get("time_step_limit", options.get("dt_limit"))),
        "strategy": config.get("bidirectional_strategy"),
        "complement": _complement(config.get("complement_map")),
    }
    stated |= {key: value for key, value in extra.items() if value is not None}
    if stated["native"]:
        stated.setdefault("pad_vocab_size_multiple", NATIVE_PADDING)
        if stated.get("norm_eps", DEFAULT_EPS) != DEFAULT_EPS:
            raise ModelError(
                f"config.json states a norm epsilon of {stated['norm_eps']}, "
                f"but native mamba_ssm models always use {DEFAULT_EPS}"
            )
    return stated


def _flattened(config: dict[str, Any]) -> dict[str, Any]:
    """The nested configuration of Caduceus' successors (PlantCAD2) in the spelling of Caduceus."""
    layer = _object(config, "layer_cfg")
    inner = _object(layer, "mamba_cfg")
    norm = _object(config, "norm_cfg")
    if inner.get("mlp_cfg"):
        raise ModelError("layer_cfg.mamba_cfg.mlp_cfg means an MLP in every layer: not supported")
    moved = {}
    if inner:
        version = {"layer": inner["version"]} if inner.get("version") else {}
        moved["ssm_cfg"] = _object(inner, "ssm_cfg") | version
    names = ("fused_add_norm", "rms_norm", "norm_epsilon")
    moved |= {key: norm[key] for key in names if key in norm}
    keys = ("bidirectional", "bidirectional_strategy", "bidirectional_weight_tie")
    moved |= {key: part[key] for part in (layer, inner) for key in keys if key in part}
    return config | moved


def _object(config: dict[str, Any], key: str) -> dict[str, Any]:
    value = config.get(key) or {}
    if not isinstance(value, dict):
        raise ModelError(f"{key} in config.json is {value!r}, not an object")
    return value


def _ssm_options(config: dict[str, Any]) -> dict[str, Any]:
    options = _object(config, "ssm_cfg")
    unknown = sorted(set(options) - SSM_OPTIONS)
    if unknown:
        raise ModelError(f"the Mamba option ssm_cfg.{unknown[0]} is not known")
    for name, value in ONLY.items():
        if options.get(name, value) is not value:
            raise ModelError(f"ssm_cfg.{name} {options[name]!r} is not supported, only {value!r}")
    return options


def _state(
    stated: dict[str, Any],
    field: str,
    config: dict[str, Any],
    spellings: tuple[str, ...],
    type_: type,
) -> None:
    """Put the one value that all spellings of a field agree on into ``stated``, if any."""
    options = _object(config, "ssm_cfg")
    sources = {name: config.get(name) for name in spellings}
    sources |= {f"ssm_cfg.{name}": options.get(name) for name in spellings}
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


def _limits(value: Any) -> tuple[float, float] | None:
    """``time_step_limit``; transformers 5 writes infinity as an object."""
    if value is None:
        return None
    try:
        low, high = (float(v["__float__"] if isinstance(v, dict) else v) for v in value)
    except (TypeError, ValueError, KeyError):
        raise ModelError(f"time_step_limit in config.json is {value!r}, not two numbers") from None
    return low, high


def _complement(value: Any) -> tuple[int, ...] | None:
    """``complement_map``: an object from rows, as strings, to rows."""
    if value is None:
        return None
    try:
        rows = {int(row): partner for row, partner in value.items()}
        found = tuple(rows[row] for row in range(len(rows)))
    except (AttributeError, ValueError, KeyError):
        raise ModelError("complement_map in config.json does not map rows 0, 1, ..") from None
    if not all(type(partner) is int for partner in found):
        raise ModelError("complement_map in config.json does not map rows to rows")
    return found
