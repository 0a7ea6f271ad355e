"""Parsers of the files of a checkpoint; no code in them may run."""

from __future__ import annotations

import io
import json
import zipfile
from functools import cache
from pathlib import Path

import torch
from fuzz_mutations import BINARY, JSON, TEXT
from fuzz_target import Target, written
from models import SIZES, TOKENS, random_model, small_config
from safetensors.torch import save

from pgf_genome.checkpoints.files import read_weights
from pgf_genome.checkpoints.load import read_checkpoint
from pgf_genome.checkpoints.tokenizer import read_vocabulary, trained_length
from pgf_genome.errors import PgfError


@cache
def checkpoint() -> tuple[dict, bytes, list[str]]:
    """Configuration, weights and tokens of a small model."""
    model = random_model(small_config(), torch.float32)
    c = {
        "architectures": ["MambaForCausalLM"], "model_type": "mamba", "vocab_size": 7,
        "hidden_size": 6, "num_hidden_layers": 2, "intermediate_size": SIZES["d_inner"],
        "state_size": SIZES["d_state"], "conv_kernel": SIZES["d_conv"], "use_bias": False,
        "time_step_rank": SIZES["dt_rank"], "layer_norm_epsilon": 1e-5, "use_conv_bias": True,
        "hidden_act": "silu", "tie_word_embeddings": model.config.tied, "ssm_cfg": None,
    }  # fmt: skip
    tensors = {f"backbone.{name}": t.contiguous() for name, t in model.state_dict().items()}
    if "backbone.lm_head.weight" in tensors:
        tensors["lm_head.weight"] = tensors.pop("backbone.lm_head.weight")
    return c, save(tensors), list(TOKENS)


def native() -> dict:
    """The same sizes as mamba_ssm states them."""
    return {
        "d_model": 6, "n_layer": 2, "vocab_size": 7, "rms_norm": True, "fused_add_norm": True,
        "residual_in_fp32": True, "pad_vocab_size_multiple": 1, "tie_embeddings": False,
        "ssm_cfg": {"d_state": 3, "expand": 2, "dt_rank": 2, "layer": "Mamba1"},
    }  # fmt: skip


def config(data: bytes, folder: Path) -> None:
    _, weights, tokens = checkpoint()
    written(folder, "config.json", data)
    if not (folder / "model.safetensors").exists():
        written(folder, "model.safetensors", weights)
        written(folder, "vocab.txt", "\n".join(tokens).encode())
    read_checkpoint(folder)


TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer_config.json")
VOCAB = {"<unk>": 0, "A": 1, "C": 2, "G": 3, "T": 4, "N": 5}
TOKENIZER = {
    "added_tokens": [{"id": 6, "content": "<pad>"}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, None]},
    "model": {"type": "WordLevel", "vocab": VOCAB, "unk_token": "<unk>"},
}
UNIGRAM = {"normalizer": None, "model": {"vocab": [[t, 0.5] for t in VOCAB], "merges": []}}
CADUCEUS = {
    "tokenizer_class": "CaduceusTokenizer",
    "model_max_length": 131072,
    "characters": list("ACGTN"),
    "added_tokens_decoder": {"3": {"content": "[MASK]"}, "4": {"content": "[PAD]"}},
}


def tokenizer(data: bytes, folder: Path) -> None:
    """The same bytes as each of the files of a tokenizer."""
    refusals = []
    for name in TOKENIZERS:
        path = written(folder, name, data)
        try:
            vocabulary = read_vocabulary(folder, 16)
            assert len(set(vocabulary.base_ids)) == 4
            assert max(vocabulary.base_ids) < 16
            trained_length(folder)
        except PgfError as error:
            refusals.append(error)
        path.unlink()
    if len(refusals) == len(TOKENIZERS):
        raise refusals[sum(data[:9]) % len(refusals)]


def safetensors(data: bytes, folder: Path) -> None:
    written(folder, "model.safetensors", data)
    for tensor in read_weights(folder).values():
        assert tensor.dtype is torch.int64 or tensor.isfinite().all()


EXECUTED: list[object] = []
TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}


def plant(*anything: object) -> object:
    """What a pickle must never call."""
    EXECUTED.append(anything)
    return anything


def pickled(data: bytes, folder: Path) -> None:
    written(folder, "pytorch_model.bin", data)
    try:
        for name, tensor in read_weights(folder).items():
            assert isinstance(name, str)
            assert isinstance(tensor, torch.Tensor)
    finally:
        assert not EXECUTED, "code of a pickle was run"


