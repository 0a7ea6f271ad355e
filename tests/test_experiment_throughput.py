"""``experiment throughput``: one gradient by every method, and what is told about them."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from models import assert_within

from pgf_genome.errors import ResourceError, UsageError
from pgf_genome.experiments import machine, throughput, throughput_text
from pgf_genome.experiments.frame import Findings
from pgf_genome.experiments.measure import OK, Measurement, Request, measure_apart, measure_here
from pgf_genome.experiments.peers import METHODS, OURS, Method
from pgf_genome.experiments.process import OUT_OF_MEMORY, OUT_OF_TIME, Limits, run_python
from pgf_genome.experiments.runner import run
from pgf_genome.pretrain.initial import new_model
from pgf_genome.pretrain.saving import save_model
from pgf_genome.pretrain.settings import Training

# Neither a power of two nor a multiple of the segment or tile.
LENGTH, PIECE = 37, 8
SETTINGS = {OURS: {"tile_length": PIECE}, "segments": {"segment": PIECE}}
ROOT = Path(__file__).parents[1]
AMPLE = Limits(seconds=300, bytes=8 * 2**30)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A small random model as a directory."""
    directory = tmp_path_factory.mktemp("weights")
    save_model(new_model(Training(d_model=32, n_layer=2, d_state=4)), directory, "random\n")
    return directory


@pytest.fixture(scope="module")
def ids() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 4, LENGTH))


@pytest.fixture(scope="module")
def reference(weights, ids) -> torch.Tensor:
    return METHODS[OURS].prepare(weights, ids, "cpu", tile_length=LENGTH, dtype="float64")()


def prepared(name: str, weights: Path, ids: torch.Tensor):
    method = METHODS[name]
    if method.lacks("cpu"):
        pytest.skip(method.lacks("cpu"))
    return method.prepare(weights, ids, "cpu", **SETTINGS.get(name, {}))


@pytest.mark.parametrize("name", [name for name in METHODS if name != "transformers-compiled"])
def test_every_method_computes_the_same_gradient(name, weights, ids, reference):
    gradient = prepared(name, weights, ids)
    first, second = gradient(), gradient()
    assert first.dtype == torch.float32
    assert_within(1e-4, first, reference, name)
    assert torch.equal(first, second)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_the_compiled_method_computes_the_same_gradient(weights, ids, reference, tmp_path):
    pytest.importorskip("transformers")
    request = request_for("transformers-compiled", weights, ids, tmp_path)
    measured = measure_apart(request, AMPLE, {})
    assert (measured.status, measured.note) == (OK, "")
    assert measured.first_seconds > measured.seconds
    assert_within(1e-4, np.load(request.gradient), reference)


@pytest.mark.parametrize("segment", [3, 16, 36, 37, 64])
def test_segments_of_any_length_give_the_same_gradient(segment, weights, ids, reference):
    pytest.importorskip("mambapy")
    gradient = METHODS["segments"].prepare(weights, ids, "cpu", segment=segment)
    assert_within(1e-4, gradient(), reference)


def request_for(name: str, weights: Path, ids: torch.Tensor, folder: Path) -> Request:
    np.save(folder / "ids.npy", ids.numpy())
    return Request(
        method=name,
        weights=str(weights),
        ids=str(folder / "ids.npy"),
        gradient=str(folder / "gradient.npy"),
        device="cpu",
        threads=1,
        runs=2,
        seconds=60.0,
        setting=SETTINGS.get(name, {}),
    )


def test_measurement_gives_the_median_and_the_memory_of_its_own_process(
    weights, ids, reference, tmp_path
):
    held = np.ones(600 * 2**17)  # 600 MiB, which are not the child's
    request = request_for(OURS, weights, ids, tmp_path)
    measured = measure_apart(request, AMPLE, METHODS[OURS].environment)
    assert (measured.status, measured.runs) == (OK, 2)
    assert 0 < measured.seconds < measured.first_seconds
    assert 0 < measured.baseline_bytes <= measured.peak_bytes < held.nbytes
    assert_within(1e-4, np.load(request.gradient), reference)


