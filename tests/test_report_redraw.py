"""`pgf-genome report`: the same page again from the files of a run, without its model."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pgf_genome as pgf
from pgf_genome.report import image
from pgf_genome.tracks import BedGraphWriter, BigWigWriter
from pgf_genome.tracks.bedgraph import reader
from pgf_genome.tracks.reading import read_track

ORACLE = Path(__file__).parent / "oracles" / "hf_mamba_tiny"
TOOK = re.compile(r'<section aria-labelledby="h-took">.*?</section>', re.DOTALL)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of a run with a target, in a folder of its own."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(3)
    with (folder / "in.fa").open("w") as file:
        for name, length in (("a", 700), ("b|2", 333)):
            file.write(f">{name}\n{''.join(rng.choice(list('ACGTN'), length))}\n")
    pgf.attribute(folder / "in.fa", ORACLE, folder / "x", target=("a:300-320", "b|2"), tile=64)
    return folder / "x"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may spoil; its FASTA stays where it was."""
    shutil.copytree(finished.parent, tmp_path / "copy")
    return tmp_path / "copy" / "x"


def test_redrawn_page_is_the_first_one_with_time_and_memory(command, run) -> None:
    page = Path(f"{run}.report.html")
    first = page.read_text(encoding="utf-8")
    assert command("report", run).code == 0
    again = page.read_text(encoding="utf-8")
    assert len(TOOK.findall(again)) == 1
    assert TOOK.sub("", again) == first


@pytest.mark.parametrize("kept", [".bedgraph.gz", ".bedgraph"])
def test_page_from_bedgraph_is_that_from_bigwig(command, run, tmp_path, kept) -> None:
    command("report", run)
    expected = Path(f"{run}.report.html").read_bytes()
    for path in run.parent.glob("*.bw"):
        path.unlink()
    if kept == ".bedgraph":
        for path in run.parent.glob("*.bedgraph.gz"):
            subprocess.run(["gunzip", path], check=True)
    done = command("report", run, "-o", tmp_path / "other.html")
    assert done.code == 0
    assert (tmp_path / "other.html").read_bytes() == expected


def test_fasta_that_has_moved_is_given_or_the_page_says_that_logos_are_missing(
    command, run, finished
) -> None:
    facts = json.loads(Path(f"{run}.run.json").read_text())
    facts["fasta"]["path"] = str(run.parent / "gone.fa")
    Path(f"{run}.run.json").write_text(json.dumps(facts))
    done = command("report", run)
    assert done.code == 0
    assert "no logos" in done.err
    assert "there are no logos" in Path(f"{run}.report.html").read_text(encoding="utf-8")
    assert command("report", run, "--fasta", f"{finished.parent}/in.fa").code == 0
    assert "there are no logos" not in Path(f"{run}.report.html").read_text(encoding="utf-8")


def test_other_sequence_is_refused(command, run, tmp_path) -> None:
    text = (run.parent / "in.fa").read_text()
    changed = tmp_path / "other.fa"
    changed.write_text(re.sub("A", "C", text, count=1) if "A" in text else text)
    done = command("report", run, "--fasta", changed)
    assert done.code == 1
    assert f"{changed}: not the sequence of the run" in done.error
    assert command("report", run, "--fasta", tmp_path / "none.fa").code == 1


def test_path_of_the_sequence_is_not_told_to_readers_of_the_page(run) -> None:
    page = Path(f"{run}.report.html").read_text(encoding="utf-8")
    assert "in.fa" in page
    assert str(run.parent.parent) not in page
    assert json.loads(Path(f"{run}.run.json").read_text())["fasta"]["path"].endswith("/in.fa")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: Path(f"{p}.run.json").unlink(), "run.json: cannot be read"),
        (lambda p: Path(f"{p}.run.json").write_text("{"), "not the run.json of a finished run"),
        (lambda p: Path(f"{p}.run.json").write_text("[]"), "not the run.json of a finished run"),
        (lambda p: [f.unlink() for f in p.parent.glob("x.surprisal.*")], "surprisal.bw: not found"),
        (
            lambda p: Path(f"{p}.surprisal.bw").write_bytes(b"?"),
            "surprisal.bw: not what the run has",
        ),
    ],
)
def test_missing_or_damaged_file_is_one_line(command, run, spoil, message) -> None:
    spoil(run)
    done = command("report", run)
    assert done.code == 1
    assert message in done.error


def test_image_without_its_program_says_what_to_install(command, run, monkeypatch) -> None:
    monkeypatch.setattr(image, "find_spec", lambda name: None)
    done = command("report", run, "--png")
    assert done.code == 1
    assert "pip install kaleido" in done.error


def test_image_is_written_where_kaleido_is_present(command, run) -> None:
    pytest.importorskip("kaleido", reason="kaleido is not installed")
    done = command("report", run, "--png")
    if "kaleido failed" in done.err:
        pytest.skip("kaleido finds no browser here")
    assert Path(f"{run}.report.png").read_bytes().startswith(b"\x89PNG")


def test_title_and_assembly_are_those_that_are_given(command, run, tmp_path) -> None:
    page = tmp_path / "p.html"
    options = ["--title", "Mine <1>", "--genome", "hg38", "--plotly", "shared", "-o", page]
    assert command("report", run, *options).code == 0
    text = page.read_text(encoding="utf-8")
    assert "<title>Mine &lt;1&gt;</title>" in text
    assert '"assembly":"hg38"' in text
    assert list(tmp_path.glob("plotly-*.min.js"))


def test_report_needs_no_torch(run) -> None:
    code = (
        "import sys; from pgf_genome.report.redraw import redraw; "
        f"redraw({str(run)!r}); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), piece=st.integers(1, 90), rows=st.integers(1, 40))
def test_tracks_are_read_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, seed: int, piece: int, rows: int
) -> None:
    rng = np.random.default_rng(seed)
    sizes = {"NA": 150, "empty": 9, "b": 80}
    values = {name: rng.integers(0, 3, n).astype(np.float32) / 3 for name, n in sizes.items()}
    for each in values.values():
        each[rng.random(len(each)) < rng.random()] = np.nan
    values["empty"][:] = np.nan
    folder = tmp_path_factory.mktemp("tracks")
    writers = [
        BigWigWriter(folder / "x.bw", sizes),
        BedGraphWriter(folder / "x.bedgraph.gz", sizes),
        BedGraphWriter(folder / "x.bedgraph", sizes, False, "track type=bedGraph name=x"),
    ]
    for writer in writers:
        with writer:
            for name, each in values.items():
                writer.add(name, 0, each)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "ROWS", rows)
        for writer in writers:
            found = {name: np.full(n, np.nan, np.float32) for name, n in sizes.items()}
            reached = ("", 0)
            for name, start, part in read_track(writer.path, sizes, most=piece):
                assert len(part) <= piece
                assert name != reached[0] or start >= reached[1]
                found[name][start : start + len(part)] = part
                reached = (name, start + len(part))
            for name in sizes:
                np.testing.assert_array_equal(found[name], values[name])
