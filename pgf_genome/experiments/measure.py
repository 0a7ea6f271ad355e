"""Time, memory and result of one method at one length, in a process of its own.

``python -m pgf_genome.experiments.measure REQUEST``, with a `Request` as JSON, writes the gradient
and prints a `Measurement` as one line of JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pgf_genome.experiments.process import (
    OUT_OF_MEMORY,
    Limits,
    end_with_parent,
    is_out_of_memory,
    own_memory,
    run_python,
)

OK, FAILED = "ok", "failed"


@dataclass(frozen=True)
class Request:
    """A method to measure, and how.

    Attributes
    ----------
    method : str
        A key of `peers.METHODS`.
    weights, ids, gradient : str
        Directory of the model; token ids to read and gradient to write, as .npy.
    device : str
        ``"cpu"`` or ``"cuda[:INDEX]"``.
    threads : int
        Number of threads of torch and of the kernels.
    runs : int
        Timed runs, after one that is not counted; 0 for a single run, which then counts.
    seconds : float
        No run is begun that would end later than so many seconds after the start of the first.
    setting : mapping
        Further arguments of the method.
    """

    method: str
    weights: str
    ids: str
    gradient: str
    device: str
    threads: int
    runs: int
    seconds: float
    setting: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """Figures of a measurement, or the reason why there are none.

    Attributes
    ----------
    status : str
        ``"ok"``, ``"failed"``, ``"out of memory"`` or ``"out of time"``; also ``"not installed"``
        or ``"not tried"``.
    note : str
        More about a failure.
    seconds : float, optional
        Median time of the counted runs.
    first_seconds : float, optional
        Time of the run before them, with whatever it compiles.
    runs : int
        Number of counted runs.
    peak_bytes, baseline_bytes : int, optional
        Largest memory of the whole process, and its memory once software and weights were loaded:
        resident memory, or on a GPU the memory of the allocator.
    """

    status: str
    note: str = ""
    seconds: float | None = None
    first_seconds: float | None = None
    runs: int = 0
    peak_bytes: int | None = None
    baseline_bytes: int | None = None


def measure_apart(request: Request, limits: Limits, environment: Mapping[str, str]) -> Measurement:
    """Carry out a request in a new process; this returns even if that process dies."""
    arguments = ["-m", __name__, json.dumps(asdict(request))]
    ended = run_python(arguments, limits, environment)
    if ended.reason:
        return Measurement(ended.reason)
    if ended.code:
        return Measurement(FAILED, _last_line(ended.errors) or f"exit status {ended.code}")
    return Measurement(**json.loads(_last_line(ended.output)))


def measure_here(request: Request) -> Measurement:
    """Carry out a request in this process."""
    import numpy as np
    import torch

    from pgf_genome.experiments.peers import METHODS

    torch.set_num_threads(request.threads)
    ids = torch.from_numpy(np.load(request.ids))
    prepare = METHODS[request.method].prepare
    try:
        gradient = prepare(Path(request.weights), ids, request.device, **request.setting)
        baseline, _ = _memory(request.device)
        first, times, result = _timed(gradient, request.runs, request.seconds)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return Measurement(OUT_OF_MEMORY)
    np.save(request.gradient, result.numpy())
    _, peak = _memory(request.device)
    return Measurement(OK, "", statistics.median(times), first, len(times), peak, baseline)


def _timed(
    gradient: Callable[[], Any], runs: int, seconds: float
) -> tuple[float, list[float], Any]:
    """Return the seconds of the first run, those of the counted runs, and the last result."""
    began = time.monotonic()
    result = gradient()
    first = time.monotonic() - began
    times: list[float] = []
    while len(times) < runs and (not times or time.monotonic() - began + max(times) < seconds):
        started = time.monotonic()
        result = gradient()
        times.append(time.monotonic() - started)
    return first, times or [first], result


def _memory(device: str) -> tuple[int, int]:
    """Return the bytes held now, and the most so far."""
    if not device.startswith("cuda"):
        return own_memory()
    import torch

    return torch.cuda.memory_reserved(device), torch.cuda.max_memory_reserved(device)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else ""


if __name__ == "__main__":
    end_with_parent()
    print(json.dumps(asdict(measure_here(Request(**json.loads(sys.argv[1]))))))
