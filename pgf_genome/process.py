"""The whole process: settings that commands choose, its cores and its memory."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# from malloc.h of glibc
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
LARGEST_HEAP_BLOCK = 32 * 2**20  # the limit of glibc on 64-bit machines
NEVER = 2**31 - 1


def tune() -> None:
    """Set up threads and memory for fast tiles; call this before torch is imported.

    Waiting threads sleep, because spinning ones would take cores from the threads of the scan.
    Memory that a tile has freed stays with the process for the next tile, on one heap for all
    threads, because returning it and faulting it in again took a sixth of the time of a sweep.
    (Blocks beyond the limit of glibc, as in tiles of more than 16,384 bases, are returned anyway.)
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc only
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, LARGEST_HEAP_BLOCK)
        mallopt(M_TRIM_THRESHOLD, NEVER)


def usable_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory() -> int:
    """Return the largest resident memory of this program so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss on Linux begins with the memory of the parent before exec, so read VmHWM.
        high_water = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if high_water:
            return int(high_water[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def stops_when_asked() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether a signal has asked this process to stop.

    In the block, SIGINT, SIGTERM and SIGHUP interrupt nothing when they first come, so that a piece
    of work can be finished and saved. The second one interrupts as usual. Signals that are ignored
    stay so, and outside the main thread nothing changes.
    """
    asked: list[int] = []

    def ask(number: int, frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, ask)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
