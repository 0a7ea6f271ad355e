"""Rows of bedGraph text, made by one compiled loop.

A value is written as the shortest decimal that reads back as the same float32, and of several the
one nearest to it: Raffaello Giulietti, "The Schubfach way to render doubles" (2020), in the 32-bit
form of Alexander Bolz's implementation. The notation is that of Python's ``repr(float)`` without a
trailing ``.0``: plain digits for magnitudes in [1e-4, 1e16), an exponent of at least two digits
outside, ``0`` for zero.
"""

from __future__ import annotations

import functools

import numpy as np

from pgf_genome.compiled import cached

# a sign, a point and the 16 digits of an integer below 1e16; every other form is shorter
VALUE_BYTES = 18
# a float32 needs nine digits at most, and the kernel always writes nine
DIGITS = 9
POSITION_BYTES = 20
SMALLEST_POWER, LARGEST_POWER = -31, 45
ZERO, POINT, MINUS, PLUS, EXPONENT, TAB, NEWLINE = b"0.-+e\t\n"
TENS = 10 ** np.arange(DIGITS + 1)

kernel = cached(nogil=True)


@functools.cache
def powers_of_ten() -> np.ndarray:
    """The table of 10**k for k = -31 .. 45, rounded up to 64 leading bits: (77,) uint64."""
    table = []
    for k in range(SMALLEST_POWER, LARGEST_POWER + 1):
        top = 10**k if k >= 0 else 1
        bottom = 1 if k >= 0 else 10**-k
        shift = ((k * 1741647) >> 19) - 63  # floor(log2(10**k)) - 63
        if shift > 0:
            bottom <<= shift
        else:
            top <<= -shift
        table.append(-(-top // bottom))
    return np.array(table, np.uint64)


@kernel
def _scaled(power, number):
    """Compute power * number / 2**64, with the discarded bits kept as a sticky last bit."""
    low = (power & np.uint64(0xFFFFFFFF)) * number
    high = (power >> np.uint64(32)) * number + (low >> np.uint64(32))
    sticky = np.uint64((high & np.uint64(0xFFFFFFFF)) > np.uint64(1))
    return np.int64((high >> np.uint64(32)) | sticky)


@kernel
def _shortest(bits, powers):
    """Digits and decimal exponent of the float32 with these bits (positive, finite, not zero)."""
    fraction = np.int64(bits & 0x7FFFFF)
    biased = np.int64(bits >> 23)
    c, q = (fraction | 0x800000, biased - 150) if biased else (fraction, np.int64(-149))
    if -24 < q <= 0 and c & ((1 << -q) - 1) == 0:
        return c >> -q, np.int64(0)
    odd = c & 1
    uneven = np.int64(fraction == 0 and biased > 1)
    k = (q * 1262611 - 524031 * uneven) >> 22
    h = q + ((-k * 1741647) >> 19) + 1
    power = powers[-k - SMALLEST_POWER]
    lower = _scaled(power, np.uint64((4 * c - 2 + uneven) << h)) + odd
    value = _scaled(power, np.uint64((4 * c) << h))
    upper = _scaled(power, np.uint64((4 * c + 2) << h)) - odd
    digits = value >> 2
    if digits >= 10:
        tens = digits // 10
        down, up = lower <= 40 * tens, 40 * tens + 40 <= upper
        if down != up:
            return tens + up, k + 1
    down, up = lower <= 4 * digits, 4 * digits + 4 <= upper
    if down != up:
        return digits + up, k
    middle = 4 * digits + 2
    return digits + (value > middle or (value == middle and digits & 1 == 1)), k


@kernel
def _put_integer(out, at, number):
    count = 1
    bound = np.int64(10)
    while number >= bound:
        bound *= 10
        count += 1
    for i in range(at + count - 1, at - 1, -1):
        out[i] = ZERO + number % 10
        number //= 10
    return at + count


@kernel
def _put_digits(out, at, digits, point):
    """Write nine digits, with room for a point behind the first ``point`` of them.

    No branch depends on the value: a mispredicted one costs more than writing all nine digits.
    """
    digits = np.uint32(digits)
    for i in range(DIGITS - 1, -1, -1):
        rest = digits // np.uint32(10)
        out[at + i + (i >= point)] = ZERO + (digits - rest * np.uint32(10))
        digits = rest


@kernel
def _put_value(out, at, bits, powers):
    """Write a value; up to DIGITS bytes after it are overwritten too."""
    if bits == 0:
        out[at] = ZERO
        return at + 1
    out[at] = MINUS
    at += bits >> 31
    digits, exponent = _shortest(bits & 0x7FFFFFFF, powers)
    while digits % 10 == 0:
        digits //= 10
        exponent += 1
    count = 1
    for i in range(1, DIGITS):
        count += digits >= TENS[i]
    digits *= TENS[DIGITS - count]
    point = count + exponent  # the value is 0.DIGITS * 10**point
    if -4 < point <= 0:
        for i in range(2 - point):
            out[at + i] = ZERO
        out[at + 1] = POINT
        at += 2 - point
        _put_digits(out, at, digits, DIGITS)
        return at + count
    if 0 < point <= 16:
        _put_digits(out, at, digits, point)
        for i in range(at + count, at + point):
            out[i] = ZERO
        if point >= count:
            return at + point
        out[at + point] = POINT
        return at + count + 1
    _put_digits(out, at, digits, 1)
    out[at + 1] = POINT
    at += count + (count > 1)
    out[at] = EXPONENT
    out[at + 1] = MINUS if point < 1 else PLUS
    magnitude = abs(point - 1)
    out[at + 2] = ZERO + magnitude // 10
    out[at + 3] = ZERO + magnitude % 10
    return at + 4


@kernel
def _put_row(out, at, name, start_text, start, stop, bits, powers):
    """Write a row and return the place of its stop and the end of the row in ``out``.

    ``start_text`` is the place in ``out`` where the text of ``start`` stands already, or -1.
    """
    for letter in name:
        out[at] = letter
        at += 1
    out[at] = TAB
    at += 1
    if start_text < 0:
        at = _put_integer(out, at, start)
    else:
        while out[start_text] != TAB:
            out[at] = out[start_text]
            start_text += 1
            at += 1
    out[at] = TAB
    stop_text = at + 1
    at = _put_integer(out, stop_text, stop)
    out[at] = TAB
    at = _put_value(out, at + 1, bits, powers)
    out[at] = NEWLINE
    return stop_text, at + 1


@kernel
def put_rows(
    out: np.ndarray,
    places: np.ndarray,
    name: np.ndarray,
    start: int,
    values: np.ndarray,
    powers: np.ndarray,
    state: np.ndarray,
    finish: bool,
) -> tuple[int, int]:
    """Write the rows that ``values`` complete.

    Parameters
    ----------
    out : ndarray of uint8, (m,)
        Buffer with room for ``len(values) + 1`` rows.
    places : ndarray of int64, (3, r)
        Filled with start, stop and place in ``out`` of every row; r is at least
        ``len(values) + 1``.
    name : ndarray of uint8, (k,)
        Name of the contig.
    start : int
        0-based position of the first value.
    values : ndarray of float32, (n,)
        NaN where there is no row; no negative zero.
    powers : ndarray of uint64, (77,)
        The table of `powers_of_ten`.
    state : ndarray of int64, (3,)
        All zero at first, updated in place. Start, stop and float32 bits of the row that is still
        open, of which there is none if start equals stop.
    finish : bool
        Whether to write the row that is open at the end too, because the next row is on another
        contig.

    Returns
    -------
    (int, int)
        Bytes and rows written.
    """
    at, rows = 0, 0
    known, text = np.int64(-1), np.int64(-1)
    count = len(values)
    bits = values.view(np.uint32)
    for i in range(count + finish):
        current = np.int64(-1)
        if i < count:
            if np.isnan(values[i]):
                continue
            current = np.int64(bits[i])
            if state[1] == start + i and state[2] == current:
                state[1] += 1
                continue
        if state[0] < state[1]:
            places[0, rows], places[1, rows], places[2, rows] = state[0], state[1], at
            rows += 1
            start_text = text if state[0] == known else np.int64(-1)
            known = state[1]
            text, at = _put_row(out, at, name, start_text, state[0], known, state[2], powers)
        state[0], state[1], state[2] = start + i, start + i + (i < count), current
    if finish:
        state[:] = 0
    return at, rows
