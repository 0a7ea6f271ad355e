"""The stems of a tRNA from its sequence alone, by the cloverleaf that nearly all tRNAs have.

    acceptor stem 7 pairs · 2 bases · D stem 4 pairs, loop of 5 to 13 · 1 base · anticodon stem 5
    pairs, loop of 7 · variable loop of 3 or more · T stem 5 pairs, loop of 7 · discriminator, CCA

(Sprinzl et al. 1998, Nucleic Acids Research 26:148.) The acceptor and the T stem are counted from
the ends, after a final CCA is left out; there may be one more base before the acceptor stem, as in
tRNA-His. One length is free, that of the D loop: it is the one with the most pairs in the D and the
anticodon stem, and among equals the one with T before the anticodon.
"""

from __future__ import annotations

from typing import NamedTuple

CANONICAL = {"AT", "TA", "GC", "CG", "GT", "TG"}
CCA, ACCEPTOR, D_STEM, ANTICODON, T_STEM = "CCA", 7, 4, 5, 5
D_LOOPS, LOOP, SHORTEST_VARIABLE = range(5, 14), 7, 3
PAIRS = ACCEPTOR + D_STEM + ANTICODON + T_STEM
# Pairs that are not canonical, at most.
MISSING = 3


class Pairing(NamedTuple):
    """Places of two bases that may pair, 0-based from the 5' end."""

    first: int
    second: int


def stems(sequence: str) -> list[Pairing]:
    """The canonical pairs, G.T among them, of the stems of a tRNA; empty if it is no cloverleaf.

    Parameters
    ----------
    sequence : str
        The gene as DNA, 5' to 3', in capital letters.
    """
    end = len(sequence.removesuffix(CCA)) - 1  # the discriminator base

    def quality(shape: tuple[int, int]) -> tuple[int, bool]:
        before_anticodon = _anticodon_start(*shape) + ANTICODON + 1
        return len(_canonical(sequence, _folded(*shape, end))), sequence[before_anticodon] == "T"

    shapes = [
        (start, loop)
        for start in (0, 1)
        for loop in D_LOOPS
        if _anticodon_stop(start, loop) + SHORTEST_VARIABLE <= _t_arm(end)
    ]
    if not shapes:
        return []
    found = _canonical(sequence, _folded(*max(shapes, key=quality), end))
    return found if len(found) >= PAIRS - MISSING else []


def _stem(first: int, last: int, pairs: int) -> list[Pairing]:
    return [Pairing(first + k, last - k) for k in range(pairs)]


def _anticodon_start(start: int, loop: int) -> int:
    return start + ACCEPTOR + 2 + 2 * D_STEM + loop + 1


def _anticodon_stop(start: int, loop: int) -> int:
    return _anticodon_start(start, loop) + 2 * ANTICODON + LOOP


def _t_arm(end: int) -> int:
    return end - ACCEPTOR - 2 * T_STEM - LOOP


def _folded(start: int, loop: int, end: int) -> list[Pairing]:
    d_arm = start + ACCEPTOR + 2
    return [
        *_stem(start, end - 1, ACCEPTOR),
        *_stem(d_arm, d_arm + 2 * D_STEM + loop - 1, D_STEM),
        *_stem(_anticodon_start(start, loop), _anticodon_stop(start, loop) - 1, ANTICODON),
        *_stem(_t_arm(end), end - ACCEPTOR - 1, T_STEM),
    ]


def _canonical(sequence: str, pairs: list[Pairing]) -> list[Pairing]:
    return [pair for pair in pairs if sequence[pair.first] + sequence[pair.second] in CANONICAL]
