"""Impulse responses: what one change of the sequence does to every prediction after it.

A pulse adds a direction d to the one-hot input X at one position:

    substitution   log p(. | X + d) - log p(. | X)       primal sweeps side by side
    tangent        d/de log p(. | X + e d)  at e = 0     a tangent sweep: a column of the Jacobian

With d the one-hot of another base less that of the observed one, X + d is the sequence with that
base. Nothing before a pulse feels it, so one primal sweep reaches the tile of the first pulse, and
from there all pulses go on side by side, with one primal for all of them, in the memory of a tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pgf_genome.alphabet import BASES
from pgf_genome.effects.pulses.settings import SUBSTITUTION, TANGENT, kind_of
from pgf_genome.engine import sweep
from pgf_genome.engine.arrays import Ids, reader_of
from pgf_genome.engine.equations import Reader
from pgf_genome.engine.plan import TANGENT_ROWS, TILE_LENGTH, Plan
from pgf_genome.engine.running import require_causal, running_of
from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.mamba.model import CausalMamba, LanguageModel
from pgf_genome.mamba.state import State
from pgf_genome.quantities import whole_number
from pgf_genome.torch_modes import in_ordinary_modes


class Pulse(NamedTuple):
    """A change of the input at one position."""

    position: int
    direction: Tensor  # (V,): what is added to the row of X


class Response(NamedTuple):
    """One tile of the responses to some pulses."""

    start: int  # position of its first row
    log_probs: Tensor  # (T, V): row t is log p(base start + t + 1 | all before it), unchanged
    changes: Tensor  # (pulses, T, V): what each pulse does to them


def responses(
    model: CausalMamba,
    read: Reader,
    length: int,
    pulses: Sequence[Pulse],
    kind: str = SUBSTITUTION,
    tile_length: int = TILE_LENGTH,
    threads: int | None = None,
) -> Iterator[Response]:
    """Stream the responses to some pulses, from the tile of the first of them to the end.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` gives the one-hot input, (1, stop - start, V).
    length : int
        Positions of the sequence.
    pulses : sequence of Pulse
        At least one, in any order.
    kind : "substitution" or "tangent"
    tile_length : int
        Positions per tile; many pulses make tiles shorter, to bound pulses times positions.
    threads : int, optional
        Threads in all; torch's count if None.

    Notes
    -----
    Cost, in forward passes of one base: one per base before the first pulse, and from its tile on
    1 + k for k substitutions, or about 1 + 2 k for k tangents.
    """
    tile = min(Plan(length, tile_length).tile_length, -(-TANGENT_ROWS // (len(pulses) + 1)))
    start = min(pulse.position for pulse in pulses) // tile * tile
    state = model.initial_state(1)
    if start:
        for step in sweep.primal(model, read, Plan(start, tile), state, threads=threads):
            state = step.state
    plan, directions = Plan(length - start, tile), pulse_reader(pulses, start)

    def unchanged(first: int, last: int) -> Tensor:
        return read(start + first, start + last)

    def changed(first: int, last: int) -> Tensor:
        x = unchanged(first, last)
        return torch.cat([x, x + directions(first, last)[:, 0]])

    if kind_of(kind) == TANGENT:
        for moved in sweep.tangent(model, unchanged, directions, plan, state, threads):
            first = start + plan.bounds(moved.k)[0]
            yield Response(first, moved.log_probs[0], moved.tangents[:, 0])
        return
    together = State.joined([state] * (1 + len(pulses)))
    for step in sweep.primal(model, changed, plan, together, threads=threads):
        reference, others = step.log_probs[0], step.log_probs[1:]
        yield Response(start + plan.bounds(step.k)[0], reference, others - reference)


def pulse_reader(pulses: Sequence[Pulse], origin: int = 0) -> Reader:
    """Make a reader of directions, (pulses, 1, T, V), each zero but at the position of its pulse.

    Parameters
    ----------
    origin : int
        Position that the reader calls 0.
    """

    def read(start: int, stop: int) -> Tensor:
        like = pulses[0].direction
        tile = like.new_zeros(len(pulses), 1, stop - start, len(like))
        for i, pulse in enumerate(pulses):
            at = pulse.position - origin - start
            if 0 <= at < stop - start:
                tile[i, 0, at] = pulse.direction
        return tile

    return read


def substitution(model: LanguageModel, observed: int, base: int) -> Tensor:
    """Return the direction (V,) from the token id of a base to that of another."""
    return model.one_hot(torch.tensor(base)) - model.one_hot(torch.tensor(observed))


@in_ordinary_modes
def impulse(
    model: LanguageModel,
    ids: Ids,
    position: int,
    base: str | int,
    kind: str = SUBSTITUTION,
    tile_length: int = TILE_LENGTH,
    threads: int | None = None,
) -> np.ndarray:
    """Response of every prediction to another base at one position.

    Parameters
    ----------
    model : CausalMamba
    ids : LongTensor (L,) or str
        The whole sequence, as token ids or as text.
    position : int
        0-based. There must be A, C, G or T.
    base : str or int
        The other base: a letter, or its token id.
    kind : "substitution" or "tangent"
        The change of the log-probabilities by the substitution, or their derivative along (base -
        observed base), which is the same to first order.
    tile_length, threads
        As for `adjoint`; the result does not depend on them, to rounding.

    Returns
    -------
    ndarray, (L, V)
        In nats, in the model's dtype. Row t is that of log p(next base | X_<=t), as in `log_probs`
        and `tangent`; rows before ``position`` are 0.

    Raises
    ------
    SequenceError
        If ``ids`` are no token ids of this vocabulary, or no base is at ``position``.
    UsageError
        If the model is bidirectional or has no head, or an argument is out of its range.

    Notes
    -----
    Cost, in forward passes of one base: one per base before ``position`` and two or three per base
    after it. Memory is that of a tile, and the result.
    """
    causal = require_causal(model, "impulse")
    require_predictions(causal)
    read, length = reader_of(model, ids, tokens_only=True)
    at = whole_number(position, "position", 0, length - 1)
    bases = causal.vocabulary.base_ids
    observed = int(read(at, at + 1)[0, 0].argmax())
    if observed not in bases:
        raise SequenceError(
            f"position {at} has none of A, C, G, T that could be replaced; choose another"
        )
    pulse = Pulse(at, substitution(causal, observed, _row(bases, base)))
    result = np.zeros((length, causal.config.vocab_rows), read(0, 1).cpu().numpy().dtype)
    for tile in responses(causal, read, length, [pulse], kind, tile_length, threads):
        result[tile.start : tile.start + len(tile.log_probs)] = tile.changes[0].cpu().numpy()
    return result


def require_predictions(model: CausalMamba) -> None:
    """Raise a UsageError if the model predicts nothing."""
    running_of(model).require_head("nothing responds to an impulse; use a model with a head")


def _row(bases: Sequence[int], base: str | int) -> int:
    """Token id of a base."""
    if isinstance(base, str):
        known = len(base) == 1 and base.upper() in BASES
        row = bases[BASES.index(base.upper())] if known else None
    else:
        row = base if base in bases else None
    if row is None:
        raise UsageError(
            f"`base` must be A, C, G or T, or one of their token ids {tuple(bases)}, not {base!r}"
        )
    return int(row)
