"""Input that drives a model: random bases, a Markov shuffle of the sequence, or the sequence.

Memory measured on uniform random bases is a property of the model alone, and comparable with closed
forms. In a real sequence neighbouring bases predict each other, and repeats predict distant bases.
The shuffle lies between: it has the words of `MARKOV_ORDER` + 1 bases of the real sequence, in
random order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from pgf_genome.errors import SequenceError
from pgf_genome.intervals import Interval
from pgf_genome.sequence import N_CODE, Genome, segments

# Order of the Markov chain. Its words of four bases are well counted in 10 kb.
MARKOV_ORDER = 3
# The measured bases are taken in stretches of about this length.
STRETCH = 50_000
SHORTEST = 256
# A probe that would fall on N moves by at most this many bases.
NEARBY = 500


def usable_segments(genome: Genome, gap_length: int) -> list[Interval]:
    """Return the segments between assembly gaps that are long enough to measure on.

    Raises
    ------
    SequenceError
        If there is none.
    """
    usable = [
        Interval(contig.name, start, stop)
        for contig in genome.contigs
        for start, stop in segments(genome, contig.name, gap_length)
        if stop - start >= SHORTEST
    ]
    if not usable:
        raise SequenceError(
            f"no contig has {SHORTEST} bases between assembly gaps; memory needs a longer sequence"
        )
    return usable


def stretches(pieces: Sequence[Interval], bases: int, shortest: int) -> list[Interval]:
    """Choose about ``bases`` bases, evenly placed, of the pieces of at least ``shortest`` bases.

    The pieces are taken whole if they have no more bases than that. Otherwise the choice is windows
    of `STRETCH` bases (of ``bases``, if that is fewer) at even distances along the pieces laid end
    to end, each moved or cut to lie in one piece.
    """
    long = [piece for piece in pieces if piece.length >= shortest]
    total = sum(piece.length for piece in long)
    if total <= bases:
        return long
    length = max(min(bases, STRETCH), shortest)
    chosen = []
    for piece, at in _evenly(long, max(bases // length, 1)):
        size = min(length, piece.length)
        start = min(max(at - size // 2, piece.start), piece.stop - size)
        chosen.append(Interval(piece.contig, start, start + size))
    return chosen


def _evenly(pieces: Sequence[Interval], count: int) -> Iterator[tuple[Interval, int]]:
    """Yield positions at even distances along the pieces laid end to end, with their pieces."""
    ends = np.cumsum([piece.length for piece in pieces])
    for i in range(count):
        along = int(ends[-1]) * (2 * i + 1) // (2 * count)
        k = int(np.searchsorted(ends, along, side="right"))
        yield pieces[k], along - int(ends[k]) + pieces[k].stop


def probe_contexts(
    genome: Genome, pieces: Sequence[Interval], probes: int, before: int, after: int
) -> np.ndarray:
    """Read the codes (probes, before + 1 + after) around evenly spaced positions that are not N.

    Raises
    ------
    SequenceError
        If there is no such position.
    """
    inner = [Interval(p.contig, p.start + before, p.stop - after) for p in pieces
             if p.length > before + after]  # fmt: skip
    contexts = []
    for piece, at in _evenly(inner, probes):
        start, stop = max(piece.start, at - NEARBY), min(piece.stop, at + NEARBY)
        known = np.flatnonzero(genome.codes(piece.contig, start, stop) != N_CODE) + start
        if len(known):
            at = int(known[np.abs(known - at).argmin()])
            contexts.append(genome.codes(piece.contig, at - before, at + 1 + after))
    if not contexts:
        raise SequenceError("no base to probe: the sequence is N wherever there is enough context")
    return np.stack(contexts)


def uniform(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draw codes of independent bases, all four equally likely."""
    return rng.integers(0, 4, shape, dtype=np.uint8)


def markov_table(sequences: Sequence[np.ndarray], order: int = MARKOV_ORDER) -> np.ndarray:
    """Count cumulative probabilities (4**order, 4) of the next base, on words without N."""
    counts = np.full(4 ** (order + 1), 1e-3)  # a prefix that never occurs predicts all bases alike
    for codes in sequences:
        length = max(len(codes) - order, 0)
        words, clean = np.zeros(length, np.int64), np.ones(length, bool)
        for k in range(order + 1):
            words = 4 * words + codes[k : k + length]
            clean &= codes[k : k + length] != N_CODE
        counts += np.bincount(words[clean], minlength=counts.size)
    table = counts.reshape(-1, 4)
    return np.cumsum(table / table.sum(axis=1, keepdims=True), axis=1)


def markov(table: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """Draw codes (length,) from the chain of a `markov_table`."""
    rows, word = table[:, :3].tolist(), int(rng.integers(len(table)))
    codes = np.empty(length, np.uint8)
    for t, draw in enumerate(rng.random(length).tolist()):
        base = bisect_right(rows[word], draw)
        word = (4 * word + base) % len(rows)
        codes[t] = base
    return codes