def test_no_further_run_is_begun_when_the_time_is_up(weights, ids, tmp_path):
    request = request_for(OURS, weights, ids, tmp_path)
    hurried = Request(**{**vars(request), "runs": 50, "seconds": 0.0})
    assert measure_here(hurried).runs == 1


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        (Limits(seconds=0.2, bytes=AMPLE.bytes), OUT_OF_TIME),
        (Limits(seconds=AMPLE.seconds, bytes=50 * 2**20), OUT_OF_MEMORY),
    ],
)
def test_a_method_beyond_its_limits_is_reported(limits, status, weights, ids, tmp_path):
    request = request_for(OURS, weights, ids, tmp_path)
    assert measure_apart(request, limits, {}) == Measurement(status)


def test_an_allocation_that_is_refused_is_out_of_memory(weights, ids, tmp_path, monkeypatch):
    def greedy(*arguments, **setting):
        return lambda: torch.empty(2**60)

    monkeypatch.setitem(METHODS, "greedy", Method(greedy, "greedy"))
    assert measure_here(request_for("greedy", weights, ids, tmp_path)).status == OUT_OF_MEMORY


def test_a_method_that_crashes_is_reported_with_its_reason(weights, ids, tmp_path):
    request = request_for(OURS, tmp_path / "absent", ids, tmp_path)
    measured = measure_apart(request, AMPLE, {})
    assert measured.status == "failed"
    assert str(tmp_path / "absent") in measured.note


