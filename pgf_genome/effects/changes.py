"""Changes of a sequence of tokens: what stands in the place of a stretch of it.

A change that can be written in several ways, such as a deletion in a repeat, is the same one in all
of them: it begins where the leftmost of them begins, and ends where the rightmost ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pgf_genome.effects.by_contig import shared_start
from pgf_genome.errors import SequenceError
from pgf_genome.intervals import Span
from pgf_genome.mamba.vocabulary import Vocabulary
from pgf_genome.sequence import BASES

# Bases that are read at a time to see how far a repeat reaches.
BLOCK = 64


@dataclass(frozen=True)
class Tokens:
    """A strand of a sequence as token ids, read where it is asked for.

    Attributes
    ----------
    read : callable
        ``read(start, stop)`` gives the ids of these positions, int64 (stop - start,).
    length : int
    vocabulary : Vocabulary
    """

    read: Callable[[int, int], Tensor]
    length: int
    vocabulary: Vocabulary

    @classmethod
    def of(cls, ids: Tensor, vocabulary: Vocabulary) -> Tokens:
        """Those of a sequence in memory, int64 (L,)."""
        return cls(lambda start, stop: ids[start:stop], len(ids), vocabulary)

    def reverse(self) -> Tokens:
        """The other strand, in its own direction of reading."""
        paired = torch.tensor(self.vocabulary.complement)

        def read(start: int, stop: int) -> Tensor:
            ids = self.read(self.length - stop, self.length - start)
            return paired.to(ids.device)[ids.flip(0)]

        return Tokens(read, self.length, self.vocabulary)

    def between(self, start: int, stop: int) -> tuple[int, ...]:
        """The ids of some positions as plain numbers."""
        return tuple(self.read(start, stop).tolist()) if start < stop else ()


@dataclass(frozen=True)
class Change:
    """A changed sequence.

    Attributes
    ----------
    leave, rejoin : int
        It is the reference before ``leave``, and from ``rejoin`` on.
    bases : tuple of int
        The token ids between.
    """

    leave: int
    bases: tuple[int, ...]
    rejoin: int

    def on_minus_strand(self, length: int, paired: list[int]) -> Change:
        """The same change on the reverse complement of a sequence of that length."""
        bases = tuple(paired[base] for base in reversed(self.bases))
        return Change(length - self.rejoin, bases, length - self.leave)


def change_of(tokens: Tokens, position: int, ref: str, alt: str) -> Change:
    """The change of a variant, the same for all ways to write it.

    Parameters
    ----------
    position : int
        0-based, of the first base of ``ref``.
    ref, alt : str
        Letters A, C, G, T, in upper or lower case; either may be empty.

    Raises
    ------
    SequenceError
        If there are other letters, or the sequence does not have ``ref`` at that position.
    """
    name = f"variant {position} {ref}>{alt}"
    if not 0 <= position <= position + len(ref) <= tokens.length:
        raise SequenceError(f"{name}: not within a sequence of {tokens.length} bases")
    for letters in (ref, alt):
        if set(letters.upper()) - set(BASES):
            raise SequenceError(f"{name}: {letters!r} has letters other than A, C, G, T")
    ids = dict(zip(BASES, tokens.vocabulary.base_ids, strict=True))
    old, new = (tuple(ids[base] for base in letters.upper()) for letters in (ref, alt))
    start, stop = position, position + len(old)
    if tokens.between(start, stop) != old:
        raise SequenceError(f"{name}: the sequence has other bases there than {ref!r}")
    shared = shared_start(old, new)
    start, old, new = start + shared, old[shared:], new[shared:]
    shared = shared_start(old[::-1], new[::-1])
    stop, old, new = stop - shared, old[: len(old) - shared], new[: len(new) - shared]
    left, right = (0, 0) if old and new else _repeats(tokens, start, stop, old or new)
    before = tokens.between(start - left, start)
    after = tokens.between(stop, stop + right)
    return Change(start - left, before + new + after, stop + right)


def _repeats(tokens: Tokens, start: int, stop: int, unit: tuple[int, ...]) -> Span:
    """Positions by which an insertion or a deletion can be moved, to the left and to the right."""
    if not unit:
        return 0, 0
    paces = range(0, tokens.length, BLOCK)
    left = right = 0
    for at in paces:
        before = tokens.between(max(start - at - BLOCK, 0), max(start - at, 0))
        moved = _agreeing(before[::-1], unit[::-1], at)
        left += moved
        if moved < BLOCK:
            break
    for at in paces:
        behind = tokens.between(stop + at, min(stop + at + BLOCK, tokens.length))
        moved = _agreeing(behind, unit, at)
        right += moved
        if moved < BLOCK:
            break
    return left, right


def _agreeing(bases: tuple[int, ...], unit: tuple[int, ...], at: int) -> int:
    """How many bases, from the first, go on with a repeated unit, of which `at` bases are read."""
    pairs = enumerate(bases, at)
    return next((i - at for i, base in pairs if base != unit[i % len(unit)]), len(bases))
