"""Directories that ``load_model`` and transformers read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from pgf_genome.files import atomic, atomic_write_text
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.vocabulary import Vocabulary
from pgf_genome.pretrain.initial import mixer_sizes


def save_model(model: CausalMamba, directory: Path, card: str) -> None:
    """Write a directory that ``load_model`` and transformers' ``MambaForCausalLM`` read.

    Parameters
    ----------
    card : str
        Text of the model card, written as README.md.
    """
    c, mixer = model.config, mixer_sizes(model)
    config = {
        "architectures": ["MambaForCausalLM"],
        "model_type": "mamba",
        "vocab_size": c.vocab_rows,
        "hidden_size": c.d_model,
        "num_hidden_layers": c.n_layer,
        "intermediate_size": mixer.d_inner,
        "expand": mixer.d_inner // c.d_model,
        "state_size": mixer.d_state,
        "conv_kernel": mixer.d_conv,
        "time_step_rank": mixer.dt_rank,
        "layer_norm_epsilon": c.norm_eps,
        "use_bias": mixer.proj_bias,
        "use_conv_bias": mixer.conv_bias,
        "hidden_act": "silu",
        "residual_in_fp32": True,
        "tie_word_embeddings": c.tied,
        "torch_dtype": "float32",
    }
    tensors = {f"backbone.{name}": t.contiguous() for name, t in model.state_dict().items()}
    vocabulary = model.vocabulary
    directory.mkdir(parents=True, exist_ok=True)
    with atomic(directory / "model.safetensors") as part:
        save_file(tensors, part, metadata={"format": "pt"})
        part.chmod(0o644)  # safetensors leaves it to its owner alone
    texts = {
        "config.json": _json(config),
        "vocab.txt": "\n".join(vocabulary.tokens) + "\n",
        "tokenizer.json": _json(_tokenizer(vocabulary)),
        "tokenizer_config.json": _json(_tokenizer_config(vocabulary)),
        "README.md": card,
    }
    for name, text in texts.items():
        atomic_write_text(directory / name, text)


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"


def _tokenizer(vocabulary: Vocabulary) -> dict[str, Any]:
    """One token per letter, upper or lower case, in the format of the tokenizers library."""
    small = [
        {"type": "Replace", "pattern": {"String": base.lower()}, "content": base}
        for base in vocabulary.tokens
        if len(base) == 1 and base.isupper()
    ]
    letters = {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": small},
        "pre_tokenizer": letters,
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "WordLevel",
            "vocab": {token: i for i, token in enumerate(vocabulary.tokens) if token},
            "unk_token": vocabulary.tokens[vocabulary.other_id],
        },
    }


def _tokenizer_config(vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": vocabulary.tokens[vocabulary.other_id],
        "clean_up_tokenization_spaces": False,
    }
