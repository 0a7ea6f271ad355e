"""The sweeps on a sequence in memory: token ids in, NumPy arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pgf_genome.engine import sweep, windows
from pgf_genome.engine.objective import Likelihood, Objective, check_objective, default_objective
from pgf_genome.engine.plan import Plan
from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.mamba.bidirectional import BidirectionalMamba
from pgf_genome.mamba.model import LanguageModel
from pgf_genome.scan import Dual

TILE_LENGTH = 4096
# Positions times directions of one tile of tangents: longer ones outgrow the caches.
ROWS_OF_TANGENTS = 4 * TILE_LENGTH


@dataclass(frozen=True)
class Adjoint:
    """Value and gradient of an objective.

    Attributes
    ----------
    value : float
        F.
    gradient : ndarray, (L, V)
        dF / dX in the model's dtype.
    """

    value: float
    gradient: np.ndarray


def adjoint(
    model: LanguageModel,
    ids: Tensor | Sequence[int],
    objective: Objective | None = None,
    tile_length: int = TILE_LENGTH,
    kept: int = 1,
) -> Adjoint:
    """Gradient of an objective with respect to every entry of the one-hot input.

    Parameters
    ----------
    model : CausalMamba or BidirectionalMamba
    ids : LongTensor (L,), or floating tensor (L, V)
        Token ids, or the input X itself, which need not be one-hot. For a bidirectional model
        all of it is one window.
    objective : Objective, optional
        Default: ``Likelihood()``, or ``PseudoLikelihood()`` for a bidirectional model.
    tile_length : int
        Positions per tile of a causal model; the result does not depend on it, to rounding.
    kept : int
        Tiles at the end that run forward once only, because all their tapes are kept: faster by
        a quarter where a sequence has no others, in the memory of so many tiles.

    Raises
    ------
    SequenceError
        If ``ids`` is neither token ids nor an input of this vocabulary.
    UsageError
        If the objective is not defined for this kind of model.

    Notes
    -----
    Cost: one primal sweep, one replay, one backward pass. Memory: one tile (two where a pipeline
    of two threads works on a single sequence) and the result, with
    boundary states in a temporary file; for a bidirectional model (n_layer x L x D) numbers.
    """
    bidirectional = isinstance(model, BidirectionalMamba)
    chosen = default_objective(bidirectional) if objective is None else objective
    check_objective(chosen, bidirectional)
    read, length = _reader(model, ids)
    if bidirectional:
        whole = windows.Windows(length, length, halo=0)
        tile = windows.adjoint(model, read, whole, [chosen])
        return Adjoint(tile.values.item(), tile.gradient[0].cpu().numpy())
    plan = Plan(length, tile_length, kept)
    value = torch.zeros((), dtype=torch.float64)
    gradient = torch.empty(length, model.config.vocab_rows, dtype=model.dtype)
    for tile in sweep.there_and_back(model, read, plan, [chosen]):
        start, stop = plan.bounds(tile.k)
        gradient[start:stop] = tile.gradient[0].cpu()
        value += tile.values[0].cpu()
    return Adjoint(value.item(), gradient.numpy())


@dataclass(frozen=True)
class ParameterGradient:
    """Value of an objective and its gradient with respect to the weights of a model.

    Attributes
    ----------
    value : float
        F.
    gradient : dict of str to ndarray
        dF / d(parameter) in float64, by the parameter's name in the model.
    """

    value: float
    gradient: dict[str, np.ndarray]


def parameter_gradient(
    model: LanguageModel,
    ids: Tensor | Sequence[int],
    objective: Objective | None = None,
    tile_length: int = TILE_LENGTH,
) -> ParameterGradient:
    """Exact backpropagation through time over a sequence of any length, in constant memory.

    Parameters
    ----------
    model : CausalMamba
        Weights that require no gradient are treated like those that do.
    ids, objective, tile_length
        As for `adjoint`; the default objective is ``Likelihood(targets="fixed")``.

    Raises
    ------
    SequenceError
        If ``ids`` is neither token ids nor an input of this vocabulary.
    UsageError
        If the model is bidirectional: it has no tiles to go through.

    Notes
    -----
    Cost: one primal sweep, one replay, one backward pass with weight gradients (4
    forward-equivalents). Memory: the tape of one tile and two copies of the weights; boundary
    states in a temporary file. The tiles' shares are added in float64. While it runs, the model's
    weights require gradients.
    """
    if isinstance(model, BidirectionalMamba):
        raise UsageError("weight gradients over tiles need a causal model")
    chosen = Likelihood(targets="fixed") if objective is None else objective
    read, length = _reader(model, ids)
    named = dict(model.named_parameters())
    asked = {name: p.requires_grad for name, p in named.items()}
    total = [torch.zeros_like(p, dtype=torch.float64) for p in named.values()]
    value = torch.zeros((), dtype=torch.float64)
    try:
        model.requires_grad_(True)
        parameters = list(named.values())
        plan = Plan(length, tile_length)
        for tile in sweep.there_and_back(model, read, plan, [chosen], parameters):
            value += tile.values[0].cpu()
            for whole, part in zip(total, tile.weights, strict=True):
                whole += part
    finally:
        for name, p in named.items():
            p.requires_grad_(asked[name])
    gradient = {n: t.cpu().numpy() for n, t in zip(named, total, strict=True)}
    return ParameterGradient(value.item(), gradient)


def tangent(
    model: LanguageModel,
    ids: Tensor | Sequence[int],
    direction: Tensor | np.ndarray,
    tile_length: int = TILE_LENGTH,
) -> np.ndarray:
    """Derivative of every log-probability along one or more directions in X.

    Parameters
    ----------
    direction : (L, V) or (k, L, V)
        The k directions share one primal sweep.
    tile_length : int
        Positions per tile; many directions make tiles shorter, to bound k times the positions.

    Returns
    -------
    ndarray, (L, V) or (k, L, V)
        Row t: the derivative of log p(next base | X_<=t), or of log p(base t | X) of a
        bidirectional model.
    """
    read, length = _reader(model, ids)
    directions = torch.as_tensor(direction).to(model.device, model.dtype)
    rows = model.config.vocab_rows
    if directions.dim() not in (2, 3) or directions.shape[-2:] != (length, rows):
        raise SequenceError(
            f"direction of shape {tuple(directions.shape)} for a sequence of {length} tokens in "
            f"a vocabulary of {rows} rows; expected ({length}, {rows}) or (k, {length}, {rows})"
        )
    stacked = directions.reshape(-1, 1, length, rows)
    if isinstance(model, BidirectionalMamba):
        moved = _window_tangents(model, read(0, length), stacked)
        return moved.reshape(directions.shape).cpu().numpy()
    plan = Plan(length, min(tile_length, -(-ROWS_OF_TANGENTS // len(stacked))))
    blank = model.initial_state(1)
    tiles = sweep.tangent(model, read, lambda start, stop: stacked[:, :, start:stop], plan, blank)
    moved = torch.cat([tile.tangents[:, 0] for tile in tiles], dim=1)
    return moved.reshape(directions.shape).cpu().numpy()


def _window_tangents(model: BidirectionalMamba, x: Tensor, directions: Tensor) -> Tensor:
    at_once = max(1, ROWS_OF_TANGENTS // x.shape[1])
    with torch.no_grad():
        return torch.cat([model(Dual(x, dx)).dots for dx in directions.split(at_once)])


def log_probs(
    model: LanguageModel, ids: Tensor | Sequence[int], tile_length: int = TILE_LENGTH
) -> np.ndarray:
    """Primal sweep: (L, V), row t is log p(next base | X_<=t).

    Of a bidirectional model row t is log p(base t | X), and all of X is one window.
    """
    read, length = _reader(model, ids)
    if isinstance(model, BidirectionalMamba):
        with torch.no_grad():
            return model(read(0, length), windows.streamed)[0].cpu().numpy()
    steps = sweep.primal(model, read, Plan(length, tile_length), model.initial_state(1))
    return torch.cat([step.log_probs[0] for step in steps]).cpu().numpy()


def _reader(model: LanguageModel, ids: Tensor | Sequence[int]) -> tuple[sweep.Reader, int]:
    """One-hot tiles of a single sequence, and its length."""
    given, rows = torch.as_tensor(ids), model.config.vocab_rows
    if given.dim() == 2 and given.is_floating_point() and given.shape[1] == rows:
        x = given.to(model.device, model.dtype)
        return lambda start, stop: x[None, start:stop].clone(), len(x)
    if given.dim() != 1 or given.is_floating_point() or not len(given):
        raise SequenceError(
            f"ids of shape {tuple(given.shape)} and type {given.dtype}; expected token ids (L,) "
            f"or an input of shape (L, {rows})"
        )
    if not 0 <= int(given.min()) <= int(given.max()) < rows:
        raise SequenceError(
            f"token ids {int(given.min())}..{int(given.max())} outside the vocabulary of "
            f"{rows} rows"
        )
    return lambda start, stop: model.one_hot(given[None, start:stop]), len(given)
