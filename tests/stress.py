"""Disturb runs at random for some minutes: ``python tests/stress.py --minutes 2 --seed 1``.

Small runs of `attribute`, `mutagenesis`, `variants`, `merge`, `depmap` and `report` are killed at
random moments, and find full disks, limits, damaged scratch files, another FASTA or other weights
of the same size and time, and other runs on their prefix. In the end every one is started once more
and left alone: its files must be, byte for byte, those of a run that nothing disturbed. A run that
stops may say so in one line; whatever lies under a final name at any time must be whole.

Prints a tally. Exits with 1 if a result was lost or wrong, a run hung, or a traceback was printed.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from disturbed import FOLDERS, HANG_SECONDS, JOBS, ORACLE, PASSING, Child, Job, World, call, outputs

import pgf_genome as pgf
from pgf_genome.cli import commands

STARTS = 3  # disturbed starts of a job, at most
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
NEVER = ("lost", "wrong", "hangs", "tracebacks")


class Stress:
    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.chance = root, random.Random(seed)
        self.tally: Counter[str] = Counter()
        self.problems: list[str] = []
        self.worlds = [World.make(root / f"world{i}", i) for i in range(2)]
        self.seconds: dict[str, float] = {}
        for world in self.worlds:
            for job in JOBS:
                folder = world.folder / "whole"
                folder.mkdir()
                started = time.monotonic()
                call(job.words, folder)
                self.seconds[job.name] = time.monotonic() - started
                world.expected[job.name] = outputs(folder)
                shutil.rmtree(folder)

    def trial(self) -> None:
        job = self.chance.choice(JOBS)
        place = self.root / "trial"
        version = self.chance.randrange(2)
        shutil.copytree(self.worlds[version].folder, place)
        folder, told = place / "run", []
        folder.mkdir()
        if self.chance.random() < 0.3:  # an earlier result, of other inputs, lies there
            for name, data in self.worlds[1 - version].expected[job.name].items():
                (folder / name).write_bytes(data or b"{}")
        for _ in range(self.chance.randint(1, STARTS)):
            fault = self.chance.choice(FAULTS)
            told.append(fault.__name__)
            self.tally["faults injected"] += 1
            version = fault(self, job, place, version)
            self.look(job, folder, told)
        self.finish(job, place, version, told)
        shutil.rmtree(place)

    def start(
        self, job: Job, folder: Path, limit: Callable[[], None] = lambda: None, more: tuple = ()
    ) -> Child:
        folder.mkdir(exist_ok=True)
        return Child([*job.words, *more], folder, limit)

    def end(self, child: Child, told: str, allowed: Sequence[int] = (0, 1)) -> int | None:
        """Wait for a run, and judge how it ended and what it said."""
        code = child.wait(HANG_SECONDS)
        if code is None:
            child.kill(signal.SIGKILL)
            child.wait(HANG_SECONDS)
        text = child.text()
        if code is None:
            self.bad("hangs", f"{told}: {text}")
            return None
        errors = [line for line in text.splitlines() if "error:" in line]
        if code == -signal.SIGABRT and "out of memory" in text:
            self.tally["stopped with one clear line"] += 1  # LLVM's own
        elif "Traceback" in text or "unexpected" in text:
            self.bad("tracebacks", f"{told}: {text}")
        elif code not in allowed or len(errors) > 1 or (code == 1 and not errors):
            self.bad("tracebacks", f"{told}: exit {code}: {text}")
        elif code == 1:
            self.tally["stopped with one clear line"] += 1
        return code

    def bad(self, kind: str, what: str) -> None:
        self.tally[kind] += 1
        self.problems.append(f"{kind}: {what}")
        print(f"{kind}: {what}", flush=True)

    def look(self, job: Job, folder: Path, told: list[str]) -> None:
        """What lies under final names is whole, and what says that a run is finished is right."""
        if not folder.is_dir():
            return
        there = outputs(folder)
        known = [world.expected[job.name] for world in self.worlds]
        for name, data in there.items():
            if all(data != each.get(name) for each in known):
                self.bad("wrong", f"{job.name} {told}: {name} is of no run")
        record = {"merge": "x.run.json", "variants": "x.summary.json", "depmap": "x.depmap.json"}
        if record.get(job.name, "x.run.json") in there and not any(
            all(there.get(name) == data for name, data in each.items()) for each in known
        ):
            self.bad("lost", f"{job.name} {told}: a record beside files of two runs")

    def finish(self, job: Job, place: Path, version: int, told: list[str]) -> None:
        """Start it once more, undisturbed; the result must be that of its inputs."""
        folder = place / "run"
        what = f"{job.name} {told}"
        code = self.end(self.start(job, folder), what)
        if code == 1:
            self.tally["refused, then started anew"] += 1
            for path in folder.iterdir():
                if path.name.endswith(FOLDERS):
                    shutil.rmtree(path)
            code = self.end(self.start(job, folder), f"{what}, anew")
        if code != 0:
            self.bad("lost", f"{what}: no result in the end")
            return
        found, expected = outputs(folder), self.worlds[version].expected[job.name]
        differ = [n for n in sorted(found.keys() | expected) if found.get(n) != expected.get(n)]
        if differ:
            self.bad("wrong", f"{what}: {', '.join(differ)}")
        else:
            self.tally["survived, byte for byte"] += 1
        rest = [p.name for p in folder.iterdir() if p.name.endswith((*PASSING, *FOLDERS))]
        rest += [p.name for p in folder.iterdir() if p.name.startswith("pgf-")]
        if rest:
            self.tally["scratch left behind"] += 1
            self.problems.append(f"left behind: {what}: {rest}")

    def moment(self, job: Job) -> float:
        return self.chance.uniform(0, 1.2 * self.seconds[job.name])


def killed(stress: Stress, job: Job, place: Path, version: int) -> int:
    """A signal at a random moment."""
    number = stress.chance.choice(SIGNALS)
    child = stress.start(job, place / "run")
    time.sleep(stress.moment(job))
    child.kill(number)
    allowed = (0, 130, -number)
    stress.end(child, f"{job.name} killed by {number}", allowed)
    return version


def limited(stress: Stress, job: Job, place: Path, version: int) -> int:
    """Files may not grow beyond a random size."""
    most = int(10 ** stress.chance.uniform(1, 5))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    stress.end(stress.start(job, place / "run", limit), f"{job.name} limited to {most}")
    return version


def full(stress: Stress, job: Job, place: Path, version: int) -> int:
    """The disk is full after a random number of writes: every one that follows fails."""
    left = [int(10 ** stress.chance.uniform(0, 2.5))]

    def limit() -> None:
        def fails(name: str) -> None:
            real = getattr(os, name)

            def write(*arguments: object, **more: object) -> object:
                left[0] -= 1
                if left[0] < 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return real(*arguments, **more)

            setattr(os, name, write)

        for name in ("pwrite", "replace", "mkdir", "fsync"):
            fails(name)

    stress.end(stress.start(job, place / "run", limit), f"{job.name} full disk")
    return version


def starved(stress: Stress, job: Job, place: Path, version: int) -> int:
    """Little address space is left."""
    more = int(10 ** stress.chance.uniform(5, 8))

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))

    stress.end(stress.start(job, place / "run", limit), f"{job.name} starved at {more}")
    return version


def scratch_files(place: Path) -> list[Path]:
    """What a run reads again; what it has written into its outputs is out of its hands."""
    there = (place / "run").iterdir()
    folders = [p for p in there if p.name.endswith(".pgf-work") or p.name.startswith("pgf-")]
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def spoil(stress: Stress, path: Path) -> None:
    """Flip a bit, cut the file, empty it, or remove it."""
    try:
        size = path.stat().st_size
        kind = stress.chance.choice(("flip", "flip", "cut", "remove"))
        if kind == "remove":
            path.unlink()
        elif kind == "cut":
            os.truncate(path, stress.chance.randrange(size + 1))
        elif size:
            with path.open("r+b") as file:
                at = stress.chance.randrange(size)
                file.seek(at)
                byte = file.read(1)[0] ^ (1 << stress.chance.randrange(8))
                file.seek(at)
                file.write(bytes([byte]))
    except FileNotFoundError:
        pass  # the run was faster


def damaged(stress: Stress, job: Job, place: Path, version: int) -> int:
    """Stopped, and then some of the scratch is damaged."""
    killed(stress, job, place, version)
    files = scratch_files(place)
    for path in stress.chance.sample(files, min(len(files), stress.chance.randint(1, 3))):
        spoil(stress, path)
    return version


def damaged_under_it(stress: Stress, job: Job, place: Path, version: int) -> int:
    """Scratch is damaged while it runs."""
    child = stress.start(job, place / "run")
    for _ in range(stress.chance.randint(1, 4)):
        time.sleep(stress.moment(job) / 3)
        files = scratch_files(place)
        if files:
            spoil(stress, stress.chance.choice(files))
    stress.end(child, f"{job.name} damaged under it")
    return version


def removed_under_it(stress: Stress, job: Job, place: Path, version: int) -> int:
    """The scratch, or all of the output folder, is removed while it runs."""
    child = stress.start(job, place / "run")
    time.sleep(stress.moment(job))
    all_of_it = stress.chance.random() < 0.5
    for path in [place / "run"] if all_of_it else list((place / "run").iterdir()):
        if all_of_it or path.name.endswith(FOLDERS):
            shutil.rmtree(path, ignore_errors=True)
    stress.end(child, f"{job.name} scratch removed")
    if all_of_it:  # what appeared while it was removed
        shutil.rmtree(place / "run", ignore_errors=True)
    (place / "run").mkdir(exist_ok=True)
    return version


def changed(stress: Stress, job: Job, place: Path, version: int) -> int:
    """Stopped, and then inputs are replaced by others of the same size and time."""
    killed(stress, job, place, version)
    old, new = stress.worlds[version], stress.worlds[1 - version]
    for path in new.files():
        name = path.relative_to(new.folder)
        if (old.folder / name).exists():
            there = (place / name).stat()
            shutil.copyfile(path, place / name)
            os.utime(place / name, ns=(there.st_atime_ns, there.st_mtime_ns))
    return 1 - version


def twice(stress: Stress, job: Job, place: Path, version: int) -> int:
    """A second run on the same prefix, with another scratch folder where there is one."""
    first = stress.start(job, place / "run")
    time.sleep(stress.moment(job))
    takes = any(each.name == "scratch_dir" for each in commands.commands[job.words[0]].params)
    more = ("--scratch-dir", "../scratch") if takes else ()
    second = stress.start(job, place / "run", more=more)
    codes = [stress.end(each, f"{job.name} twice") for each in (first, second)]
    if all(code == 1 for code in codes):
        stress.bad("lost", f"{job.name}: both of two runs refused")
    return version


FAULTS = (
    killed,
    killed,
    killed,
    limited,
    full,
    starved,
    damaged,
    damaged_under_it,
    removed_under_it,
    changed,
    twice,
)


def run(minutes: float, seed: int, faults: int | None = None) -> int:
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    model = pgf.load_model(ORACLE)
    pgf.adjoint(model, "ACGTACGT" * 8, tile_length=16, threads=1)  # compiles the kernels
    with tempfile.TemporaryDirectory(prefix="stress-") as root:
        stress = Stress(Path(root), seed)
        until = time.monotonic() + 60 * minutes
        with suppress(KeyboardInterrupt):
            while time.monotonic() < until and stress.tally["faults injected"] < (faults or 10**9):
                stress.trial()
    for name in ("faults injected", "survived, byte for byte", "stopped with one clear line",
                 "refused, then started anew", "scratch left behind", *NEVER):  # fmt: skip
        print(f"{name}\t{stress.tally[name]}")
    for problem in stress.problems:
        print(problem, file=sys.stderr)
    return int(any(stress.tally[name] for name in NEVER))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=int, help="stop after so many")
    given = parser.parse_args()
    sys.exit(run(given.minutes, given.seed, given.faults))
