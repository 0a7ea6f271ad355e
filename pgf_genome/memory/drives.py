"""What a model is driven with: random bases, a shuffle of the sequence, the sequence itself.

Memory measured on uniform random bases is the device's own, and comparable with closed forms; on
a real sequence neighbouring bases tell of each other and repeats of far ones. The shuffle lies
between: it has the words of the real sequence, of `MARKOV_ORDER` + 1 bases, in random order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from pgf_genome.errors import SequenceError
from pgf_genome.intervals import Interval
from pgf_genome.sequence import N_CODE, Genome, segments

DRIVES = ("uniform", "markov", "real")
# A draw from the Markov chain of this order that is counted on the measured sequence: words of
# four bases, well counted in 10 kb.
MARKOV_ORDER = 3
# The measured bases are taken in pieces of about this length.
STRETCH = 50_000
SHORTEST = 256
# A probe moves by at most so many bases where the one it would look at is N.
NEARBY = 500


def usable_segments(genome: Genome, gap_length: int) -> list[Interval]:
    """Segments between assembly gaps that are long enough to measure on, in FASTA order.

    Raises
    ------
    SequenceError
        If there is none.
    """
    found = [
        Interval(contig.name, start, stop)
        for contig in genome.contigs
        for start, stop in segments(genome, contig.name, gap_length)
        if stop - start >= SHORTEST
    ]
    if not found:
        raise SequenceError(
            f"no contig has {SHORTEST} bases between assembly gaps; memory needs a longer sequence"
        )
    return found


def stretches(pieces: Sequence[Interval], bases: int, shortest: int) -> list[Interval]:
    """About ``bases`` of the pieces that are not shorter than ``shortest``, evenly placed.

    Everything, if they have no more than that; else windows of `STRETCH` bases (fewer, if
    ``bases`` are) at even distances along the pieces laid end to end, each moved or cut to lie in
    one piece.
    """
    long = [piece for piece in pieces if piece.length >= shortest]
    total = sum(piece.length for piece in long)
    if total <= bases:
        return long
    length = max(min(bases, STRETCH), shortest)
    found = []
    for piece, at in _evenly(long, max(bases // length, 1)):
        size = min(length, piece.length)
        start = min(max(at - size // 2, piece.start), piece.stop - size)
        found.append(Interval(piece.contig, start, start + size))
    return found


def _evenly(pieces: Sequence[Interval], count: int) -> Iterator[tuple[Interval, int]]:
    """Positions at even distances along the pieces laid end to end, and the piece of each."""
    ends = np.cumsum([piece.length for piece in pieces])
    for i in range(count):
        along = int(ends[-1]) * (2 * i + 1) // (2 * count)
        k = int(np.searchsorted(ends, along, side="right"))
        yield pieces[k], along - int(ends[k]) + pieces[k].stop


def probe_contexts(
    genome: Genome, pieces: Sequence[Interval], probes: int, before: int, after: int
) -> np.ndarray:
    """Codes (probes, before + 1 + after) around positions at even distances, none of them N.

    Raises
    ------
    SequenceError
        If there is no such position.
    """
    inner = [Interval(p.contig, p.start + before, p.stop - after) for p in pieces
             if p.length > before + after]  # fmt: skip
    found = []
    for piece, at in _evenly(inner, probes):
        start, stop = max(piece.start, at - NEARBY), min(piece.stop, at + NEARBY)
        known = np.flatnonzero(genome.codes(piece.contig, start, stop) != N_CODE) + start
        if len(known):
            at = int(known[np.abs(known - at).argmin()])
            found.append(genome.codes(piece.contig, at - before, at + 1 + after))
    if not found:
        raise SequenceError("no base to probe: the sequence is N wherever there is enough context")
    return np.stack(found)


def uniform(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Codes of independent bases, each of four as likely."""
    return rng.integers(0, 4, shape, dtype=np.uint8)


def markov_table(sequences: Sequence[np.ndarray], order: int = MARKOV_ORDER) -> np.ndarray:
    """Cumulative probabilities (4**order, 4) of the next base, counted on codes without N."""
    counts = np.full(4 ** (order + 1), 1e-3)  # words that never occur lead nowhere, not astray
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
    """Codes (length,) of a draw from a chain of `markov_table`."""
    rows, word = table[:, :3].tolist(), int(rng.integers(len(table)))
    codes = np.empty(length, np.uint8)
    for t, draw in enumerate(rng.random(length).tolist()):
        base = bisect_right(rows[word], draw)
        word = (4 * word + base) % len(rows)
        codes[t] = base
    return codes
