"""A run can be killed at any moment; the next one ends in the same bytes."""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

import pgf_genome as pgf
from pgf_genome.attribution import causal, run, segment
from pgf_genome.attribution.options import Options
from pgf_genome.attribution.prepare import prepared
from pgf_genome.engine.spool import Journal, RecordFile
from pgf_genome.errors import IntegrityError

# moments at which a run is killed
KILLS = int(os.environ.get("PGF_GENOME_TEST_KILLS", "3"))
ORACLE = Path(__file__).parent / "oracles" / "hf_mamba_tiny"


class KilledError(Exception):
    pass


def options(fasta: Path) -> dict:
    return {"tile": 32, "report": True, "tracks": ("sensitivity", "surprisal")}


@pytest.fixture(scope="module")
def model():
    return pgf.load_model(ORACLE)


@pytest.fixture(scope="module")
def fasta(tmp_path_factory) -> Path:
    rng = np.random.default_rng(3)
    path = tmp_path_factory.mktemp("fasta") / "in.fa"
    with path.open("w") as file:
        for name, length in (("a", 700), ("b", 33), ("c", 500)):
            file.write(f">{name}\n{''.join(rng.choice(list('ACGT'), length))}\n")
    return path


def outputs(folder: Path) -> dict[str, bytes]:
    """Every file but run.json, which says how long the run took."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix != ".json"}


EFFECTS = {"method": "near 40", "tracks": None, "region": ("a:30-200", "a:400-420", "c")}


PATH = {"method": "ig 2", "tracks": None}


ARRAYS = {"formats": ("bedgraph", "npz"), "region": ("c:11-110", "a:51-150", "a:101-200")}


# How many records are written before a run is stopped.
STOPS = {
    "gradient": (1, 2, 5, 20, 21, 22, 40, 43, 44, 60, 66, 90, 100),
    "effects": (1, 5, 21, 43, 60, 100),
    "path": (2, 22, 44, 90),
    "arrays": (20, 40, 66),
}
KINDS = {"gradient": {}, "effects": EFFECTS, "path": PATH, "arrays": ARRAYS}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, fasta, model) -> Callable[[str], dict[str, bytes]]:
    """The outputs of a run of a kind that nothing stopped."""

    @cache
    def of_kind(kind: str) -> dict[str, bytes]:
        folder = tmp_path_factory.mktemp(kind)
        pgf.attribute(fasta, model, folder / "x", **options(fasta) | KINDS[kind])
        return outputs(folder)

    return of_kind


@pytest.mark.parametrize(
    ("kind", "writes"), [(kind, each) for kind, stops in STOPS.items() for each in stops]
)
def test_run_stopped_after_any_write_resumes_to_the_same_bytes(
    tmp_path, fasta, model, monkeypatch, whole, kind, writes
):
    given = options(fasta) | KINDS[kind]
    write, done = RecordFile.write, [0]

    def stop_after(self, *args, **named):
        write(self, *args, **named)
        done[0] += 1
        if done[0] == writes:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(RecordFile, "write", stop_after)
        with pytest.raises(KilledError):
            pgf.attribute(fasta, model, tmp_path / "part" / "x", **given)
    assert [p.name for p in (tmp_path / "part").iterdir()] == ["x.pgf-work"]
    pgf.attribute(fasta, model, tmp_path / "part" / "x", **given)
    assert outputs(tmp_path / "part") == whole(kind)


def test_resumed_run_does_not_repeat_finished_tiles(tmp_path, fasta, model, monkeypatch):
    write = Journal.write

    def stop_in_journal(self, number, tensors):
        write(self, number, tensors)
        if number == 5:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", stop_in_journal)
        with pytest.raises(KilledError):
            pgf.attribute(fasta, model, tmp_path / "x", **options(fasta))
    swept = []
    adjoint = causal.sweep.adjoint
    monkeypatch.setattr(run, "warm_up", lambda model: None)

    def recorded(*args, **options):
        for tile in adjoint(*args, **options):
            swept.append(tile.k)
            yield tile

    monkeypatch.setattr(causal.sweep, "adjoint", recorded)
    monkeypatch.setattr(causal.sweep, "primal", lambda *args: pytest.fail("primal ran again"))
    with pytest.raises(pytest.fail.Exception):
        pgf.attribute(fasta, model, tmp_path / "x", **options(fasta))
    assert swept == [4, 3, 2, 1, 0]  # of the first contig; the next one begins with a primal


def test_changed_input_or_options_are_not_resumed_from(tmp_path, fasta, model):
    other = tmp_path / "other.fa"
    other.write_text(fasta.read_text().replace("A", "C", 1))

    def identity(source: Path = fasta, **changed: object) -> str:
        with prepared(source, model, Options(**(options(fasta) | changed)), tmp_path) as plan:
            return plan.identity

    same = identity()
    assert identity(threads=2) == same
    assert identity(objective=pgf.Likelihood()) == same
    changes = [
        {"source": other},
        {"contig": "a"},
        {"target": "a:3-9"},
        {"strand": "-"},
        {"tile": 33},
        {"method": "saliency"},
        {"tracks": "surprisal"},
        {"region": "a", "formats": "npz"},
        {"objective": "entropy"},
    ]
    assert len({same, *(identity(**change) for change in changes)}) == 1 + len(changes)


def test_damaged_scores_are_noticed(tmp_path, fasta, model, monkeypatch):
    write = RecordFile.write

    def damage_score(self, number, tensors, slot=None):
        write(self, number, tensors, slot)
        if self.path.name == "scores" and number == 3:
            with self.path.open("r+b") as file:
                file.seek(self._stride * number + 40)
                file.write(b"\xff\xff\xff")

    monkeypatch.setattr(RecordFile, "write", damage_score)
    with pytest.raises(IntegrityError, match=r"record 3 .* check the disk, then run again"):
        pgf.attribute(fasta, model, tmp_path / "x", **options(fasta))


def test_restart_forgets_what_was_done(tmp_path, fasta, model, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(segment, "_derive", lambda *args: (_ for _ in ()).throw(KilledError()))
        with pytest.raises(KilledError):
            pgf.attribute(fasta, model, tmp_path / "x", **options(fasta))
    steps = []
    pgf.attribute(
        fasta, model, tmp_path / "x", lambda n, _: steps.append(n), resume=False, **options(fasta)
    )
    assert max(steps) <= 32


class Named:
    """An objective of a user that can be told from others."""

    identity = "squares"

    def __call__(self, tile):
        return tile.hidden.square().sum(dtype=torch.float64)


def run_and_kill(fasta: str, prefix: str, threads: str, delay: str) -> None:
    """Be the process that is killed after so many seconds of `attribute`; say how long it took."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model = pgf.load_model(ORACLE)
    killer = threading.Timer(float(delay), os.kill, (os.getpid(), signal.SIGKILL))
    killer.daemon = True
    killer.start()
    started = time.monotonic()
    pgf.attribute(fasta, model, prefix, objective=Named(), threads=int(threads), tile=256)
    print(time.monotonic() - started)


