from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pgf_genome.checkpoints.load import read_checkpoint
from pgf_genome.errors import ModelError


@pytest.mark.parametrize(
    ("config", "cause"),
    [
        ({"model_type": "hybridna"}, "HybriDNA"),
        ({"architectures": ["EccDNAMambaForCausalLM"], "model_type": "mamba2"}, "eccDNAMamba"),
        ({"architectures": ["JanusDNAForMaskedLM"]}, "JanusDNA"),
        ({"model_type": "plantbimoe"}, "PlantBiMoE"),
        ({"model_type": "jamba", "architectures": ["JambaForCausalLM"]}, "Jamba"),
        ({"architectures": ["BarcodeMamba"]}, "BarcodeMamba"),
        ({"architectures": ["HelixmRNAForCausalLM"], "model_type": "mamba2"}, "Helix-mRNA"),
        ({"model_type": "orthrus", "architectures": ["OrthrusLM"]}, "not the Mamba encoder"),
        ({"model_type": "wisteria"}, "Wisteria"),
        ({"model_type": "striped_mamba"}, "StripedMamba"),
        ({"architectures": ["StripedMambaForMaskedLM"]}, "genomic-jamba"),
        ({"model_type": "falcon_mamba"}, "falcon_mamba"),
        ({"model_type": "hyenadna", "architectures": ["HyenaDNAForCausalLM"]}, "Hyena"),
        ({"model_type": "evo2"}, "Evo"),
        ({"model_type": "zamba2"}, "Zamba"),
        ({"ssm_cfg": {"layer": "Mamba3"}}, "Mamba3"),
        ({"model_type": "llama"}, "'llama'"),
        ({"model_type": ["mamba"]}, "model_type"),
    ],
)
def test_a_family_that_is_not_read_is_refused_by_its_name(tmp_path, config, cause):
    (tmp_path / "config.json").write_text(
        json.dumps({"d_model": 4, "n_layer": 1, "vocab_size": 8} | config)
    )
    with pytest.raises(ModelError, match=f"{cause}.*not supported: this version reads causal"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("mamba_forward.backbone.layers.0.mixer.D", "eccDNAMamba"),
        ("backbone.layers.0.mlp.fc1.weight", "an MLP in every layer"),
        ("backbone.layers.1.self_attn.q_proj.weight", "attention"),
        ("backbone.layers.0.moe.experts.0.weight", "mixture of experts"),
        ("backbone.layers.0.mixer.B_bias", "Mamba-3"),
    ],
)
def test_a_tensor_of_another_architecture_is_refused_by_its_meaning(
    tmp_path: Path, name: str, cause: str
):
    (tmp_path / "config.json").write_text(
        json.dumps({"model_type": "mamba2", "d_model": 4, "n_layer": 1, "vocab_size": 8})
    )
    save_file({name: torch.ones(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=f"unknown tensor {name}.*{cause}"):
        read_checkpoint(tmp_path)
