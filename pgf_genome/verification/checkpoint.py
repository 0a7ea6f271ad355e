"""A checkpoint by itself: logits and gradients against software that shares nothing with ours."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pgf_genome.checkpoints.choices import DEFAULT_DEVICE
from pgf_genome.checkpoints.load import load_model
from pgf_genome.checkpoints.source import resolve_source
from pgf_genome.engine.objective import SquaredNorm
from pgf_genome.engine.running import running_of
from pgf_genome.errors import UsageError
from pgf_genome.mamba.bidirectional import BidirectionalMamba
from pgf_genome.mamba.model import CausalMamba, LanguageModel
from pgf_genome.runs.certificate import Certificate, Check
from pgf_genome.scan import only_equations
from pgf_genome.torch_modes import in_ordinary_modes
from pgf_genome.verification.derivatives import by_autograd
from pgf_genome.verification.excerpt import Excerpt, in_double, largest_difference

# Of another program in float32, and of our own equations in float64, of the largest entry.
ELSEWHERE, OWN = 1e-4, 1e-9
LENGTH, TILE = 64, 13


@in_ordinary_modes
def verify_model(
    source: str | Path,
    recorded: str | os.PathLike[str] | None = None,
    *,
    device: str | torch.device = DEFAULT_DEVICE,
) -> Certificate:
    """Compare logits and gradients of a checkpoint with those of other software.

    That is transformers, where it is installed and the checkpoint is one of its own
    (``model_type`` mamba or mamba2, with a head); else the equations of this program, one position
    after the other under torch's autograd, which check kernels and tiles and not whether the
    checkpoint is read rightly. No code of the checkpoint is run.

    Parameters
    ----------
    source : bundled name, checkpoint directory, or hub id
    recorded : path-like, optional
        JSON with ``sequence`` and ``checkpoints``, by any name: ``weights_file``,
        ``weights_sha256`` and ``values``, the mean over the sequence of the last hidden layer.

    Raises
    ------
    ModelError
        If the checkpoint cannot be read.
    UsageError
        If ``recorded`` cannot be read, or does not hold the weights of the checkpoint.
    """
    model = load_model(source, device)
    directory = resolve_source(source).directory
    letters = np.random.default_rng(64).choice(list("ACGTN"), LENGTH, p=[0.24] * 4 + [0.04])
    ids = model.tokenize("".join(letters))
    checks = [*_derivatives(model, directory, ids)]
    if recorded is not None:
        checks.append(_on_record(model, directory, recorded))
    return Certificate(tuple(checks))


def _derivatives(model: LanguageModel, directory: Path, ids: Tensor) -> Iterator[Check]:
    kind = json.loads((directory / "config.json").read_text(encoding="utf-8")).get("model_type")
    headed = isinstance(model, CausalMamba) and model.config.has_head
    own, where = in_double(model), "the equations of this program, float64"
    objective = (
        running_of(own).likelihood(targets="fixed") if own.config.has_head else SquaredNorm()
    )
    excerpt = Excerpt(own, ids, objective, TILE)
    gradient, tolerance = excerpt.adjoint().gradient, OWN
    if headed and kind in ("mamba", "mamba2") and find_spec("transformers") is not None:
        where, tolerance = "transformers, float32", ELSEWHERE
        logits, expected = _of_transformers(directory, ids)
    else:
        logits = _equations(own, ids)
        expected = by_autograd(replace(excerpt, tile_length=len(ids)))
    if own.config.has_head:
        yield Check.of(
            "logits",
            tolerance,
            largest_difference([(_logits(own, ids), logits)]),
            f"logits of {LENGTH} tokens against {where}, largest difference of the largest entry",
        )
    yield Check.of(
        "gradient",
        tolerance,
        largest_difference([(gradient, expected)]),
        f"gradient with respect to {LENGTH} tokens against {where}, largest difference of the "
        "largest entry",
    )


def _hidden(model: LanguageModel, ids: Tensor) -> Tensor:
    """The last hidden layer, (L, ..)."""
    x = model.one_hot(ids[None])
    with torch.no_grad():
        if isinstance(model, BidirectionalMamba):
            return model.hidden(x)[0]
        assert isinstance(model, CausalMamba)  # the other kind of model
        return model.hidden(x, model.initial_state(1))[0][0]


def _logits(model: LanguageModel, ids: Tensor) -> np.ndarray:
    with torch.no_grad():
        return model.logits(_hidden(model, ids)[None])[0].cpu().double().numpy()


def _equations(model: LanguageModel, ids: Tensor) -> np.ndarray:
    with only_equations():
        return _logits(model, ids)


def _of_transformers(directory: Path, ids: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Logits, (L, V), and the gradient of the likelihood of fixed targets, (L, V)."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    # Any, because transformers types its models too loosely to call them
    model: Any = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, local_files_only=True, trust_remote_code=False
    )
    table = model.eval().requires_grad_(False).get_input_embeddings().weight
    embedded = table[ids][None].requires_grad_()
    logits = model(inputs_embeds=embedded, use_cache=False).logits[0]
    total = logits.log_softmax(dim=-1)[:-1].gather(1, ids[1:, None]).sum()
    (gradient,) = torch.autograd.grad(total, embedded)
    return logits.detach().double().numpy(), (gradient[0] @ table.T).double().numpy()


def _on_record(model: LanguageModel, directory: Path, recorded: str | os.PathLike[str]) -> Check:
    """The mean of the last hidden layer against one that other software came to."""
    try:
        record = json.loads(Path(recorded).read_text(encoding="utf-8"))
        sequence, known = record["sequence"], record["checkpoints"].values()
        found = next((each for each in known if _is_of(directory, each)), None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"`recorded` {os.fspath(recorded)}: no record of hidden states ({error})"
        ) from error
    if found is None:
        raise UsageError(
            f"`recorded` {os.fspath(recorded)}: it has no record of these weights; leave it out"
        )
    hidden = _published(model, _hidden(model, model.tokenize(sequence)))
    mean = hidden.mean(dim=0).cpu().double().numpy()
    expected = np.array(found["values"])
    return Check.of(
        "recorded hidden states",
        ELSEWHERE,
        np.inf if mean.shape != expected.shape else largest_difference([(mean, expected)]),
        f"mean of the last hidden layer over {len(sequence)} tokens against "
        f"{Path(recorded).name}, largest difference of the largest entry",
    )


def _is_of(directory: Path, entry: dict[str, str]) -> bool:
    weights = directory / Path(entry["weights_file"]).name
    if not weights.is_file():
        return False
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == entry["weights_sha256"]


def _published(model: LanguageModel, hidden: Tensor) -> Tensor:
    """The last hidden layer as it is published: channels of the other strand are mirrored, and the
    strands have changed places at every layer.
    """
    if not model.reads_both_strands:
        return hidden
    strand, other = hidden.chunk(2, dim=-1)
    halves = [strand, other.flip(-1)]
    return torch.cat(halves[::-1] if model.config.n_layer % 2 else halves, dim=-1)
