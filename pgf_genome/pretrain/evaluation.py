"""Bits per base of a model's predictions, and of tables of counted words as baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from pgf_genome.intervals import Interval
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.sequence import N_CODE, Genome, Strand, reverse_complement

# Counts given to the order below, for orders 0 to 16. Words of more than ten bases are rare in
# genomes of some megabases unless they are part of a repeat, so less and less is given there.
STRENGTHS = tuple(min(256.0, 2.0 ** (18 - order)) for order in range(17))


@torch.no_grad()
def bits_per_base(
    model: CausalMamba, genome: Genome, interval: Interval, tile_length: int = 4096
) -> tuple[float, float]:
    """Compute the mean surprisal of an interval in bits, on the plus and on the minus strand.

    On each strand the model starts at the interval's first base with an empty state. Neither that
    base nor N is scored.
    """
    state = model.initial_state(2)
    nats, scored = torch.zeros(2, 2, dtype=torch.float64, device=model.device)
    where = genome, interval.contig, interval.start, interval.stop
    strands = [Strand(*where, sign) for sign in "+-"]
    for start in range(0, interval.length - 1, tile_length):
        stop = min(start + tile_length + 1, interval.length)
        codes = np.stack([strand.codes(start, stop) for strand in strands])
        tile, targets = codes[:, :-1], codes[:, 1:]
        log_probs, state = model(model.one_hot(model.vocabulary.encode(tile)), state)
        known = torch.from_numpy(targets != N_CODE).to(model.device)
        ids = model.vocabulary.encode(targets).to(model.device)
        picked = log_probs.gather(2, ids[..., None])[..., 0]
        nats -= (picked * known).sum(dim=1, dtype=torch.float64)
        scored += known.sum(dim=1)
    plus, minus = (nats / math.log(2) / scored.clamp_min(1)).tolist()
    return plus, minus


def markov_bits_per_base(
    train_on: Sequence[np.ndarray], test_on: np.ndarray, order: int, pseudo_count: float = 1.0
) -> float:
    """Compute the mean surprisal in bits of a Markov model, counted on both strands.

    This is a baseline that a language model has to beat. Words with N are neither counted nor
    scored. Memory is that of 4**(order + 1) counts.
    """
    counts = np.full(4 ** (order + 1), pseudo_count)
    for codes in train_on:
        for strand in (codes, reverse_complement(codes)):
            counts += np.bincount(_words(strand, order + 1), minlength=counts.size)
    table = counts.reshape(-1, 4)
    table = np.log2(table / table.sum(axis=1, keepdims=True)).ravel()
    strands = (test_on, reverse_complement(test_on))
    return float(-np.mean([table[_words(strand, order + 1)].mean() for strand in strands]))


def interpolated_bits_per_base(
    train_on: Sequence[np.ndarray], test_on: np.ndarray, strengths: Sequence[float] = STRENGTHS
) -> float:
    """Compute the mean surprisal in bits of Markov models of orders 0, 1, .. mixed into one.

    Order k predicts by its counts and ``strengths[k]`` counts more, which are shared out as the
    order below predicts (uniformly below order 0). It is the stronger baseline: long repeats are
    predicted by high orders, and everything else by low ones. Words are counted on both strands;
    those with N are neither counted nor scored. Memory is that of the counted bases, eight bytes
    for each on both strands, whatever the order, which is 30 at most.
    """
    strands = [s for codes in train_on for s in (codes, reverse_complement(codes))]
    scored = (test_on, reverse_complement(test_on))
    words = np.concatenate([_words(strand, len(strengths)) for strand in scored])
    predicted = np.full(len(words), 0.25)
    for order, strength in enumerate(strengths):
        counted = np.sort(np.concatenate([_words(strand, order + 1) for strand in strands]))
        word = words % 4 ** (order + 1)
        context = word - word % 4
        seen, total = _count(counted, word, word + 1), _count(counted, context, context + 4)
        predicted = (seen + strength * predicted) / (total + strength)
    return float(-np.log2(predicted).mean())


def _count(words: np.ndarray, first: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """Number of sorted words from ``first`` up to ``stop``, for each pair of those."""
    return np.searchsorted(words, stop) - np.searchsorted(words, first)


def _words(codes: np.ndarray, length: int) -> np.ndarray:
    """Return the index of every word of ``length`` bases that contains no N."""
    total = max(codes.size - length + 1, 0)
    index, clean = np.zeros(total, np.int64), np.ones(total, bool)
    for k in range(length):
        part = codes[k : k + total]
        index = index * 4 + np.minimum(part, 3)
        clean &= part < N_CODE
    return index[clean]
