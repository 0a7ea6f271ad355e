"""Settings of the whole process that commands choose, and a library must leave to its caller."""

from __future__ import annotations

import ctypes
import os

# glibc, malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
LARGEST_HEAP_BLOCK = 32 * 2**20  # glibc's own limit on 64-bit machines
NEVER = 2**31 - 1


def tune() -> None:
    """Make tiles fast; to be called before torch is imported.

    Threads that wait sleep: spinning ones would take the cores from the scan's own threads. Memory
    that a tile has freed stays with the process for the next tile, on one heap for all threads:
    giving it back and faulting it in again took a sixth of the time of a sweep. (Blocks beyond
    glibc's limit, as in tiles of more than 16,384 bases, are given back all the same.)
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, LARGEST_HEAP_BLOCK)
        mallopt(M_TRIM_THRESHOLD, NEVER)


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
