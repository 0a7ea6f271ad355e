from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models import assert_within, perturb, random_model, small_config
from transformers import MambaForCausalLM

from pgf_genome.checkpoints.load import load_model
from pgf_genome.engine.arrays import log_probs
from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.intervals import Interval
from pgf_genome.pretrain.corpus import training_intervals
from pgf_genome.pretrain.evaluation import (
    bits_per_base,
    interpolated_bits_per_base,
    markov_bits_per_base,
)
from pgf_genome.pretrain.initial import new_model
from pgf_genome.pretrain.saving import save_model
from pgf_genome.pretrain.settings import Training
from pgf_genome.pretrain.training import train
from pgf_genome.sequence import Contig, Genome, encode, reverse_complement

SMALL = Training(
    d_model=8,
    n_layer=1,
    d_state=2,
    streams=2,
    tile_length=32,
    walk=4,
    bases=2 * 32 * 60,
    learning_rate=2e-2,
)


class RecordingGenome(Genome):
    """Remembers what was read."""

    def __init__(self, path: Path, contigs: list[Contig]) -> None:
        super().__init__(path, contigs)
        self.reads: list[tuple[str, int, int]] = []

    def codes(self, name: str, start: int, stop: int) -> np.ndarray:
        self.reads.append((name, start, stop))
        return super().codes(name, start, stop)


@pytest.fixture
def genome_of(tmp_path):
    opened = []

    def make(**sequences: str) -> RecordingGenome:
        path, contigs, offset = tmp_path / f"codes{len(opened)}", [], 0
        for name, text in sequences.items():
            contigs.append(Contig(name, len(text), offset, 0, text.count("N"), ""))
            offset += len(text)
        path.write_bytes(b"".join(encode(t).tobytes() for t in sequences.values()))
        opened.append(RecordingGenome(path, contigs))
        return opened[-1]

    yield make
    for genome in opened:
        genome.close()


def weights_of(model):
    return torch.cat([p.flatten() for p in model.parameters()])


def test_training_learns_a_repeat_and_forgets_nothing_between_runs(genome_of):
    genome = genome_of(x="ACGGTTA" * 100)
    log = []
    model = train({genome: 1.0}, {}, SMALL, lambda *line: log.append(line))
    assert bits_per_base(new_model(SMALL), genome, Interval("x", 0, 700))[0] > 1.9
    assert max(bits_per_base(model, genome, Interval("x", 0, 700))) < 1.0
    assert [bases for bases, _ in log] == [SMALL.bases]
    assert not any(p.requires_grad for p in model.parameters())
    again = train({genome: 1.0}, {}, SMALL)
    assert torch.equal(weights_of(model), weights_of(again))


def test_another_seed_is_another_model():
    one, other = (new_model(Training(d_model=8, n_layer=1, seed=seed)) for seed in (0, 1))
    assert not torch.equal(weights_of(one), weights_of(other))
    assert torch.equal(weights_of(one), weights_of(new_model(Training(d_model=8, n_layer=1))))


def test_a_new_model_starts_with_the_poles_and_steps_of_the_paper():
    mixer = new_model(Training(d_model=8, n_layer=1, d_state=3)).layers[0].mixer
    assert_within(1e-6, mixer.A_log.exp(), torch.tensor([1.0, 2.0, 3.0]).expand(16, 3))
    steps = torch.nn.functional.softplus(mixer.dt_proj.bias)
    assert ((steps > 0.99e-3) & (steps < 0.101)).all()


def test_held_out_stretches_are_never_read(genome_of):
    genome = genome_of(x="ACGT" * 100, y="GGAT" * 50)
    holes = [Interval("x", 50, 120), Interval("x", 300, 360), Interval("y", 0, 90)]
    short = Training(d_model=4, n_layer=1, d_state=1, streams=4, tile_length=8, walk=3, bases=3200)
    train({genome: 1.0}, {genome: holes}, short)
    assert len(genome.reads) > 100
    for name, start, stop in genome.reads:
        assert not any(h.contig == name and start < h.stop and h.start < stop for h in holes)
    kept = training_intervals(genome, holes)
    assert [str(i) for i in kept] == ["x:1-50", "x:121-300", "x:361-400", "y:91-200"]
    for i in kept:
        assert any(
            i.contig == name and i.start <= start < i.stop for name, start, _ in genome.reads
        )


