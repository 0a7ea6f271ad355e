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
from numba import njit

# sign, point, 16 digits of an integer below 1e16; every other form is shorter
VALUE_BYTES = 18
POSITION_BYTES = 20
SMALLEST_POWER, LARGEST_POWER = -31, 45
ZERO, POINT, MINUS, PLUS, EXPONENT, TAB, NEWLINE = b"0.-+e\t\n"


@functools.cache
def powers_of_ten() -> np.ndarray:
    """(77,) uint64: 10**k for k = -31 .. 45, rounded up to 64 leading bits."""
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


@njit(nogil=True, cache=True)
def _scaled(power, number):
    """power * number / 2**64 with the discarded bits kept as a sticky last bit."""
    low = (power & np.uint64(0xFFFFFFFF)) * number
    high = (power >> np.uint64(32)) * number + (low >> np.uint64(32))
    sticky = np.uint64((high & np.uint64(0xFFFFFFFF)) > np.uint64(1))
    return np.int64((high >> np.uint64(32)) | sticky)


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def _open_gap(out, at, end, width):
    """Move what stands in [at, end) right by `width` and fill the gap with zeros."""
    for i in range(end - 1, at - 1, -1):
        out[i + width] = out[i]
    for i in range(at, at + width):
        out[i] = ZERO
    return end + width


@njit(nogil=True, cache=True)
def _put_value(out, at, bits, powers):
    if bits == 0:
        out[at] = ZERO
        return at + 1
    if bits >> 31:
        out[at] = MINUS
        at += 1
    digits, exponent = _shortest(bits & 0x7FFFFFFF, powers)
    while digits % 10 == 0:
        digits //= 10
        exponent += 1
    end = _put_integer(out, at, digits)
    point = end - at + exponent  # the value is 0.DIGITS * 10**point
    if -4 < point <= 0:
        end = _open_gap(out, at, end, 2 - point)
        out[at + 1] = POINT
        return end
    if 0 < point <= 16:
        if exponent >= 0:
            return _open_gap(out, end, end, exponent)
        end = _open_gap(out, at + point, end, 1)
        out[at + point] = POINT
        return end
    if end - at > 1:
        end = _open_gap(out, at + 1, end, 1)
        out[at + 1] = POINT
    out[end] = EXPONENT
    out[end + 1] = MINUS if point < 1 else PLUS
    magnitude = abs(point - 1)
    out[end + 2] = ZERO
    return _put_integer(out, end + 2 + (magnitude < 10), magnitude)


@njit(nogil=True, cache=True)
def put_rows(out, name, start, values, powers, row, finish):
    """Write the rows that `values` complete.

    Parameters
    ----------
    out
        (m,) uint8 buffer with room for ``len(values) + 1`` rows.
    name
        (k,) uint8, the contig's name.
    start
        Position of the first value.
    values
        (n,) float32, NaN = no row, no negative zero.
    powers
        `powers_of_ten()`.
    row
        (3,) int64: start, stop and float32 bits of the row that is still open, none if start
        equals stop. Updated in place.
    finish
        Whether the row that is open at the end is written too.

    Returns
    -------
    int
        Bytes written to `out`.
    """
    at = 0
    count = len(values)
    bits = values.view(np.uint32)
    for i in range(count + finish):
        current = np.int64(-1)
        if i < count:
            if np.isnan(values[i]):
                continue
            current = np.int64(bits[i])
            if row[1] == start + i and row[2] == current:
                row[1] += 1
                continue
        if row[0] < row[1]:
            for letter in name:
                out[at] = letter
                at += 1
            out[at] = TAB
            at = _put_integer(out, at + 1, row[0])
            out[at] = TAB
            at = _put_integer(out, at + 1, row[1])
            out[at] = TAB
            at = _put_value(out, at + 1, row[2], powers)
            out[at] = NEWLINE
            at += 1
        row[0], row[1], row[2] = start + i, start + i + (i < count), current
    return at
