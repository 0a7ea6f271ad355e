"""Sweeps over one sequence in memory: token ids in, NumPy arrays out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pgf_genome.alphabet import text_of
from pgf_genome.engine.equations import Reader
from pgf_genome.engine.objective import Likelihood, Objective, unit_of
from pgf_genome.engine.plan import TILE_LENGTH, Plan
from pgf_genome.engine.running import running_of
from pgf_genome.errors import SequenceError
from pgf_genome.mamba.model import LanguageModel
from pgf_genome.notebook import Row, html_table
from pgf_genome.torch_modes import in_ordinary_modes

# token ids, text, or the input itself
Ids = Tensor | np.ndarray | Sequence[int] | str | bytes


@dataclass(frozen=True)
class Adjoint:
    """Value and gradient of an objective.

    Attributes
    ----------
    value : float
        F.
    gradient : ndarray, (L, V)
        dF / dX in the model's dtype.
    unit : str
        The unit of F.
    """

    value: float
    gradient: np.ndarray
    unit: str = "units"

    def _repr_html_(self) -> str:
        row = Row.of("dF/dX", self.gradient, f"{self.unit} per unit change of the one-hot")
        return html_table(f"F = {self.value:.6g} {self.unit}", [row])


@in_ordinary_modes
def adjoint(
    model: LanguageModel,
    ids: Ids,
    objective: Objective | None = None,
    tile_length: int | None = None,
    kept: int | None = None,
    threads: int | None = None,
) -> Adjoint:
    """Gradient of an objective with respect to every entry of the one-hot input.

    Parameters
    ----------
    model : CausalMamba or BidirectionalMamba
    ids : LongTensor (L,), str, or floating tensor (L, V)
        Token ids, a sequence (as text, or a record of Biopython or pyfaidx), or the input X
        itself, which need not be one-hot. A bidirectional model sees all of it, whatever its
        length.
    objective : Objective, optional
        Default: ``Likelihood()``, or ``PseudoLikelihood()`` for a bidirectional model.
    tile_length : int, optional
        Positions per tile of a causal model; the result does not depend on it, to rounding.
        Default: 1,024 to 4,096, by the length of the sequence.
    kept : int, optional
        Tiles at the end that run forward once only, because all their tapes are kept: faster by
        a quarter where a sequence has no others, in the memory of so many tiles. Default: one;
        where the tile length is left out too, all of a sequence of at most 32,768 bases, if their
        tapes fit into 2 GiB.
    threads : int, optional
        Threads in all; torch's count if None. Numbers may depend on it in the last bit.

    Raises
    ------
    SequenceError
        If ``ids`` is neither token ids nor an input of this vocabulary.
    UsageError
        If the objective is not defined for this kind of model.

    Notes
    -----
    Cost: one primal sweep, one replay, one backward pass. Memory: the kept tiles (and another
    where a pipeline of two threads works on a single sequence) and the result, with boundary states
    in a temporary file. A bidirectional model goes layer by layer: (n_layer x L x D) numbers, in
    temporary files (TMPDIR) where they take more memory than is chosen by default.
    """
    running = running_of(model)
    chosen: Objective = running.likelihood() if objective is None else objective
    running.check(chosen)
    read, length = reader_of(model, ids)
    plan = running.plan(length, tile_length, kept)
    value, gradient = running.adjoint(read, plan, chosen, threads)
    return Adjoint(value, gradient.cpu().numpy(), unit_of(chosen))


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


@in_ordinary_modes
def parameter_gradient(
    model: LanguageModel,
    ids: Ids,
    objective: Objective | None = None,
    tile_length: int = TILE_LENGTH,
    threads: int | None = None,
) -> ParameterGradient:
    """Exact backpropagation through time over a sequence of any length, in constant memory.

    Parameters
    ----------
    model : CausalMamba
        Weights that require no gradient are treated like those that do.
    ids, objective, tile_length, threads
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
    running = running_of(model)
    chosen = Likelihood(targets="fixed") if objective is None else objective
    read, length = reader_of(model, ids)
    names = [name for name, _ in model.named_parameters()]
    with _weights_require_gradients(model):
        plan = Plan(length, tile_length)
        value, total = running.parameter_gradient(read, plan, chosen, threads)
    gradient = {n: t.cpu().numpy() for n, t in zip(names, total, strict=True)}
    return ParameterGradient(value, gradient)


