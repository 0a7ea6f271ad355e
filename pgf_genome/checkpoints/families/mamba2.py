"""Causal Mamba-2 models: transformers' ``Mamba2ForCausalLM``, and mamba_ssm's own layout."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pgf_genome.checkpoints.configuration import Configuration
from pgf_genome.checkpoints.families.mamba1 import ARCHITECTURES
from pgf_genome.checkpoints.family import DEFAULT_EPS, Family, Stored, StoredMixer, norm_eps
from pgf_genome.errors import ModelError
from pgf_genome.mamba.mixers.mamba2 import Mamba2Config

# The last row acts at initialisation or chooses a kernel: no part of the function.
OPTIONS = frozenset(
    {
        *("layer", "d_state", "d_conv", "expand", "headdim", "ngroups", "d_ssm", "conv_bias"),
        *("bias", "D_has_hdim", "rmsnorm", "norm_before_gate", "dt_limit"),
        *("dt_min", "dt_max", "dt_init_floor", "A_init_range", "conv_init", "chunk_size"),
        "use_mem_eff_path",
    }
)
# Options with the one value that is supported.
ONLY = {"D_has_hdim": False, "rmsnorm": True, "norm_before_gate": False}
D_STATE, GROUPS, GROUPS_OF_TRANSFORMERS = 128, 1, 8  # where none are stated


def read_mixer(stored: Stored, prefix: str, d_model: int) -> Mamba2Config:
    """The sizes of a Mamba-2 mixer.

    The tensors show N and G only as a product: they are stated, or the defaults of the code that
    wrote the file, which but for ``model_type`` "mamba2" is mamba_ssm's.
    """
    stated = stored.configuration
    stated.check_options(OPTIONS)
    _check_fixed(stated.options)
    (heads,) = stored.shape(f"{prefix}dt_bias", 1)
    d_inner = stored.shape(f"{prefix}out_proj.weight", 2)[1]
    channels, _, taps = stored.shape(f"{prefix}conv1d.weight", 3)
    by_transformers = _by_transformers(stated)
    usual = GROUPS_OF_TRANSFORMERS if by_transformers else GROUPS
    groups = stated.integer("n_groups", "ngroups") or usual
    d_state = stated.integer("d_state", "state_size") or D_STATE
    if channels != d_inner + 2 * groups * d_state:
        raise ModelError(
            f"config.json says {groups} groups and d_state {d_state}, but the convolution has "
            f"{channels} channels at d_inner {d_inner}"
        )
    stated.check("head_dim", d_inner // heads, "headdim")
    return Mamba2Config(
        d_inner=stated.check("d_inner", d_inner, "intermediate_size", "d_ssm"),
        d_state=d_state,
        d_conv=stated.check("d_conv", taps, "conv_kernel"),
        conv_bias=stated.switch("conv_bias", "use_conv_bias", default=True),
        proj_bias=stated.switch("bias", "use_bias", default=False),
        heads=stated.check("num_heads", heads),
        groups=groups,
        dt_limit=_limits(stated.content.get("time_step_limit", stated.options.get("dt_limit"))),
        norm_eps=norm_eps(stated) if by_transformers else DEFAULT_EPS,
    )


def _by_transformers(stated: Configuration) -> bool:
    return stated.model_type == "mamba2"


def _check_fixed(options: dict[str, Any]) -> None:
    for name, value in ONLY.items():
        if options.get(name, value) is not value:
            raise ModelError(f"ssm_cfg.{name} {options[name]!r} is not supported, only {value!r}")


def _limits(value: Any) -> tuple[float, float]:
    """``time_step_limit``; transformers 5 writes infinity as an object."""
    if value is None:
        return 0.0, math.inf
    try:
        low, high = (float(v["__float__"] if isinstance(v, dict) else v) for v in value)
    except (TypeError, ValueError, KeyError):
        raise ModelError(f"time_step_limit in config.json is {value!r}, not two numbers") from None
    return low, high


@dataclass(frozen=True)
class CausalMamba2(Family):
    """transformers gives these models a head of their own unless told otherwise."""

    def ties(self, configuration: Configuration) -> bool:
        return not _by_transformers(configuration)


MIXER = StoredMixer("Mamba-2", {"Mamba2", "v2", "mamba2"}, "dt_bias", read_mixer)

FAMILY = CausalMamba2("mamba2", "causal Mamba-2 models", ARCHITECTURES, (MIXER,))
