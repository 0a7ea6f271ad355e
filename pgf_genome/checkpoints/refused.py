"""Which architectures are read, and which are recognised and refused by name.

``architectures``, ``ssm_cfg.layer`` and the tensors count as much as ``model_type``: falcon_mamba
has Mamba's tensor names, hybrids call themselves mamba2, and Mamba-2 files call themselves mamba.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pgf_genome.errors import ModelError

SUPPORTED = "causal Mamba-1 and Mamba-2 models, Caduceus and PlantCaduceus"
ARCHITECTURES = {
    None: {"MambaForCausalLM", "MambaLMHeadModel", "MambaModel", "Mamba2ForCausalLM"},
    "mamba": {"MambaForCausalLM", "MambaLMHeadModel", "MambaModel"},
    "mamba2": {"Mamba2ForCausalLM", "Mamba2Model"},
    "caduceus": {"CaduceusForMaskedLM", "Caduceus"},
}
# ssm_cfg.layer, or version in the nested configuration of Caduceus' successors
MIXERS = {"Mamba1": 1, "v1": 1, "Mamba2": 2, "v2": 2}

ATTENTION = "a hybrid of Mamba, attention and MLP layers"
# Parts of model_type or of an architecture's name, lower case, in the order of search.
OTHER_FAMILIES = {
    "falcon": "falcon_mamba, which has norms without weights on dt, B and C",
    "mamba3": "Mamba-3, whose input projection has other parts",
    "hybridna": f"HybriDNA, {ATTENTION}",
    "eccdna": "eccDNAMamba, two stacks of Mamba-2 and MLP whose outputs are concatenated",
    "janus": "JanusDNA, Mamba with inner norms, attention and a mixture of experts",
    "plantbimoe": "PlantBiMoE, a bidirectional Mamba with MLP and expert layers",
    "jamba": f"Jamba, {ATTENTION} with a mixture of experts",
    "barcode": "BarcodeMamba, Mamba-2 with MLP blocks",
    "helix": f"Helix-mRNA, {ATTENTION}",
    "hydra": "HydraRNA, state-space layers with attention",
    "orthrus": "Orthrus, an encoder without a language-model head",
    "protmamba": "ProtMamba, a protein model with positional embeddings",
    "dicaduceus": "DiCaduceus, a diffusion model",
    "hyena": "a Hyena model, not a Mamba model",
    "evo": "Evo, a Hyena model, not a Mamba model",
    "zamba": f"Zamba, {ATTENTION}",
    "bamba": f"Bamba, {ATTENTION}",
    "nemotron": f"Nemotron-H, {ATTENTION}",
    "granite": f"Granite, {ATTENTION}",
}
HYBRID_KEYS = {
    "layers_block_type_string": ATTENTION,
    "layers_block_type": ATTENTION,
    "attn_layer_idx": "attention layers",
    "d_intermediate": "an MLP in every layer",
    "mlp_cfg": "an MLP in every layer",
    "mixer_rms_eps": "norms on dt, B and C, as in falcon_mamba",
    "flip_lm_head_channels": "a head that this version does not know",
}
# What a tensor's name says, whatever the configuration says.
FOREIGN_TENSORS = {
    r"^(mamba_forward|mamba_backward|lm_head_proj)\.": OTHER_FAMILIES["eccdna"],
    r"\.(self_attn|attn|attention|q_proj|k_proj|mha|Wqkv)\.": ATTENTION,
    r"\.(experts?|moe|router)\.": "a mixture of experts",
    r"\.(mlp|ffn|feed_forward|norm2)\.": "an MLP in every layer",
    r"\.filter_fn\.": OTHER_FAMILIES["hyena"],
    r"\.(dt_layernorm|b_layernorm|B_layernorm|dt_norm|B_norm)\.": "norms on dt, B and C",
    r"\.(B_bias|C_bias|mimo_\w+)$": OTHER_FAMILIES["mamba3"],
}


def refuse_other_families(config: dict[str, Any]) -> None:
    """Raise a ModelError, with the family's name, unless a configuration is of a known family."""
    architectures = config.get("architectures") or []
    if not isinstance(architectures, list):
        raise ModelError(f"architectures in config.json is {architectures!r}, not a list")
    model_type = config.get("model_type")
    named = [f"model_type {model_type!r}"] if model_type else []
    named += [f"architecture {name!r}" for name in architectures]
    title = ", ".join(named) or "a native mamba_ssm model"
    unsupported = f"is not supported: this version reads {SUPPORTED}"
    for key, meaning in HYBRID_KEYS.items():
        if config.get(key):
            raise ModelError(f"{title}: {key} {config[key]!r} means {meaning}; this {unsupported}")
    known = ARCHITECTURES.get(model_type if isinstance(model_type, str | None) else "")
    if known is None or not known.issuperset(map(str, architectures)):
        spoken = " ".join(map(str, [model_type, *architectures])).lower()
        family = next((text for part, text in OTHER_FAMILIES.items() if part in spoken), "")
        raise ModelError(f"the family of {title}{family and f' ({family})'} {unsupported}")
    if model_type == "caduceus" and config.get("bidirectional") is False:
        raise ModelError(f"{title}: bidirectional false, a causal masked model, {unsupported}")
    if config.get("hidden_act") not in (None, "silu", "swish"):
        raise ModelError(f"hidden_act {config['hidden_act']!r} is not supported, only 'silu'")


def refuse_foreign_tensors(names: Iterable[str]) -> None:
    """Raise a ModelError if a tensor's name shows another architecture."""
    for name in names:
        for pattern, meaning in FOREIGN_TENSORS.items():
            if re.search(pattern, name):
                raise ModelError(
                    f"unknown tensor {name}: {meaning}; this is not supported: this version "
                    f"reads {SUPPORTED}"
                )


def stated_mixer(config: dict[str, Any], layer: Any) -> int | None:
    """1 or 2: the kind of mixer that a configuration states; None if it states none.

    ``ssm_cfg.layer`` (or ``version``) goes before ``model_type``.

    Raises
    ------
    ModelError
        For a layer that is neither, as Mamba-3.
    """
    if layer is not None:
        if layer not in MIXERS:
            raise ModelError(
                f"ssm_cfg.layer {layer!r} is not supported: this version reads {SUPPORTED}"
            )
        return MIXERS[layer]
    return {"mamba": 1, "mamba2": 2}.get(config.get("model_type"))
