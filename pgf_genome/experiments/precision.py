"""Parts of the arithmetic that tolerate half precision (paper, App. B)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import linear, silu, softplus

from pgf_genome.errors import UsageError
from pgf_genome.experiments.trial import Trial
from pgf_genome.mamba.mixers.mamba1 import Mamba1
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.scan.reference import causal_conv, rms_norm

PARTS = ("products", "norm", "residual", "softmax", "step size", "decay", "state")
ALL, NOTHING = "everything", "nothing"
Round = Callable[[str, Tensor], Tensor]
QUICK: Mapping[str, Any] = {"length": 96, "layers": 1, "width": 16}


@dataclass(frozen=True, kw_only=True)
class Settings(Trial):
    """Options of the experiment.

    Attributes
    ----------
    length : int
        Bases. The slowest states of the model last ten times as long; the objective counts the
        predictions of the last eighth.
    dtypes : tuple of str
        Types to round a part to.
    """

    LEAST: ClassVar[Mapping[str, float]] = {**Trial.LEAST, "length": 2}

    length: int = 512
    dtypes: Sequence[str] = ("bfloat16", "float16")
    width: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.dtypes:
            if name not in ("bfloat16", "float16", "float32"):
                raise UsageError(f"--dtypes {name}: choose from bfloat16, float16, float32")


def rows(settings: Settings, scratch: Path) -> Iterator[dict[str, Any]]:
    """Round one part after the other, and compare gradients."""
    facts = settings.facts()
    yield from (row | facts for row in _rows(settings))


def _rows(settings: Settings) -> Iterator[dict[str, Any]]:
    model = settings.model(init="long", target_length=10 * settings.length)
    model = model.requires_grad_(False).to(settings.device)
    ids = torch.from_numpy(np.random.default_rng(settings.seed).integers(0, 4, settings.length))
    far = slice(settings.length // 2)
    truth = gradient(model.double(), ids, lambda part, t: t)
    model = model.float()
    cases = [("float32", NOTHING), *((d, p) for d in settings.dtypes for p in (*PARTS, ALL))]
    for dtype, part in cases:
        rounded = gradient(model, ids, _rounding(part, getattr(torch, dtype))).double()
        finite = bool(rounded.isfinite().all())
        yield {
            "part": part,
            "dtype": dtype,
            "length": settings.length,
            "finite": finite,
            "error": _error(rounded, truth) if finite else None,
            "far_error": _error(rounded[far], truth[far]) if finite else None,
        }


def _error(found: Tensor, truth: Tensor) -> float:
    return float((found - truth).norm() / truth.norm())


def _rounding(part: str, dtype: torch.dtype) -> Round:
    """Return a function that rounds one part, forward and, by the cast's rule, backward."""
    return lambda name, t: t.to(dtype).to(t.dtype) if part in (name, ALL) else t


def gradient(model: CausalMamba, ids: Tensor, rounded: Round) -> Tensor:
    """Compute dF/dX (L, V) with every part passed through ``rounded``.

    F is the log-likelihood of the last eighth, with fixed targets.
    """
    x = model.one_hot(ids).requires_grad_()
    h = rounded("residual", x @ model.embeddings.weight)
    for block in model.layers:
        normed = rounded("norm", rms_norm(h, block.norm.weight, model.config.norm_eps))
        h = rounded("residual", h + mixed(block.mixer, normed, rounded))
    hidden = rounded("norm", rms_norm(h, model.norm_f.weight, model.config.norm_eps))
    logits = rounded("softmax", linear(hidden, model.embeddings.weight))
    log_probs = rounded("softmax", torch.log_softmax(logits, dim=-1))
    counted = len(ids) - max(len(ids) // 8, 1)
    likelihood = log_probs[counted - 1 : -1].gather(1, ids[counted:, None].to(x.device)).sum()
    return torch.autograd.grad(likelihood, x)[0].cpu()


def mixed(mixer: Mamba1, u: Tensor, rounded: Round) -> Tensor:
    """Run a mixer one position after the other, (T, D) -> (T, D)."""

    def product(t: Tensor, weight: Tensor) -> Tensor:
        return rounded("products", linear(rounded("products", t), rounded("products", weight)))

    x, z = product(u, mixer.in_proj.weight).chunk(2, dim=1)
    taps = mixer.conv1d.weight[:, 0].T  # (K, Di)
    before = x.new_zeros(1, len(taps) - 1, x.shape[1])
    x = causal_conv(x[None], taps, cast(Tensor, mixer.conv1d.bias), before)[0][0]
    rank, states = mixer.dt_proj.weight.shape[1], mixer.A_log.shape[1]
    low, B, C = product(x, mixer.x_proj.weight).split([rank, states, states], dim=1)
    dt = product(low, mixer.dt_proj.weight)
    delta = rounded("step size", softplus(dt + mixer.dt_proj.bias))  # (T, Di)
    decay = rounded("decay", (delta[..., None] * -mixer.A_log.exp()).exp())  # (T, Di, N)
    h, read = x.new_zeros(mixer.A_log.shape), []
    for a, step, b, c in zip(decay, delta * x, B, C, strict=True):
        h = rounded("state", a * h + step[:, None] * b)
        read.append(h @ c)
    y = (torch.stack(read) + mixer.D * x) * silu(z)
    return product(y, mixer.out_proj.weight)
