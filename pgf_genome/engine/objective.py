"""Objectives: sums over the positions of one sequence, evaluated tile by tile.

An objective is any callable that maps a ``Tile`` to a scalar tensor, its share of the sum. Write
it with differentiable torch operations and the sweeps do the rest. It may have a ``unit`` and an
``identity``, texts that name the unit of F and tell it from every other objective: a stopped run of
an objective without an identity is not resumed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import ClassVar, Self, TypeGuard

import torch
from torch import Tensor

from pgf_genome.errors import UsageError
from pgf_genome.intervals import Span
from pgf_genome.mamba.model import LanguageModel


@dataclass(frozen=True)
class Tile:
    """One tile of one sequence, as an objective sees it.

    Attributes
    ----------
    start : int
        Position of the tile's first base in the sequence.
    x : Tensor, (T, V)
        One-hot input; differentiable.
    log_p : Tensor, (T, V)
        Row t is the prediction *of* base t. Causal models: log p(. | X_<t); the first row was
        carried over from the tile before, and is zero at the first base of a segment, which
        nothing predicts. Bidirectional models: log p(. | X).
    logits : Tensor, (T, V)
        Row t is the head's output *at* base t.
    hidden : Tensor, (T, D)
        Normalised last hidden layer at base t.
    base_ids : tuple of int
        Vocabulary rows of A, C, G, T.
    ahead : int
        Offset from a position to the base that its output predicts: 1 in causal models, 0 in
        bidirectional ones.
    targets : Tensor, (T, V), optional
        What an objective with fixed targets takes as such: the sequence before it was changed, if
        the input is a changed one; None stands for the input itself.
    """

    start: int
    x: Tensor
    log_p: Tensor
    logits: Tensor
    hidden: Tensor
    base_ids: tuple[int, ...]
    ahead: int = 1
    targets: Tensor | None = None

    @property
    def fixed(self) -> Tensor:
        """The targets that an objective holds fixed."""
        return self.x.detach() if self.targets is None else self.targets

    def one(self, b: int, start: int, length: int) -> Tile:
        """The first positions of tile b of a batch that has its axis in front."""
        x, log_p, logits, hidden = (
            t[b, :length] for t in (self.x, self.log_p, self.logits, self.hidden)
        )
        targets = None if self.targets is None else self.targets[b, :length]
        return Tile(start, x, log_p, logits, hidden, self.base_ids, self.ahead, targets)

    def map(self, function: Callable[[Tensor], Tensor], later: int = 0) -> Tile:
        """The tile of ``function`` of the tensors, ``later`` positions further on."""
        x, log_p, logits, hidden = map(function, (self.x, self.log_p, self.logits, self.hidden))
        targets = None if self.targets is None else function(self.targets)
        start = self.start + later
        return Tile(start, x, log_p, logits, hidden, self.base_ids, self.ahead, targets)


Objective = Callable[[Tile], Tensor]


def unit_of(objective: Objective) -> str:
    """Return the unit of F; a callable that names none has "units"."""
    return str(getattr(objective, "unit", "units"))


def observe(
    model: LanguageModel, x: Tensor, hidden: Tensor, predicted: Tensor, starts: Sequence[int]
) -> tuple[list[Tile], Tensor]:
    """Show a tile to the objective of each sequence, under a causal model.

    Parameters
    ----------
    x : Tensor, (batch, T, V)
    hidden : Tensor, (batch, T, D)
    predicted : Tensor, (batch, V)
        The prediction of the tile's first base, made at the end of the tile before.
    starts : sequence of int
        Position of the tile's first base in each sequence.

    Returns
    -------
    tiles : list of Tile
    predicted : Tensor, (batch, V)
        The prediction of the first base after the tile.
    """
    whole, predicted = observe_batch(model, x, hidden, predicted)
    parts = zip(starts, x, whole.log_p, whole.logits, hidden, strict=True)
    return [Tile(*part, model.vocabulary.base_ids) for part in parts], predicted


def observe_batch(
    model: LanguageModel,
    x: Tensor,
    hidden: Tensor,
    predicted: Tensor,
    targets: Tensor | None = None,
) -> tuple[Tile, Tensor]:
    """Do what `observe` does, with one tile whose tensors have the axis of sequences in front."""
    logits = model.logits(hidden)
    log_probs = torch.log_softmax(logits, dim=-1)  # (batch, T, V)
    log_p = torch.cat([predicted[:, None], log_probs[:, :-1]], dim=1)
    bases = model.vocabulary.base_ids
    return Tile(0, x, log_p, logits, hidden, bases, targets=targets), log_probs[:, -1]


def sums(objective: Objective, tiles: Tile, starts: Tensor, lengths: Tensor) -> Tensor:
    """The share of each of several tiles in the objective.

    Parameters
    ----------
    tiles : Tile
        With the axis of tiles in front of all tensors.
    starts : Tensor of int64, (batch,)
        Position of the first base of each tile.
    lengths : Tensor of int64, (batch,)
        Positions at the start of each tile that exist; the others count nothing.

    Returns
    -------
    Tensor, (batch,) float64
    """
    if _is_weighted_sum(objective):
        inside = torch.arange(tiles.x.shape[1], device=tiles.x.device) < lengths[:, None]
        terms = objective.terms(tiles).where(inside, 0)
        return (terms * objective.weights_of(tiles, starts)).sum(dim=1, dtype=torch.float64)
    parts = zip(starts.tolist(), lengths.tolist(), strict=True)
    return torch.stack([objective(tiles.one(b, *part)).double() for b, part in enumerate(parts)])


def counted_from(objective: Objective, origin: int) -> Objective:
    """The same objective, for a sequence whose first base it calls position ``origin``."""
    if origin == 0:
        return objective
    if not _is_weighted_sum(objective):
        return lambda tile: objective(replace(tile, start=tile.start + origin))
    if objective.positions is None:
        return objective
    moved = tuple((max(a - origin, 0), max(b - origin, 0)) for a, b in objective.positions)
    return replace(objective, positions=moved)


def _is_weighted_sum(objective: Objective) -> TypeGuard[Positional]:
    """Whether the objective is nothing but the sum of its terms at the positions that count."""
    return isinstance(objective, Positional) and type(objective).__call__ is Positional.__call__


@dataclass(frozen=True)
class Positional:
    """Base of the objectives here: a sum over all positions, or over chosen ones.

    Parameters
    ----------
    positions : tuple of (start, stop), optional
        0-based half-open spans of the positions that count, in any order; all positions if None.
        They are kept sorted and merged.
    """

    unit: ClassVar[str] = "nats"  # the unit of F
    needs_head: ClassVar[bool] = True  # False if the hidden layer is all that it reads

    positions: tuple[Span, ...] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for start, stop in self.positions or ():
            if not 0 <= start <= stop:
                raise UsageError(f"objective positions {start}..{stop} are not a span")
        if self.positions is not None:
            object.__setattr__(self, "positions", _merged(self.positions))

    @property
    def identity(self) -> str | None:
        """Text that is equal for equal objectives only; a run is resumed if it is the same.

        A subclass may hold more than its fields say, and has to give an identity of its own.
        """
        return repr(self) if type(self).__module__ == __name__ else None

    def __call__(self, tile: Tile) -> Tensor:
        weights = self.weights(tile.x, tile.start + self.offset(tile))
        return (self.terms(tile) * weights).sum(dtype=torch.float64)

    def terms(self, tile: Tile) -> Tensor:
        """What is summed at each position of one or more tiles, (.., T)."""
        raise NotImplementedError

    def offset(self, tile: Tile) -> int:
        """Offset from a position of the tile to the position that its term counts as."""
        return 0

    def weights_of(self, tiles: Tile, starts: Tensor) -> Tensor:
        """The weights (batch, T) of several tiles that begin at ``starts``."""
        at = starts[:, None] + torch.arange(tiles.x.shape[1], device=starts.device)
        at, first = at - starts.min(), int(starts.min())
        span = tiles.x.new_empty(int(at.max()) + 1)
        return self.weights(span, first + self.offset(tiles))[at]

    def weights(self, like: Tensor, start: int) -> Tensor:
        """1 where positions ``start, start + 1, ..`` count, else 0; as long as ``like``."""
        if self.positions is None:
            return like.new_ones(like.shape[0])
        mask = like.new_zeros(like.shape[0])
        nearest = bisect_right(self.positions, start, key=itemgetter(1))
        beyond = bisect_left(self.positions, start + len(mask), lo=nearest, key=itemgetter(0))
        for first, last in self.positions[nearest:beyond]:
            mask[max(first - start, 0) : last - start] = 1
        return mask

    def on_minus_strand(self, length: int) -> Self:
        """The same objective on the reverse complement of a sequence of that length."""
        if self.positions is None:
            return self
        mirrored = tuple(
            (max(length - stop, 0), max(length - start, 0)) for start, stop in self.positions
        )
        return replace(self, positions=mirrored)


@dataclass(frozen=True)
class Likelihood(Positional):
    """Log-likelihood of the sequence under a causal model, in nats.

        F(X) = sum_t sum_a X[t, a] log p(a | X_<t)

    Parameters
    ----------
    targets : "input" or "fixed"
        "input" differentiates through the target X[t, a] too, a over the four bases (the target
        term of a mutation). "fixed" holds the targets as integers, whatever tokens they are.
    window : (start, stop), optional
        The same as ``positions=((start + 1, stop + 1),)``: it counts the positions t that
        predict base t + 1.
    positions : tuple of (start, stop), optional
        Bases whose prediction counts.
    """

    targets: str = "input"
    window: Span | None = None

    def __post_init__(self) -> None:
        if self.targets not in ("input", "fixed"):
            raise UsageError(f"targets must be 'input' or 'fixed', not {self.targets!r}")
        if self.window is not None:
            if self.positions is not None:
                raise UsageError("give either window or positions, not both")
            start, stop = self.window
            object.__setattr__(self, "positions", ((start + 1, stop + 1),))
            object.__setattr__(self, "window", None)
        super().__post_init__()

    def terms(self, tile: Tile) -> Tensor:
        if self.targets == "fixed":
            return (tile.fixed * tile.log_p).sum(dim=-1)
        bases = list(tile.base_ids)
        return (tile.x[..., bases] * tile.log_p[..., bases]).sum(dim=-1)


@dataclass(frozen=True)
class PseudoLikelihood(Positional):
    """Pseudo-log-likelihood of the sequence under a masked, bidirectional model, in nats.

        F(X) = sum_t log p(x_t | X)

    Parameters
    ----------
    targets : "fixed", "input" or sequence of int
        As for `Likelihood`. Token ids of the whole sequence, where they are not those of the
        input: what stood under the masks.
    positions : tuple of (start, stop), optional
        Bases whose prediction counts.
    """

    targets: str | tuple[int, ...] = "fixed"

    def __post_init__(self) -> None:
        if not isinstance(self.targets, str):
            object.__setattr__(self, "targets", tuple(map(int, self.targets)))
        elif self.targets not in ("input", "fixed"):
            raise UsageError(f"targets must be 'input', 'fixed' or token ids, not {self.targets!r}")
        super().__post_init__()

    def __call__(self, tile: Tile) -> Tensor:
        if isinstance(self.targets, str):
            return Likelihood(positions=self.positions, targets=self.targets)(tile)
        span = slice(tile.start, tile.start + len(tile.x))
        ids = torch.tensor(self.targets[span], device=tile.x.device)
        if len(ids) != len(tile.x):
            raise UsageError(
                f"{len(self.targets)} targets for a sequence of at least "
                f"{tile.start + len(tile.x)} bases"
            )
        terms = tile.log_p.gather(1, ids[:, None])[:, 0]
        return (terms * self.weights(tile.x, tile.start)).sum(dtype=torch.float64)

    def on_minus_strand(self, length: int) -> Self:
        if not isinstance(self.targets, str):
            raise UsageError("targets given as token ids are those of one strand")
        return super().on_minus_strand(length)


@dataclass(frozen=True)
class Entropy(Positional):
    """Sum of the entropies of the predictions, sum_t H(p_t), in nats."""

    def terms(self, tile: Tile) -> Tensor:
        return -(tile.log_p.exp() * tile.log_p).sum(dim=-1)


@dataclass(frozen=True)
class Logit(Positional):
    """Sum of one output row over the chosen bases, as each of them is predicted.

    Without positions every output counts, the one after the last base included.

    Parameters
    ----------
    row : int
        Vocabulary row.
    """

    unit: ClassVar[str] = "logits"

    row: int = 0

    def terms(self, tile: Tile) -> Tensor:
        return tile.logits[..., self.row]

    def offset(self, tile: Tile) -> int:
        return tile.ahead


@dataclass(frozen=True)
class SquaredNorm(Positional):
    """Sum of the squared norms of the last hidden layer."""

    unit: ClassVar[str] = "squared units"
    needs_head: ClassVar[bool] = False

    def terms(self, tile: Tile) -> Tensor:
        return tile.hidden.square().sum(dim=-1)


def _merged(spans: Sequence[Span]) -> tuple[Span, ...]:
    """The same positions, in sorted spans that do not touch."""
    merged: list[Span] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(stop, merged[-1][1])
        elif start < stop:
            merged.append((start, stop))
    return tuple(merged)
