"""Causal Mamba-1 language model as a function of a tile and a state.

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

The input is the one-hot X, (batch, T, V), so that the derivative to a base is an ordinary
derivative: embedding row t is X[t] @ E.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.projection import project
from pgf_genome.mamba.state import LayerState, State
from pgf_genome.mamba.tokens import Vocabulary
from pgf_genome.scan import causal_conv, rms_norm, selective_scan


class Norm(nn.Module):
    """RMSNorm, or LayerNorm where the checkpoint has it."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.weight = nn.Parameter(torch.ones(config.d_model))
        self.bias = None if config.rms_norm else nn.Parameter(torch.zeros(config.d_model))

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is None:
            return rms_norm(x, self.weight, self.eps)
        return functional.layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)


class Mixer(nn.Module):
    """The Mamba-1 mixer: project, convolve, scan selectively, gate, project back."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        D, Di, N, R = config.d_model, config.d_inner, config.d_state, config.dt_rank
        self.sizes = (R, N, N)
        self.precision: torch.dtype | None = None  # of the products; None: that of the weights
        self.in_proj = nn.Linear(D, 2 * Di, bias=config.proj_bias)
        self.conv1d = nn.Conv1d(Di, Di, config.d_conv, groups=Di, bias=config.conv_bias)
        self.x_proj = nn.Linear(Di, R + 2 * N, bias=False)
        self.dt_proj = nn.Linear(R, Di)
        self.A_log = nn.Parameter(torch.zeros(Di, N))
        self.D = nn.Parameter(torch.ones(Di))
        self.out_proj = nn.Linear(Di, D, bias=config.proj_bias)

    def forward(self, u: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        # Two products instead of one and a split: both halves come out contiguous.
        x, z = (
            project(u, weight, bias, self.precision)
            for weight, bias in zip(*self._halves(), strict=True)
        )  # (batch, T, Di) each
        taps = self.conv1d.weight[:, 0, :].T  # (K, Di)
        bias = self.conv1d.bias if self.conv1d.bias is not None else torch.zeros_like(self.D)
        x, conv = causal_conv(x, taps, bias, state.conv)
        projected = project(x, self.x_proj.weight, precision=self.precision)
        dt, B, C = projected.split(self.sizes, dim=-1)  # (batch, T, R), (.., N), (.., N)
        # (batch, T, Di); the bias is added inside the scan
        dt = project(dt, self.dt_proj.weight, precision=self.precision)
        A = -torch.exp(self.A_log).T  # (N, Di)
        y, scan = selective_scan(x, dt, B, C, z, A, self.D, self.dt_proj.bias, state.scan)
        out = project(y, self.out_proj.weight, self.out_proj.bias, self.precision)
        return out, LayerState(conv, scan)

    def _halves(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor | None, Tensor | None]]:
        bias = self.in_proj.bias
        return self.in_proj.weight.chunk(2), (None, None) if bias is None else bias.chunk(2)


class Block(nn.Module):
    """Residual block: h + mixer(norm(h))."""

    def __init__(self, config: MambaConfig) -> None:
        super().__init__()
        self.norm = Norm(config)
        self.mixer = Mixer(config)

    def forward(self, h: Tensor, state: LayerState) -> tuple[Tensor, LayerState]:
        mixed, state = self.mixer(self.norm(h), state)
        return h + mixed, state


class CausalMamba(nn.Module):
    """``model(x, state) -> (log_probs, state)``, pure in both.

    Parameter names are those of Hugging Face ``MambaForCausalLM`` without ``backbone.``.

    Attributes
    ----------
    config : MambaConfig
    vocabulary : Vocabulary
    name, digest : str
        Where the weights came from, and their SHA-256.
    """

    def __init__(
        self, config: MambaConfig, vocabulary: Vocabulary, name: str = "", digest: str = ""
    ) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.name, self.digest = name, digest
        self.embeddings = nn.Embedding(config.vocab_rows, config.d_model)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm_f = Norm(config)
        self.lm_head = (
            None if config.tied else nn.Linear(config.d_model, config.vocab_rows, bias=False)
        )

    @property
    def dtype(self) -> torch.dtype:
        return self.embeddings.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.embeddings.weight.device

    @property
    def precision(self) -> torch.dtype:
        """Of the products inside the blocks; ``dtype`` is that of everything else."""
        return self.layers[0].mixer.precision or self.dtype

    @precision.setter
    def precision(self, precision: torch.dtype) -> None:
        for block in self.layers:
            block.mixer.precision = precision

    def tokenize(self, sequence: str) -> Tensor:
        """Token ids of a DNA string, (L,), one per base."""
        return self.vocabulary.tokenize(sequence)

    def one_hot(self, ids: Tensor) -> Tensor:
        """(.., V) in the model's dtype and on its device."""
        return functional.one_hot(ids.to(self.device), self.config.vocab_rows).to(self.dtype)

    def initial_state(self, batch: int) -> State:
        """The state before the first base: nothing seen, nothing predicted."""
        c, zeros = self.config, self.embeddings.weight.new_zeros
        layers = tuple(
            LayerState(zeros(batch, c.d_conv - 1, c.d_inner), zeros(batch, c.d_state, c.d_inner))
            for _ in range(c.n_layer)
        )
        return State(layers, zeros(batch, c.vocab_rows))

    def hidden(self, x: Tensor, state: State) -> tuple[Tensor, tuple[LayerState, ...]]:
        """Normalised last hidden layer (batch, T, D) and the layers' states after the tile."""
        h = project(x, self.embeddings.weight.T)
        layers = []
        for block, layer_state in zip(self.layers, state.layers, strict=True):
            h, layer_state = block(h, layer_state)
            layers.append(layer_state)
        return self.norm_f(h), tuple(layers)

    def logits(self, hidden: Tensor) -> Tensor:
        """(.., V)."""
        head = self.embeddings.weight if self.lm_head is None else self.lm_head.weight
        return project(hidden, head)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        hidden, layers = self.hidden(x, state)
        log_probs = torch.log_softmax(self.logits(hidden), dim=-1)  # (batch, T, V)
        return log_probs, State(layers, log_probs[:, -1])
