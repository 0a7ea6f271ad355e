"""Numbers as people give them: whole ones, finite ones, and sizes such as 800M or 1.5G."""

from __future__ import annotations

import math
import re
from numbers import Integral, Real

from pgf_genome.errors import UsageError

UNITS = " KMGT"
_SIZE = re.compile(rf"(\d{{1,15}}(?:\.\d{{1,15}})?)([{UNITS.strip()}]?)i?B?", re.IGNORECASE)


LARGEST = 2**63 - 1  # whole number of an array
GREATEST = 2.0**127  # number that float32 holds


def whole_number(value: object, argument: str, least: int, most: int = LARGEST) -> int:
    """Read a whole number of any library.

    Raises
    ------
    UsageError
        For anything else, or a number that is too small or too large.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise UsageError(f"`{argument}` must be a whole number, not {value!r}")
    number = int(value)
    if not least <= number <= most:
        bound = f"at least {least}" if number < least else f"at most {most}"
        raise UsageError(f"`{argument}` must be {bound}, not {number}")
    return number


def finite_number(
    value: object, argument: str, *, positive: bool = False, below: float = GREATEST
) -> float:
    """Read a number of at least 0, or above 0 if ``positive``, that is less than ``below``.

    Raises
    ------
    UsageError
        For anything else, not-a-number and infinity among it.
    """
    number = float(value) if isinstance(value, Real) else math.nan
    if not 0 <= number < below or (positive and not number):
        lower = "above 0" if positive else "of at least 0"
        upper = f" and below {below:g}" if below < GREATEST or number >= below else ""
        raise UsageError(f"`{argument}` must be a number {lower}{upper}, not {value}")
    return number


def bytes_of(size: int | str, argument: str = "") -> int:
    """Read a size; K, M, G and T are powers of 1024, and a bare number is bytes.

    Parameters
    ----------
    size : int or str
    argument : str
        The name of the argument that gave it, if the error is to tell it.

    Raises
    ------
    UsageError
        If it is not a size.
    """
    if isinstance(size, Integral) and not isinstance(size, bool):
        return int(size)
    match = _SIZE.fullmatch(size.strip()) if isinstance(size, str) else None
    if match is None:
        where = f"`{argument}`: " if argument else ""
        raise UsageError(f"{where}{size!r} is not a size such as 800M or 1.5G")
    return int(float(match[1]) * 1024 ** UNITS.index(match[2].upper() or " "))


def size_text(number: int) -> str:
    """Write bytes as a size in the largest unit that it fills, to one decimal: 1.4G."""
    power = min(max(number.bit_length() - 1, 0) // 10, len(UNITS) - 1)
    digits = f"{number / 1024**power:.1f}".removesuffix(".0")
    return digits + UNITS[power].strip()