@st.composite
def contigs_with_holes(draw):
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=3))
    contigs = [Contig(f"c{i}", length, 0, 0, 0, "") for i, length in enumerate(lengths)]
    holes = []
    for contig in contigs:
        for _ in range(draw(st.integers(0, 3))):
            # Holes may reach past the end.
            start = draw(st.integers(0, contig.length + 3))
            stop = draw(st.integers(start + 1, contig.length + 5))
            holes.append(Interval(contig.name, start, stop))
    return contigs, draw(st.permutations(holes))


@given(contigs_with_holes())
def test_training_intervals_are_all_but_the_held_out_bases(contigs_and_holes):
    contigs, holes = contigs_and_holes
    genome = Genome.__new__(Genome)
    genome.contigs = tuple(contigs)
    kept = training_intervals(genome, holes)
    found = [(i.contig, t) for i in kept for t in range(i.start, i.stop)]
    out = {(h.contig, t) for h in holes for t in range(h.start, h.stop)}
    every = [(c.name, t) for c in contigs for t in range(c.length)]
    assert found == [base for base in every if base not in out]


def test_a_genome_with_nothing_to_train_on_is_refused(genome_of):
    genome = genome_of(x="ACGT" * 10)
    with pytest.raises(SequenceError, match="no stretch longer than the tile of 32 bases"):
        train({genome: 1.0}, {genome: [Interval("x", 20, 22)]}, SMALL)


@pytest.mark.parametrize("name", ["streams", "learning_rate", "bases", "n_rate"])
def test_impossible_training_options_are_refused(name):
    with pytest.raises(UsageError, match=f"`{name}` must be .*, not -1"):
        Training(**{name: -1})


def test_the_learning_rate_rises_and_falls():
    training = Training(learning_rate=1.0, warmup=0.1)
    rates = [training.rate_at(step, 1000) for step in range(1000)]
    top = int(np.argmax(rates))
    assert 90 <= top <= 110
    assert (np.diff(rates[:99]) > 0).all()
    assert (np.diff(rates[top:]) < 0).all()
    assert 0 < rates[-1] < 0.02 < 0.9 < rates[top] <= 1


def test_walks_reach_every_base_of_a_short_genome(genome_of):
    genome = genome_of(x="ACGT" * 10)
    training = Training(d_model=4, n_layer=1, d_state=1, streams=1, tile_length=8, bases=1200)
    train({genome: 1.0}, {}, training)
    assert {t for _, start, stop in genome.reads for t in range(start, stop)} == {*range(40)}


def test_a_new_model_depends_on_its_seed_alone():
    before = torch.random.get_rng_state()
    one = new_model(SMALL)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    for name, weight in new_model(SMALL).state_dict().items():
        assert torch.equal(weight, one.state_dict()[name])


SAVED = {
    "as trained": {},
    "projection bias": {"proj_bias": True, "conv_bias": False},
    "untied": {"tied": False},
}