def test_a_measurement_ends_with_the_process_that_waits_for_it():
    script = (
        "import time; from pgf_genome.experiments.process import end_with_parent\n"
        "end_with_parent(); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, cwd=ROOT)
    child.stdin.close()
    assert child.wait(30) == 1


def test_what_a_stopped_process_started_is_stopped_too(tmp_path):
    beat = tmp_path / "beat"
    grandchild = f"import time\nwhile True: open({str(beat)!r}, 'a').write('.'); time.sleep(0.02)"
    script = (
        "import subprocess, sys, time, pathlib\n"
        f"subprocess.Popen([sys.executable, '-c', {grandchild!r}])\n"
        f"while not pathlib.Path({str(beat)!r}).exists(): time.sleep(0.01)\n"
        "held = bytearray(200 * 2**20)\n"
        "time.sleep(60)"
    )
    ended = run_python(["-c", script], Limits(60, 150 * 2**20))
    assert ended.reason == OUT_OF_MEMORY
    size = beat.stat().st_size
    run_python(["-c", "import time; time.sleep(0.3)"], AMPLE)
    assert beat.stat().st_size == size


def fake_measure(asked: list[tuple[str, int, dict]]):
    """Measurements by rule: ours has 10 kbp/s, mambapy 1, segments 2 at best; 1 GiB each."""

    def measure(request, limits, environment):
        length = len(np.load(request.ids))
        asked.append((request.method, length, dict(request.setting)))
        np.save(request.gradient, np.full((length, 5), 1.0 + 1e-6 * (request.runs > 0)))
        if request.method == "transformers" and length > 100:
            return Measurement(OUT_OF_TIME)
        if request.method == "checkpoint" and length > 1000:
            return Measurement(OUT_OF_MEMORY)
        speed = {OURS: 1e4, "mambapy": 1e3, "segments": 2e3}.get(request.method, 500.0)
        slow = 2 if request.setting.get("segment") == 8 else 1
        share = 1 if request.method == OURS else 20
        return Measurement(OK, "", slow * length / speed, 9.0, 3, share * 2**30, 2**28)

    return measure


@pytest.fixture
def asked(monkeypatch) -> list[tuple[str, int, dict]]:
    """Replaces the measurements of an experiment; what was asked for, in order."""
    calls: list[tuple[str, int, dict]] = []
    monkeypatch.setattr(throughput, "measure_apart", fake_measure(calls))
    return calls


def findings_of(folder: Path, lengths: tuple, methods: tuple, **options) -> Findings:
    small = {"layers": 1, "width": 16, "states": 2, "segments": (8, 16)}
    return run("throughput", folder, lengths=lengths, methods=methods, **small, **options)


def faked(folder: Path, **options) -> pd.DataFrame:
    return findings_of(folder, **options).table.set_index(["length", "method"])


def test_methods_take_turns_and_who_gave_up_is_not_tried_at_a_longer_length(asked, tmp_path):
    table = faked(tmp_path, lengths=(2000, 20, 200), methods=(OURS, "transformers", "checkpoint"))
    order = [(name, length) for name, length, setting in asked if "dtype" not in setting]
    assert order == [
        *((name, 20) for name in (OURS, "transformers", "checkpoint")),
        *((name, 200) for name in (OURS, "transformers", "checkpoint")),
        *((name, 2000) for name in (OURS, "checkpoint")),
    ]
    assert table.loc[(200, "transformers"), "status"] == OUT_OF_TIME
    assert table.loc[(2000, "transformers"), "status"] == "not tried"
    assert table.loc[(2000, "transformers"), "note"] == "out of time at 200"
    assert table.loc[(2000, "checkpoint"), "status"] == OUT_OF_MEMORY
    assert table.loc[(2000, "checkpoint"), "bases_per_second":"error"].drop("runs").isna().all()


def test_ratios_and_the_best_segment(asked, tmp_path):
    table = faked(tmp_path, lengths=(100,), methods=(OURS, "mambapy", "segments"))
    assert table.loc[(100, "mambapy"), "times_faster"] == pytest.approx(10)
    assert table.loc[(100, "mambapy"), "memory_share"] == pytest.approx(0.05)
    assert table.loc[(100, "mambapy"), "error"] == pytest.approx(1e-6)
    assert table.loc[(100, "segments"), "setting"] == "segment=16"
    assert table.loc[(100, "segments"), "times_faster"] == pytest.approx(5)
    assert np.isnan(table.loc[(100, OURS), "times_faster"])


def test_segments_longer_than_the_sequence_are_not_tried(asked, tmp_path):
    faked(tmp_path, lengths=(4, 12), methods=("segments",))
    tried = [(length, s["segment"]) for name, length, s in asked if name == "segments"]
    assert tried == [(4, 8), (12, 8)]


def test_ours_is_tried_in_tiles_of_the_default_and_of_what_attribute_would_choose(asked, tmp_path):
    faked(tmp_path, lengths=(100, 5000, 500_000), methods=(OURS,), kept=(1,))
    tried = [(length, s["tile_length"]) for _, length, s in asked if "dtype" not in s]
    assert tried == [
        (100, 100),
        *((5000, tile) for tile in (4096, 5000)),
        *((500_000, tile) for tile in (4096, 16_384)),
    ]


def test_ours_is_tried_in_the_tiles_asked_for(asked, tmp_path):
    faked(tmp_path, lengths=(100,), methods=(OURS,), tiles=(64, 16, 1000, 64), kept=(1, 3))
    tried = [(s["tile_length"], s["kept"]) for _, _, s in asked if "dtype" not in s]
    assert tried == [(16, 1), (16, 3), (64, 1), (64, 2), (100, 1)]


@pytest.mark.skipif(not METHODS["mamba_ssm"].lacks("cpu"), reason="mamba_ssm can run here")
def test_a_method_that_cannot_run_here_is_reported(asked, tmp_path):
    row = faked(tmp_path, lengths=(100,), methods=("mamba_ssm",)).loc[(100, "mamba_ssm")]
    assert row["status"] == "not installed"
    assert re.search("no package mamba_ssm|needs a GPU", row["note"])
    assert [name for name, _, _ in asked] == [OURS]  # the reference alone


def test_csv_table_page_and_paragraph_say_the_same(asked, tmp_path):
    findings = findings_of(tmp_path, (20, 200), (OURS, "mambapy", "transformers"))
    stored = pd.read_csv(tmp_path / "throughput.csv")
    pd.testing.assert_frame_equal(findings.table, stored)
    told = throughput_text.findings(stored)
    assert told.paragraph == findings.paragraph
    pd.testing.assert_frame_equal(told.shown, findings.shown)
    page, text = ((tmp_path / f"throughput.{kind}").read_text() for kind in ("html", "md"))
    assert findings.paragraph in page
    assert findings.paragraph in text
    for cell in (*findings.shown.to_numpy().ravel(), machine.describe("cpu", throughput.PACKAGES)):
        assert cell in page
        assert cell in text
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "throughput.csv", "throughput.html", "throughput.md",
    ]  # fmt: skip


def test_page_needs_no_network(asked, tmp_path):
    findings_of(tmp_path, (20,), (OURS, "mambapy"))
    page = (tmp_path / "throughput.html").read_text()
    assert re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", page) == []


