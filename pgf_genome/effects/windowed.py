"""Effects of changes under a bidirectional model: the window run again with the change.

Every base of such a model acts on every other of its window, so that there is no state to begin
from. A change has a window of its own, of the sequence without it: the change with the same number
of bases on either side. With it in place these bases stay the same,

    effect = F(window with the change) - F(window),    F(X) = sum_t log p(x_t | X),  x_t in A C G T

and nothing is approximated. A sequence that fits into a window is its own window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from pgf_genome.effects.changes import Change, Tokens
from pgf_genome.engine import windows as engine
from pgf_genome.engine.arrays import Ids, token_ids
from pgf_genome.engine.objective import Objective, PseudoLikelihood, Tile
from pgf_genome.engine.plan import BATCH_POSITIONS, HALO_SHARE
from pgf_genome.engine.running import running_of
from pgf_genome.engine.threads import side_by_side
from pgf_genome.errors import UsageError
from pgf_genome.intervals import Span
from pgf_genome.mamba.bidirectional import BidirectionalMamba
from pgf_genome.mamba.model import LanguageModel

Result = TypeVar("Result")

# F of the bases, whatever they have become; other tokens do not count.
BASES = PseudoLikelihood(targets="input")

_length = attrgetter("length")


@dataclass(frozen=True)
class Window:
    """Bases ``start .. stop - 1`` of a sequence, with a change in place."""

    start: int
    stop: int
    change: Change

    @classmethod
    def plain(cls, start: int, stop: int) -> Window:
        """The bases as they are."""
        return cls(start, stop, Change(start, (), start))

    @property
    def length(self) -> int:
        """Number of bases, with the change."""
        replaced = self.change.rejoin - self.change.leave
        return self.stop - self.start - replaced + len(self.change.bases)

    def ids(self, tokens: Tokens) -> Tensor:
        """The token ids of the window."""
        before = tokens.read(self.start, self.change.leave)
        own = torch.tensor(self.change.bases, dtype=before.dtype, device=before.device)
        return torch.cat([before, own, tokens.read(self.change.rejoin, self.stop)])


def window_around(change: Change, length: int, size: int) -> Span:
    """The bases of a sequence that a change is seen with.

    Parameters
    ----------
    length : int
        Length of the sequence; one no longer than ``size`` is taken whole.
    size : int
        Bases of the window, with the change or without it, whichever is longer. Beside a long
        change there are at least a `HALO_SHARE`-th as many bases, on either side.

    Returns
    -------
    (start, stop)
        The change is in the middle, but where the window would reach beyond an end of the sequence:
        there it is moved, and is as long. The other strand has the same window.
    """
    if length <= size:
        return 0, length
    replaced = change.rejoin - change.leave
    flank = max((size - max(replaced, len(change.bases))) // 2, size // HALO_SHARE)
    whole = min(replaced + 2 * flank, length)
    start = min(max(change.leave - flank, 0), length - whole)
    return start, start + whole


def effects_of(
    model: BidirectionalMamba,
    objective: Objective,
    size: int,
    tokens: Tokens,
    changes: Sequence[Change],
    report: Callable[[float], object] = lambda share: None,
) -> np.ndarray:
    """F of the window with the change less F of the window, (n,) float64.

    Parameters
    ----------
    size : int
        As for `window_around`.
    report : callable
        Called with the share of the work that was done since the last call.
    """
    spans = [window_around(change, tokens.length, size) for change in changes]
    plain = [Window.plain(*span) for span in spans]
    changed = [Window(*span, change) for span, change in zip(spans, changes, strict=True)]

    def value(tile: Tile, window: Window) -> float:
        if window.length == window.stop - window.start:
            # an objective with fixed targets means the bases of the sequence
            tile = replace(tile, targets=model.one_hot(tokens.read(window.start, window.stop)))
        return objective(tile).item()

    windows = [window for window in (*plain, *changed) if window.length]
    found = run(model, tokens, windows, value, report)
    # where all of a sequence is deleted, no term of F is left
    return np.array([found.get(a, 0.0) - found[b] for a, b in zip(changed, plain, strict=True)])


def substitution_effects(
    model: BidirectionalMamba,
    ids: Ids,
    span: Span,
    near: int | None,
    signs: Sequence[str],
    objective: Objective,
    threads: int | None,
) -> np.ndarray:
    """`substitutions.substitution_effects` under a bidirectional model."""
    refuse_near(model, near)
    plus, (start, stop) = Tokens.of(token_ids(model, ids), model.vocabulary), span
    mirror = getattr(objective, "on_minus_strand", lambda length: objective)
    size = running_of(model).layout().at_once

    def of_strand(sign: str) -> np.ndarray:
        if sign == "+":
            return of_bases(model, objective, size, plus, span)
        other = plus.length - stop, plus.length - start
        return of_bases(model, mirror(plus.length), size, plus.reverse(), other)[::-1, ::-1]

    return np.mean(side_by_side(of_strand, signs, threads), axis=0)


def of_bases(
    model: BidirectionalMamba, objective: Objective, size: int, tokens: Tokens, span: Span
) -> np.ndarray:
    """Effects of all substitutions at the positions of a span of one strand, (n, 4)."""
    bases = np.array(model.vocabulary.base_ids)
    observed = tokens.read(*span).cpu().numpy()[:, None] == bases
    effects = np.where(observed, 0.0, np.nan)
    rows, others = np.nonzero(observed.any(axis=1, keepdims=True) & ~observed)
    places = (rows + span[0]).tolist()
    changes = [
        Change(t, (base,), t + 1) for t, base in zip(places, bases[others].tolist(), strict=True)
    ]
    effects[rows, others] = effects_of(model, objective, size, tokens, changes)
    return effects


def refuse_near(model: LanguageModel, near: int | None) -> None:
    """Raise a UsageError unless all of a window is to be run again."""
    if near is not None:
        raise UsageError(
            f"`near` is for causal models, which hand a state on; {model.name} is bidirectional: "
            "every base of its window is run again, and `near` can only be exact (None)"
        )


def masked_scores(
    model: BidirectionalMamba,
    mask: int,
    size: int,
    tokens: Tokens,
    changes: Sequence[Change],
    report: Callable[[float], object] = lambda share: None,
) -> np.ndarray:
    """log p(new base) - log p(old base) at the position of a substitution, masked; (n,) float64.

    All changes of a position are read from one window. NaN for what is no substitution of one base;
    0 for what is no change.
    """
    bases = list(model.vocabulary.base_ids)
    positions = dict.fromkeys(change.leave for change in changes if _is_substitution(change))
    windows = {}
    for t in positions:
        hidden = Change(t, (mask,), t + 1)
        windows[t] = Window(*window_around(hidden, tokens.length, size), hidden)

    def log_p(tile: Tile, window: Window) -> dict[int, float]:
        row = tile.log_p[window.change.leave - window.start, bases]
        return dict(zip(bases, row.tolist(), strict=True))

    found = run(model, tokens, windows.values(), log_p, report)

    def score(change: Change) -> float:
        if not _is_substitution(change):
            return np.nan if change.bases or change.leave < change.rejoin else 0.0
        row, (old,) = found[windows[change.leave]], tokens.between(change.leave, change.rejoin)
        return row[change.bases[0]] - row[old]

    return np.array([score(change) for change in changes])


def _is_substitution(change: Change) -> bool:
    return len(change.bases) == change.rejoin - change.leave == 1


@torch.no_grad()
def run(
    model: BidirectionalMamba,
    tokens: Tokens,
    windows: Iterable[Window],
    take: Callable[[Tile, Window], Result],
    report: Callable[[float], object] = lambda share: None,
) -> dict[Window, Result]:
    """Run every window once, those of equal length together; what ``take`` makes of each."""
    once = sorted(dict.fromkeys(windows), key=_length)
    positions = sum(map(_length, once))
    found: dict[Window, Result] = {}
    for length, group in groupby(once, key=_length):
        alike, most = list(group), max(1, BATCH_POSITIONS // length)
        for batch in (alike[i : i + most] for i in range(0, len(alike), most)):
            x = model.one_hot(torch.stack([window.ids(tokens) for window in batch]))
            tiles = engine.observe(model, x, [window.start for window in batch])
            found |= {w: take(tile, w) for w, tile in zip(batch, tiles, strict=True)}
            report(len(batch) * length / positions)
    return found
