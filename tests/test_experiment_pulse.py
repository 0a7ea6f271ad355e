"""Experiments on one pulse and on training: what is found is what autograd finds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from run_here import run_here

from pgf_genome.experiments import ghost_pulse, ghost_pulse_text, training, training_text
from pgf_genome.experiments.measure import OK

# Ghost pulse


@pytest.fixture(scope="module")
def pulsed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pulse")
    options = {"lengths": (600, 1500, 4000), "compared": 1500, "tile": 256, "width": 8}
    return folder, run_here("ghost-pulse", folder, threads=1, **options)


def test_the_pulse_is_found_where_it_is_in_one_shape(pulsed):
    folder, found = pulsed
    table = found.table
    sweeps = ghost_pulse_text.runs(table, "tangent", "tangent32")
    assert list(sweeps["length"]) == [600, 1500, 4000] * 2
    assert (sweeps["first"] == sweeps["pulse"]).all()
    assert (sweeps["pulse"] == 0.8 * sweeps["length"]).all()
    assert sweeps["off_shortest"].max() < 1e-2
    assert sweeps["off_same"].max() < 1e-5
    taped = ghost_pulse_text.runs(table, "autograd")
    assert list(taped["length"]) == [600, 1500]
    assert taped["off_same"].max() < 1e-12
    # two runs in float32: near where the response is large, not beyond
    assert ghost_pulse_text.runs(table, "difference")["off_same"].between(1e-5, 0.1).all()
    assert found.table.equals(pd.read_csv(folder / "ghost-pulse.csv"))
    assert [c.verdict for c in found.claims] == ["holds in part", found.claims[1].verdict, "holds"]


def test_the_ghost_pulse_is_judged_from_its_table(pulsed):
    table = pulsed[1].table
    missed = table.assign(first=table["first"] + (table["length"] == 4000))
    assert ghost_pulse_text.claims(missed)[0].verdict == "holds in part"
    assert "in 4 of 6 sweeps" in ghost_pulse_text.claims(missed)[0].measured
    never = ghost_pulse_text.claims(table.assign(first=0))[0]
    assert never.verdict == "does not hold"
    warped = ghost_pulse_text.claims(table.assign(off_shortest=0.5, off_same=1e-3))
    assert [c.verdict for c in warped[1:]] == ["does not hold", "does not hold"]
    same = ghost_pulse_text.claims(table.assign(off_shortest=1e-6))
    assert same[1].verdict == "holds"
    lone = table[table["method"] == "tangent32"].assign(floor=np.nan, off_shortest=np.nan)
    assert [c.verdict for c in ghost_pulse_text.claims(lone)[1:]] == ["not tested"] * 2


def test_how_far_a_pulse_is_seen_is_where_its_response_meets_the_floor(pulsed):
    lags = [0, 1, 10, 100, 1000]
    shared = {**pulsed[1].table.iloc[0], "length": 5000, "pulse": 4000, "status": OK}
    rows = []
    for method, responses in (
        ("tangent", [1e-1, 1e-2, 1e-4, 1e-8, 1e-20]),
        ("tangent32", [1e-1, 1e-2, 1e-4, 1.05e-8, 3e-20]),
    ):
        rows += [
            {**shared, "method": method, "lag": lag, "response": r, "floor": 1e-6}
            for lag, r in zip(lags, responses, strict=True)
        ]
    told = ghost_pulse_text.paragraph(pd.DataFrame(rows))
    assert "shows 1e-05 of a substitution at best, and a whole one for 10 bases" in told
    assert "to 10% for 100 bases, down to 1e-08 nats" in told


def test_all_sequences_are_the_same_around_the_pulse(tmp_path):
    short = ghost_pulse.write_bases(tmp_path / "a", 100, 100, seed=5).read_bytes()
    long = ghost_pulse.write_bases(tmp_path / "b", 1000, 100, seed=5).read_bytes()
    assert (len(short), len(long)) == (100, 1000)
    assert long[720:820] == short
    assert long[:100] != short


# Training


def test_training_by_tiles_is_training_by_autograd(tmp_path):
    options = {"layers": (1, 2), "length": 130, "tile": 33, "steps": 6, "width": 8}
    found = run_here("training", tmp_path, threads=1, rate=0.01, **options)
    ours = training_text.ends(found.table).set_index(["method", "dtype", "layers"]).loc["sweep"]
    assert (ours.loc["float64", "off"] < 1e-9).all()
    assert (ours.loc["float32", "off"] < 1e-2).all()
    assert (ours["gap"] < 1e-4).all()
    assert (ours["bits_per_base"] < ours["start"]).all()
    assert set(found.table["step"].dropna()) == set(range(1, 7))
    assert [c.verdict for c in found.claims] == ["holds", "holds"]
    apart_now = found.table["off"].where(found.table["method"] != "sweep", 1e-3)
    drifted = training_text.claims(found.table.assign(off=apart_now))
    assert [c.verdict for c in drifted] == ["holds", "does not hold"]
    assert "1e-03" in drifted[1].measured
    rising = found.table.assign(bits_per_base=found.table["step"])
    assert training_text.claims(rising)[0].verdict == "does not hold"


def test_the_structured_sequence_has_the_entropy_that_is_stated():
    bases = training.structured_bases(60_000, seed=1).astype(int)
    contexts = 4 * bases[:-2] + bases[1:-1]
    counts = np.zeros((16, 4))
    np.add.at(counts, (contexts, bases[2:]), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    bits = -(counts * np.log2(shares, where=counts > 0, out=np.zeros_like(shares))).sum()
    assert bits / counts.sum() == pytest.approx(training.entropy(), abs=0.01)
