"""Speed and memory of the track writers: ``python -m tests.bench_writers [--rows N]``.

Every base has a row, all scores differ and have 5 to 9 digits, positions have 8. Each measurement
runs in a process of its own, which loads the kernels before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from pgf_genome.tracks import BedGraphWriter, BigWigWriter, TrackWriter

ROOT = Path(__file__).parents[1]
START = 50_000_000
PIECE = 65_536
FORMATS = ("bedgraph", "bedgraph.gz", "bw")


class Measurement(NamedTuple):
    """Seconds from opening to closing a file, its bytes, and the most bytes of memory held."""

    seconds: float
    file_bytes: int
    peak_memory: int


def measure(kind: str, rows: int) -> Measurement:
    """Write a file of one of `FORMATS` with so many rows, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench_writers", "--one", kind, "--rows", str(rows)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return Measurement(**json.loads(done.stdout))


def write(path: Path, rows: int) -> float:
    """Seconds that the writer itself takes for so many rows."""
    values = np.random.default_rng(0).standard_normal((8, PIECE)).astype(np.float32)
    seconds = -time.perf_counter()
    with writer(path, {"chr1": START + rows}) as track:
        for i, start in enumerate(range(0, rows, PIECE)):
            seconds += time.perf_counter()
            # other scores in every piece, so that nothing can be learnt from the one before
            piece = (values[i % 8] * np.float32(0.01 + 1e-4 * i))[: rows - start]
            seconds -= time.perf_counter()
            track.add("chr1", START + start, piece)
    return seconds + time.perf_counter()


def writer(path: Path, sizes: dict[str, int]) -> TrackWriter:
    """The writer for the suffix of `path`."""
    if path.suffix == ".bw":
        return BigWigWriter(path, sizes)
    return BedGraphWriter(path, sizes, compress=path.suffix == ".gz")


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024


def one(kind: str, rows: int) -> Measurement:
    """What `measure` runs."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, f"warm.{kind}"), PIECE)
        path = Path(folder, f"x.{kind}")
        seconds = write(path, rows)
        return Measurement(seconds, path.stat().st_size, peak_memory())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=8_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", choices=FORMATS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one, given.rows)._asdict()))
        return
    print("format\tmillion_rows_per_s\tbytes_per_row\tMiB_at_a_quarter_of_the_rows\tMiB")
    for kind in FORMATS:
        runs = [measure(kind, given.rows) for _ in range(given.repeats)]
        rate = given.rows / median(run.seconds for run in runs) / 1e6
        quarter = measure(kind, given.rows // 4).peak_memory / 2**20
        memory = median(run.peak_memory for run in runs) / 2**20
        size = runs[0].file_bytes / given.rows
        print(f"{kind}\t{rate:.2f}\t{size:.2f}\t{quarter:.1f}\t{memory:.1f}")


if __name__ == "__main__":
    main()
