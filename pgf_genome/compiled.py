"""Numba kernels whose machine code is cached on disk wherever the user can write."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from numba import njit

log = logging.getLogger(__name__)


def cached(**options: Any) -> Callable[[Callable], Callable]:
    """Make a ``numba.njit`` that compiles once per machine and kind of CPU, or once per process.

    Numba keeps the machine code in ``NUMBA_CACHE_DIR`` if that is set, else beside the source,
    else in the user's cache folder: in the first of them that can be written. Where none can, as in
    a read-only container without a home, ``njit(cache=True)`` raises; here a warning is logged
    instead, and the kernels are compiled in memory.

    Parameters
    ----------
    **options
        Further arguments of ``numba.njit``.
    """

    def decorate(function: Callable) -> Callable:
        try:
            return njit(function, cache=True, **options)
        except RuntimeError:
            _warn_of_no_cache()
            return njit(function, **options)

    return decorate


@functools.cache
def _warn_of_no_cache() -> None:
    log.warning(
        "the kernels are compiled anew in this run, which takes some seconds: neither the "
        "program's folder nor the user's cache folder can be written; "
        "set NUMBA_CACHE_DIR to a folder that can"
    )
