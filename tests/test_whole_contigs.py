"""``--window all``: bidirectional models over whole contigs, with activations in files."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from test_windows import ORACLES, PH, PS, KilledError, random_text, run, values

import pgf_genome as pgf
from pgf_genome.attribution.options import Options
from pgf_genome.attribution.run import dry_run
from pgf_genome.engine.plan import WindowCost
from pgf_genome.engine.running import running_of
from pgf_genome.engine.spool import RecordFile

TRACKS = {"window": "all", "halo": None, "tracks": ("contribution", "tism.A", "surprisal")}
ONE_WINDOW = TRACKS | {"window": 300}


@pytest.fixture
def in_files(monkeypatch):
    """Nothing is short enough to be run in memory."""
    monkeypatch.setattr(WindowCost, "in_memory", lambda self, memory: 0)


@pytest.fixture(scope="module")
def text() -> str:
    return random_text(230)


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (PH, {}),
        (PS, {}),
        (PH, {"strand": "-", "objective": "entropy", "target": "c:51-60"}),
        (PS, {"objective": "norm", "tracks": "contribution", "region": "c:51-60"}),
        (PH, {"method": "ig 2", "tracks": ("ig", "surprisal")}),
    ],
    ids=["Ph", "PS", "minus", "norm", "ig"],
)
def test_a_whole_contig_in_files_has_the_tracks_of_one_window(
    source, options, text, tmp_path, monkeypatch
):
    model = pgf.load_model(source, dtype=torch.float64)
    one = run(tmp_path, model, text, "one", **(ONE_WINDOW | options))
    monkeypatch.setattr(WindowCost, "in_memory", lambda self, memory: 0)
    whole = run(tmp_path, model, text, "all", tile=50, store_every=2, **(TRACKS | options))
    for track in one.tracks:
        found, expected = values(whole, track), values(one, track)
        np.testing.assert_allclose(found, expected, 1e-6, 1e-6 * np.nanmax(np.abs(expected)))
    assert whole.record.contigs[0].objective == pytest.approx(one.record.contigs[0].objective)
    assert whole.record.halo is None
    assert whole.record.context == "window: all of the sequence"
    assert whole.record.tile_length == 50


def test_a_window_longer_than_the_contig_is_the_whole_contig(in_files, text, tmp_path):
    model = pgf.load_model(PH)
    long, whole = (
        run(tmp_path, model, text, str(window), **(TRACKS | {"window": window}))
        for window in (300, "all")
    )
    assert np.array_equal(values(long, "contribution"), values(whole, "contribution"))
    assert long.record.halo.loci == ()


@pytest.mark.parametrize("writes", [2, 30, 120, 200])
def test_a_run_stopped_anywhere_goes_on_to_the_same_bytes(
    in_files, text, tmp_path, monkeypatch, writes
):
    model, options = pgf.load_model(PS), TRACKS | {"tile": 60}
    whole = run(tmp_path, model, text, "whole", **options)
    write, done = RecordFile.write, [0]

    def stop_after(self, *args, **named):
        if done[0] >= writes:
            raise KilledError
        write(self, *args, **named)
        done[0] += 1

    with monkeypatch.context() as patch:
        patch.setattr(RecordFile, "write", stop_after)
        with pytest.raises(KilledError):
            run(tmp_path, model, text, "part", **options)
    part = run(tmp_path, model, text, "part", **options)
    for kind, path in whole.files.items():
        if kind != "run":
            assert part.files[kind].read_bytes() == path.read_bytes(), kind


def test_the_gradient_in_files_has_the_bits_of_that_in_memory(text, monkeypatch):
    model = pgf.load_model(PS)
    memory = pgf.adjoint(model, text), pgf.log_probs(model, text)
    monkeypatch.setattr(WindowCost, "in_memory", lambda self, memory: 0)
    files = pgf.adjoint(model, text), pgf.log_probs(model, text)
    assert files[0].value == memory[0].value
    assert np.array_equal(files[0].gradient, memory[0].gradient)
    assert np.array_equal(files[1], memory[1])


def test_memory_stays_and_disk_grows_with_the_contig():
    layout = running_of(pgf.load_model(PH)).layout(window="all")
    long = [layout.in_memory + n for n in (10**6, 2 * 10**6)]
    assert layout.memory(long[0]) == layout.memory(long[1])
    assert layout.spool_bytes(layout.in_memory) == 0
    assert layout.spool_bytes(long[0]) > long[0] * 4 * 20 * 4  # three layers and a cotangent
    sizes = layout.smaller(long[0])
    assert all(size < layout.spool_bytes(long[0]) for size in sizes.values())


def test_a_disk_that_is_too_small_is_refused_before_work_with_the_ways_out(
    in_files, text, tmp_path, monkeypatch
):
    model = pgf.load_model(PS, dtype=torch.float64)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(0, 0, 1000))
    ways = "`scratch_dir`, `store_every` 2 .*, `dtype` float32 .*, or a `window` of fewer bases"
    with pytest.raises(pgf.PgfError, match=ways):
        run(tmp_path, model, text, **TRACKS)
    assert [path.name for path in tmp_path.iterdir()] == ["in.fa"]


def test_the_plan_says_what_a_whole_contig_takes(in_files, text, tmp_path):
    (tmp_path / "in.fa").write_text(f">c\n{text}\n")
    model = pgf.load_model(PH)
    once = dry_run(tmp_path / "in.fa", model, Options(window="all"))
    assert once.cut == ("window", "all of the sequence")
    assert once.scratch_bytes > 230 * 20 * 4 * 4


@pytest.mark.parametrize(
    ("source", "options", "cause"),
    [
        (PH, {"halo": 3}, "`halo` is for windows, and `window` all has none"),
        (PH, {"store_every": 0}, "`store_every` must be at least 1"),
        (PH, {"max_memory": 2**20}, "too small for one tile of this model"),
        (PH, {"tile": 10**7, "max_memory": "600M"}, "`tile` 10000000 needs"),
        (PH, {"window": "most"}, "`window` must be a whole number"),
        (ORACLES / "hf_mamba_tiny", {}, "`window` is for bidirectional models"),
        (
            ORACLES / "hf_mamba_tiny",
            {"window": None, "store_every": 2},
            "`store_every` is for bidirectional models",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused(text, tmp_path: Path, source, options, cause):
    with pytest.raises(pgf.PgfError, match=cause):
        run(tmp_path, pgf.load_model(source), text, **(TRACKS | options))