def child(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "import sys, test_resume; test_resume.run_and_kill(*sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_sigkill_at_random_moments_leaves_the_same_bytes(tmp_path):
    """Every run goes on from what the one before left, with another number of threads."""
    rng, chance = np.random.default_rng(1), random.Random(1)
    fasta = tmp_path / "in.fa"
    with fasta.open("w") as file:
        for name, length in (("a", 20_000), ("b", 300), ("c", 7000)):
            file.write(f">{name}\n{''.join(rng.choice(list('ACGT'), length))}\n")
    whole = child(fasta, tmp_path / "whole" / "x", 1, 1000)
    assert whole.returncode == 0, whole.stderr
    part, kills, finished = tmp_path / "part", 0, 0
    while kills < KILLS or not finished or part.exists():
        begun = [*part.glob("x.pgf-work/*/threads")]
        threads = 2 if begun else 1
        delay = chance.uniform(0, float(whole.stdout)) if kills < KILLS else 1000
        run = child(fasta, part / "x", threads, delay)
        if begun:
            assert "going on with the stopped run in" in run.stderr or run.returncode
        if run.returncode == 0:
            assert outputs(part) == outputs(tmp_path / "whole")
            assert not begun or "had -t 1, and goes on with it, not with 2" in run.stderr
            shutil.rmtree(part)
            finished += 1
        else:
            assert run.returncode == -signal.SIGKILL, run.stderr
            kills += 1
        print(kills, f"{delay:.2f} s", *run.stderr.splitlines(), sep=" | ")
