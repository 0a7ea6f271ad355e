"""The training loop: truncated or full backpropagation through time, both in constant memory.

A stream walks along a strand tile by tile. In truncated backpropagation every tile is a step: the
state is passed on detached, so that the model sees all of the walk although the gradient ends at
the tile. In full backpropagation every walk is a step: the adjoint sweep (``engine.sweep``) goes
back over all of its tiles.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from pgf_genome.engine import sweep
from pgf_genome.engine.objective import Tile
from pgf_genome.engine.plan import Plan
from pgf_genome.intervals import Interval
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.state import State
from pgf_genome.pretrain.corpus import Corpus, Walk
from pgf_genome.pretrain.initial import new_model
from pgf_genome.pretrain.settings import Training
from pgf_genome.sequence import N_CODE, Genome
from pgf_genome.torch_modes import in_ordinary_modes

CLIP = 1.0  # largest norm of a step's gradient


class Learner:
    """A model in training: `advance` takes a step, `snapshot` is all that the next step needs.

    Parameters
    ----------
    corpus : Corpus
    device : str or torch.device

    Attributes
    ----------
    model : CausalMamba
    step : int
        Steps taken.
    """

    def __init__(self, corpus: Corpus, device: str | torch.device = "cpu") -> None:
        training = corpus.training
        self.corpus, self.model, self.step = corpus, new_model(training).to(device), 0
        self._optimizer = torch.optim.AdamW(
            _parameter_groups(self.model, training.weight_decay), betas=(0.9, 0.98), foreach=True
        )
        self._streams = corpus.streams()
        self._noise = np.random.default_rng(training.seed)
        self._state = self.model.initial_state(training.streams)

    def advance(self) -> tuple[float, int]:
        """Take a step; return the mean training loss in bits, and the positions it averages."""
        training, steps = self.corpus.training, self.corpus.steps
        for group in self._optimizer.param_groups:
            group["lr"] = training.rate_at(self.step, steps)
        self._optimizer.zero_grad(set_to_none=True)
        backpropagate = self._one_tile if training.bptt == "truncated" else self._whole_walks
        nats, scored = backpropagate()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self._optimizer.step()
        self.step += 1
        return nats / math.log(2), scored

    def _one_tile(self) -> tuple[float, int]:
        fresh, tiles = zip(*(self.corpus.next_tile(s) for s in self._streams), strict=True)
        codes = np.stack(tiles)  # (streams, T + 1)
        seen = _with_noise(codes[:, :-1], self._noise, self.corpus.training.n_rate)
        state = _restart(self._state, torch.tensor(fresh, device=self.model.device))
        log_probs, self._state = self.model(self.model.one_hot(seen), state)
        targets = torch.from_numpy(codes[:, 1:]).long().to(self.model.device)
        loss = nll_loss(log_probs.flatten(0, 1), targets.flatten(), ignore_index=N_CODE)
        loss.backward()
        return loss.item(), int((targets != N_CODE).sum())

    def _whole_walks(self) -> tuple[float, int]:
        walks = [self.corpus.next_walk(stream) for stream in self._streams]
        T, seed = self.corpus.training.tile_length, (self.corpus.training.seed, self.step)
        plan = Plan(T * max(walk.tiles for walk in walks), T)

        def read(start: int, stop: int) -> Tensor:
            codes = np.stack([self.corpus.codes(walk, start, stop) for walk in walks])
            noise = np.random.default_rng([*seed, start])  # the same in the replay
            return self.model.one_hot(_with_noise(codes, noise, self.corpus.training.n_rate))

        weights = [p for p in self.model.parameters() if p.requires_grad]
        total = [torch.zeros_like(p, dtype=torch.float64) for p in weights]
        objectives = [NextBase(self.corpus, walk) for walk in walks]
        nats, scored = 0.0, 0
        for tile in sweep.there_and_back(self.model, read, plan, objectives, weights):
            nats -= tile.values.sum().item()
            scored += sum(f.scored(*plan.bounds(tile.k)) for f in objectives)
            for whole, part in zip(total, tile.weights, strict=True):
                whole += part
        for p, whole in zip(weights, total, strict=True):
            p.grad = (-whole / max(scored, 1)).to(p.dtype)
        return nats / max(scored, 1), scored

    def snapshot(self) -> dict[str, Any]:
        """Return tensors and plain values, from which `restore` continues to the same weights."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "state": [t.detach() for t in self._state.tensors()],
            "streams": [stream.snapshot() for stream in self._streams],
            "noise": self._noise.bit_generator.state,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Restore the learner from a `snapshot`."""
        self.step = snapshot["step"]
        self.model.load_state_dict(snapshot["model"])
        self._optimizer.load_state_dict(snapshot["optimizer"])
        self._state = self._state.filled([t.to(self.model.device) for t in snapshot["state"]])
        for stream, kept in zip(self._streams, snapshot["streams"], strict=True):
            stream.restore(kept)
        self._noise.bit_generator.state = snapshot["noise"]


@dataclass(frozen=True)
class NextBase:
    """Objective: log-likelihood of the base after every position of a walk; N is not scored."""

    corpus: Corpus
    walk: Walk

    def __call__(self, tile: Tile) -> Tensor:
        targets = torch.from_numpy(self._targets(tile.start, tile.start + len(tile.x))).long()
        targets, log_probs = targets.to(tile.x.device), torch.log_softmax(tile.logits, dim=-1)
        return -nll_loss(log_probs, targets, ignore_index=N_CODE, reduction="sum").double()

    def scored(self, start: int, stop: int) -> int:
        """Count the positions that have a target."""
        return int((self._targets(start, stop) != N_CODE).sum())

    def _targets(self, start: int, stop: int) -> np.ndarray:
        return self.corpus.codes(self.walk, start + 1, stop + 1)


def _with_noise(codes: np.ndarray, noise: np.random.Generator, rate: float) -> Tensor:
    """Replace a fraction of the codes by N; the codes, int64, are the model's token ids."""
    seen = codes.astype(np.int64)
    seen[noise.random(seen.shape) < rate] = N_CODE
    return torch.from_numpy(seen)