def zipped_pickle(opcodes: bytes) -> bytes:
    """The zip file of torch.save with another pickle in it."""
    held, file = io.BytesIO(), io.BytesIO()
    torch.save(TENSORS, held)
    with zipfile.ZipFile(held) as read, zipfile.ZipFile(file, "w") as out:
        for each in read.infolist():
            out.writestr(each, opcodes if each.filename.endswith(".pkl") else read.read(each))
    return file.getvalue()


def opcodes(data: bytes, folder: Path) -> None:
    """A pickle of any opcodes, in a whole zip file."""
    pickled(zipped_pickle(data), folder)


@cache
def pickle_seeds() -> tuple[list[bytes], list[bytes]]:
    """Weight files in the zip and in the older form; the pickle within the first."""
    new, old = io.BytesIO(), io.BytesIO()
    torch.save(TENSORS, new)
    torch.save(TENSORS, old, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(new) as read:
        inner = read.read(next(n for n in read.namelist() if n.endswith(".pkl")))
    return [new.getvalue(), old.getvalue()], [inner]


OPCODES = (
    b"\x80\x02",
    b"\x80\x04",
    b"}",
    b"]",
    b")",
    b"(",
    b"t",
    b"\x85",
    b"\x86",
    b"\x87",
    b"R",
    b"b",
    b"N",
    b"\x88",
    b"K\x01",
    b"K\x02",
    b"M\xff\xff",
    b"J\xff\xff\xff\x7f",
    b"\x8a\x08" + b"\xff" * 8,
    b"q\x00",
    b"q\x01",
    b"h\x00",
    b"h\x01",
    b"r\xff\xff\xff\x7f",
    b"j\xff\xff\xff\x7f",
    b"s",
    b"u",
    b"a",
    b"e",
    b"0",
    b"1",
    b"2",
    b".",
    b"Q",
    b"Ppersistent\n",
    b"X\x01\x00\x00\x00a",
    b"X\xff\xff\xff\x7f",
    b"\x8c\x01a",
    b"\x8e" + b"\xff" * 8,
    b"B\xff\xff\xff\x7f",
    b"G" + b"\x7f" * 8,
    b"cfuzz_checkpoints\nplant\n",
    b"\x8c\x10fuzz_checkpoints\x8c\x05plant\x93",
    b"(ifuzz_checkpoints\nplant\n",
    b"cos\nsystem\n",
    b"cbuiltins\neval\n",
    b"cbuiltins\ngetattr\n",
    b"ctorch\nload\n",
    b"ctorch\nFloatStorage\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"cbuiltins\nbytearray\n",
    b"ccollections\nOrderedDict\n",
    b"ctorch._utils\n_rebuild_parameter\n",
    b"ctorch\nTensor\n",
    b"ctorch\nSize\n",
    b"c_codecs\nencode\n",
    b"ctorch.serialization\n_get_layout\n",
    b"o",
    b"\x81",
    b"\x92",
    b"\x94",
    b"\x95" + b"\xff" * 8,
    b"\x8f",
    b"\x90",
    b"\x91",
    b"\x82\x01",
    b"\x83\x01\x01",
)


def targets() -> list[Target]:
    """The parsers of this module."""
    return [
        Target(
            "config.json",
            config,
            [json.dumps(c).encode() for c in (checkpoint()[0], native())],
            (),
            JSON,
            share=6,
        ),
        Target(
            "tokenizer",
            tokenizer,
            [json.dumps(c).encode() for c in (VOCAB, TOKENIZER, UNIGRAM, CADUCEUS)]
            + [b"\n".join(t.encode() for t in VOCAB)],
            [b"[UNK]\n", b"A\n", b"acgt", b'{"A":0}'],
            JSON,
            share=10,
        ),
        Target(
            "safetensors",
            safetensors,
            [save(TENSORS), checkpoint()[1]],
            [b'"F32"', b'"I64"', b'"shape":[', b"[0,8]"],
            (*BINARY, *TEXT),
            share=10,
        ),
        Target("pickle", pickled, pickle_seeds()[0], OPCODES, (*BINARY, *TEXT), share=5),
        Target("pickle opcodes", opcodes, pickle_seeds()[1], OPCODES, (*BINARY, *TEXT), share=5),
    ]