@contextmanager
def _weights_require_gradients(model: LanguageModel) -> Iterator[None]:
    asked = [(p, p.requires_grad) for p in model.parameters()]
    try:
        model.requires_grad_(True)
        yield
    finally:
        for p, before in asked:
            p.requires_grad_(before)


@in_ordinary_modes
def tangent(
    model: LanguageModel,
    ids: Ids,
    direction: Tensor | np.ndarray,
    tile_length: int = TILE_LENGTH,
    threads: int | None = None,
) -> np.ndarray:
    """Derivative of every log-probability along one or more directions in X.

    Parameters
    ----------
    model, ids, threads
        As for `adjoint`.
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
    running = running_of(model)
    running.require_head("there are no log-probabilities; use a model with a head")
    read, length = reader_of(model, ids)
    try:
        directions = torch.as_tensor(direction).to(model.device, model.dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SequenceError(f"direction is no array: {error}") from None
    rows = model.config.vocab_rows
    known = directions.dim() in (2, 3) and directions.shape[-2:] == (length, rows)
    if not known or not len(directions):
        raise SequenceError(
            f"direction of shape {tuple(directions.shape)} for a sequence of {length} tokens in "
            f"a vocabulary of {rows} rows; expected ({length}, {rows}) or (k, {length}, {rows})"
        )
    stacked = directions.reshape(-1, 1, length, rows)
    moved = running.tangent(read, Plan(length, tile_length), stacked, threads)
    return moved.reshape(directions.shape).cpu().numpy()


@in_ordinary_modes
def log_probs(
    model: LanguageModel,
    ids: Ids,
    tile_length: int = TILE_LENGTH,
    threads: int | None = None,
) -> np.ndarray:
    """Predictions by a primal sweep: (L, V), row t is log p(next base | X_<=t).

    Row t of a bidirectional model is log p(base t | X), and all of X is one window. Parameters
    are those of `adjoint`.
    """
    running = running_of(model)
    running.require_head("there are no log-probabilities; use a model with a head")
    read, length = reader_of(model, ids)
    return running.log_probs(read, Plan(length, tile_length), threads).cpu().numpy()


def reader_of(model: LanguageModel, ids: Ids, tokens_only: bool = False) -> tuple[Reader, int]:
    """One-hot tiles of a single sequence, and its length.

    Raises
    ------
    SequenceError
        If ``ids`` is neither token ids nor an input of this vocabulary, or an input where only
        tokens will do.
    """
    given, rows = _as_tensor(model, ids), model.config.vocab_rows
    if (
        not tokens_only
        and given.dim() == 2
        and given.is_floating_point()
        and given.shape[1] == rows
    ):
        x = given.to(model.device, model.dtype)
        return lambda start, stop: x[None, start:stop].clone(), len(x)
    tokens = _checked(model, given, "" if tokens_only else f", or an input of shape (L, {rows})")
    return lambda start, stop: model.one_hot(tokens[None, start:stop]), len(tokens)


def token_ids(model: LanguageModel, ids: Ids) -> Tensor:
    """Token ids, int64 (L,), of a sequence given in any of the ways that `adjoint` takes.

    Raises
    ------
    SequenceError
        If ``ids`` is neither token ids nor text, or has no base.
    """
    return _checked(model, _as_tensor(model, ids))


def _checked(model: LanguageModel, given: Tensor, otherwise: str = "") -> Tensor:
    """Token ids that the model has rows for, as int64 (L,); ``otherwise`` ends the error."""
    rows = model.config.vocab_rows
    if given.dim() == 1 and not len(given):
        raise SequenceError("the sequence is empty: give at least one base")
    if given.dim() != 1 or given.is_floating_point():
        raise SequenceError(
            f"ids of shape {tuple(given.shape)} and type {given.dtype}; expected token ids (L,), "
            f"a sequence as text{otherwise}"
        )
    if not 0 <= int(given.min()) <= int(given.max()) < rows:
        raise SequenceError(
            f"token ids {int(given.min())}..{int(given.max())} outside the vocabulary of "
            f"{rows} rows"
        )
    return given.long()


def _as_tensor(model: LanguageModel, ids: Ids) -> Tensor:
    """Ids or input as a tensor; text, also in a record of Biopython or pyfaidx, is tokenized."""
    text = text_of(ids)
    if text is not None:
        return model.tokenize(text)
    try:
        return torch.as_tensor(np.ascontiguousarray(ids) if isinstance(ids, np.ndarray) else ids)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SequenceError(
            f"ids of type {type(ids).__name__} are neither token ids nor a sequence ({error})"
        ) from None