def _restart(state: State, fresh: Tensor) -> State:
    """Zero the state of the streams that begin a new walk."""
    keep = ~fresh
    return state.map(lambda t: t.detach() * keep.view(-1, *[1] * (t.dim() - 1)))


def _parameter_groups(model: CausalMamba, weight_decay: float) -> list[dict]:
    """Split the weights: matrices decay; poles, skips, norms, biases and embedding do not."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    decayed = {n for n, p in named.items() if n.endswith("proj.weight") and p.dim() == 2}
    return [
        {"params": [named[n] for n in named if n in decayed], "weight_decay": weight_decay},
        {"params": [named[n] for n in named if n not in decayed], "weight_decay": 0.0},
    ]


@in_ordinary_modes
def train(
    genomes: Mapping[Genome, float],
    held_out: Mapping[Genome, Sequence[Interval]],
    training: Training,
    log: Callable[[int, float], None] = lambda bases, bits: None,
    device: str | torch.device = "cpu",
) -> CausalMamba:
    """Train a new model on both strands of the genomes.

    Parameters
    ----------
    genomes : mapping of Genome to float
        Relative share of the training bases drawn from each.
    held_out : mapping of Genome to sequence of Interval
        Stretches that are never read.
    training : Training
    log : callable
        Called about every 100 steps with the bases seen and the mean training loss in bits.
    device : str or torch.device

    Notes
    -----
    Memory is one tile of ``streams`` sequences with its tape, whatever the length of the walks.
    Time is that of 3 forward passes per base for truncated backpropagation, of 5 for full.
    """
    corpus = Corpus(genomes, held_out, training)
    learner, losses, seen = Learner(corpus, device), [], 0
    while learner.step < corpus.steps:
        bits, scored = learner.advance()
        losses.append(bits)
        seen += scored
        if learner.step % 100 == 0 or learner.step == corpus.steps:
            log(seen, float(np.mean(losses)))
            losses.clear()
    return learner.model.requires_grad_(False).eval()
