"""Feed hostile input to every parser: ``python tests/fuzz.py [--cases N] [--target NAME]``.

A parser has to return, or raise a PgfError of one line, within bounded time and memory. Of what it
accepts, it has to read what a slow reader reads. Cases are numbered and drawn from the seed, the
target and their number, so that ``--target NAME --case NUMBER`` runs one of them again.
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from types import FrameType
from typing import NamedTuple

from fuzz_mutations import mutated, packed
from fuzz_target import Target
from fuzz_targets import TARGETS

from pgf_genome.errors import PgfError

SECONDS = 5  # that a case may take
LOST_SECONDS = 60  # after which a worker that does not answer is ended
MEMORY = 512 << 20  # bytes that a case may add to the resident memory
ADDRESS_SPACE = 3 << 30  # bytes that all cases may add to the address space
MESSAGE = 10_000  # letters of an error
REPORT = 500  # cases after which a worker reports


class TooSlow(BaseException):
    """A case took longer than it may."""


@dataclass
class Tally:
    """What became of the cases of a target; defects by what they are, with the first case."""

    cases: int = 0
    accepted: int = 0
    refused: int = 0
    defects: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)

    def defect(self, what: str, number: int) -> None:
        self.defects[what] += 1
        self.first.setdefault(what, number)

    def add(self, other: Tally) -> None:
        self.cases += other.cases
        self.accepted += other.accepted
        self.refused += other.refused
        self.defects += other.defects
        self.first = other.first | self.first


def case_of(target: Target, seed: int, number: int) -> bytes:
    """The bytes of a case; every eighth is gzip where the format may be."""
    random = Random(f"{seed}/{target.name}/{number}")
    data = mutated(random, target.seeds, target.tokens, target.ways)
    return packed(random, data, ()) if target.zipped and number % 8 == 0 else data


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` in the block when it has taken so long."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_case(target: Target, data: bytes, folder: Path, tally: Tally, number: int) -> None:
    """Run a case and count what came of it."""
    tally.cases += 1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with time_limit(SECONDS):
            target.run(data, folder)
        tally.accepted += 1
    except PgfError as error:
        tally.refused += 1
        message = str(error)
        if len(message.splitlines()) != 1 or not message.isprintable() or len(message) > MESSAGE:
            tally.defect(f"message of {type(error).__name__} {_place(error)}", number)
    except TooSlow:
        tally.defect(f"takes more than {SECONDS} s", number)
    except Exception as error:
        tally.defect(f"{type(error).__name__} {_place(error)}", number)
    if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 > MEMORY:
        tally.defect(f"takes more than {MEMORY >> 20} MB", number)


def _place(error: BaseException) -> str:
    """The last line of the program, or of the target, that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "pgf_genome" in f.filename or "fuzz_" in f.filename]
    return f"at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""


def run_here(target: Target, seed: int, numbers: range) -> Tally:
    """Run cases in this process."""
    tally = Tally()
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
        for number in numbers:
            run_case(target, case_of(target, seed, number), Path(folder), tally, number)
    return tally


def _fast_folder() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _work(target: Target, seed: int, numbers: range, out: Connection, at: ctypes.c_int64) -> None:
    """Run cases in a process of its own, with limits; `at` is the case that it is at."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what C libraries say
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE,) * 2)
    tally = Tally()
    with tempfile.TemporaryDirectory(dir=_fast_folder()) as folder:
        for number in numbers:
            at.value = number
            run_case(target, case_of(target, seed, number), Path(folder), tally, number)
            if tally.cases == REPORT:
                out.send(tally)
                tally = Tally()
    out.send(tally)
    out.send(None)


def run_apart(target: Target, seed: int, numbers: range) -> Tally:
    """Run cases in other processes; where one dies, the next begins after the case that did it."""
    context, tally = multiprocessing.get_context("fork"), Tally()
    while numbers:
        ours, theirs = context.Pipe(duplex=False)
        at = context.Value(ctypes.c_int64, numbers.start, lock=False)
        worker = context.Process(target=_work, args=(target, seed, numbers, theirs, at))
        worker.start()
        theirs.close()
        done, ended = 0, "died"
        with suppress(EOFError):
            while True:
                if not ours.poll(LOST_SECONDS):
                    ended = f"does not end within {LOST_SECONDS} s"
                    worker.kill()
                    break
                part = ours.recv()
                if part is None:
                    worker.join()
                    return tally
                tally.add(part)
                done += part.cases
        worker.join()
        lost = at.value - numbers.start - done
        tally.add(Tally(cases=lost + 1))  # those before it are in no report
        signalled = f" of signal {-worker.exitcode}" if (worker.exitcode or 0) < 0 else ""
        tally.defect(ended + signalled, at.value)
        numbers = range(at.value + 1, numbers.stop)
    return tally


class Shares(NamedTuple):
    """The targets that are run, and how many cases each is given."""

    targets: list[Target]
    cases: int

    def of(self, target: Target) -> int:
        whole = sum(each.share for each in self.targets)
        return max(round(self.cases * target.share / whole), 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cases", type=int, default=20_000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append", choices=sorted(TARGETS))
    parser.add_argument("--case", type=int, help="run one case of a target, and show it")
    given = parser.parse_args()
    targets = [TARGETS[name] for name in given.target or TARGETS]
    if given.case is not None:
        return show(targets[0], given.seed, given.case)
    shares, total = Shares(targets, given.cases), Tally()
    print("parser\tcases\taccepted\trefused\tdefects\tseconds", flush=True)
    for target in targets:
        started = time.monotonic()
        tally = run_apart(target, given.seed, range(shares.of(target)))
        total.add(tally)
        _print(target.name, tally, time.monotonic() - started)
    _print("all", Tally(total.cases, total.accepted, total.refused, total.defects), 0)
    return min(total.defects.total(), 1)


def _print(name: str, tally: Tally, seconds: float) -> None:
    counts = (tally.cases, tally.accepted, tally.refused, tally.defects.total())
    print(name, *(f"{count}" for count in counts), f"{seconds:.0f}", sep="\t", flush=True)
    for what, number in tally.first.items():
        print(f"  {tally.defects[what]} x {what}, first in case {number}", flush=True)


def show(target: Target, seed: int, number: int) -> int:
    """Print a case and run it without a net."""
    data = case_of(target, seed, number)
    print(data[:2000])
    with tempfile.TemporaryDirectory() as folder, time_limit(10 * SECONDS):
        try:
            target.run(data, Path(folder))
        except PgfError as error:
            print(f"refused: {error}")
            return 0
    print("accepted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
