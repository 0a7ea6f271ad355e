"""An adaptive mixture of Markov models: what a sequence tells of itself while it is read once.

The model of order k counts which base follows each word of k bases, and predicts

    p_k(a | word) = (n(word a) + alpha_k) / (n(word) + 4 alpha_k)

where alpha is 1/2 (Krichevsky and Trofimov 1981), and 1/16 at the highest order, most of whose
words are rare. The mixture predicts with the mean of these, weighted by the posterior of each order
given all that was read. No weight falls below `LEAST`, so that an order whose time comes late is
not given up. A word does not reach across anything that is not a base.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pgf_genome.alphabet import BASES, N_CODE
from pgf_genome.compiled import cached

ORDERS = (2, 6, 11)
ALPHAS = (0.5, 0.5, 1 / 16)
LEAST = 1e-6
MOST = 65_535  # of a count, where those of its word are halved


class Mixture:
    """The mixture, fed with a sequence in pieces of any length; 32 MiB, whatever is read.

    Attributes
    ----------
    bits : float
        What the bases that count took so far.
    composition : ndarray of int64, (4,)
        The bases that count.
    given : float
        The sum of the numbers given for them.
    """

    def __init__(self) -> None:
        self._counts = tuple(np.zeros((4**k, 4), np.uint16) for k in ORDERS)
        self._weights = np.full(len(ORDERS), 1 / len(ORDERS))
        self._word = np.zeros(2, np.int64)  # the last bases as a number, and how many there are
        self._sums = np.zeros(2)
        self.composition = np.zeros(len(BASES), np.int64)

    @property
    def bits(self) -> float:
        return float(self._sums[0])

    @property
    def given(self) -> float:
        return float(self._sums[1])

    def begin(self) -> None:
        """What is read next does not follow what was read last."""
        self._word[1] = 0

    def add(self, codes: np.ndarray, numbers: np.ndarray) -> None:
        """Read bases, and count those that have a number.

        Parameters
        ----------
        codes : ndarray of uint8, (n,)
        numbers : ndarray of float32, (n,)
            NaN where a base is read and does not count.
        """
        read(codes, numbers, self._counts, self._weights, self._word, self._sums, self.composition)


@cached(nogil=True)
def read(codes, numbers, counts, weights, word, sums, composition):
    """Read bases one after the other; everything but the first two is changed in place."""
    orders = len(weights)
    p = np.empty(orders)
    for i in range(len(codes)):
        base = codes[i]
        if base >= N_CODE:
            word[1] = 0
            continue
        mixed = 0.0
        for j in range(orders):
            p[j] = 0.25
            if word[1] >= ORDERS[j]:
                row = counts[j][word[0] & (4 ** ORDERS[j] - 1)]
                total = float(row[0]) + float(row[1]) + float(row[2]) + float(row[3])
                p[j] = (row[base] + ALPHAS[j]) / (total + 4 * ALPHAS[j])
                row[base] += 1
                if row[base] == MOST:
                    for a in range(len(row)):
                        row[a] >>= 1
            mixed += weights[j] * p[j]
        kept = 0.0
        for j in range(orders):
            weights[j] = max(weights[j] * p[j] / mixed, LEAST)
            kept += weights[j]
        for j in range(orders):
            weights[j] /= kept
        if not np.isnan(numbers[i]):
            sums[0] -= np.log2(mixed)
            sums[1] += numbers[i]
            composition[base] += 1
        word[0] = ((word[0] << 2) | base) & (4 ** ORDERS[-1] - 1)
        word[1] += 1


def mixture_bits(codes: Sequence[int]) -> list[float]:
    """What every base takes, in bits, by the definition; slow.

    Parameters
    ----------
    codes : sequence of int
        All of them bases.
    """
    counts: list[dict[tuple[int, ...], list[int]]] = [{} for _ in ORDERS]
    weights, bits = [1 / len(ORDERS)] * len(ORDERS), []
    for i, base in enumerate(codes):
        p = []
        for k, alpha, known in zip(ORDERS, ALPHAS, counts, strict=True):
            row = known.setdefault(tuple(codes[i - k : i]), [0] * 4) if i >= k else None
            p.append((row[base] + alpha) / (sum(row) + 4 * alpha) if row else 1 / 4)
            if row:
                row[base] += 1
        mixed = sum(w * each for w, each in zip(weights, p, strict=True))
        bits.append(-float(np.log2(mixed)))
        weights = [max(w * each / mixed, LEAST) for w, each in zip(weights, p, strict=True)]
        weights = [w / sum(weights) for w in weights]
    return bits
