"""PlantCAD2: Caduceus-PS on Mamba-2, in the flat configuration of its training lineage."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from models import assert_within
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import silu, softplus

import pgf_genome as pgf
from pgf_genome.checkpoints.load import read_checkpoint, skeleton
from pgf_genome.cli import commands
from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.mixers.both_ways import TwoWay
from pgf_genome.mamba.mixers.mamba2 import Mamba2Config

MAP = (0, 1, 2, 6, 5, 4, 3, 7)
STATED = {
    "model_type": "caduceus",
    "d_intermediate": 0,
    "vocab_size": 8,
    "pad_vocab_size_multiple": 8,
    "rms_norm": True,
    "residual_in_fp32": False,
    "fused_add_norm": True,
    "norm_epsilon": 1e-5,
    "bidirectional": True,
    "bidirectional_strategy": "add",
    "bidirectional_weight_tie": True,
    "rcps": True,
    "complement_map": {str(row): partner for row, partner in enumerate(MAP)},
    "tie_word_embeddings": True,
    "pad_token_id": -100,
}
SSM = {
    "bias": False,
    "conv_bias": True,
    "d_conv": 4,
    "dt_init_floor": 1e-4,
    "dt_max": 0.1,
    "dt_min": 0.001,
    "expand": 2,
}
TOKENS = ("[PAD]", "[MASK]", "[UNK]", "a", "c", "g", "t")
HEAD_SIZE = 64
EPS = 1e-5


def shapes_in_file(d_model: int, n_layer: int, d_state: int) -> dict[str, tuple[int, ...]]:
    """Every tensor that such a model's file holds, without what is tied."""
    inner = 2 * d_model
    heads, channels = inner // HEAD_SIZE, inner + 2 * d_state
    shared = {
        "in_proj.weight": (inner + channels + heads, d_model),
        "out_proj.weight": (d_model, inner),
    }
    own = {
        "conv1d.weight": (channels, 1, 4),
        "conv1d.bias": (channels,),
        **dict.fromkeys(("dt_bias", "A_log", "D"), (heads,)),
        "norm.weight": (inner,),
    }
    stem = "caduceus.backbone."
    shapes = {f"{stem}embeddings.word_embeddings.embedding.weight": (8, d_model)}
    for i in range(n_layer):
        layer = f"{stem}layers.{i}."
        shapes[f"{layer}norm.weight"] = (d_model,)
        for way, held in (("fwd", shared | own), ("rev", own)):
            mixer = f"{layer}mixer.submodule.mamba_{way}."
            shapes |= {f"{mixer}{name}": shape for name, shape in held.items()}
    return shapes | {f"{stem}norm_f.weight": (d_model,)}


def write_texts(directory: Path, d_model: int, n_layer: int, d_state: int, **others) -> None:
    sizes = {"d_model": d_model, "n_layer": n_layer, "ssm_cfg": SSM | {"d_state": d_state}}
    (directory / "config.json").write_text(json.dumps(STATED | sizes | others))
    tokenizer = {
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(TOKENS)}, "merges": []},
    }
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))