@pytest.mark.parametrize("variant", SAVED)
def test_a_saved_model_is_the_same_to_us_and_to_transformers(tmp_path, variant):
    model = random_model(small_config(d_inner=12, **SAVED[variant]), torch.float32)
    save_model(model, tmp_path / "m", "# card\n")
    ids = torch.tensor([1, 2, 3, 4, 5, 1, 1, 4])
    again = load_model(tmp_path / "m")
    assert again.config == model.config
    assert again.vocabulary == model.vocabulary
    assert (log_probs(again, ids) == log_probs(model, ids)).all()
    assert (tmp_path / "m" / "README.md").read_text() == "# card\n"
    theirs, report = MambaForCausalLM.from_pretrained(tmp_path / "m", output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        logits = theirs(ids[None], use_cache=False).logits[0]
    assert logits.dtype == torch.float32
    assert_within(1e-5, log_probs(model, ids), logits.log_softmax(dim=-1))


def direct_bits(model, text):
    """Surprisals of all bases but the first, N left out, from one pass over the text."""
    ids = model.vocabulary.tokenize(text)
    surprisal = -log_probs(model, ids)[np.arange(len(ids) - 1), ids[1:]] / math.log(2)
    return surprisal[[base != "N" for base in text[1:]]].mean()


@pytest.mark.parametrize("text", ["ACCGTTAGGATC", "ACNNGTAGNGATC", "NACGTTA", "ACGTTAN"])
@pytest.mark.parametrize("tile", [1, 4, 100])
def test_bits_per_base_are_mean_surprisals_of_both_strands(genome_of, text, tile):
    model = random_model(small_config())
    complement = text[::-1].translate(str.maketrans("ACGT", "TGCA"))
    genome = genome_of(other="GG", x="TTT" + text + "A")
    found = bits_per_base(model, genome, Interval("x", 3, 3 + len(text)), tile)
    assert_within(1e-12, found, [direct_bits(model, text), direct_bits(model, complement)])


def test_a_model_that_knows_nothing_needs_two_bits_and_a_little_for_n(genome_of):
    model = new_model(SMALL)
    perturb(model)
    with torch.no_grad():
        model.norm_f.weight.zero_()
    bits = bits_per_base(model, genome_of(x="ACGTTG"), Interval("x", 0, 6))
    assert_within(1e-6, bits, [math.log2(5)] * 2)


def direct_markov(train_on, test_on, order, pseudo):
    """Counted word by word on text."""
    complement = str.maketrans("ACGT", "TGCA")
    counts = {}
    for text in train_on:
        for strand in (text, text[::-1].translate(complement)):
            for i in range(len(strand) - order):
                word = strand[i : i + order + 1]
                counts[word] = counts.get(word, 0) + 1
    strands = []
    for strand in (test_on, test_on[::-1].translate(complement)):
        bits = []
        for i in range(len(strand) - order):
            word = strand[i : i + order + 1]
            if "N" not in word:
                seen = [counts.get(word[:-1] + base, 0) + pseudo for base in "ACGT"]
                bits.append(-math.log2(seen["ACGT".index(word[-1])] / sum(seen)))
        strands.append(np.mean(bits))
    return np.mean(strands)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("pseudo", [1.0, 0.25])
def test_the_markov_baseline_is_a_count_of_words(order, pseudo):
    train_on, test_on = ["ACGTTACCGNATAC", "GGGTA"], "TACGNACCGTA"
    found = markov_bits_per_base([encode(t) for t in train_on], encode(test_on), order, pseudo)
    assert_within(1e-12, found, direct_markov(train_on, test_on, order, pseudo))


def direct_interpolated(train_on, test_on, strengths):
    """By recursion over the orders, counted on text."""
    complement = str.maketrans("ACGT", "TGCA")
    counted = [s for text in train_on for s in (text, text[::-1].translate(complement))]

    def probability(context, base):
        below = probability(context[1:], base) if context else 0.25
        seen = {b: sum(s.startswith(context + b, i) for s in counted for i in range(len(s)))
                for b in "ACGT"}  # fmt: skip
        strength = strengths[len(context)]
        return (seen[base] + strength * below) / (sum(seen.values()) + strength)

    size, seen = len(strengths), []
    for strand in (test_on, test_on[::-1].translate(complement)):
        words = [strand[i : i + size] for i in range(len(strand) - size + 1)]
        seen += [probability(word[:-1], word[-1]) for word in words if "N" not in word]
    return -np.log2(seen).mean()


@pytest.mark.parametrize("strengths", [(0.5,), (1.0, 64.0), (0.5, 2.0, 8.0, 1.0)])
def test_the_interpolated_baseline_mixes_the_counts_of_all_orders(strengths):
    train_on, test_on = ["ACGTTACCGNATACGTTAC", "GGGTA"], "TACGNACCGTATTAC"
    found = interpolated_bits_per_base([encode(t) for t in train_on], encode(test_on), strengths)
    assert_within(1e-12, found, direct_interpolated(train_on, test_on, strengths))


def test_interpolating_helps_where_long_words_are_rare():
    draws = np.random.default_rng(0)
    known, new = (draws.choice(4, 2000, p=[0.4, 0.1, 0.1, 0.4]).astype(np.uint8) for _ in range(2))
    mixed = interpolated_bits_per_base([known], new, 6 * [64.0])
    assert mixed < markov_bits_per_base([known], new, 5) - 0.1


def test_interpolating_finds_a_repeat():
    draws = np.random.default_rng(0)
    known = draws.integers(0, 4, 4000).astype(np.uint8)
    assert interpolated_bits_per_base([known], known[1000:2000], 13 * [1.0]) < 0.2


def test_the_markov_baseline_is_the_same_for_both_strands():
    one, other = encode("ACGTTACCGATAC"), encode("GGATCAACGT")
    assert_within(
        1e-12,
        markov_bits_per_base([one], other, 2),
        markov_bits_per_base([reverse_complement(one)], reverse_complement(other), 2),
    )
