"""Random sequence with the same dinucleotides as a given one."""

from __future__ import annotations

import numpy as np


def dinucleotide_shuffle(codes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw one of all sequences with the same count of every dinucleotide, each equally likely.

    A sequence is a path through its dinucleotides from letter to letter. The last step out of every
    letter but the final one is drawn until these lead to the final one; the others are in random
    order. So every path ends where all steps are taken.

    Parameters
    ----------
    codes : ndarray of uint8, (L,)
        Its first and last letter stay.
    random : Generator

    Returns
    -------
    ndarray of uint8, (L,)

    References
    ----------
    Altschul and Erickson, Mol. Biol. Evol. 2:526 (1985).
    """
    if len(codes) < 3:
        return codes.copy()
    before, after, final = codes[:-1], codes[1:], int(codes[-1])
    letters = np.unique(before).tolist()
    while True:
        steps = {letter: random.permutation(after[before == letter]).tolist() for letter in letters}
        if all(_leads_to(final, letter, steps) for letter in letters):
            break
    for ahead in steps.values():
        ahead.reverse()  # taken from the end
    path = [int(codes[0])]
    while ahead := steps.get(path[-1]):
        path.append(ahead.pop())
    return np.array(path, np.uint8)


def _leads_to(final: int, letter: int, steps: dict[int, list[int]]) -> bool:
    """Whether the last steps lead from a letter to the final one, whose own last step is free."""
    for _ in range(len(steps) + 1):
        if letter == final:
            return True
        letter = steps[letter][-1]
    return False
