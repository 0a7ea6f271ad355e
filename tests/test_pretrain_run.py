"""``pgf-genome pretrain``: interrupted and resumed, read by transformers, refused where it must."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from models import assert_within
from transformers import AutoModelForCausalLM, AutoTokenizer

import pgf_genome.pretrain.run as pretrain_run
from pgf_genome.checkpoints.load import load_model
from pgf_genome.errors import IntegrityError, UsageError
from pgf_genome.intervals import Interval
from pgf_genome.pretrain.corpus import Corpus
from pgf_genome.pretrain.initial import new_model
from pgf_genome.pretrain.run import CHECKPOINT, Job, pretrain
from pgf_genome.pretrain.settings import Training
from pgf_genome.pretrain.training import Learner
from pgf_genome.sequence import BASES, N_CODE, Genome, decode_fasta, reverse_complement

TINY = Training(
    d_model=8,
    n_layer=1,
    d_state=2,
    streams=2,
    tile_length=16,
    walk=3,
    bases=2 * 16 * 12,
    learning_rate=2e-2,
)
FULL = Training(**{**vars(TINY), "bptt": "full", "bases": 2 * 16 * 3 * 6})
MAIN = "from pgf_genome.cli import main; main()"


def random_text(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@pytest.fixture
def fasta(tmp_path) -> Path:
    path = tmp_path / "genome.fa"
    path.write_text(f">one\n{random_text(400, 1)}\n>two\n{random_text(150, 2)}NN\n")
    return path


@pytest.fixture
def genome(fasta, tmp_path):
    with decode_fasta(fasta, tmp_path / "codes") as opened:
        yield opened


def weights(directory: Path) -> bytes:
    return (directory / "model.safetensors").read_bytes()


@pytest.mark.parametrize("training", [TINY, FULL], ids=["truncated", "full"])
@pytest.mark.parametrize("stop_after", [1, 5])
def test_an_interrupted_training_ends_in_the_same_weights(
    fasta, tmp_path, monkeypatch, training, stop_after
):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    pretrain(Job([fasta], whole, training, checkpoint_seconds=0))
    advance, steps = Learner.advance, []

    def stopping(learner):
        if len(steps) == stop_after:
            raise KeyboardInterrupt
        steps.append(learner.step)
        return advance(learner)

    job = Job([fasta], broken, training, checkpoint_seconds=0)
    with monkeypatch.context() as patched:
        patched.setattr(Learner, "advance", stopping)
        with pytest.raises(KeyboardInterrupt):
            pretrain(job)
    assert [path.name for path in broken.iterdir()] == [CHECKPOINT]
    pretrain(job)
    assert weights(broken) == weights(whole)
    assert not (broken / CHECKPOINT).exists()
    curves = [(d / "training.tsv").read_text().splitlines() for d in (whole, broken)]
    without_seconds = [[line.split("\t")[::2] for line in curve] for curve in curves]
    assert without_seconds[0] == without_seconds[1]


def test_a_killed_command_goes_on_to_the_same_weights(fasta, tmp_path):
    options = ["--layers", "1", "--d-model", "8", "--d-state", "2", "--streams", "2", "--tile",
               "16", "--bases", "6400", "--checkpoint", "0", "-t", "1", "-q"]  # fmt: skip

    def command(out: Path) -> list[str]:
        arguments = ["pretrain", str(fasta), "-o", str(out), *options]
        return [sys.executable, "-c", MAIN, *arguments]

    running = subprocess.Popen(command(tmp_path / "killed"))
    while running.poll() is None and not (tmp_path / "killed" / CHECKPOINT).exists():
        pass
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    for name in ("killed", "whole"):
        subprocess.run(command(tmp_path / name), check=True, stdout=subprocess.DEVNULL)
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


def test_transformers_reads_the_directory_and_its_tokenizer(fasta, tmp_path):
    out = pretrain(Job([fasta], tmp_path / "model", TINY))
    theirs = AutoModelForCausalLM.from_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(out)
    text = "ACGTNacgtnRYk"
    assert tokenizer(text)["input_ids"] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 4, 4, 4]
    ours = load_model(out)
    assert ours.tokenize(text).tolist() == tokenizer(text)["input_ids"]
    ids = ours.tokenize("ACGGTN")
    with torch.no_grad():
        logits = theirs(ids[None], use_cache=False).logits[0]
        log_probs, _ = ours(ours.one_hot(ids[None]), ours.initial_state(1))
    assert_within(1e-5, log_probs[0], logits.log_softmax(-1))


def test_the_card_tells_what_was_measured(fasta, tmp_path):
    out = pretrain(Job([fasta], tmp_path / "model", TINY, hold_out=["two", "one:301-350"]))
    text = (out / "README.md").read_text()
    facts = json.loads((out / "training.json").read_text())
    assert facts["training"]["bases"] == TINY.bases
    assert [score["region"] for score in facts["held_out"]] == ["two:1-152", "one:301-350"]
    for score in facts["held_out"]:
        mean = (score["plus"] + score["minus"]) / 2
        assert f"| {score['region']} | {mean:.4f} |" in text
        assert 1 < mean < 3
    assert f"{sum(p.numel() for p in load_model(out).parameters()):,} parameters" in text


def test_held_out_bed_files_and_regions_are_found_in_their_genomes(fasta, tmp_path, monkeypatch):
    other, bed = tmp_path / "other.fa", tmp_path / "holes.bed"
    other.write_text(f">three\n{random_text(90, 3)}\n")
    bed.write_text("three\t10\t30\n")
    seen = {}

    def remember(self, genomes, held_out, training):
        seen.update({genome.contigs[0].name: holes for genome, holes in held_out.items()})
        raise KeyboardInterrupt

    monkeypatch.setattr(pretrain_run, "Corpus", type("Spy", (), {"__init__": remember}))
    with pytest.raises(KeyboardInterrupt):
        pretrain(Job([fasta, other], tmp_path / "m", TINY, hold_out=["one:301-", str(bed)]))
    assert seen == {"one": [Interval("one", 300, 400)], "three": [Interval("three", 10, 30)]}


def test_a_finished_training_is_not_repeated_and_another_model_is_not_overwritten(
    fasta, tmp_path, monkeypatch
):
    out = tmp_path / "model"
    pretrain(Job([fasta], out, TINY))
    before = weights(out)
    with monkeypatch.context() as patched:
        patched.setattr(Learner, "advance", None)
        pretrain(Job([fasta], out, TINY))
    other = Training(**{**vars(TINY), "seed": 1})
    with pytest.raises(UsageError, match="holds another model"):
        pretrain(Job([fasta], out, other))
    assert weights(out) == before
    pretrain(Job([fasta], out, other, restart=True))
    assert weights(out) != before


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_refused(fasta, tmp_path, monkeypatch):
    out, advance = tmp_path / "model", Learner.advance

    def once(learner):
        if learner.step:
            raise KeyboardInterrupt
        return advance(learner)

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "advance", once)
        with pytest.raises(KeyboardInterrupt):
            pretrain(Job([fasta], out, TINY, checkpoint_seconds=0))
    with pytest.raises(IntegrityError, match="another training"):
        pretrain(Job([fasta], out, TINY, hold_out=["two"]))
    checkpoint = out / CHECKPOINT
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(IntegrityError, match="is damaged"):
        pretrain(Job([fasta], out, TINY))
    pretrain(Job([fasta], out, TINY, restart=True))


def test_a_training_that_diverges_says_so(fasta, tmp_path, monkeypatch):
    monkeypatch.setattr(Learner, "advance", lambda learner: (math.nan, 1))
    with pytest.raises(IntegrityError, match=r"diverged at step 0: .* lower `learning_rate`"):
        pretrain(Job([fasta], tmp_path / "model", TINY))


def test_the_curve_glances_at_what_is_held_out(fasta, tmp_path):
    longer = Training(**{**vars(TINY), "bases": 2 * 16 * 250})
    out = pretrain(Job([fasta], tmp_path / "model", longer, hold_out=["two"]))
    head, *rows = [line.split("\t") for line in (out / "training.tsv").read_text().splitlines()]
    assert head == ["bases", "seconds", "training_bits", "two:1-152"]
    assert [int(row[0]) for row in rows] == [32 * step for step in range(1, 251)]
    glances = {i: float(row[3]) for i, row in enumerate(rows, 1) if row[3]}
    assert [*glances] == [*range(20, 250, 20)]
    assert all(1 < bits < 3 for bits in glances.values())


BAD_ARGUMENTS = {
    "complex poles": (["--init", "s4d-lin"], "complex poles"),
    "unknown init": (["--init", "hippo"], "choose from mamba, s4d-real, long"),
    "unknown bptt": (["--bptt", "half"], "'half' is not one of 'truncated', 'full'"),
    "share": (["--share", "1,2"], "one positive number for each of the 1 FASTA"),
    "no number": (["--share", "x"], "not a list of numbers"),
    "contig": (["--hold-out", "chrone"], "no contig 'chrone'"),
    "range": (["--hold-out", "one:500-600"], "not a range within one"),
    "long tile": (["--tile", "1000"], "no stretch longer than the tile of 1000 bases"),
    "warm-up": (["--warmup", "1"], "--warmup must be a number above 0 and below 1"),
    "streams": (["--streams", "0"], "--streams must be at least 1"),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_bad_arguments_end_in_one_line(command, fasta, tmp_path, case):
    arguments, message = BAD_ARGUMENTS[case]
    done = command("pretrain", fasta, "-q", "-t", "1", "-o", tmp_path / "m", *arguments)
    assert done.code in (1, 2)
    assert message in done.error
    assert list(tmp_path.glob("m/*")) == []


def test_a_contig_of_two_genomes_cannot_be_held_out(command, fasta, tmp_path):
    done = command("pretrain", fasta, fasta, "-o", tmp_path / "m", "--hold-out", "one")
    assert "more than one FASTA has a contig 'one'" in done.err.splitlines()[-1]


def test_one_full_step_has_the_gradient_of_autograd_over_whole_walks(genome):
    training = Training(**{**vars(FULL), "n_rate": 0.0})
    corpus = Corpus({genome: 1.0}, {}, training)
    learner, untouched = Learner(corpus), new_model(training)
    learner._optimizer.step = lambda: None  # keep the gradient where it is
    bits, scored = learner.advance()
    walks = [corpus._begin(stream.draws) for stream in corpus.streams()]
    codes = torch.from_numpy(np.stack([corpus.codes(w, 0, w.tiles * 16 + 1) for w in walks])).long()
    x = untouched.one_hot(codes[:, :-1])
    log_probs, _ = untouched(x, untouched.initial_state(2))
    loss = torch.nn.functional.nll_loss(
        log_probs.flatten(0, 1), codes[:, 1:].flatten(), ignore_index=N_CODE
    )
    loss.backward()
    torch.nn.utils.clip_grad_norm_(untouched.parameters(), 1.0)
    assert scored == int((codes[:, 1:] != N_CODE).sum())
    assert abs(bits - loss.item() / math.log(2)) < 1e-6
    for (name, p), q in zip(learner.model.named_parameters(), untouched.parameters(), strict=True):
        assert_within(2e-5, p.grad, q.grad, name)


def test_whole_contigs_of_unequal_length_are_walked_in_one_step(genome):
    whole = Training(**{**vars(FULL), "walk": 10_000, "streams": 6, "bases": 100_000})
    corpus = Corpus({genome: 1.0}, {}, whole)
    learner = Learner(corpus)
    bits, scored = learner.advance()
    tiles = [stream.walk.tiles for stream in learner._streams]
    assert set(tiles) == {24, 9}
    assert sum(tiles) * 16 - 2 * len(tiles) <= scored <= sum(tiles) * 16
    assert 1 < bits < 3


@pytest.mark.parametrize("reverse", [False, True])
def test_a_walk_is_read_in_its_own_direction_and_ends_in_n(genome: Genome, reverse):
    corpus = Corpus({genome: 1.0}, {}, TINY)
    stream = corpus.streams()[0]
    walk = corpus.next_walk(stream)._replace(reverse=reverse)
    contig = corpus.sources[walk.source][1].contig
    strand = genome.codes(contig, walk.start, walk.start + 49)
    strand = reverse_complement(strand) if reverse else strand
    parts = [corpus.codes(walk, a, b) for a, b in ((0, 7), (7, 33), (33, 60), (60, 64))]
    assert np.concatenate(parts).tolist() == strand.tolist() + [N_CODE] * 15


def test_long_initialisation_reaches_down_to_the_target_length():
    long = Training(d_model=64, n_layer=1, init="long", target_length=50_000)
    steps = torch.nn.functional.softplus(new_model(long).layers[0].mixer.dt_proj.bias)
    assert 1 / 50_000 * 0.99 < steps.min() < 1 / 10_000
    assert 0.02 < steps.max() < 0.101
    same = [new_model(Training(d_model=8, n_layer=1, init=i)).layers[0].mixer for i in
            ("mamba", "s4d-real")]  # fmt: skip
    assert torch.equal(same[0].A_log, same[1].A_log)
    assert torch.equal(same[0].dt_proj.bias, same[1].dt_proj.bias)


@pytest.mark.parametrize("training", [TINY, FULL], ids=["truncated", "full"])
def test_frozen_poles_stay_and_the_rest_learns(genome, training):
    frozen = Training(**{**vars(training), "freeze_recurrent": True})
    learner = Learner(Corpus({genome: 1.0}, {}, frozen))
    for _ in range(3):
        learner.advance()
    for (name, p), q in zip(
        learner.model.named_parameters(), new_model(frozen).parameters(), strict=True
    ):
        assert torch.equal(p, q) == (name.endswith(("A_log", "dt_proj.bias"))), name


def test_the_tokens_are_the_base_codes():
    assert new_model(TINY).vocabulary.tokens == (*BASES, "N")
    assert new_model(TINY).vocabulary.code_to_id.tolist() == list(range(5))


def test_the_command_prints_where_the_model_is(command, fasta, tmp_path):
    out = tmp_path / "model"
    done = command("pretrain", fasta, "-o", out, "--layers", "1", "--d-model", "4", "--d-state",
                   "1", "--tile", "8", "--streams", "1", "--bases", "80", "-t", "1")  # fmt: skip
    assert (done.code, done.out) == (0, f"{os.fspath(out)}\n")
    assert "training" in done.err
    assert load_model(out).config.d_model == 4
