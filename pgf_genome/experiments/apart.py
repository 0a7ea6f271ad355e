"""Time, memory and results of any work, measured in a process of its own.

``python -m pgf_genome.experiments.apart TASK FOLDER``, with a `Task` as JSON, carries out its cases
one after the other and prints a `Measurement` of each as a line of JSON. Memory is counted from a
baseline that is taken after a first tiny run, so that it leaves out what is compiled or loaded at
first use, and what is left of the case before.
"""

from __future__ import annotations

import ctypes
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from pgf_genome.experiments.measure import FAILED, OK, Measurement
from pgf_genome.experiments.process import (
    OUT_OF_MEMORY,
    Ended,
    Limits,
    end_with_parent,
    is_out_of_memory,
    own_memory,
    run_python,
)

NOT_INSTALLED, NOT_TRIED = "not installed", "not tried"

Result = dict[str, np.ndarray]
Work = Callable[[], Result]


@dataclass(frozen=True)
class Task:
    """Work for another process: a function, and the cases to call it with.

    Attributes
    ----------
    work : str
        ``"MODULE:FUNCTION"``. The function is called with the arguments of a case and with
        ``device``. It loads what it needs, does the work once at a tiny size, and returns the work
        itself: a callable without arguments that returns named arrays.
    cases : sequence of mapping
        Arguments in types that JSON has; the most expensive last, because no case is tried after
        one that fails.
    device : str
        ``"cpu"`` or ``"cuda[:INDEX]"``.
    threads : int
        Number of threads of torch and of the kernels.
    """

    work: str
    cases: Sequence[Mapping[str, Any]]
    device: str
    threads: int


def carry_out(task: Task, limits: Limits) -> list[tuple[Measurement, Result]]:
    """Do a task in a new process; this returns even if that process dies.

    Returns
    -------
    list of (Measurement, dict of str to ndarray)
        The measurement of every case, with the seconds of the work itself, and the arrays that the
        work returned: none if it did not succeed.
    """
    with tempfile.TemporaryDirectory(prefix="pgf-") as scratch:
        arguments = ["-m", __name__, json.dumps(asdict(task)), scratch]
        ended = run_python(arguments, limits, {"OMP_WAIT_POLICY": "PASSIVE"})
        lines = [line for line in ended.output.splitlines() if line.startswith("{")]
        done = [Measurement(**json.loads(line)) for line in lines]
        if len(done) < len(task.cases) and (not done or done[-1].status == OK):
            done.append(_failure(ended))
        done += [Measurement(NOT_TRIED)] * (len(task.cases) - len(done))
        return [(m, _loaded(Path(scratch) / f"{k}.npz")) for k, m in enumerate(done)]


def _failure(ended: Ended) -> Measurement:
    if ended.reason:
        return Measurement(ended.reason)
    lines = ended.errors.strip().splitlines()
    return Measurement(FAILED, lines[-1] if lines else f"exit status {ended.code}")


def _loaded(file: Path) -> Result:
    if not file.exists():
        return {}
    with np.load(file) as arrays:
        return dict(arrays)


def carry_out_here(task: Task, folder: Path) -> Iterator[Measurement]:
    """Do a task in this process, and write the result of case k as ``k.npz``."""
    module, function = task.work.split(":")
    prepare = getattr(import_module(module), function)
    import torch

    torch.set_num_threads(task.threads)
    for k, case in enumerate(task.cases):
        try:
            measured, result = _carry_out(prepare, case, task.device)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            yield Measurement(OUT_OF_MEMORY)
            return
        # Write under another name first, so that a process killed meanwhile has written nothing.
        arrays: dict[str, Any] = dict(result)
        np.savez(folder / "part.npz", **arrays)
        (folder / "part.npz").rename(folder / f"{k}.npz")
        yield measured


def _carry_out(
    prepare: Callable[..., Work], case: Mapping[str, Any], device: str
) -> tuple[Measurement, Result]:
    work = prepare(**case, device=device)
    baseline = _from_here_on(device)
    began = time.monotonic()
    result = work()
    seconds = time.monotonic() - began
    peak = _peak(device)
    return Measurement(OK, "", seconds, seconds, 1, peak, min(baseline, peak)), result


def _from_here_on(device: str) -> int:
    """Reset the peak of memory, and return the bytes held now."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)
    with suppress(OSError):  # proc(5), /proc/PID/clear_refs: Linux only
        Path("/proc/self/clear_refs").write_text("5")
    return own_memory()[0]


def _peak(device: str) -> int:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    return own_memory()[1]


if __name__ == "__main__":
    end_with_parent()
    for measured in carry_out_here(Task(**json.loads(sys.argv[1])), Path(sys.argv[2])):
        print(json.dumps(asdict(measured)), flush=True)
