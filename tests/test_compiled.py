"""Kernels are compiled once where their code can be kept, and work where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from llvmlite.binding import get_host_cpu_features
from numba import njit

from pgf_genome.compiled import cached

PACKAGE = Path(__file__).parents[1] / "pgf_genome"
SCRIPT = """
import logging
import numpy as np
logging.basicConfig(format="%(message)s")
from pgf_genome.tracks import BedGraphWriter
with BedGraphWriter("x.bedgraph", {"a": 3}, compress=False) as writer:
    writer.add("a", 0, np.array([0.5, 1, 2], np.float32))
from pgf_genome.tracks.bedgraph.rows import put_rows
print(open("x.bedgraph").read().count(chr(10)), sum(put_rows.stats.cache_hits.values()))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a copy of the package that has no caches of its own."""
    ignored = shutil.ignore_patterns("__pycache__", "data")
    shutil.copytree(PACKAGE, tmp_path / "pgf_genome", ignore=ignored)
    return tmp_path


def run(place: Path, **environment: str) -> tuple[list[int], str]:
    """Rows written and kernels found in a cache; what was said on stderr."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA", "XDG"))}
    done = subprocess.run(
        [sys.executable, "-B", "-c", SCRIPT],
        cwd=place,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(word) for word in done.stdout.split()], done.stderr


def deny_package(place: Path) -> None:
    """Take the caches' folders away, also from root: a file stands where each would be."""
    package = place / "pgf_genome"
    for folder in (package, package / "tracks", package / "tracks" / "bedgraph"):
        (folder / "__pycache__").write_text("")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["beside the source", "home", "NUMBA_CACHE_DIR"])
def test_second_run_finds_what_the_first_compiled(place: Path, where: str) -> None:
    home = place / "home"
    environment = {"HOME": str(home)}
    if where != "beside the source":
        deny_package(place)
    if where == "NUMBA_CACHE_DIR":
        environment = {"HOME": "/dev/null", "NUMBA_CACHE_DIR": str(place / "kernels")}
    assert run(place, **environment) == ([3, 0], "")
    assert run(place, **environment) == ([3, 1], "")
    expected = {
        "beside the source": place / "pgf_genome" / "tracks" / "bedgraph" / "__pycache__",
        "home": home,
        "NUMBA_CACHE_DIR": place / "kernels",
    }
    assert any(expected[where].rglob("*.nbc"))


@pytest.mark.slow
def test_without_any_place_for_a_cache_kernels_work_and_one_line_says_so(place: Path) -> None:
    deny_package(place)
    found, said = run(place, HOME="/dev/null")
    assert found == [3, 0]
    assert said.count("\n") == 1
    assert "set NUMBA_CACHE_DIR" in said


def add(x, y):
    for i in range(x.size):
        x[i] += y[i]


def registers_of(kernel, name: str) -> int:
    kernel(np.zeros(100, np.float32), np.ones(100, np.float32))
    (code,) = kernel.inspect_asm().values()
    return code.count(f"%{name}")


@pytest.mark.skipif(
    not get_host_cpu_features().get("avx512f"), reason="this CPU has no vectors of 512 bits"
)
def test_kernels_have_vectors_as_wide_as_the_cpu_and_those_of_others_stay_as_they_are(monkeypatch):
    monkeypatch.setattr("numba.core.dispatcher.Dispatcher.enable_caching", lambda _: None)
    assert registers_of(cached()(add), "zmm") > 0
    assert registers_of(njit(add), "zmm") == 0
