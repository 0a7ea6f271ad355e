"""Any work in a process of its own: its time, its memory, its results.

``python -m pgf_genome.experiments.apart TASK FOLDER``, with a `Task` as JSON, carries out its cases
one after the other and prints a `Measurement` of each as a line of JSON. Memory is counted from a
baseline that is taken after a first tiny run, so that what is compiled or loaded at first use is
not in it, and that has nothing of the case before.
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
from itertools import zip_longest
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
    """What to do.

    Attributes
    ----------
    work : str
        "MODULE:FUNCTION". Called with the arguments of a case and with ``device``, the function
        loads what it needs, does the same at a tiny size once, and returns the work: a callable
        without arguments that gives named arrays.
    cases : sequence of mapping
        Arguments, whatever JSON holds; the most expensive last, for none is tried after one that
        fails.
    device : str
        "cpu" or "cuda[:INDEX]".
    threads : int
        Of torch, and so of our kernels.
    """

    work: str
    cases: Sequence[Mapping[str, Any]]
    device: str
    threads: int


def carry_out(task: Task, limits: Limits) -> list[tuple[Measurement, Result]]:
    """Do a task in a new process; whatever happens there, this returns.

    Returns
    -------
    list of (Measurement, dict of str to ndarray)
        For every case what was measured, ``seconds`` being those of the work itself, and what the
        work gave: nothing if it did not end well.
    """
    with tempfile.TemporaryDirectory(prefix="pgf-") as scratch:
        arguments = ["-m", __name__, json.dumps(asdict(task)), scratch]
        ended = run_python(arguments, limits, {"OMP_WAIT_POLICY": "PASSIVE"})
        lines = [line for line in ended.output.splitlines() if line.startswith("{")]
        done = [Measurement(**json.loads(line)) for line in lines]
        if len(done) < len(task.cases) and (not done or done[-1].status == OK):
            done.append(_failure(ended))
        files = [Path(scratch) / f"{k}.npz" for k in range(len(task.cases))]
        untried = Measurement(NOT_TRIED)
        return [(m, _loaded(f)) for m, f in zip_longest(done, files, fillvalue=untried)]


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
    """Do a task in this process, and write what case k gives as ``k.npz``."""
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
        # under another name first: who is killed while writing has written nothing
        np.savez(folder / "part.npz", **result)
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
    """Bytes held now; the peak is counted anew."""
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
