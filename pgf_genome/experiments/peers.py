"""One gradient, by our sweep and by other software that a user can install.

Every function here takes a directory of weights (as ``pretrain.save_model`` writes it), token ids
(L,), a device and its own settings; it loads the model and returns a callable without arguments
that computes, anew at every call and in float32, the gradient (L, V) on the CPU of

    F(X) = sum_t log p(x_{t+1} | X_<=t)

with respect to the one-hot input X, the targets held fixed and the weights frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from pgf_genome.experiments import peer_models

Gradient = Callable[[], Tensor]


def pgf(
    weights: Path,
    ids: Tensor,
    device: str,
    tile_length: int,
    kept: int = 1,
    dtype: str = "float32",
) -> Gradient:
    """Differentiate by the adjoint sweep of this package; in float64 it is the reference."""
    # Imported here, so that the memory of peers does not include what they do not use.
    from pgf_genome import process
    from pgf_genome.checkpoints.load import load_model
    from pgf_genome.engine.arrays import adjoint
    from pgf_genome.engine.objective import Likelihood

    process.tune()
    model = load_model(weights, device, getattr(torch, dtype))
    objective = Likelihood(targets="fixed")
    return lambda: torch.from_numpy(adjoint(model, ids, objective, tile_length, kept).gradient)


def transformers(weights: Path, ids: Tensor, device: str) -> Gradient:
    """Differentiate by autograd through transformers' loop over time steps."""
    return _by_autograd(peer_models.TransformersModel(weights, device), ids, device)


def transformers_compiled(weights: Path, ids: Tensor, device: str) -> Gradient:
    """Differentiate by autograd through transformers' associative scan, compiled at first call."""
    model = peer_models.TransformersModel(weights, device, compiled=True)
    return _by_autograd(model, ids, device)


def mambapy(weights: Path, ids: Tensor, device: str) -> Gradient:
    """Differentiate by autograd through mambapy's parallel scan."""
    return _by_autograd(peer_models.MambapyModel(weights, device), ids, device)


def checkpointed(weights: Path, ids: Tensor, device: str) -> Gradient:
    """Differentiate as `mambapy`, with ``torch.utils.checkpoint`` around every block."""
    return _by_autograd(peer_models.CheckpointedModel(weights, device), ids, device)


def segments(weights: Path, ids: Tensor, device: str, segment: int) -> Gradient:
    """Differentiate by mambapy's parallel scan inside a sweep over segments.

    The sweep goes forward over the segments and stores the states between them, then backward
    segment by segment with recomputation.
    """
    model, targets = peer_models.SegmentedModel(weights, device), ids.to(device)
    spans = [slice(start, start + segment) for start in range(0, len(ids), segment)]

    def gradient() -> Tensor:
        x = _one_hot(targets, model.embedding)
        states = [model.initial_state()]
        with torch.no_grad():
            for span in spans[:-1]:
                _, state = model.with_state(x[span], states[-1])
                # Copies, because a view would keep the states of the whole segment.
                states.append([tensor.clone() for tensor in state])
        result = torch.empty_like(x)
        cotangent = [torch.zeros_like(tensor) for tensor in states[-1]]
        for span in reversed(spans):
            inputs = [t.detach().requires_grad_() for t in (x[span], *states.pop())]
            logits, end = model.with_state(inputs[0], inputs[1:])
            value = _likelihood(logits, targets[span.start + 1 : span.stop + 1])
            bars = torch.autograd.grad([value, *end], inputs, [value.new_ones(()), *cotangent])
            result[span], cotangent = bars[0], list(bars[1:])
        return result.cpu()

    return gradient


def mamba_ssm(weights: Path, ids: Tensor, device: str) -> Gradient:
    """Differentiate by autograd through the fused CUDA kernels of Mamba's authors."""
    return _by_autograd(peer_models.MambaSsmModel(weights, device), ids, device)


@dataclass(frozen=True)
class Method:
    """A way to compute the gradient.

    Attributes
    ----------
    prepare : callable
        One of the functions above.
    label : str
        Name in figures and text.
    packages : tuple of str
        Modules that must be installed.
    gpu_only : bool
        Whether it runs on CUDA devices only.
    environment : mapping
        Environment variables to set for its process.
    """

    prepare: Callable[..., Gradient]
    label: str
    packages: tuple[str, ...] = ()
    gpu_only: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)

    def lacks(self, device: str) -> str:
        """Say what is missing to run it; an empty text if nothing is."""
        absent = [name for name in self.packages if find_spec(name) is None]
        if absent:
            return f"there is no package {absent[0]}"
        return "it needs a GPU" if self.gpu_only and not device.startswith("cuda") else ""


OURS = "pgf"
METHODS: Mapping[str, Method] = {
    # This is what `process.tune` sets, but that comes too late for libraries already loaded.
    OURS: Method(pgf, "pgf-genome adjoint", environment={"OMP_WAIT_POLICY": "PASSIVE"}),
    "transformers": Method(transformers, "transformers, step by step", ("transformers",)),
    "mambapy": Method(mambapy, "mambapy pscan", ("mambapy",)),
    "transformers-compiled": Method(
        transformers_compiled, "transformers, compiled scan", ("transformers",)
    ),
    "checkpoint": Method(checkpointed, "pscan, blocks checkpointed", ("mambapy",)),
    "segments": Method(segments, "pscan, segments checkpointed", ("mambapy",)),
    "mamba_ssm": Method(mamba_ssm, "mamba_ssm kernels", ("mamba_ssm",), gpu_only=True),
}


def _by_autograd(
    model: peer_models.TransformersModel | peer_models.BlockModel, ids: Tensor, device: str
) -> Gradient:
    targets = ids.to(device)

    def gradient() -> Tensor:
        x = _one_hot(targets, model.embedding).requires_grad_()
        value = _likelihood(model(x), targets[1:])
        return torch.autograd.grad(value, x)[0].cpu()

    return gradient


def _one_hot(ids: Tensor, embedding: Tensor) -> Tensor:
    return functional.one_hot(ids, embedding.shape[0]).to(embedding.dtype)


def _likelihood(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum log p(target); the last row of the sequence's logits (T, V) has no target."""
    return -functional.cross_entropy(logits[: len(targets)], targets, reduction="sum")
