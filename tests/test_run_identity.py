"""What a stopped run is resumed by, what is said of it, and what it replaces."""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

import pgf_genome as pgf
from pgf_genome.attribution import causal, run, segment
from pgf_genome.engine.spool import Journal

ORACLE = Path(__file__).parent / "oracles" / "hf_mamba_tiny"
OPTIONS = {"tile": 64, "report": False, "tracks": ("contribution",)}


class KilledError(Exception):
    pass


class Weighted:
    """An objective of a user: a plain callable."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, tile):
        return self.weight * tile.hidden.square().sum(dtype=torch.float64)


class Named(Weighted):
    unit = "points"

    @property
    def identity(self) -> str:
        return f"weighted {self.weight}"


@pytest.fixture(scope="module")
def model():
    return pgf.load_model(ORACLE)


def fasta_of(folder: Path, seed: int = 3, length: int = 600) -> Path:
    bases = np.random.default_rng(seed).choice(list("ACGT"), length)
    path = folder / f"{seed}.fa"
    path.write_text(f">a\n{''.join(bases)}\n>b\n{''.join(bases[:300])}\n")
    return path


def stop_at(monkeypatch, number: int, fasta: Path, model, prefix: Path, **options) -> None:
    """Run until the sweep back over the first contig has done a tile, and be killed there."""
    write = Journal.write

    def killed(self, k, tensors):
        write(self, k, tensors)
        if k == number:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", killed)
        with pytest.raises(KilledError):
            pgf.attribute(fasta, model, prefix, **(OPTIONS | options))


def tracks(done) -> dict[str, bytes]:
    return {kind: path.read_bytes() for kind, path in done.files.items() if kind != "run"}


def test_a_run_goes_on_with_the_threads_it_began_with(tmp_path, model, monkeypatch, caplog):
    fasta = fasta_of(tmp_path)
    caplog.set_level(logging.INFO, "pgf_genome")
    whole = pgf.attribute(fasta, model, tmp_path / "whole", threads=2, **OPTIONS)
    stop_at(monkeypatch, 5, fasta, model, tmp_path / "part", threads=2)
    caplog.clear()
    part = pgf.attribute(fasta, model, tmp_path / "part", threads=1, **OPTIONS)
    assert "the stopped run had -t 2, and goes on with it, not with 1" in caplog.text
    assert "0 of 2 segments are done" in caplog.text
    assert "a: the sweep back goes on where it stopped: 280 of 600 bases are done" in caplog.text
    assert tracks(part) == tracks(whole)
    assert part.run["performance"]["threads"] == 2


def test_a_callable_with_an_identity_is_resumed_and_names_its_unit(
    tmp_path, model, monkeypatch, caplog
):
    fasta = fasta_of(tmp_path)
    caplog.set_level(logging.INFO, "pgf_genome")
    whole = pgf.attribute(fasta, model, tmp_path / "whole", objective=Named(2.0), **OPTIONS)
    stop_at(monkeypatch, 5, fasta, model, tmp_path / "part", objective=Named(2.0))
    part = pgf.attribute(fasta, model, tmp_path / "part", objective=Named(2.0), **OPTIONS)
    assert "going on with the stopped run" in caplog.text
    assert tracks(part) == tracks(whole)
    assert part.run["tracks"]["contribution"]["unit"].startswith("points of F per unit change")


def test_a_callable_of_another_identity_does_not_take_over_a_stopped_run(
    tmp_path, model, monkeypatch, caplog
):
    fasta = fasta_of(tmp_path)
    caplog.set_level(logging.INFO, "pgf_genome")
    stop_at(monkeypatch, 5, fasta, model, tmp_path / "part", objective=Named(2.0))
    part = pgf.attribute(fasta, model, tmp_path / "part", objective=Named(3.0), **OPTIONS)
    assert "holds a stopped run with another sequence, model, objective" in caplog.text
    whole = pgf.attribute(fasta, model, tmp_path / "whole", objective=Named(3.0), **OPTIONS)
    assert tracks(part) == tracks(whole)


def test_a_callable_without_an_identity_is_not_resumed_and_that_is_said(
    tmp_path, model, monkeypatch, caplog
):
    fasta = fasta_of(tmp_path)
    stop_at(monkeypatch, 5, fasta, model, tmp_path / "part", objective=Weighted(2.0))
    part = pgf.attribute(fasta, model, tmp_path / "part", objective=Weighted(3.0), **OPTIONS)
    assert "the objective has no `identity`" in caplog.text
    whole = pgf.attribute(fasta, model, tmp_path / "whole", objective=Named(3.0), **OPTIONS)
    assert tracks(part) == tracks(whole)


def test_a_new_run_removes_what_an_earlier_one_left_and_says_so(tmp_path, model, caplog):
    caplog.set_level(logging.INFO, "pgf_genome")
    both = {"tracks": ("contribution", "surprisal")}
    pgf.attribute(fasta_of(tmp_path), model, tmp_path / "x", **(OPTIONS | both))
    (tmp_path / "x.notes.txt").write_text("mine")
    assert (tmp_path / "x.surprisal.bw").exists()
    done = pgf.attribute(fasta_of(tmp_path, seed=4), model, tmp_path / "x", **OPTIONS)
    left = {path.name for path in tmp_path.glob("x.*")}
    written = {path.name for path in done.files.values()}
    assert left == written | {"x.notes.txt", "x.contribution.bedgraph.gz.tbi"}
    assert "removed of an earlier run under this prefix: x.surprisal.bedgraph.gz" in caplog.text


def test_an_earlier_run_stays_whole_until_the_new_one_is(tmp_path, model, monkeypatch):
    """The new run is killed while it writes its tracks, and then goes on."""
    both = {"tracks": ("contribution", "surprisal")}
    pgf.attribute(fasta_of(tmp_path), model, tmp_path / "x", **(OPTIONS | both))
    before = {path.name: path.read_bytes() for path in tmp_path.glob("x.*")}
    with monkeypatch.context() as patch:
        patch.setattr(
            "pgf_genome.attribution.outputs.write_chrom_sizes",
            lambda *_: (_ for _ in ()).throw(KilledError()),
        )
        with pytest.raises(KilledError):
            pgf.attribute(fasta_of(tmp_path, seed=4), model, tmp_path / "x", **OPTIONS)
    after = {path.name: path.read_bytes() for path in tmp_path.glob("x.*") if path.is_file()}
    assert after == before
    pgf.attribute(fasta_of(tmp_path, seed=4), model, tmp_path / "x", **OPTIONS)
    assert json.loads((tmp_path / "x.run.json").read_text())["fasta"]["name"] == "4.fa"
    assert not (tmp_path / "x.surprisal.bw").exists()


def test_only_outputs_of_this_program_are_removed(tmp_path, model):
    """Whatever a run.json says, which anyone may have written."""
    (tmp_path / "x").mkdir()
    precious = ["x.fa", "x.fa.fai", "x.bam", "x.notes.bw", "x.sensitivity.png", "y.tism.A.bw"]
    stale = ["x.tism.A.bw", "x.sensitivity.bin100.mean.bedgraph.gz", "x.report.html"]
    for name in precious + stale:
        (tmp_path / name).write_text("kept")
    (tmp_path / "precious.txt").write_text("kept")
    files = {str(i): name for i, name in enumerate([*precious, "../precious.txt", 3, None])}
    (tmp_path / "x.run.json").write_text(json.dumps({"files": files}))
    pgf.attribute(fasta_of(tmp_path), model, tmp_path / "x", **OPTIONS)
    assert all((tmp_path / name).read_text() == "kept" for name in [*precious, "precious.txt"])
    assert not any((tmp_path / name).exists() for name in stale)


def test_no_run_json_lies_beside_files_of_two_runs(tmp_path, model, monkeypatch):
    """The new run is killed at every step of putting its files in their places."""
    first = pgf.attribute(fasta_of(tmp_path), model, tmp_path / "x", **OPTIONS)
    known = {path.name: path.read_bytes() for path in first.files.values()}
    other = fasta_of(tmp_path, seed=4)
    record, steps, replace = first.files["run"], 0, os.replace
    while record.exists() and json.loads(record.read_text())["fasta"]["name"] == "3.fa":
        left = steps = steps + 1

        def killed(source, target, **more):
            nonlocal left
            if Path(target).parent == tmp_path:
                left -= 1
                if not left:
                    raise KilledError
            replace(source, target, **more)

        with monkeypatch.context() as patch, suppress(KilledError):
            patch.setattr(os, "replace", killed)
            pgf.attribute(other, model, tmp_path / "x", **OPTIONS)
        if record.exists() and json.loads(record.read_text())["fasta"]["name"] == "3.fa":
            assert all((tmp_path / name).read_bytes() == data for name, data in known.items())
    pgf.attribute(other, model, tmp_path / "x", **OPTIONS)
    assert pgf.open_run(tmp_path / "x").record.fasta.name == "4.fa"


def test_a_run_killed_while_it_derives_its_tracks_sweeps_nothing_again(
    tmp_path, model, monkeypatch
):
    fasta = fasta_of(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(segment, "_derive", lambda *_: (_ for _ in ()).throw(KilledError()))
        with pytest.raises(KilledError):
            pgf.attribute(fasta, model, tmp_path / "part", contig="a", **OPTIONS)
    swept = []
    with monkeypatch.context() as patch:
        patch.setattr(run, "warm_up", lambda model: None)
        for name in ("primal", "adjoint"):
            sweep = getattr(causal.sweep, name)
            patch.setattr(
                causal.sweep,
                name,
                lambda *a, sweep=sweep, **o: (swept.append(t.k) or t for t in sweep(*a, **o)),
            )
        part = pgf.attribute(fasta, model, tmp_path / "part", contig="a", **OPTIONS)
    assert swept == []
    alone = pgf.attribute(fasta, model, tmp_path / "alone", contig="a", **OPTIONS)
    assert tracks(part) == tracks(alone)


def test_a_stopped_run_of_others_does_not_decide_the_threads(tmp_path, model, monkeypatch):
    fasta = fasta_of(tmp_path)
    stop_at(monkeypatch, 5, fasta, model, tmp_path / "x", threads=1)
    done = pgf.attribute(fasta, model, tmp_path / "x", objective="entropy", threads=2, **OPTIONS)
    assert done.run["performance"]["threads"] == 2


def test_nothing_to_compute_is_no_error_beside_a_stopped_run(tmp_path, model, monkeypatch):
    fasta = fasta_of(tmp_path)
    with fasta.open("a") as file:
        file.write(">n\n" + "N" * 20_000 + "\n")
    stop_at(monkeypatch, 5, fasta, model, tmp_path / "x")
    done = pgf.attribute(fasta, model, tmp_path / "x", contig="n", **OPTIONS)
    assert done.run["bases"] == {"written": 0, "read": 0}


@pytest.mark.parametrize("strand", ["+", "both"])
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_everything_is_computed_with_the_threads_that_are_asked_for(
    tmp_path, model, strand, threads
):
    seen = []

    def spy(tile):
        seen.append(torch.get_num_threads())
        return tile.hidden.square().sum(dtype=torch.float64)

    spy.identity = "spy"
    before = torch.get_num_threads()
    options = OPTIONS | {"tile": 1000, "strand": strand, "threads": threads}
    pgf.attribute(fasta_of(tmp_path), model, tmp_path / "x", objective=spy, **options)
    lanes = 2 if strand == "both" else 1
    assert set(seen) == {max(threads // min(lanes, threads), 1)}
    assert torch.get_num_threads() == before


def test_the_name_of_a_callable_is_no_address(tmp_path, model):
    done = pgf.attribute(
        fasta_of(tmp_path), model, tmp_path / "x", objective=Weighted(2.0), **OPTIONS
    )
    assert done.run["objective"] == done.run["arguments"]["objective"] == "Weighted"
    done = pgf.attribute(fasta_of(tmp_path), model, tmp_path / "x", objective=Named(2.0), **OPTIONS)
    assert done.run["objective"] == "weighted 2.0"


def test_bases_written_and_read_are_counted(tmp_path, model):
    fasta = fasta_of(tmp_path)
    whole = pgf.attribute(fasta, model, tmp_path / "whole", **OPTIONS)
    assert whole.run["bases"] == {"written": 900, "read": 900}
    part = pgf.attribute(fasta, model, tmp_path / "part", region=["a:11-30"], **OPTIONS)
    assert part.run["bases"] == {"written": 20, "read": 600}
    seen = {"region": ["a:11-30"], "context": 100}
    near = pgf.attribute(fasta, model, tmp_path / "near", **(OPTIONS | seen))
    assert near.run["bases"] == {"written": 20, "read": 130}
