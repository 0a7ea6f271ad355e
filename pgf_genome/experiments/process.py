"""A process for a measurement, stopped when it takes too much time or memory."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

OUT_OF_MEMORY, OUT_OF_TIME = "out of memory", "out of time"
WATCH_SECONDS = 0.02


@dataclass(frozen=True)
class Limits:
    """Limits of a process: seconds of wall time, and bytes of resident memory.

    Memory is watched where there is a ``/proc``; elsewhere only the system's own limit holds.
    """

    seconds: float
    bytes: int


@dataclass(frozen=True)
class Ended:
    """End of a process.

    Attributes
    ----------
    reason : str
        `OUT_OF_MEMORY` or `OUT_OF_TIME` if it was stopped, else empty.
    code : int
        Exit status; negative if a signal ended it.
    output, errors : str
        Its stdout and stderr.
    """

    reason: str
    code: int
    output: str
    errors: str


def run_python(
    arguments: Sequence[str], limits: Limits, environment: Mapping[str, str] | None = None
) -> Ended:
    """Run this Python with ``arguments``; it and its children have ended when this returns.

    Its stdin ends when this process does; see `end_with_parent`.

    Parameters
    ----------
    arguments : sequence of str
    limits : Limits
    environment : mapping, optional
        Environment variables to set for it.
    """
    # The child finds this package where this process found it, installed or not.
    path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {**os.environ, **(environment or {}), "PYTHONPATH": os.pathsep.join(path)}
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            env=variables,
            start_new_session=True,
        )
        try:
            reason = _watch(child, limits)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            code = child.wait()
            if child.stdin is not None:
                child.stdin.close()
        if code == -signal.SIGKILL and not reason:
            reason = OUT_OF_MEMORY  # the system kills so when it has no memory left
        return Ended(reason, code, _text(output), _text(errors))


def _watch(child: subprocess.Popen, limits: Limits) -> str:
    deadline = time.monotonic() + limits.seconds
    while child.poll() is None:
        if (_status_bytes(child.pid, "VmHWM") or 0) > limits.bytes:
            return OUT_OF_MEMORY
        if time.monotonic() > deadline:
            return OUT_OF_TIME
        time.sleep(WATCH_SECONDS)
    return ""


def end_with_parent() -> None:
    """Make this process end as soon as its stdin does, because then its parent has ended."""

    def wait() -> None:
        # sys.stdin would hold its lock when the interpreter shuts down.
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def own_memory() -> tuple[int, int]:
    """Return the resident bytes of this process now, and their peak."""
    now, peak = _status_bytes("self", "VmRSS"), _status_bytes("self", "VmHWM")
    if now is None or peak is None:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak = most if sys.platform == "darwin" else most * 1024
        return peak, peak
    return now, peak


def _status_bytes(pid: int | str, name: str) -> int | None:
    """Read a size in ``/proc/PID/status``; None if there is none.

    ru_maxrss on Linux begins with the memory of the parent before exec.
    """
    with suppress(OSError):
        size = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
        return int(size[1]) * 1024 if size else None
    return None


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an exception means that memory ran out."""
    # torch raises an OutOfMemoryError on a GPU, but on a CPU a RuntimeError that only its text
    # distinguishes from others.
    kind = type(error).__name__
    return kind in ("MemoryError", "OutOfMemoryError") or "allocate memory" in str(error)
