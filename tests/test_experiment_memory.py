"""``experiment memory-init``, ``long-context`` and ``initialisation``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from models import assert_within

from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.experiments import (
    initialisation,
    initialisation_text,
    long_context,
    long_context_text,
    memory_init,
    memory_init_text,
)
from pgf_genome.experiments.runner import run
from pgf_genome.experiments.spectra import SPECTRA, is_real
from pgf_genome.memory.closed_form import memory_function, reachable_poles
from pgf_genome.pretrain.initial import new_model
from pgf_genome.pretrain.saving import save_model
from pgf_genome.pretrain.settings import Training

# N = 32; MF(0), MF(10), MF(100) and the first lags below 0.1 and 0.01.
KNOWN = {
    ("S4D-Real (Mamba)", 1e-3): ([0.652, 0.095, 0.033], [9, 735]),
    ("S4D-Lin", 1e-3): ([0.031, 0.023, 0.014], [0, 1964]),
    ("S4D-Inv", 1e-3): ([0.032, 0.024, 0.015], [0, 1014]),
    ("LegS", 1e-3): ([0.032, 0.024, 0.016], [0, 1079]),
    ("S4D-Real (Mamba)", 1e-2): ([1.00, 0.333, 0.078], [74, 481]),
    ("S4D-Lin", 1e-2): ([0.267, 0.142, 0.134], [196, 398]),
    ("S4D-Inv", 1e-2): ([0.274, 0.144, 0.102], [106, 585]),
    ("LegS", 1e-2): ([0.274, 0.157, 0.105], [108, 496]),
    ("S4D-Real (Mamba)", 1e-1): ([1.00, 1.00, 0.0005], [56, 84]),
    ("S4D-Inv", 1e-1): ([0.959, 0.725, 0.0083], [71, 100]),
    ("LegS", 1e-1): ([0.959, 0.781, 0.027], [63, 129]),
}


@pytest.mark.parametrize("case", KNOWN, ids=lambda case: f"{case[0]} {case[1]:g}")
def test_spectra_remember_what_is_on_record(case):
    name, delta = case
    function = memory_function(reachable_poles(np.exp(delta * SPECTRA[name](32))), 2500)
    values, lags = KNOWN[case]
    assert np.abs(function[[0, 10, 100]] - values).max() < 6e-4
    assert [int(np.argmax(function < level)) for level in (0.1, 0.01)] == lags


def test_only_the_poles_of_mamba_are_real():
    assert [name for name, f in SPECTRA.items() if is_real(f(8))] == ["S4D-Real (Mamba)"]


def test_poles_of_one_turn_too_many_are_one():
    # at delta = 0.1 the pole 11 of S4D-Lin is the conjugate of pole 9
    assert len(reachable_poles(np.exp(0.1 * SPECTRA["S4D-Lin"](32)))) == 20


@pytest.fixture(scope="module")
def remembered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory-init")
    return run("memory-init", folder, True, steps=80, delays=(3, 200), threads=1)


def test_dense_and_diagonal_models_remember_alike(remembered):
    rows = memory_init_text.part(remembered.table, memory_init_text.EQUAL)
    assert len(rows) == 3
    assert rows["gap"].max() < 1e-9


def test_length_times_accuracy_of_a_ring_is_its_size(remembered):
    rows = memory_init_text.part(remembered.table, memory_init_text.TRADE_OFF)
    inside = rows[rows["length"] < 400]
    assert len(inside) >= 3
    product = (inside["length"] * inside["mf_0"]).to_numpy()
    assert np.abs(product / 32 - 1).max() < 0.02


def test_frozen_poles_learn_no_more_than_they_remember(remembered):
    rows = memory_init_text.part(remembered.table, memory_init_text.LEARNING)
    frozen = rows[rows["frozen"].astype(bool)]
    assert (frozen["learned"] <= frozen["mf_before"] + 1e-6).all()
    near = frozen[(frozen["delay"] == 3) & (frozen["mf_before"] > 0.9)]
    assert near["learned"].max() > 0.5


def test_memory_init_is_told_from_its_table(remembered):
    table = remembered.table
    learned = table["part"] == memory_init_text.LEARNING
    nothing = table.assign(learned=table["learned"].where(~learned, 0.0))
    verdicts = [c.verdict for c in memory_init_text.claims(nothing)]
    assert verdicts == ["holds", "holds", "holds", "holds"]
    free = table.assign(learned=(~table["frozen"].astype(bool)).astype(float).where(learned))
    assert [c.verdict for c in memory_init_text.claims(free)][2:] == ["does not hold"] * 2
    near = table[~(table["delay"] == 200)]
    assert memory_init_text.claims(near)[2].verdict == "not tested"
    with pytest.raises(UsageError, match="positive"):
        memory_init.Settings(delays=(0,))


def test_what_is_learned_is_judged_by_the_whole_impulse_response():
    # One pole 0.5 and no training time: w = 0 explains nothing. With one step of size 0.02 of the
    # state's unit variance, 1 - R^2 = w^2 - 2 w sqrt(1 - 1/4) / 2 + 1 at a delay of one.
    assert memory_init.copied(np.array([0.5]), 1, True, 1) == 0
    w = 0.02
    found = memory_init.copied(np.array([0.5]), 1, True, 2)
    assert_within(1e-5, [found], [w * 0.75**0.5 - w**2])


def write_fasta(path: Path, length: int) -> Path:
    bases = np.random.default_rng(0).choice(list("ACGT"), length)
    path.write_text(f">c\n{''.join(bases)}\n")
    return path


@pytest.fixture(scope="module")
def windowed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long-context")
    # decays of 0.9 per base and slower: what lies 300 bases away still counts a little
    model = new_model(Training(d_model=8, n_layer=1, d_state=4)).double()
    torch.manual_seed(1)
    with torch.no_grad():
        model.embeddings.weight.normal_()
    save_model(model.float(), folder / "model", "Random.\n")
    fasta = write_fasta(folder / "x.fa", 1300)
    options = {"length": 1024, "windows": (64, 256, 4096), "model": str(folder / "model")}
    return run("long-context", folder, fasta=str(fasta), threads=1, **options)


def test_windows_are_wrong_at_their_edges(windowed):
    table = windowed.table
    assert sorted(set(table["window"])) == [64, 256]  # none as long as the sequence
    whole = table[table["edge"] == long_context_text.WHOLE].set_index("window")
    assert whole.loc[64, "upper"] > whole.loc[256, "upper"] > 0
    assert (whole["positions"] == 1024).all()
    for edge in long_context_text.EDGES:
        rows = table[(table["edge"] == edge) & (table["window"] == 256)].sort_values("distance")
        assert rows["positions"].sum() == 768  # the sequence's own end is no cut
        assert rows["upper"].iloc[0] > 3 * rows["upper"].iloc[-1]


def test_a_window_that_holds_all_misses_nothing(windowed, tmp_path):
    model = new_model(Training(d_model=8, n_layer=1, d_state=2)).requires_grad_(False)
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 4, 50))
    exact = long_context.corrected_gradient(model, ids)
    assert np.abs(exact.sum(axis=1)).max() < 1e-5 * np.abs(exact).max()
    assert not long_context.relative_error(exact, exact).any()


def test_long_context_is_told_from_its_table(windowed):
    perfect = windowed.table.assign(off=0.0)
    assert [c.verdict for c in long_context_text.claims(perfect)] == ["does not hold"]
    assert long_context_text.reach(perfect, 64, "left") == 0
    lossy = windowed.table.assign(off=1 / windowed.table["window"])
    assert [c.verdict for c in long_context_text.claims(lossy)] == ["holds"]


def test_long_context_refuses_short_sequences(tmp_path):
    fasta = write_fasta(tmp_path / "x.fa", 40)
    with pytest.raises(SequenceError, match="c has 40 bases"):
        run("long-context", tmp_path, True, fasta=str(fasta), threads=1)


@pytest.fixture(scope="module")
def initialised(tmp_path_factory):
    folder = tmp_path_factory.mktemp("initialisation")
    fasta = write_fasta(folder / "x.fa", 3000)
    tiny = {"bases": 4_000, "width": 4, "tile": 32, "span": 128, "probes": 2, "target_length": 9000}
    return run("initialisation", folder, True, fasta=str(fasta), threads=1, **tiny)


def test_initialisations_differ_before_and_frozen_poles_stay(initialised):
    table = initialised.table.set_index(["variant", "when"])
    assert len(table) == 8
    assert table.loc[("long, free", "before"), "tau_max"] > 3000
    assert table.loc[("mamba, free", "before"), "tau_max"] < 1100
    for init in ("mamba", "long"):
        frozen = table.loc[f"{init}, frozen", ["tau_median", "tau_max"]]
        assert (frozen.loc["before"] == frozen.loc["after"]).all()
        moved = table.loc[f"{init}, free", "tau_median"]
        assert moved["before"] != moved["after"]
    assert (table["bits_per_base"] < 3).all()


def test_initialisation_is_told_from_its_table(initialised):
    table = initialised.table
    longer = table.assign(bits_per_base=np.where(table["init"] == "long", 1.8, 1.9))
    assert [c.verdict for c in initialisation_text.claims(longer)] == ["holds"] * 3
    worse = table.assign(bits_per_base=np.where(table["frozen"], 1.95, 1.9), mean_distance=1.0)
    assert [c.verdict for c in initialisation_text.claims(worse)] == ["does not hold"] * 3
    assert isinstance(initialised.shown, pd.DataFrame)
    with pytest.raises(UsageError, match="complex"):
        initialisation.Settings("x.fa", inits=("s4d-lin",))
