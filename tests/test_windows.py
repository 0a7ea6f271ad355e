"""Windows over sequences of any length: where they lie, what they give, how runs are resumed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models import assert_within

import pgf_genome as pgf
from pgf_genome.engine import windows
from pgf_genome.engine.plan import DEFAULT_MEMORY, WindowCost
from pgf_genome.engine.spool import RecordFile
from pgf_genome.engine.windows import Windows

ORACLES = Path(__file__).parent / "oracles"
PH, PS = ORACLES / "caduceus_ph_tiny", ORACLES / "caduceus_ps_tiny"


class KilledError(Exception):
    pass


@pytest.fixture(scope="module", params=[PH, PS], ids=lambda d: d.name)
def model(request):
    return pgf.load_model(request.param, dtype=torch.float64)


def random_text(length: int) -> str:
    return "".join(np.random.default_rng(7).choice(list("ACGT"), length))


@pytest.fixture(scope="module")
def text() -> str:
    return random_text(230)


@pytest.fixture(scope="module")
def long_text() -> str:
    """Three batches of short windows, of 136 each."""
    return random_text(13_000)


def fasta_of(folder: Path, text: str) -> Path:
    path = folder / "in.fa"
    path.write_text(f">c\n{text}\n")
    return path


def run(folder: Path, model, text: str, name: str = "out", **options):
    chosen = {"window": 60, "halo": 10, "report": False, "tracks": ("contribution", "surprisal")}
    return pgf.attribute(fasta_of(folder, text), model, folder / name, **(chosen | options))


def values(done, track: str) -> np.ndarray:
    with pyBigWig.open(str(done.files[f"{track}.bigwig"])) as file:
        return np.array(file.values("c", 0, file.chroms("c")), np.float32)


@given(
    length=st.integers(1, 5000),
    halo=st.integers(0, 40),
    core=st.integers(1, 300),
)
def test_cores_tile_the_sequence_and_windows_hold_their_halos(length, halo, core):
    layout = Windows(length, core + 2 * halo, halo)
    found = [c for k in range(layout.plan.tiles) for c in layout.in_tile(k)]
    assert found[0][0] == 0
    assert found[-1][1] == length
    assert all(a[1] == b[0] for a, b in pairwise(found))
    for start, stop in found:
        first, last = layout.seen(start, stop)
        assert last - first <= max(layout.window, 1)
        assert first == 0 or start - first == halo
        assert last == length or last - stop == halo


@pytest.mark.parametrize(("window", "halo"), [(10, 5), (0, 0), (4, -1)])
def test_a_layout_without_a_core_is_refused(window, halo):
    with pytest.raises(pgf.PgfError, match="has no core"):
        Windows(100, window, halo)


def test_a_sequence_no_longer_than_a_window_is_exact(model, text):
    ids = model.tokenize(text)
    layout = Windows(len(ids), 300, 40)
    tile = windows.adjoint(
        model, lambda a, b: model.one_hot(ids[None, a:b]), layout, [pgf.PseudoLikelihood()]
    )
    whole = pgf.adjoint(model, ids)
    assert_within(1e-12, tile.gradient[0], whole.gradient)
    assert_within(1e-12, tile.values.item(), whole.value)
    assert windows.loci_to_check(layout, [0]) == []


@pytest.mark.parametrize("batch", [1, 8192])
def test_every_core_has_the_gradient_of_its_own_window(model, text, batch):
    ids = model.tokenize(text)
    layout = Windows(len(ids), 60, 10, batch)
    read = lambda a, b: model.one_hot(ids[None, a:b])  # noqa: E731
    total = 0.0
    for k in range(layout.plan.tiles):
        tile = windows.adjoint(model, read, layout, [pgf.PseudoLikelihood()], k)
        total += tile.values.item()
        for start, stop in layout.in_tile(k):
            first, last = layout.seen(start, stop)
            alone = pgf.adjoint(model, ids[first:last])
            at = start - layout.plan.bounds(k)[0]
            core = slice(start - first, stop - first)
            assert_within(1e-12, tile.gradient[0, at : at + stop - start], alone.gradient[core])
            log_p = pgf.log_probs(model, ids[first:last])[core]
            assert_within(1e-12, tile.log_p[0, at : at + stop - start], log_p)
            total -= log_p[np.arange(stop - start), ids[start:stop]].sum()
    assert total == pytest.approx(0, abs=1e-9)


def test_the_error_of_a_halo_is_the_change_when_it_is_doubled(model, text):
    ids = model.tokenize(text)
    read = lambda a, b: model.one_hot(ids[None, a:b])  # noqa: E731
    found = windows.halo_error(
        model, read, Windows(230, 60, 10), [pgf.PseudoLikelihood()], (40, 80)
    )
    near, far = (
        pgf.adjoint(model, ids[40 - halo : 80 + halo]).gradient[halo : halo + 40][
            :, list(model.vocabulary.base_ids)
        ]
        for halo in (10, 20)
    )
    assert found[:2] == (40, 80)
    assert_within(1e-9, found.max_error, np.abs(near - far).max() / np.abs(far).max())
    assert_within(1e-9, found.relative_error, np.linalg.norm(near - far) / np.linalg.norm(far))
    assert found.max_error > 1e-4


def test_a_halo_that_reaches_the_ends_leaves_no_error(model, text):
    ids = model.tokenize(text[:50])
    read = lambda a, b: model.one_hot(ids[None, a:b])  # noqa: E731
    layout = Windows(50, 42, 20)
    found = windows.halo_error(model, read, layout, [pgf.PseudoLikelihood()], (20, 30))
    assert found.max_error < 1e-12


def test_the_command_writes_what_windows_give(model, text, tmp_path):
    done = run(tmp_path, model, text, strand="+")
    ids = model.tokenize(text)
    bases = list(model.vocabulary.base_ids)
    alone = pgf.adjoint(model, ids[30:90]).gradient[10:50][:, bases]
    centred = alone - alone.mean(1, keepdims=True)
    observed = [bases.index(i) for i in ids[40:80].tolist()]
    expected = centred[np.arange(40), observed]
    assert_within(1e-6, values(done, "contribution")[40:80], expected)
    log_p = pgf.log_probs(model, ids[30:90])[10:50][np.arange(40), ids[40:80]]
    assert_within(1e-6, values(done, "surprisal")[40:80], -log_p / np.log(2))
    assert np.isfinite(values(done, "surprisal")).all()
    halo = done.run["halo"]
    assert (halo["window"], halo["halo"], len(halo["loci"])) == (60, 10, 3)
    assert all(locus["max_error"] > 0 for locus in halo["loci"])
    assert done.run["objective"] == "pseudo-likelihood"


def test_both_strands_of_a_model_that_reads_both_are_one(text, tmp_path):
    model = pgf.load_model(PS, dtype=torch.float64)
    both, plus = (run(tmp_path, model, text, s, strand=s) for s in ("both", "+"))
    assert np.array_equal(values(both, "contribution"), values(plus, "contribution"))
    whole = {"window": 300}
    same = [values(run(tmp_path, model, text, "w" + s, strand=s, **whole), "contribution")
            for s in ("+", "-")]  # fmt: skip
    assert_within(1e-6, same[1], same[0])


def test_strands_are_mirror_images(text, tmp_path):
    model = pgf.load_model(PH, dtype=torch.float64)
    mirrored = text[::-1].translate(str.maketrans("ACGT", "TGCA"))
    there = run(tmp_path, model, text, "there")
    back = run(tmp_path, model, mirrored, "back")
    for track in ("contribution", "surprisal"):
        assert_within(1e-6, values(back, track)[::-1].copy(), values(there, track))


def test_halos_are_measured_where_something_is_written():
    layout = Windows(13_000, 60, 10)
    tiles = range(layout.plan.tiles)
    assert len(windows.loci_to_check(layout, tiles)) == 3
    near = windows.loci_to_check(layout, tiles, spans=[(100, 110), (9000, 9100)])
    assert near
    assert all(
        any(start < b and a < stop for a, b in [(100, 110), (9000, 9100)]) for start, stop in near
    )
    assert windows.loci_to_check(Windows(13_000, 60, 0), tiles) == []


@pytest.mark.parametrize("strand", ["+", "-", "both"])
def test_a_region_computes_only_its_windows_and_gives_the_same_values(long_text, tmp_path, strand):
    model = pgf.load_model(PH)
    seen = []
    one_hot = model.one_hot
    model.one_hot = lambda ids: (seen.append(ids.shape[1]), one_hot(ids))[1]
    whole = values(run(tmp_path, model, long_text, "whole", strand=strand), "contribution")
    everything = sum(seen)
    seen.clear()
    part = run(tmp_path, model, long_text, "part", strand=strand, region=["c:101-110"])
    found = values(part, "contribution")
    assert_within(1e-6, found[100:110], whole[100:110])
    assert np.isnan(found[:100]).all()
    assert np.isnan(found[110:]).all()
    assert sum(seen) < 0.8 * everything


@pytest.mark.parametrize("writes", [1, 2, 5, 8, 10])
def test_a_run_stopped_after_any_write_resumes_to_the_same_bytes(
    long_text, tmp_path, monkeypatch, writes
):
    model = pgf.load_model(PH)
    whole = run(tmp_path, model, long_text, "whole", strand="+")
    write, done = RecordFile.write, [0]

    def stop_after(self, *args):
        write(self, *args)
        done[0] += 1
        if done[0] == writes:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(RecordFile, "write", stop_after)
        with pytest.raises(KilledError):
            run(tmp_path, model, long_text, "part", strand="+")
    part = run(tmp_path, model, long_text, "part", strand="+")
    for kind, path in whole.files.items():
        if kind != "run":
            assert part.files[kind].read_bytes() == path.read_bytes(), kind
    assert part.run["halo"] == whole.run["halo"]


@pytest.mark.parametrize(
    ("source", "options", "cause"),
    [
        (PH, {"tile": 100}, "`tile` is for causal models"),
        (PH, {"halo": 30}, "has no core"),
        (PH, {"window": 0}, "`window` must be at least 1"),
        (PH, {"max_memory": 2**20, "window": None}, "too small for one window"),
        (PH, {"max_memory": 2**20}, "`window` 60 needs .* more than `max_memory`"),
        (PH, {"objective": pgf.Likelihood()}, "bidirectional model has no likelihood"),
        (ORACLES / "hf_mamba_tiny", {}, "`window` is for bidirectional models"),
        (ORACLES / "hf_mamba_tiny", {"window": None}, "`halo` is for bidirectional models"),
        (
            ORACLES / "hf_mamba_tiny",
            {"window": None, "halo": None, "objective": "pseudo-likelihood"},
            "causal model predicts a base",
        ),
    ],
)
def test_options_that_do_not_go_with_the_model_are_refused(text, tmp_path, source, options, cause):
    with pytest.raises(pgf.PgfError, match=cause):
        run(tmp_path, pgf.load_model(source), text, **options)


def test_the_window_is_the_trained_context_unless_memory_is_short():
    model = pgf.load_model(PH)
    cost = WindowCost.of(model.config, 20_000, 4)
    assert cost.longest_window(2**40, 131_072) == 131_072
    shorter = cost.longest_window(cost.memory(40_000), 131_072)
    assert shorter == 32_768
    assert cost.memory(8192) < DEFAULT_MEMORY
