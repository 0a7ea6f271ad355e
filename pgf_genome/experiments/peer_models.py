"""The language model of a weights directory, built from other software.

Each model is a callable from the one-hot input X (L, V) to logits (L, V) in float32, with frozen
weights. ``mambapy`` and ``mamba_ssm`` have the block only, so embedding, last norm and head are
added here. The blocks' tensors have the same names everywhere.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class TransformersModel:
    """``MambaForCausalLM`` of transformers; with ``compiled``, compiled at the first call."""

    def __init__(self, weights: Path, device: str, compiled: bool = False) -> None:
        from transformers import MambaForCausalLM

        # Any, because transformers types its models too loosely to call them.
        model: Any = MambaForCausalLM.from_pretrained(
            weights, dtype=torch.float32, use_associative_scan=compiled
        )
        model.to(device).eval().requires_grad_(False)
        self.embedding = model.get_input_embeddings().weight
        self.run = torch.compile(model) if compiled else model

    def __call__(self, x: Tensor) -> Tensor:
        return self.run(inputs_embeds=(x @ self.embedding)[None], use_cache=False).logits[0]


class BlockModel(nn.Module, ABC):
    """Embedding, residual blocks from elsewhere, RMSNorm and tied head."""

    def __init__(self, weights: Path, device: str) -> None:
        super().__init__()
        self.config = json.loads((weights / "config.json").read_text())
        self.blocks = self.new_blocks(self.config)
        tensors = load_file(weights / "model.safetensors")
        layers = "backbone.layers."
        self.blocks.load_state_dict(
            {name.removeprefix(layers): t for name, t in tensors.items() if layers in name}
        )
        self.embedding = nn.Parameter(tensors["backbone.embeddings.weight"])
        self.norm_f = nn.Parameter(tensors["backbone.norm_f.weight"])
        self.to(device).requires_grad_(False)

    @abstractmethod
    def new_blocks(self, config: dict[str, Any]) -> nn.ModuleList:
        """Uninitialised blocks, with the sizes of transformers' ``config``."""

    def forward(self, x: Tensor) -> Tensor:
        h = (x @ self.embedding)[None]
        for block in self.blocks:
            h = block(h)
        return self.logits(h)

    def logits(self, h: Tensor) -> Tensor:
        """Compute logits (L, V) from the residual stream (1, L, D)."""
        eps = self.config["layer_norm_epsilon"]
        return functional.rms_norm(h[0], h.shape[-1:], self.norm_f, eps) @ self.embedding.T


class MambapyModel(BlockModel):
    """The blocks of mambapy, in its parallel scan mode."""

    def new_blocks(self, config: dict[str, Any]) -> nn.ModuleList:
        from mambapy.mamba import Mamba, MambaConfig

        sizes = MambaConfig(
            d_model=config["hidden_size"],
            n_layers=config["num_hidden_layers"],
            dt_rank=config["time_step_rank"],
            d_state=config["state_size"],
            expand_factor=config["expand"],
            d_conv=config["conv_kernel"],
            rms_norm_eps=config["layer_norm_epsilon"],
            bias=config["use_bias"],
            conv_bias=config["use_conv_bias"],
            pscan=True,
        )
        return Mamba(sizes).layers


class CheckpointedModel(MambapyModel):
    """mambapy's blocks, each recomputed in the backward pass."""

    def forward(self, x: Tensor) -> Tensor:
        h = (x @ self.embedding)[None]
        for block in self.blocks:
            h = checkpoint(block, h, use_reentrant=False)
        return self.logits(h)


class SegmentedModel(MambapyModel):
    """mambapy's blocks with their state passed in and out.

    The state is a flat list: for every block its last K - 1 inputs of the convolution,
    (1, K - 1, Di), and its recurrent state, (1, Di, N).
    """

    def initial_state(self) -> list[Tensor]:
        inner = self.config["expand"] * self.config["hidden_size"]
        zeros = self.embedding.new_zeros
        taps, states = self.config["conv_kernel"], self.config["state_size"]
        return [zeros(1, taps - 1, inner), zeros(1, inner, states)] * len(self.blocks)

    def with_state(self, x: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Compute the logits (T, V) of one segment X (T, V), and the state after it."""
        h, after = (x @ self.embedding)[None], []
        for block, past, start in zip(self.blocks, state[::2], state[1::2], strict=True):
            mixed, inputs, end = _mix(block, h, past, start)
            h = h + mixed
            after += [inputs, end]
        return self.logits(h), after


def _mix(block: Any, residual: Tensor, past: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Run mambapy's ``MambaBlock.forward`` from a state: inputs ``past``, recurrent state ``h``."""
    from mambapy.pscan import pscan

    mixer, u = block.mixer, block.norm(residual)
    c = mixer.config
    x, z = mixer.in_proj(u).chunk(2, dim=-1)  # (1, T, Di) each
    past = torch.cat([past, x], dim=1)  # (1, K - 1 + T, Di)
    conv = mixer.conv1d
    x = functional.conv1d(past.transpose(1, 2), conv.weight, conv.bias, groups=c.d_inner)
    x = functional.silu(x.transpose(1, 2))  # (1, T, Di)
    delta, B, C = mixer.x_proj(x).split([c.dt_rank, c.d_state, c.d_state], dim=-1)
    delta = functional.softplus(mixer.dt_proj(delta))[..., None]  # (1, T, Di, 1)
    decay = torch.exp(delta * -torch.exp(mixer.A_log))  # (1, T, Di, N)
    drive = delta * B[:, :, None] * x[..., None]  # (1, T, Di, N)
    # pscan starts from zero, so the decayed h is added to the first input.
    drive[:, 0] += decay[:, 0] * h
    states = pscan(decay, drive)  # (1, T, Di, N)
    y = (states @ C[..., None]).squeeze(-1) + mixer.D * x
    out = mixer.out_proj(y * functional.silu(z))
    return out, past[:, past.shape[1] - (c.d_conv - 1) :], states[:, -1]


class MambaSsmModel(BlockModel):
    """The mixers of mamba_ssm, whose kernels run on NVIDIA GPUs only."""

    def new_blocks(self, config: dict[str, Any]) -> nn.ModuleList:
        from mamba_ssm import Mamba

        return nn.ModuleList(
            Residual(
                nn.RMSNorm(config["hidden_size"], config["layer_norm_epsilon"]),
                Mamba(
                    d_model=config["hidden_size"],
                    d_state=config["state_size"],
                    d_conv=config["conv_kernel"],
                    expand=config["expand"],
                    dt_rank=config["time_step_rank"],
                    conv_bias=config["use_conv_bias"],
                    bias=config["use_bias"],
                ),
            )
            for _ in range(config["num_hidden_layers"])
        )


class Residual(nn.Module):
    """Residual block h + mixer(norm(h))."""

    def __init__(self, norm: nn.Module, mixer: nn.Module) -> None:
        super().__init__()
        self.norm, self.mixer = norm, mixer

    def forward(self, h: Tensor) -> Tensor:
        return h + self.mixer(self.norm(h))
