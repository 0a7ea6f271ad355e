"""Causal Mamba-1 models: transformers' ``MambaForCausalLM``, and mamba_ssm's own layout.

The first has names such as ``backbone.embeddings.weight``; the second has no ``model_type``, calls
that ``backbone.embedding.weight``, and pads its rows to a multiple.
"""

from __future__ import annotations

import math

from pgf_genome.checkpoints.family import Family, Stored, StoredMixer
from pgf_genome.mamba.mixers.mamba1 import Mamba1Config

# The second row acts at initialisation or chooses a kernel: no part of the function.
OPTIONS = frozenset(
    {
        *("layer", "d_state", "d_conv", "expand", "dt_rank", "conv_bias", "bias"),
        *("dt_min", "dt_max", "dt_init", "dt_scale", "dt_init_floor", "use_fast_path"),
    }
)
# Files of either mixer go by either name.
NAMES = frozenset({"MambaForCausalLM", "MambaLMHeadModel", "MambaModel"})
ARCHITECTURES = {
    None: NAMES | {"Mamba2ForCausalLM"},
    "mamba": NAMES,
    "mamba2": frozenset({"Mamba2ForCausalLM", "Mamba2Model"}),
}


def read_mixer(stored: Stored, prefix: str, d_model: int) -> Mamba1Config:
    """The sizes of a Mamba-1 mixer, all of which its tensors show."""
    stated = stored.configuration
    stated.check_options(OPTIONS)
    d_inner, d_state = stored.shape(f"{prefix}A_log", 2)
    rank = stored.shape(f"{prefix}dt_proj.weight", 2)[1]
    taps = stored.shape(f"{prefix}conv1d.weight", 3)[2]
    usual = math.ceil(d_model / 16)
    return Mamba1Config(
        d_inner=stated.check("d_inner", d_inner, "intermediate_size"),
        d_state=stated.check("d_state", d_state, "state_size"),
        d_conv=stated.check("d_conv", taps, "conv_kernel"),
        dt_rank=stated.check("dt_rank", rank, "time_step_rank", auto=usual),
        conv_bias=stated.switch("conv_bias", "use_conv_bias", default=True),
        proj_bias=stated.switch("bias", "use_bias", default=False),
    )


MIXER = StoredMixer("Mamba-1", {"Mamba1", "v1", "mamba"}, "dt_proj.weight", read_mixer)

FAMILY = Family("mamba", "causal Mamba-1 models", ARCHITECTURES, (MIXER,))
