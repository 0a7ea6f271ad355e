"""Results are never lost, never wrong, and never of two runs."""

from __future__ import annotations

import errno
import os
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from vcfs import MEANING, genome_file, records

import pgf_genome as pgf
from pgf_genome.attribution import segment
from pgf_genome.cli import _signals_interrupt
from pgf_genome.effects import annotate
from pgf_genome.effects.scorer import scorer
from pgf_genome.effects.scoring import score_vcf
from pgf_genome.effects.settings import Files, Scoring
from pgf_genome.engine.spool import Journal, RecordFile
from pgf_genome.errors import IntegrityError, ResourceError
from pgf_genome.pretrain import run as training
from pgf_genome.pretrain.settings import Job, Training
from pgf_genome.sequence import decode_fasta
from pgf_genome.workspace import claimed, together, workspace

MODEL = Path(__file__).parent / "oracles" / "hf_mamba_tiny"
OPTIONS = {"tile": 64, "report": False, "tracks": ("contribution",), "threads": 1}
FEW = Training(bases=1024, tile_length=32, streams=4, walk=2, d_model=16, n_layer=1, d_state=2)


class KilledError(Exception):
    pass


def kill(*_: object, **__: object) -> None:
    raise KilledError


@pytest.fixture(scope="module")
def model():
    return pgf.load_model(MODEL)


@pytest.fixture
def fasta(tmp_path) -> Path:
    rng = np.random.default_rng(7)
    path = tmp_path / "in.fa"
    texts = {name: "".join(rng.choice(list("ACGT"), n)) for name, n in (("a", 400), ("b", 200))}
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in texts.items()))
    return path


def tracks(prefix: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in prefix.parent.glob("*.b*")}


def stopped(monkeypatch, owner, name: str, value, call, error=KilledError) -> None:
    """Make a call that an attribute in place of another one is to end."""
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, value)
        with pytest.raises(error):
            call()