def test_figure_draws_what_was_measured(asked, tmp_path):
    findings = findings_of(tmp_path, (20, 200), (OURS, "transformers"))
    drawn = json.loads(findings.figure.to_json())
    speed = {t["name"]: t for t in drawn["data"] if t["xaxis"] == "x"}
    memory = {t["name"]: t for t in drawn["data"] if t["xaxis"] == "x2"}
    ours, peer = METHODS[OURS].label, METHODS["transformers"].label
    assert set(speed) == set(memory) == {ours, peer}
    assert findings.figure.layout.xaxis.type == findings.figure.layout.yaxis2.type == "log"
    assert list(findings.figure.data[0].x) == [20, 200]
    assert list(findings.figure.data[0].y) == pytest.approx([1e4, 1e4])
    assert list(findings.figure.data[1].y) == [1024, 1024]
    assert list(findings.figure.data[2].x) == [20]  # out of time at 200


def test_paragraph_holds_the_claim_against_the_figures(asked, tmp_path):
    text = findings_of(tmp_path, (20, 200), (OURS, "mambapy", "transformers")).paragraph
    assert "claims 23 times the throughput of autograd with 94% less memory" in text
    assert "ran at 10 kbp/s with a peak of 1,024 MiB" in text
    assert "mambapy pscan at L = 200: 1 kbp/s and 20,480 MiB" in text
    assert "10 times as fast with 95% less memory" in text
    assert "claimed speed is reached against none of them" in text
    assert "claimed memory against mambapy pscan" in text
    assert "step by step at L = 200: out of time." in text


def test_claims_are_held_against_autograd_at_its_longest_length(asked, tmp_path):
    found = findings_of(tmp_path, (20, 200), (OURS, "mambapy"))
    assert [c.verdict for c in found.claims] == ["does not hold", "holds"]
    assert found.claims[0].measured == "10 times mambapy pscan at L = 200"
    faster = found.table.assign(times_faster=24.0, memory_share=0.2)
    assert [c.verdict for c in throughput_text.claims(faster)] == ["holds", "holds in part"]
    alone = found.table[found.table["method"] == OURS]
    assert [c.verdict for c in throughput_text.claims(alone)] == ["not tested"] * 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"methods": ("autograd",)}, "`methods` autograd: choose from pgf, transformers"),
        ({"lengths": ()}, "`lengths` names none"),
        ({"lengths": (1,)}, "`lengths` must be at least 2, not 1"),
        ({"segments": (0,)}, "`segments` must be at least 1, not 0"),
        ({"repeat": 0}, "`repeat` must be at least 1, not 0"),
        ({"timeout": 0.0}, "`timeout` must be a number above 0, not 0"),
        ({"device": "tpu"}, "`device` must be"),
    ],
)
def test_options_out_of_range_are_usage_errors(options, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        throughput.Settings(**options)


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"`directory`: no file can be made in .*file/out"):
        run("throughput", tmp_path / "file" / "out", quick=True)


def test_command_prints_the_table_and_names_what_went_wrong(command, asked, tmp_path):
    done = command(
        "experiment", "throughput", "--quick", "--lengths", "20,300", "-t", "1", "-o", tmp_path,
        "--methods", "pgf,mambapy,transformers",
    )  # fmt: skip
    assert done.code == 0
    table = pd.read_csv(io.StringIO(done.out), sep="\t", dtype=str, keep_default_na=False)
    assert list(table["method"]) == ["pgf", "mambapy", "transformers"] * 2
    assert list(table["ours is faster"]) == ["", "10 x", "20 x", "", "10 x", ""]
    assert table["status"].iloc[-1] == OUT_OF_TIME
    assert "pgf-genome: L = 300, transformers: out of time" in done.err
    refused = command("experiment", "throughput", "--lengths", "1k", "-o", tmp_path)
    assert refused.code == 2
    assert "'1k' is not a list of whole numbers" in refused.error


@pytest.mark.slow
def test_quick_run_from_end_to_end(command, tmp_path):
    pytest.importorskip("mambapy")
    done = command("experiment", "throughput", "--quick", "-t", "1", "-q", "-o", tmp_path)
    assert (done.code, done.err) == (0, "")
    table = pd.read_csv(tmp_path / "throughput.csv")
    assert list(table["method"]) == [OURS, "mambapy", "segments"] * 2
    assert set(table["status"]) == {OK}
    assert (table["error"] < 1e-4).all()
    assert (table["bases_per_second"] > 0).all()
    assert (table["peak_bytes"] >= table["baseline_bytes"]).all()
