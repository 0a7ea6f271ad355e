"""Training a causal Mamba-1 language model on genomes, by truncated backpropagation.

Every stream walks along a strand tile by tile and hands its state on, detached, so that the
model always sees the past although the gradient ends at the tile.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.intervals import Interval
from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.state import State
from pgf_genome.mamba.tokens import vocabulary_of
from pgf_genome.sequence import BASES, N_CODE, Genome, reverse_complement

TOKENS = (*BASES, "N")


@dataclass(frozen=True)
class Training:
    """How a model is trained.

    Attributes
    ----------
    d_model, n_layer, d_state : int
        Sizes; Di = 2 D, K = 4, R = D / 16.
    streams, tile_length : int
        Sequences side by side, and positions per step: ``streams * tile_length`` bases a step.
    walk : int
        Tiles that a stream stays on one strand before it jumps to a random place.
    bases : int
        Bases seen in all.
    learning_rate, warmup, weight_decay : float
        AdamW; the rate rises linearly over the fraction ``warmup``, then falls as a cosine.
    n_rate : float
        Fraction of input bases replaced by N, so that the model knows what N means.
    seed : int
    """

    d_model: int = 128
    n_layer: int = 4
    d_state: int = 16
    streams: int = 16
    tile_length: int = 512
    walk: int = 32
    bases: int = 24_000_000
    learning_rate: float = 4e-3
    warmup: float = 0.03
    weight_decay: float = 0.05
    n_rate: float = 0.002
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 0 or (value == 0 and name not in ("seed", "n_rate", "weight_decay")):
                raise UsageError(f"training option {name} must be positive, not {value}")

    @property
    def steps(self) -> int:
        return max(1, self.bases // (self.streams * self.tile_length))

    def rate_at(self, step: int) -> float:
        """Learning rate of a step."""
        done, warm = (step + 1) / self.steps, self.warmup
        if done < warm:
            return self.learning_rate * done / warm
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def new_model(training: Training) -> CausalMamba:
    """A randomly initialised model over A, C, G, T, N (initialisation of Gu and Dao 2023)."""
    D, Di, N = training.d_model, 2 * training.d_model, training.d_state
    config = MambaConfig(
        d_model=D,
        n_layer=training.n_layer,
        d_inner=Di,
        d_state=N,
        d_conv=4,
        dt_rank=math.ceil(D / 16),
        vocab_rows=len(TOKENS),
    )
    torch.manual_seed(training.seed)
    vocabulary = vocabulary_of({token: i for i, token in enumerate(TOKENS)}, len(TOKENS))
    model = CausalMamba(config, vocabulary)
    with torch.no_grad():
        model.embeddings.weight.normal_(std=0.02)
        for block in model.layers:
            mixer = block.mixer
            mixer.A_log.copy_(torch.arange(1, N + 1).log().expand(Di, N))
            mixer.out_proj.weight.div_(math.sqrt(training.n_layer))
            step = torch.exp(torch.empty(Di).uniform_(math.log(1e-3), math.log(0.1)))
            mixer.dt_proj.bias.copy_(step + torch.log(-torch.expm1(-step)))  # softplus inverse
            torch.nn.init.uniform_(
                mixer.dt_proj.weight, -(config.dt_rank**-0.5), config.dt_rank**-0.5
            )
    return model


def training_intervals(genome: Genome, held_out: Sequence[Interval]) -> list[Interval]:
    """What is left of the contigs without the held-out intervals."""
    kept = []
    for contig in genome.contigs:
        start = 0
        for hole in sorted(h for h in held_out if h.contig == contig.name):
            if min(hole.start, contig.length) > start:
                kept.append(Interval(contig.name, start, min(hole.start, contig.length)))
            start = max(start, hole.stop)
        if contig.length > start:
            kept.append(Interval(contig.name, start, contig.length))
    return kept


def _walks(
    sources: Sequence[tuple[Genome, Interval]], weights: np.ndarray, training: Training, seed: int
) -> Iterator[tuple[bool, np.ndarray]]:
    """Tiles of base codes, T + 1 long so that the last target is there; True at a restart."""
    rng = np.random.default_rng(seed)
    T = training.tile_length
    while True:
        genome, interval = sources[rng.choice(len(sources), p=weights)]
        tiles = min(training.walk, (interval.length - 1) // T)
        start = interval.start + rng.integers(interval.length - tiles * T)
        codes = genome.codes(interval.contig, start, start + tiles * T + 1)
        if rng.integers(2):
            codes = reverse_complement(codes)
        for k in range(tiles):
            yield k == 0, codes[k * T : (k + 1) * T + 1]


def _restart(state: State, fresh: Tensor) -> State:
    """Zero the state of the streams that start anew."""
    keep = ~fresh
    return State.from_tensors(
        [t.detach() * keep.view(-1, *[1] * (t.dim() - 1)) for t in state.tensors()]
    )


def _parameter_groups(model: CausalMamba, weight_decay: float) -> list[dict]:
    """Matrices decay; poles, skips, norms, biases and the embedding do not."""
    named = dict(model.named_parameters())
    decayed = {n for n, p in named.items() if n.endswith("proj.weight") and p.dim() == 2}
    return [
        {"params": [named[n] for n in named if n in decayed], "weight_decay": weight_decay},
        {"params": [named[n] for n in named if n not in decayed], "weight_decay": 0.0},
    ]


def _streams(
    genomes: Mapping[Genome, float],
    held_out: Mapping[Genome, Sequence[Interval]],
    training: Training,
) -> list[Iterator[tuple[bool, np.ndarray]]]:
    """Endless walks, independent of each other, over what is not held out."""
    sources, shares = [], []
    for genome, share in genomes.items():
        kept = training_intervals(genome, held_out.get(genome, ()))
        kept = [i for i in kept if i.length > training.tile_length]
        if not kept:
            raise SequenceError(
                f"{genome.path}: no stretch longer than the tile of {training.tile_length} bases "
                "is left for training; shorten the tile or the held-out intervals"
            )
        total = sum(i.length for i in kept)
        sources += [(genome, i) for i in kept]
        shares += [share * i.length / total for i in kept]
    weights = np.array(shares) / sum(shares)
    seeds = (training.seed * 1_000_003 + i for i in range(training.streams))
    return [_walks(sources, weights, training, seed) for seed in seeds]


def train(
    genomes: Mapping[Genome, float],
    held_out: Mapping[Genome, Sequence[Interval]],
    training: Training,
    log: Callable[[int, float], None] = lambda bases, bits: None,
) -> CausalMamba:
    """Train a new model on both strands of the genomes.

    Parameters
    ----------
    genomes : mapping of Genome to float
        Relative share of the training bases drawn from each.
    held_out : mapping of Genome to sequence of Interval
        Stretches never read.
    training : Training
    log : callable
        Called about every 100 steps with the bases seen and the mean training loss in bits.

    Notes
    -----
    Memory: one tile of ``streams`` sequences with its tape. Time: 3 forward-equivalents a base.
    """
    streams = _streams(genomes, held_out, training)
    model = new_model(training)
    optimizer = torch.optim.AdamW(
        _parameter_groups(model, training.weight_decay), betas=(0.9, 0.98), foreach=True
    )
    noise = np.random.default_rng(training.seed)
    state, losses = model.initial_state(training.streams), []
    for step in range(training.steps):
        fresh, tiles = zip(*(next(stream) for stream in streams), strict=True)
        codes = torch.from_numpy(np.stack(tiles)).long()  # (streams, T + 1)
        seen = codes[:, :-1].clone()
        seen[torch.from_numpy(noise.random(seen.shape) < training.n_rate)] = N_CODE
        log_probs, state = model(model.one_hot(seen), _restart(state, torch.tensor(fresh)))
        loss = torch.nn.functional.nll_loss(
            log_probs.flatten(0, 1), codes[:, 1:].flatten(), ignore_index=N_CODE
        )
        for group in optimizer.param_groups:
            group["lr"] = training.rate_at(step)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item() / math.log(2))
        if (step + 1) % 100 == 0 or step + 1 == training.steps:
            log((step + 1) * training.streams * training.tile_length, float(np.mean(losses)))
            losses.clear()
    return model.requires_grad_(False).eval()


@torch.no_grad()
def bits_per_base(
    model: CausalMamba, genome: Genome, interval: Interval, tile_length: int = 4096
) -> tuple[float, float]:
    """Mean surprisal of an interval in bits, on the plus and on the minus strand.

    The model starts at the interval's end with an empty state; N is not scored.
    """
    codes = genome.codes(interval.contig, interval.start, interval.stop)
    strands = np.stack([codes, reverse_complement(codes)])
    state, (nats, scored) = model.initial_state(2), torch.zeros(2, 2, dtype=torch.float64)
    for start in range(0, strands.shape[1] - 1, tile_length):
        targets = strands[:, start + 1 : start + tile_length + 1]
        tile = strands[:, start : start + targets.shape[1]]
        log_probs, state = model(model.one_hot(model.vocabulary.encode(tile)), state)
        known = torch.from_numpy(targets != N_CODE)
        picked = log_probs.gather(2, model.vocabulary.encode(targets)[..., None])[..., 0]
        nats -= (picked * known).sum(dim=1, dtype=torch.float64)
        scored += known.sum(dim=1)
    plus, minus = (nats / math.log(2) / scored.clamp_min(1)).tolist()
    return plus, minus


def markov_bits_per_base(
    train_on: Sequence[np.ndarray], test_on: np.ndarray, order: int, pseudo_count: float = 1.0
) -> float:
    """Mean surprisal in bits of a Markov model of a given order, counted on both strands.

    The baseline that a language model has to beat. Codes are A C G T only; memory is 4**(order+1)
    counts.
    """
    counts = np.full(4 ** (order + 1), pseudo_count)
    for codes in train_on:
        for strand in (codes, reverse_complement(codes)):
            counts += np.bincount(_words(strand, order + 1), minlength=counts.size)
    table = counts.reshape(-1, 4)
    table = np.log2(table / table.sum(axis=1, keepdims=True)).ravel()
    strands = (test_on, reverse_complement(test_on))
    return float(-np.mean([table[_words(strand, order + 1)].mean() for strand in strands]))


def _words(codes: np.ndarray, length: int) -> np.ndarray:
    """Index of every word of ``length`` bases that contains no N."""
    total = codes.size - length + 1
    index, clean = np.zeros(total, np.int64), np.ones(total, bool)
    for k in range(length):
        part = codes[k : k + total]
        index = index * 4 + np.minimum(part, 3)
        clean &= part < N_CODE
    return index[clean]


def save_model(model: CausalMamba, directory: Path, card: str) -> None:
    """Write a directory that ``load_model`` and transformers' ``MambaForCausalLM`` read.

    Parameters
    ----------
    card : str
        Text of the model card, written as README.md.
    """
    c = model.config
    config = {
        "architectures": ["MambaForCausalLM"],
        "model_type": "mamba",
        "vocab_size": c.vocab_rows,
        "hidden_size": c.d_model,
        "num_hidden_layers": c.n_layer,
        "intermediate_size": c.d_inner,
        "expand": c.d_inner // c.d_model,
        "state_size": c.d_state,
        "conv_kernel": c.d_conv,
        "time_step_rank": c.dt_rank,
        "layer_norm_epsilon": c.norm_eps,
        "use_bias": c.proj_bias,
        "use_conv_bias": c.conv_bias,
        "hidden_act": "silu",
        "residual_in_fp32": True,
        "tie_word_embeddings": c.tied,
        "torch_dtype": "float32",
    }
    tensors = {f"backbone.{name}": t.contiguous() for name, t in model.state_dict().items()}
    directory.mkdir(parents=True, exist_ok=True)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (directory / "vocab.txt").write_text("\n".join(model.vocabulary.tokens) + "\n")
    (directory / "README.md").write_text(card)
