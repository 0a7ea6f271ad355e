"""Work grows as its input does: counted in calls and files, never in seconds."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable, Sequence
from math import log2
from pathlib import Path

import numpy as np
import pytest
import torch
from models import bidirectional_config, random_model, small_config

import pgf_genome as pgf
from pgf_genome.attribution import run
from pgf_genome.attribution.forecast import SEGMENT_SECONDS, STRETCH_SECONDS, Speed
from pgf_genome.attribution.options import Options
from pgf_genome.engine import windows

QUIET = {"threads": 1, "report": False, "tracks": "contribution"}
SIZES = (20, 40, 80)


def fasta_of(path: Path, contigs: int, length: int) -> Path:
    bases = np.random.default_rng(0).choice(list("ACGT"), (contigs, length))
    path.write_text("".join(f">c{i}\n{''.join(row)}\n" for i, row in enumerate(bases)))
    return path


def bed_of(path: Path, intervals: int) -> Path:
    """Intervals of 3 bases, 10 apart, on the first contig."""
    path.write_text("".join(f"c0\t{10 * i + 2}\t{10 * i + 5}\n" for i in range(intervals)))
    return path


def calls(work: Callable[[], object]) -> int:
    """Calls of functions, of Python and of C, in this thread."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return pstats.Stats(profile).total_calls


def assert_linear(works: Sequence[Callable[[], object]]) -> None:
    """Hold the growth from the second size to the third to twice that from the first to the second.

    A tenth of all calls may belong to a term that grows faster, or wait for another thread.
    """
    works[0]()  # whatever is done once
    small, middle, large = map(calls, works)
    assert middle > small, "nothing grows, so nothing is tested"
    assert large - middle < 2.2 * (middle - small), (small, middle, large)


@pytest.fixture(scope="module")
def causal():
    return random_model(small_config(), torch.float32)


def test_calls_are_linear_in_contigs(tmp_path, causal):
    fastas = {n: fasta_of(tmp_path / f"{n}.fa", n, 30) for n in SIZES}
    assert_linear(
        [lambda n=n: pgf.attribute(fastas[n], causal, tmp_path / f"{n}", **QUIET) for n in SIZES]
    )


@pytest.mark.parametrize(
    "options",
    [
        lambda bed: {"bed": bed},
        lambda bed: {"bed": bed, "context": 4},
        lambda bed: {"target": bed},
        lambda bed: {"bed": bed, "target": bed, "context": 4},
    ],
    ids=["bed", "bed-context", "target", "bed-target-context"],
)
def test_calls_are_linear_in_intervals(tmp_path, causal, options):
    beds = {n: str(bed_of(tmp_path / f"{n}.bed", n)) for n in SIZES}
    fasta = fasta_of(tmp_path / "x.fa", 1, 10 * SIZES[-1])

    def work(n: int) -> None:
        pgf.attribute(fasta, causal, tmp_path / "x", tile=64, **QUIET, **options(beds[n]))

    assert_linear([lambda n=n: work(n) for n in SIZES])


def test_calls_are_linear_in_windows(tmp_path, monkeypatch):
    """The windows themselves cost nothing here: what is counted is all that is done about them."""
    model = random_model(bidirectional_config(both_strands=True), torch.float32)
    rows = model.config.vocab_rows
    monkeypatch.setattr(run, "warm_up", lambda model: None)
    monkeypatch.setattr(
        windows,
        "_window_batch",
        lambda *given: {
            piece: (torch.ones(n, rows), torch.zeros(n, rows), torch.ones((), dtype=torch.float64))
            for piece in given[5]
            for n in [piece.stop - piece.start]
        },
    )
    monkeypatch.setattr(
        windows, "halo_error", lambda *given: windows.HaloError(*given[4], 0.0, 0.0)
    )
    options = {"window": 16, "halo": 2, **QUIET}
    fastas = {n: fasta_of(tmp_path / f"{n}.fa", 1, 600 * n) for n in SIZES}
    reported: list[float] = []

    def work(n: int) -> None:
        pgf.attribute(
            fastas[n], model, tmp_path / f"{n}", lambda done, _: reported.append(done), **options
        )

    assert_linear([lambda n=n: work(n) for n in SIZES])


@pytest.mark.parametrize("contigs", [2, 50])
def test_files_of_a_run_do_not_grow_with_its_contigs(tmp_path, causal, monkeypatch, contigs):
    seen: list[str] = []
    write = run.write_outputs

    def spy(*given):
        seen.extend(path.name for path in tmp_path.glob("x.pgf-work/*/*"))
        return write(*given)

    monkeypatch.setattr(run, "write_outputs", spy)
    pgf.attribute(fasta_of(tmp_path / "x.fa", contigs, 30), causal, tmp_path / "x", **QUIET)
    assert sorted(seen) == ["journal", "objective", "scores", "states", "threads", "tracks"]


class Spans(tuple):
    """Spans that count how often they are looked at."""

    looks = 0

    def __getitem__(self, at):
        type(self).looks += 1
        return super().__getitem__(at)

    def __iter__(self):
        raise AssertionError("all spans are gone through")


@pytest.mark.parametrize("start", [0, 150_000, 299_990])
def test_a_tile_looks_at_few_of_the_targets(start):
    objective = pgf.Likelihood(positions=tuple((3 * i, 3 * i + 1) for i in range(100_000)))
    spans = Spans(objective.positions)
    object.__setattr__(objective, "positions", spans)
    Spans.looks = 0
    weights = objective.weights(torch.empty(9), start)
    assert weights.tolist() == [float((start + i) % 3 == 0) for i in range(9)]
    assert Spans.looks < 2 * log2(100_000) + 8


def test_expected_time_counts_segments_and_stretches(tmp_path, causal, monkeypatch):
    monkeypatch.setattr(run, "_speed", lambda *_: Speed(base=1.0, sweep=10.0))
    one = fasta_of(tmp_path / "one.fa", 1, 3000)
    many = fasta_of(tmp_path / "many.fa", 100, 30)

    def seconds(fasta: Path, **options: object) -> float:
        return run.dry_run(fasta, causal, Options(**options)).seconds

    assert seconds(one) == pytest.approx(2 * (3000 + 10) + SEGMENT_SECONDS + STRETCH_SECONDS)
    assert seconds(many) == pytest.approx(
        2 * (3000 + 1000) + 100 * (SEGMENT_SECONDS + STRETCH_SECONDS)
    )
    bed = str(bed_of(tmp_path / "x.bed", 50))
    assert seconds(one, bed=bed) == pytest.approx(2 * 3010 + SEGMENT_SECONDS + 50 * STRETCH_SECONDS)


@pytest.mark.parametrize("tile", [1, 2, 3000])
def test_speed_is_measured_for_every_tile(causal, tile):
    layout = pgf.engine.running.running_of(causal).layout(tile=tile)
    speed = run._speed(causal, layout)
    assert speed.base >= 0
    assert speed.sweep >= 0
    assert speed.base + speed.sweep > 0
