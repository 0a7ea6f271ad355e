"""Families that are recognised and refused, each with the reason.

``architectures``, switches and tensors count as much as ``model_type``: falcon_mamba has Mamba's
tensor names, and hybrids call themselves mamba2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

ATTENTION = "a hybrid of Mamba, attention and MLP layers"
ECCDNA = "eccDNAMamba, two stacks of Mamba-2 and MLP whose outputs are concatenated"
MAMBA3 = "Mamba-3, whose input projection has other parts"
HYENA = "a Hyena model, not a Mamba model"
# Parts of model_type or of an architecture's name, lower case, in the order of search.
FAMILIES = {
    "falcon": "falcon_mamba, which has norms without weights on dt, B and C",
    "mamba3": MAMBA3,
    "hybridna": f"HybriDNA, {ATTENTION}",
    "eccdna": ECCDNA,
    "janus": "JanusDNA, Mamba with inner norms, attention and a mixture of experts",
    "plantbimoe": "PlantBiMoE, a bidirectional Mamba with MLP and expert layers",
    **dict.fromkeys(
        ("stripedmamba", "striped_mamba", "genomic-jamba", "genomic_jamba"),
        f"StripedMamba (genomic-jamba), {ATTENTION}",
    ),
    "wisteria": "Wisteria, Mamba with dilated convolutions, MLPs and attention",
    "jamba": f"Jamba, {ATTENTION} with a mixture of experts",
    "barcode": "BarcodeMamba, Mamba-2 with MLP blocks",
    "helix": f"Helix-mRNA, {ATTENTION}",
    "hydra": "HydraRNA, state-space layers with attention",
    "orthrus": "an Orthrus model that is not the Mamba encoder of RNA",
    "protmamba": "ProtMamba, a protein model with positional embeddings",
    "dicaduceus": "DiCaduceus, a diffusion model",
    "hyena": HYENA,
    "evo": "Evo, a Hyena model, not a Mamba model",
    "zamba": f"Zamba, {ATTENTION}",
    "bamba": f"Bamba, {ATTENTION}",
    "nemotron": f"Nemotron-H, {ATTENTION}",
    "granite": f"Granite, {ATTENTION}",
}
# Keys of config.json, whatever it calls the model.
KEYS = {
    "layers_block_type_string": ATTENTION,
    "layers_block_type": ATTENTION,
    "attn_layer_idx": "attention layers",
    "d_intermediate": "an MLP in every layer",
    "mlp_cfg": "an MLP in every layer",
    "mixer_rms_eps": "norms on dt, B and C, as in falcon_mamba",
    "flip_lm_head_channels": "a head that this version does not know",
}
# Names of tensors, whatever the configuration says.
TENSORS = {
    r"^(mamba_forward|mamba_backward|lm_head_proj)\.": ECCDNA,
    r"\.(self_attn|attn|attention|q_proj|k_proj|mha|Wqkv)\.": ATTENTION,
    r"\.(experts?|moe|router)\.": "a mixture of experts",
    r"\.(mlp|ffn|feed_forward|norm2)\.": "an MLP in every layer",
    r"\.filter_fn\.": HYENA,
    r"\.(dt_layernorm|b_layernorm|B_layernorm|dt_norm|B_norm)\.": "norms on dt, B and C",
    r"\.(B_bias|C_bias|mimo_\w+)$": MAMBA3,
}


def reason_for(names: Iterable[object]) -> str | None:
    """The reason against a family, from the names that a model goes by; None if none is known."""
    spoken = " ".join(map(str, names)).lower()
    return next((reason for part, reason in FAMILIES.items() if part in spoken), None)


def key_in(content: dict[str, Any]) -> str | None:
    """A key of a configuration that only refused families have."""
    return next((key for key in KEYS if content.get(key)), None)


def tensor_in(names: Iterable[str]) -> tuple[str, str] | None:
    """A tensor that only refused families have, and what it means."""
    for name in names:
        for pattern, meaning in TENSORS.items():
            if re.search(pattern, name):
                return name, meaning
    return None
