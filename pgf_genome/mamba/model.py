"""Mamba language models; the causal one is a function of a tile and a state.

Symbols (Gu and Dao 2023, arXiv 2312.00752; names as in the original code):

    batch   independent sequences, e.g. the two strands
    T       tile length: positions in one call
    V       vocabulary rows, padding rows included
    D       d_model: width of the residual stream
    Di      d_inner: channels of convolution and scan
    N       d_state: states per channel
    K       d_conv: taps of the convolution
    R       dt_rank: rank of the step-size projection
    x, z    the two halves of the input projection: signal and gate
    delta   step size, softplus(dt + bias)
    A, B, C, D   poles, input map, output map, skip of the state-space model
    H, G    Mamba-2: heads, and groups of heads

The input is the one-hot X, (batch, T, V), so that the derivative to a base is an ordinary
derivative: embedding row t is X[t] @ E.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.mixers.base import Mixer
from pgf_genome.mamba.mixers.both_ways import BothWays
from pgf_genome.mamba.norm import Norm
from pgf_genome.mamba.projection import project
from pgf_genome.mamba.state import LayerState, State
from pgf_genome.mamba.vocabulary import Vocabulary


class Block(nn.Module):
    """Residual block: h + mixer(norm(h))."""

    mixer: Any  # a `Mixer`, or the `BothWays` of a bidirectional model

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        mixer, D = config.mixer, config.d_model
        self.norm = Norm(config)
        self.mixer = BothWays(mixer, config.two_way, D) if config.two_way else mixer.build(D)

    def forward(self, h: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        mixed, state = self.mixer(self.norm(h), state)
        return h + mixed, state

    def along(self, h: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        """As ``forward``, with states at every position; see `Mixer.along`."""
        mixed, states = self.mixer.along(self.norm(h), state)
        return h + mixed, states


class LanguageModel(nn.Module):
    """Embedding, blocks, norm, head: what causal and bidirectional models have in common.

    Parameter names are those of Hugging Face ``MambaForCausalLM`` without ``backbone.``.

    Attributes
    ----------
    config : MambaConfig
    vocabulary : Vocabulary
    name, digest : str
        Where the weights came from, and their SHA-256.
    trained_length : int or None
        Longest input in training, where it is known.
    origin : dict
        ``repo``, ``commit`` and ``licence`` of a model from the hub.
    """

    trained_length: int | None = None
    origin: Mapping[str, str | None] = MappingProxyType({})

    def __init__(
        self, config: MambaConfig, vocabulary: Vocabulary, name: str = "", digest: str = ""
    ) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.name, self.digest = name, digest
        rows = torch.empty(config.vocab_rows, config.d_model)
        if not rows.is_meta:  # where torch would load its compiler in order to draw nothing
            rows.normal_()
        self.embeddings = nn.Embedding.from_pretrained(rows, freeze=False)
        blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.layers = cast(Sequence[Block], blocks)  # a ModuleList hides what is in it
        self.norm_f = Norm(config)
        own_head = config.has_head and not config.tied
        self.lm_head = (
            nn.Linear(config.d_model, config.vocab_rows, bias=False) if own_head else None
        )

    @property
    def reads_both_strands(self) -> bool:
        """True if the model itself adds the outputs of both strands, and so is equivariant."""
        return bool(self.config.complement)

    @property
    def dtype(self) -> torch.dtype:
        return self.embeddings.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.embeddings.weight.device

    @property
    def precision(self) -> torch.dtype:
        """Type of the factors of matrix products in the blocks; all else has ``dtype``."""
        return next(m.precision for m in self.modules() if isinstance(m, Mixer)) or self.dtype

    @precision.setter
    def precision(self, precision: torch.dtype) -> None:
        for module in self.modules():
            if isinstance(module, Mixer):
                module.precision = precision

    def tokenize(self, sequence: object) -> Tensor:
        """Token ids, (L,), one per base, of DNA as text or in a record of Biopython or pyfaidx."""
        return self.vocabulary.tokenize(sequence)

    def one_hot(self, ids: Tensor) -> Tensor:
        """(.., V) in the model's dtype and on its device."""
        return functional.one_hot(ids.to(self.device), self.config.vocab_rows).to(self.dtype)

    def embed(self, x: Tensor) -> Tensor:
        """(.., V) -> (.., D)."""
        return project(x, self.embeddings.weight.T)

    def logits(self, hidden: Tensor) -> Tensor:
        """(.., D) -> (.., V), or (.., 0) without a head."""
        if not self.config.has_head:
            return hidden[..., :0]
        head = self.embeddings.weight if self.lm_head is None else self.lm_head.weight
        return project(hidden, head)


class Stage(NamedTuple):
    """Consecutive blocks of a causal model, a function of a tile and a state like the whole of it.

    The first stage embeds its input; the last one normalises its output.
    """

    model: CausalMamba
    first: int
    stop: int

    @property
    def is_first(self) -> bool:
        return self.first == 0

    @property
    def is_last(self) -> bool:
        return self.stop == len(self.model.layers)

    def part(self, state: State) -> State:
        """The share of this stage in the state of the model."""
        predicted = state.log_probs if self.is_last else state.log_probs[:, :0]
        return State(state.layers[self.first : self.stop], predicted)

    def __call__(
        self, h: Tensor, layers: Sequence[LayerState]
    ) -> tuple[Tensor, tuple[LayerState, ...]]:
        """(h, states of its blocks) -> (h, their states after the tile)."""
        h = self.model.embed(h) if self.is_first else h
        after = []
        for block, state in zip(self.model.layers[self.first : self.stop], layers, strict=True):
            h, state = block(h, state)
            after.append(state)
        return (self.model.norm_f(h) if self.is_last else h), tuple(after)


class CausalMamba(LanguageModel):
    """``model(x, state) -> (log_probs, state)``, pure in both."""

    def initial_state(self, batch: int) -> State:
        """The state before the first base: nothing seen, nothing predicted."""
        weight = self.embeddings.weight
        layers = tuple(block.mixer.blank_state(batch) for block in self.layers)
        return State(layers, weight.new_zeros(batch, self.config.outputs))

    def shared(self, state: State, times: int) -> State:
        """The state of ``times`` sequences, next to each other, for each sequence of a state.

        It is to be continued from, and may be smaller than the states that come out.
        """
        pairs = zip(self.layers, state.layers, strict=True)
        layers = tuple(block.mixer.shared(layer, times) for block, layer in pairs)
        return State(layers, state.log_probs.repeat_interleave(times, dim=0))

    def hidden(self, x: Tensor, state: State) -> tuple[Tensor, tuple[LayerState, ...]]:
        """Normalised last hidden layer (batch, T, D) and the layers' states after the tile."""
        (whole,) = self.stages(1)
        return whole(x, state.layers)

    def along(
        self, x: Tensor, before: Sequence[LayerState]
    ) -> tuple[Tensor, tuple[LayerState, ...]]:
        """As ``hidden``, with the layers' states at every position; see `Mixer.along`."""
        h, along = self.embed(x), []
        for block, state in zip(self.layers, before, strict=True):
            h, states = block.along(h, state)
            along.append(states)
        return self.norm_f(h), tuple(along)

    def stages(self, count: int) -> list[Stage]:
        """The model as a chain of stages of about equal depth."""
        edges = [len(self.layers) * i // count for i in range(count + 1)]
        return [Stage(self, first, stop) for first, stop in pairwise(edges)]

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, layers = self.hidden(x, state)
        log_probs = torch.log_softmax(self.logits(hidden), dim=-1)  # (batch, T, V)
        return log_probs, State(layers, log_probs[..., -1, :])
