"""Experiments on cost: scaling, complexity and weight gradients; how they measure."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from run_here import run_here

from pgf_genome.errors import UsageError
from pgf_genome.experiments import (
    apart,
    complexity,
    complexity_text,
    ghost_pulse,
    growth,
    parameter_gradient,
    parameter_gradient_text,
    recurrences,
    scaling,
    scaling_text,
    training,
)
from pgf_genome.experiments.apart import NOT_INSTALLED, NOT_TRIED, Task, carry_out, carry_out_here
from pgf_genome.experiments.loglog import exponent
from pgf_genome.experiments.measure import FAILED, OK
from pgf_genome.experiments.peers import METHODS
from pgf_genome.experiments.process import OUT_OF_MEMORY, OUT_OF_TIME, Limits
from pgf_genome.experiments.recurrences import WAYS, Problem, Tally, costs, random_problem
from pgf_genome.experiments.runner import run
from pgf_genome.experiments.trial import read_bases, write_random_bases

AMPLE = Limits(seconds=300, bytes=8 * 2**30)
MIB = 2**20


# Work in a process of its own

WORKS = """
import time
import numpy as np

def hold(mib, device):
    return lambda: {"sum": np.ones(mib * 2**17).sum()}

def sleep(device):
    time.sleep(60)
"""


@pytest.fixture
def works(monkeypatch, tmp_path) -> str:
    """Name of a module with work to do."""
    (tmp_path / "works_of_a_test.py").write_text(WORKS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "works_of_a_test"


def test_memory_is_that_of_each_case_alone_until_one_passes_the_limit(works):
    sizes = (8, 64, 16, 2_000, 8)
    task = Task(f"{works}:hold", [{"mib": size} for size in sizes], "cpu", 1)
    outcomes = carry_out(task, Limits(300, 1_000 * MIB))
    assert [m.status for m, _ in outcomes] == [OK, OK, OK, OUT_OF_MEMORY, NOT_TRIED]
    for size, (measured, result) in zip(sizes[:3], outcomes, strict=False):
        assert abs(measured.peak_bytes - measured.baseline_bytes - size * MIB) < 2 * MIB
        assert result["sum"] == size * 2**17
    assert [result for _, result in outcomes[3:]] == [{}, {}]


def test_out_of_time_and_a_crash_are_told_apart(works):
    outcomes = carry_out(Task(f"{works}:sleep", [{}, {}], "cpu", 1), Limits(0.5, 2**40))
    assert [m.status for m, _ in outcomes] == [OUT_OF_TIME, NOT_TRIED]
    ((measured, result),) = carry_out(Task("no_such_module:work", [{}], "cpu", 1), AMPLE)
    assert (measured.status, result) == (FAILED, {})
    assert "no_such_module" in measured.note


def test_a_refused_allocation_is_out_of_memory(tmp_path):
    task = Task(f"{__name__}:hold_too_much", [{}, {}], "cpu", 1)
    assert [m.status for m in carry_out_here(task, tmp_path)] == [OUT_OF_MEMORY]


def hold_too_much(device: str) -> apart.Work:
    return lambda: {"never": torch.empty(2**60)}


# Exponents, sequences, settings


def test_an_exponent_is_that_of_a_power_law():
    x = np.array([1.0, 3.0, 10.0, 50.0])
    assert exponent(x, 7 * x**2.5) == pytest.approx(2.5)
    assert exponent(x, np.full(4, 3.0)) == pytest.approx(0)
    assert exponent(x, [np.nan, 3.0, 10.0, 0.0]) == pytest.approx(1)
    assert math.isnan(exponent([4.0, 4.0], [1.0, 2.0]))


def test_bases_of_a_file_are_read_where_they_are_asked_for(tmp_path):
    path = write_random_bases(tmp_path / "bases", 1000, seed=3)
    whole = read_bases(path, 0, 1000)
    assert torch.equal(whole[300:307], read_bases(path, 300, 307))
    assert sorted(set(whole.tolist())) == [0, 1, 2, 3]
    assert not torch.equal(whole, read_bases(write_random_bases(path, 1000, seed=4), 0, 1000))


@pytest.mark.parametrize(
    ("kind", "options", "told"),
    [
        (scaling.Settings, {"lengths": ()}, "--lengths names none"),
        (scaling.Settings, {"lengths": (1000, 63)}, "--lengths must be at least 64, not 63"),
        (scaling.Settings, {"methods": ("adjoin",)}, "choose from adjoint, tangent, tape"),
        (scaling.Settings, {"max_memory": 5}, "--max-memory must be at least"),
        (parameter_gradient.Settings, {"tile": 0}, "--tile must be at least 1, not 0"),
        (complexity.Settings, {"states": (4, 0)}, "--states must be at least 1, not 0"),
        (ghost_pulse.Settings, {"size": 0.0}, "--size must be at least"),
        (training.Settings, {"dtypes": ("float16",)}, "choose from float64, float32"),
        (training.Settings, {"threads": -1}, "--threads must be at least 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(kind, options, told):
    with pytest.raises(UsageError, match=told):
        kind(**options)


def test_lengths_are_sorted_and_named_once():
    assert scaling.Settings(lengths=(4096, 64, 4096)).lengths == (64, 4096)


# Scaling


@pytest.fixture(scope="module")
def scaled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scaling")
    options = {"lengths": (4096, 16384), "tile": 1024, "threads": 1, "width": 32}
    return folder, run("scaling", folder, True, methods=("adjoint", "tangent", "tape"), **options)


def growth_of_memory(table):
    """Bytes by which each method's memory grows from the shortest length to the longest.

    A sweep takes a few megabytes here, of which the heap moves one or two from run to run: an
    exponent fitted to them says nothing.
    """
    memory = table.pivot(index="method", columns="length", values="memory_bytes")
    return memory[memory.columns.max()] - memory[memory.columns.min()]


def test_memory_of_the_sweeps_is_flat_and_that_of_a_tape_linear(scaled):
    table = scaled[1].table
    assert set(table["status"]) == {OK}
    grown = growth_of_memory(table)
    assert grown[["adjoint", "tangent"]].max() < grown["tape"] / 10, grown
    assert growth.fitted(table, ["tape"])["tape"] == pytest.approx(1, abs=0.1)


def test_tangent_adjoint_and_tape_find_one_derivative(scaled):
    for _, rows in scaled[1].table.groupby("length"):
        assert np.ptp(rows["derivative"]) < 1e-5 * abs(rows["derivative"].iloc[0])


def test_scaling_is_told_from_its_table(scaled):
    folder, found = scaled
    assert found.table.equals(pd.read_csv(folder / "scaling.csv"))
    assert len(found.shown) == 6
    flat = found.table.assign(memory_bytes=10_000)
    verdicts = [c.verdict for c in scaling_text.claims(flat)]
    assert verdicts == ["holds in part", "does not hold"]  # flat, but not as far as the paper
    far = flat.assign(length=flat["length"] * 1000, tile=flat["tile"] * 1000)
    assert scaling_text.claims(far)[0].verdict == "holds"
    assert "to L = 16,384,000" in scaling_text.claims(far)[0].measured
    steep = found.table.assign(memory_bytes=found.table["length"] * 100)
    assert [c.verdict for c in scaling_text.claims(steep)] == ["does not hold", "holds"]
    assert (folder / "scaling.html").exists()
    assert found.paragraph in (folder / "scaling.md").read_text()


def test_where_a_method_ended_is_told_and_drawn(scaled):
    table = scaled[1].table.copy()
    last = (table["method"] == "tape") & (table["length"] == 16384)
    table.loc[last, "status"] = OUT_OF_MEMORY
    table.loc[last, ["seconds", "memory_bytes", "peak_bytes", "derivative"]] = np.nan
    found = scaling_text.findings(table)
    assert "at 4,096, out of memory at 16,384" in found.paragraph
    crosses = [t for t in found.figure.data if t.mode == "markers+text"]
    assert [(t.name, list(t.x), list(t.y)) for t in crosses] == [
        (scaling_text.LABELS["tape"], [16384], [table["max_memory"].iloc[0] / MIB])
    ]


def test_a_table_in_which_nothing_finished_has_nothing_to_say(scaled):
    table = scaled[1].table.assign(status=OUT_OF_TIME)
    assert [c.verdict for c in scaling_text.claims(table)] == ["not tested"] * 2
    assert "out of time at 4,096" in scaling_text.paragraph(table)


def test_a_peer_that_is_not_installed_is_a_row(monkeypatch, tmp_path):
    absent = METHODS["mambapy"].__class__(lambda: None, "absent", ("no_such_package",))
    monkeypatch.setattr(scaling, "METHODS", {"mambapy": absent})
    found = run("scaling", tmp_path, True, methods=("mambapy",), lengths=(64, 128))
    assert list(found.table["status"]) == [NOT_INSTALLED] * 2
    assert "no_such_package" in found.shown["status"][0]


def test_a_peer_finds_the_derivative_of_the_sweeps(tmp_path):
    pytest.importorskip("mambapy")
    settings = scaling.Settings(width=16)
    files = {
        "weights": str(settings.saved_model(tmp_path / "model")),
        "bases": str(write_random_bases(tmp_path / "bases", 200, 0)),
        "length": 200,
        "device": "cpu",
    }
    ours = scaling.by_adjoint(**files, tile=33)()["derivative"]
    theirs = scaling.by_peer(**files, method="mambapy")()["derivative"]
    assert theirs == pytest.approx(ours, rel=1e-4)


def test_a_sweep_is_measured_in_a_process_of_its_own(tmp_path):
    found = run("scaling", tmp_path, True, methods=("adjoint",), lengths=(64, 96), threads=1)
    assert list(found.table["status"]) == [OK, OK]
    assert (found.table["baseline_bytes"] > 100 * MIB).all()


# Complexity


def test_all_ways_find_the_slope_of_the_sum():
    problem = random_problem(5, 7, seed=2)

    def value(a):
        h, total = np.zeros(5), 0.0
        for b, c in zip(problem.b, problem.c, strict=True):
            h = a * h + b
            total += c @ h
        return total

    step = 1e-6 * problem.direction
    slope = (value(problem.a + step) - value(problem.a - step)) / 2e-6
    for way in WAYS:
        assert costs(way, problem)[1] == pytest.approx(slope, rel=1e-7), way


def test_operations_are_counted_as_they_are_done():
    tally = Tally()
    x = recurrences.counted(np.ones((2, 3)), tally)
    y = x * 2.0 + 1.0
    assert tally.operations == 12
    y += x
    assert tally.operations == 18
    assert np.all(np.asarray(y) == 4)
    (x @ np.ones((3, 4))).sum()
    assert tally.operations == 18 + 2 * 8 * 3 + 8


def test_cost_is_linear_for_diagonal_ways_and_steep_for_dense_ones(tmp_path):
    options = {"states": (4, 16, 32, 64), "steps": 4, "length": 128, "tile": 64, "width": 8}
    found = run_here("complexity", tmp_path, threads=1, **options)

    def powers(method):
        columns = (complexity_text.OPERATIONS, complexity_text.CARRIED)
        return [complexity_text.fitted(found.table, method, column) for column in columns]

    assert powers("rtrl-dense") == pytest.approx([4, 3], abs=0.1)
    assert powers("tangent-dense") == pytest.approx([2, 2], abs=0.1)
    for method in ("rtrl-diagonal", "tangent", "adjoint"):
        assert powers(method) == pytest.approx([1, 1], abs=0.02)
    assert [c.verdict for c in found.claims[:2]] == ["holds", "holds"]
    sweeps = found.table[found.table["method"].isin(complexity_text.SWEEPS)]
    assert np.ptp(sweeps.groupby("states")["derivative"].agg(np.ptp)) < 1e-5


def test_complexity_is_judged_from_its_table():
    rows = [
        {"method": m, "states": n, "operations_per_step": n**p, "numbers_carried": n**p,
         "seconds_per_step": n * 1e-6}
        for m, p in (("rtrl-dense", 1), ("tangent", 2), ("adjoint", 1), ("sweep-tangent", 1),
                     ("sweep-adjoint", 1))
        for n in (16, 32)
    ]  # fmt: skip
    verdicts = [c.verdict for c in complexity_text.claims(pd.DataFrame(rows))]
    assert verdicts == ["holds in part", "does not hold", "holds"]


# Weight gradients


@pytest.fixture(scope="module")
def weighed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gradient")
    options = {"lengths": (4096, 16384), "tile": 1024, "threads": 1, "width": 32}
    return folder, run("parameter-gradient", folder, methods=("sweep", "autograd"), **options)


def test_memory_of_weight_gradients_is_flat_by_tiles_and_linear_by_tape(weighed):
    table = weighed[1].table
    grown = growth_of_memory(table)
    assert grown["sweep"] < grown["autograd"] / 10, grown
    assert growth.fitted(table, ["autograd"])["autograd"] == pytest.approx(1, abs=0.1)
    assert table[table["method"] == "autograd"]["difference"].max() < 1e-11


def test_weight_gradients_are_judged_from_their_table(weighed):
    folder, found = weighed
    assert found.table.equals(pd.read_csv(folder / "parameter-gradient.csv"))
    other = found.table.assign(memory_bytes=found.table["length"] ** 2, difference=0.1)
    verdicts = [c.verdict for c in parameter_gradient_text.claims(other)]
    assert verdicts == ["does not hold"] * 3
    alone = found.table[found.table["method"] == "sweep"]
    assert parameter_gradient_text.claims(alone)[2].verdict == "not tested"


def test_a_peer_finds_the_same_weight_gradients(tmp_path):
    pytest.importorskip("mambapy")
    settings = parameter_gradient.Settings()
    arguments = {
        "weights": str(settings.saved_model(tmp_path / "model")),
        "bases": str(write_random_bases(tmp_path / "bases", 150, 0)),
        "length": 150,
        "tile": 40,
        "device": "cpu",
    }
    ours, theirs = (
        parameter_gradient.by_source(method, **arguments)() for method in ("sweep", "mambapy")
    )
    assert ours.keys() == theirs.keys()
    assert 0 < parameter_gradient.difference(theirs, ours) < 1e-6


def test_a_difference_of_gradients_is_relative_to_each_tensor():
    expected = {"a": np.array([1.0, -4.0]), "b": np.array([100.0])}
    off = {"a": np.array([1.0, -3.0]), "b": np.array([101.0])}
    assert parameter_gradient.difference(off, expected) == 0.25


def test_a_problem_is_what_its_sizes_say():
    problem = random_problem(3, 6, seed=0)
    assert [array.shape for array in Problem(*problem)] == [(3,), (6, 3), (6, 3), (3,)]
    assert (np.abs(problem.a) < 1).all()
