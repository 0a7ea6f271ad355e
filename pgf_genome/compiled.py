"""Numba kernels with vectors as wide as the CPU has, whose machine code is cached on disk."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core.compiler import CompilerBase, DefaultPassBuilder, PassManager
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import BaseNativeLowering, NativeLowering

log = logging.getLogger(__name__)

# Bits of the widest vectors that LLVM may use; a CPU that has narrower ones uses those. Without it
# LLVM keeps to 256 bits on most CPUs with AVX-512, because the first of them (Skylake, 2017)
# lowered their clock for wider ones, by up to a fifth: less than our loops over channels gain,
# which are 1.6 times faster. Later ones lose a few per cent at most (Ice Lake) or nothing
# (Sapphire Rapids); Zen 4 runs two halves at the old speed.
VECTOR_BITS = 512


class _WideLower(Lower):
    def setup_function(self, fndesc: Any) -> None:
        super().setup_function(fndesc)
        # around the check of llvmlite, which knows no attributes with a value
        set.add(self.function.attributes, f'"prefer-vector-width"="{VECTOR_BITS}"')


@register_pass(mutates_CFG=True, analysis_only=False)
class _WideLowering(BaseNativeLowering):
    _name: Any = "wide_lowering"

    @property
    def lowering_class(self) -> type[Lower]:
        return _WideLower


class WideCompiler(CompilerBase):
    """Numba's compiler of nopython functions, with `VECTOR_BITS` for every function."""

    def define_pipelines(self) -> list[PassManager]:
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.passes = [
            (_WideLowering if step is NativeLowering else step, text)
            for step, text in manager.passes
        ]
        manager.finalize()
        return [manager]


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
    options = {"pipeline_class": WideCompiler} | options

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