def random_tensors(d_model: int, n_layer: int, d_state: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(n_layer)
    tensors = {}
    for name, shape in shapes_in_file(d_model, n_layer, d_state).items():
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        centre = float("norm" in name or name.endswith(".D")) - name.endswith("dt_bias")
        tensors[name] = centre + noise / max(4, noise[0].numel()) ** 0.5
    return tensors


def rms(x: Tensor, weight: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + EPS).sqrt() * weight


def mamba2(u: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """(L, D) -> (L, D), one position and one head after the other; one group."""
    inner, heads = weights["norm.weight"].numel(), weights["dt_bias"].numel()
    z, xBC, dt = (u @ weights["in_proj.weight"].T).split(
        [inner, weights["conv1d.bias"].numel(), heads], dim=1
    )
    padded = torch.cat([xBC.new_zeros(3, xBC.shape[1]), xBC])
    taps = weights["conv1d.weight"][:, 0]
    xBC = torch.stack(
        [silu((padded[t : t + 4].T * taps).sum(1) + weights["conv1d.bias"]) for t in range(len(u))]
    )
    N = (xBC.shape[1] - inner) // 2
    x, B, C = xBC.split([inner, N, N], dim=1)
    delta, A = softplus(dt + weights["dt_bias"]), -weights["A_log"].exp()
    size, rows = inner // heads, []
    S = [x.new_zeros(size, N) for _ in range(heads)]
    for t in range(len(u)):
        y = []
        for h in range(heads):
            x_h = x[t, h * size : (h + 1) * size]
            S[h] = (delta[t, h] * A[h]).exp() * S[h] + delta[t, h] * torch.outer(x_h, B[t])
            y.append(S[h] @ C[t] + weights["D"][h] * x_h)
        rows.append(torch.cat(y))
    return rms(torch.stack(rows) * silu(z), weights["norm.weight"]) @ weights["out_proj.weight"].T


def two_strands(tensors: dict[str, Tensor], n_layer: int, X: Tensor) -> Tensor:
    """log p (L, V) of an input X (L, V), with both strands in one stream of width 2 D."""

    def F(v: Tensor) -> Tensor:
        return v.flip(0, 1)  # time and channels

    def of(prefix: str) -> dict[str, Tensor]:
        prefix = "caduceus.backbone." + prefix
        return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

    E, other = of("embeddings.word_embeddings.embedding.")["weight"], list(MAP)
    stream = torch.cat([X @ E, (X @ E[other]).flip(1)], dim=1)
    for i in range(n_layer):
        forward = of(f"layers.{i}.mixer.submodule.mamba_fwd.")
        reverse = of(f"layers.{i}.mixer.submodule.mamba_rev.")
        tied = {name: forward[f"{name}_proj.weight"] for name in ("in", "out")}
        reverse |= {f"{name}_proj.weight": weight for name, weight in tied.items()}

        def both(u: Tensor, forward=forward, reverse=reverse) -> Tensor:
            return mamba2(u, forward) + mamba2(u.flip(0), reverse).flip(0)

        first, second = stream.chunk(2, dim=1)
        first, second = second, first  # the fused norm exchanges the strands, residual and all
        weight = of(f"layers.{i}.norm.")["weight"]
        mixed = both(rms(first, weight)), F(both(rms(F(second), weight)))
        stream = torch.cat([first, second], dim=1) + torch.cat(mixed, dim=1)
    first, second = stream.chunk(2, dim=1)
    weight = of("norm_f.")["weight"]
    y1, y2 = rms(first, weight), F(rms(F(second), weight))
    return (y1 @ E.T + y2.flip(1) @ E[other].T).log_softmax(-1)


@pytest.mark.parametrize("n_layer", [2, 3])
@pytest.mark.parametrize("spelling", [STATED["complement_map"], list(MAP)], ids=["object", "list"])
def test_the_flat_configuration_is_the_function_of_two_strands(tmp_path, n_layer, spelling):
    tensors = random_tensors(64, n_layer, 5)
    save_file(tensors, tmp_path / "model.safetensors")
    write_texts(tmp_path, 64, n_layer, 5, complement_map=spelling)
    model = pgf.load_model(tmp_path, dtype=torch.float64)
    ids = model.tokenize("ACGTNNGATTACAcg")
    assert ids.tolist()[:5] == [3, 4, 5, 6, 2]
    X = model.one_hot(ids).requires_grad_()
    log_p = two_strands(tensors, n_layer, X)
    assert_within(1e-9, pgf.log_probs(model, ids), log_p)
    (gradient,) = torch.autograd.grad(log_p.gather(1, ids[:, None]).sum(), X)
    assert_within(1e-9, pgf.adjoint(model, ids).gradient, gradient)


@pytest.mark.parametrize("cause", ["two maps", "two spellings of one row"])
def test_a_map_that_is_not_one_map_is_refused(tmp_path, cause):
    tensors = random_tensors(64, 2, 5)
    wrong = (0, 1, 2, 4, 3, 6, 5, 7)
    if cause == "two maps":
        tensors["lm_head.complement_map"] = torch.tensor(wrong)
        write_texts(tmp_path, 64, 2, 5)
        expected = "lm_head.complement_map and complement_map in config.json differ"
    else:
        twice = STATED["complement_map"] | {"03": 4}
        write_texts(tmp_path, 64, 2, 5, complement_map=twice)
        expected = "complement_map in config.json names a row twice"
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(pgf.PgfError, match=expected):
        read_checkpoint(tmp_path)


def write_zeros(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file of zeros, of which the disk holds the header only."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def test_the_small_model_is_described_at_its_true_size(tmp_path):
    write_zeros(tmp_path / "model.safetensors", shapes_in_file(768, 24, 64))
    write_texts(tmp_path, 768, 24, 64)
    assert (tmp_path / "model.safetensors").stat().st_blocks * 512 < 2**20
    done = CliRunner().invoke(commands, ["inspect", str(tmp_path), "--json"])
    facts = json.loads(done.stdout)
    assert (facts["family"], facts["strands"]) == ("caduceus-ps-mamba2", "both")
    sizes = {"layers": 24, "d_model": 768, "heads": 24, "groups": 1, "d_state": 64}
    assert {name: facts["sizes"][name] for name in sizes} == sizes
    assert facts["parameters"] == 88_238_208
    assert (facts["tied_head"], facts["shared_projections"]) == (True, True)
    assert facts["vocabulary"]["base_order"] == "ACGT"


@pytest.mark.parametrize(
    ("layers", "width", "parameters"), [(48, 1024, 311_162_880), (48, 1536, 694_385_664)]
)
def test_the_larger_models_have_the_parameters_of_their_files(layers, width, parameters):
    heads = 2 * width // HEAD_SIZE
    mixer = Mamba2Config(d_inner=2 * width, d_state=64, d_conv=4, heads=heads)
    config = MambaConfig(
        d_model=width, n_layer=layers, vocab_rows=8, mixer=mixer, two_way=TwoWay(complement=MAP)
    )
    stored = shapes_in_file(width, layers, 64).values()
    counted = sum(p.numel() for p in skeleton(config, None).parameters())
    assert counted == sum(map(math.prod, stored)) == parameters