def flip(path: Path, at: int = -1) -> None:
    """Change a bit of a file: of the byte in its middle, unless another one is given."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at < 0 else at] ^= 4
    path.write_bytes(data)


WRITERS = {
    "attribute": "attribute in.fa -m MODEL -t 1 -o x --scratch-dir other",
    "mutagenesis": "mutagenesis in.fa -m MODEL -t 1 -o x",
    "merge": "merge done -o x",
    "report": "report done -o x",
    "browse": "browse done",
    "depmap": "depmap in.fa -m MODEL -t 1 -r a:1-20 -o x --scratch-dir other",
    "impulse": "impulse in.fa -m MODEL -t 1 --at a:9 -o x",
    "variants": "variants in.fa in.vcf -m MODEL -t 1 -o x",
    "memory": "memory in.fa -m MODEL -t 1 -o x",
}


@pytest.fixture(scope="module")
def done(tmp_path_factory, model) -> Path:
    """A folder with a finished run ``done``, its FASTA and a VCF."""
    folder = tmp_path_factory.mktemp("done")
    genome_file(folder).rename(folder / "in.fa")
    text = (folder / "in.fa").read_text().replace(">1\n", ">a\n")
    (folder / "in.fa").write_text(text)
    (folder / "in.vcf").write_text(records("a:3 G A"))
    pgf.attribute(folder / "in.fa", model, folder / "done", **OPTIONS)
    return folder


@pytest.mark.parametrize("name", WRITERS)
def test_a_prefix_that_a_run_holds_is_refused_to_every_command(done, command, monkeypatch, name):
    monkeypatch.chdir(done)
    words = [str(MODEL) if word == "MODEL" else word for word in WRITERS[name].split()]
    with claimed("x", "done"):
        before = sorted(Path().iterdir())
        ended = command(*words)
        assert ended.code == 1
        assert "another run is writing the same outputs; wait for it" in ended.error
    left = set(Path().iterdir()) - {Path("other")}
    assert left == {path for path in before if path.suffix != ".pgf-lock"} - {Path("other")}


def test_a_lock_is_of_the_living_and_is_no_link(tmp_path):
    (tmp_path / "x.pgf-lock").touch()  # of a run that was killed
    with claimed(tmp_path / "x"), claimed(tmp_path / "y"):
        pass
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "x.pgf-lock").symlink_to(tmp_path / "precious")
    with (
        pytest.raises(ResourceError, match=r"x\.pgf-lock: cannot be written"),
        claimed(tmp_path / "x"),
    ):
        pass
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_work_folder_of_others_is_refused(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "x.pgf-work").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ResourceError, match="no folder of yours"), workspace(tmp_path / "x", None):
        pass
    (tmp_path / "x.pgf-work").unlink()
    with workspace(tmp_path / "x", None) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_work_folder_that_cannot_be_removed_is_a_warning(tmp_path, monkeypatch, caplog):
    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    with workspace(tmp_path / "x", None):
        monkeypatch.setattr("shutil.rmtree", busy)
    assert "is not needed any more and cannot be removed" in caplog.text


def test_outputs_that_are_not_replaced_and_folders_in_their_places(tmp_path):
    (tmp_path / "x.old.bw").touch()
    (tmp_path / "x.notes.txt").touch()
    with together(tmp_path / "x", "json", r".+\.bw") as new:
        for end in ("json", "new.bw"):
            Path(f"{new}.{end}").write_text("2")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.json", "x.new.bw", "x.notes.txt"]
    (tmp_path / "x.bed").mkdir()
    unfinished = together(tmp_path / "x", "json")
    new = unfinished.__enter__()
    for end in ("json", "bed"):
        Path(f"{new}.{end}").write_text("3")
    with pytest.raises(ResourceError, match="a folder lies where an output goes"):
        unfinished.__exit__(None, None, None)
    assert (tmp_path / "x.json").read_text() == "2"


def test_a_changed_byte_of_the_decoded_sequence_is_noticed(tmp_path):
    (tmp_path / "in.fa").write_text(f">a\n{'ACGT' * 50_000}\n")
    with decode_fasta(tmp_path / "in.fa", tmp_path / "codes") as genome:
        flip(tmp_path / "codes", 150_000)
        assert genome.codes("a", 0, 100_000).tolist() == [0, 1, 2, 3] * 25_000
        with pytest.raises(IntegrityError, match="not what was written there; check the disk"):
            genome.codes("a", 140_000, 140_001)


@pytest.mark.parametrize("name", ["tracks", "objective", "states", "scores", "journal"])
def test_what_is_damaged_in_a_stopped_run_is_computed_anew(
    tmp_path, fasta, model, monkeypatch, name
):
    pgf.attribute(fasta, model, tmp_path / "whole" / "x", **OPTIONS)
    write = Journal.write

    def stop_late(self, number, tensors):
        write(self, number, tensors)
        if number == 1 and segment_done:
            raise KilledError
        segment_done.extend([1] if number == 0 else [])

    segment_done: list[int] = []
    part = partial(pgf.attribute, fasta, model, tmp_path / "part" / "x", **OPTIONS)
    stopped(monkeypatch, Journal, "write", stop_late, part)
    (damaged,) = (tmp_path / "part").glob(f"x.pgf-work/*/{name}")
    for at in range(20, damaged.stat().st_size, 97):
        flip(damaged, at)
    part()
    assert tracks(tmp_path / "part" / "x") == tracks(tmp_path / "whole" / "x")


def test_a_record_that_is_damaged_once_in_a_run_is_computed_anew(
    tmp_path, fasta, model, monkeypatch, caplog
):
    pgf.attribute(fasta, model, tmp_path / "whole" / "x", **OPTIONS)
    write, left = RecordFile.write, [1]

    def damage(self, number, tensors, slot=None):
        write(self, number, tensors, slot)
        if self.path.name == "scores" and number == 2 and left:
            left.pop()
            flip(self.path, self._at + self._stride * number + 40)

    monkeypatch.setattr(RecordFile, "write", damage)
    pgf.attribute(fasta, model, tmp_path / "part" / "x", **OPTIONS)
    assert "a:1-400 is computed anew" in caplog.text
    assert tracks(tmp_path / "part" / "x") == tracks(tmp_path / "whole" / "x")


@pytest.mark.parametrize("words", [("report",), ("merge", "-o", "new")])
def test_tracks_that_are_not_those_of_the_run_are_refused(
    done, command, tmp_path, monkeypatch, words
):
    monkeypatch.chdir(tmp_path)
    for path in done.glob("done.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    flip(tmp_path / "done.contribution.bw")
    name, *more = words
    ended = command(name, "done", *more)
    assert ended.code == 1
    assert "done.contribution.bw: not what the run has written" in ended.error


class TestVariants:
    """Stopped and changed runs of `variants`."""

    VCF = ("1:3 G A", "1:9 A C", "2:3 C A")

    def score(self, folder: Path, model, name: str = "o.vcf"):
        files = Files(str(folder / "in.vcf"), str(folder / name), tsv=str(folder / f"{name}.tsv"))
        score_vcf(
            folder / "g.fa",
            files,
            lambda genome, kept: scorer(model, genome, Scoring(4), 1, kept),
            MEANING,
        )
        return [(folder / end).read_bytes() for end in (name, f"{name}.tsv")]

    def test_a_stopped_run_keeps_the_contigs_that_it_has_done(self, tmp_path, model, monkeypatch):
        genome_file(tmp_path)
        (tmp_path / "in.vcf").write_text(records(*self.VCF))
        whole = self.score(tmp_path, model, "whole.vcf")
        stopped(monkeypatch, annotate, "_scored", kill, lambda: self.score(tmp_path, model))
        monkeypatch.setattr("pgf_genome.effects.scorer.scores_of", kill)
        assert self.score(tmp_path, model) == whole
        assert not list(tmp_path.glob("*.pgf-*"))

    @pytest.mark.parametrize("name", ["in.vcf", "o.vcf.pgf-work/scores"])
    def test_what_is_read_again_must_not_have_changed(self, tmp_path, model, monkeypatch, name):
        genome_file(tmp_path)
        (tmp_path / "in.vcf").write_text(records(*self.VCF))
        score = annotate._score

        def changed(*arguments):
            score(*arguments)
            if name == "in.vcf":
                (tmp_path / name).write_text(records("1:3 G A", "1:9 A G", "2:3 C A"))
            else:
                flip(tmp_path / name, 3)

        monkeypatch.setattr(annotate, "_score", changed)
        with pytest.raises(IntegrityError, match=r"has changed during the run|not what was wri"):
            self.score(tmp_path, model)
        assert not (tmp_path / "o.vcf").exists()


def test_scores_of_variants_that_have_been_cut_are_noticed(tmp_path):
    for size in (0, 5, annotate.SCORE.itemsize):
        (tmp_path / "scores").write_bytes(bytes(size))
        with pytest.raises(IntegrityError, match="not what was written there"):
            annotate._put(tmp_path / "scores", np.array([1]), np.zeros(1))


class TestTraining:
    """Stopped and damaged runs of `pretrain`."""

    @pytest.fixture
    def job(self, tmp_path, fasta) -> Job:
        return Job([str(fasta)], tmp_path / "model", FEW, checkpoint_seconds=0)

    def weights(self, folder: Path) -> dict[str, list]:
        return {name: t.tolist() for name, t in load_file(folder / "model.safetensors").items()}

    @pytest.mark.parametrize("name", ["model.safetensors", "README.md", "training.json"])
    def test_a_training_that_is_killed_while_it_writes_the_model_goes_on(
        self, job, monkeypatch, name
    ):
        training.pretrain(Job(job.fastas, job.directory.parent / "whole", FEW))
        job = Job(job.fastas, job.directory, FEW)  # no checkpoint is due before the end
        replace = os.replace

        def killed(source, target):
            replace(source, target)
            if Path(target).name == name:
                raise KilledError

        stopped(monkeypatch, os, "replace", killed, lambda: training.pretrain(job))
        training.pretrain(job)
        assert self.weights(job.directory) == self.weights(job.directory.parent / "whole")
        assert not (job.directory / "checkpoint.pt").exists()

    def test_a_bit_of_a_checkpoint_that_has_changed_is_noticed(self, job, monkeypatch):
        stopped(monkeypatch, training._Run, "finish", kill, lambda: training.pretrain(job))
        flip(job.directory / "checkpoint.pt")
        with pytest.raises(IntegrityError, match="is damaged"):
            training.pretrain(job)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
    def test_a_signal_saves_the_training_first(self, job, monkeypatch, number):
        advance = training.Learner.advance
        job = Job(job.fastas, job.directory, FEW)  # no checkpoint is due

        def signalled(self):
            if self.step == 2:
                os.kill(os.getpid(), number)
            return advance(self)

        stopped(
            monkeypatch,
            *(training.Learner, "advance", signalled, lambda: training.pretrain(job)),
            KeyboardInterrupt,
        )
        steps = []

        def noted(self):
            steps.append(self.step)
            raise KilledError

        stopped(monkeypatch, training.Learner, "advance", noted, lambda: training.pretrain(job))
        assert steps == [3]


def test_signals_that_are_ignored_stay_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _signals_interrupt():
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_failing_system_call_anywhere_is_one_line(command, done, monkeypatch):
    monkeypatch.chdir(done)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/pgf-1")

    monkeypatch.setattr(segment, "places", full)
    ended = command("attribute", "in.fa", "-m", MODEL, "-t", "1", "-o", "x")
    assert ended.code == 1
    assert "/tmp/pgf-1: No space left on device; check the path" in ended.error
