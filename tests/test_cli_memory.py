"""``pgf-genome memory`` as a user meets it, and what of a FASTA it measures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgf_genome.checkpoints.load import load_model
from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.intervals import Interval
from pgf_genome.memory.drives import (
    markov,
    markov_table,
    probe_contexts,
    stretches,
    usable_segments,
)
from pgf_genome.memory.measurement import measure
from pgf_genome.memory.output import tsv
from pgf_genome.memory.settings import Settings
from pgf_genome.sequence import N_CODE, decode_fasta

ORACLES = Path(__file__).parent / "oracles"
CAUSAL, TWO_WAY = ORACLES / "hf_mamba_tiny", ORACLES / "caduceus_ph_tiny"
QUICK = ("--probes", "3", "--span", "200", "--channels", "2", "--max-lag", "40", "--tile", "64")


def letters(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "in.fa"
    path.write_text(f">one\n{letters(900)}NNNNN{letters(300, 1)}\n>two\n{letters(100, 2)}\n")
    return path


@pytest.fixture
def memory(command, fasta):
    """Run ``memory`` on the FASTA; fails unless the run succeeds."""

    def run(*options, model=CAUSAL):
        done = command("memory", fasta, "-m", model, "-t", "1", *QUICK, *options)
        assert done.code == 0, done.err
        return done.out

    return run


def table(text: str) -> list[dict[str, str]]:
    header, *lines = (line.split("\t") for line in text.splitlines())
    return [dict(zip(header, line, strict=True)) for line in lines]


def test_the_table_has_every_layer_and_drive_and_the_influence_of_each_drive(memory):
    rows = table(memory())
    layers = load_model(CAUSAL).config.n_layer
    expected = [
        (drive, str(layer), of)
        for drive in ("uniform", "markov", "real")
        for layer in range(1, layers + 1)
        for of in ("output", "channel")
    ] + [(drive, "all", "prediction") for drive in ("uniform", "markov", "real")]
    assert [(row["drive"], row["layer"], row["of"]) for row in rows] == expected
    for row in rows:
        if row["of"] == "prediction":
            assert 0 < int(row["ecl_0.5"]) <= int(row["ecl_0.9"]) < 200
            assert row["rank"] == row["mf_0"] == ""
        else:
            assert 0 <= float(row["mf_0"]) <= 1
            assert float(row["bias"]) < 0.1
            assert row["ecl_0.5"] == ""


def test_files_hold_what_the_table_says_and_are_the_same_every_time(memory, tmp_path):
    runs = []
    for name in ("a", "b"):
        rows = table(memory("-o", tmp_path / name))
        files = [tmp_path / f"{name}.memory.{kind}" for kind in ("json", "html")]
        runs.append([file.read_bytes() for file in files])
    assert runs[0] == runs[1]
    found = json.loads(runs[0][0])
    assert found["measured"] == ["one:1-1205"]
    assert found["settings"]["span"] == 200
    first = found["layers"][0]
    assert f"{first['output']['mf'][0]:.4g}" == rows[0]["mf_0"]
    assert len(first["output"]["mf"]) == len(first["lags"]) == len(first["floor"])
    assert len(first["channels"]) == 2
    shown = next(row for row in rows if row["of"] == "prediction")
    assert found["influence"][0]["ecl_0.9"] == int(shown["ecl_0.9"])
    page = runs[0][1].decode()
    assert "Memory of hf_mamba_tiny" in page
    assert 'src="http' not in page


def test_a_halo_is_one_number_that_grows_as_less_may_be_lost(memory):
    halos = [int(memory("--halo", part)) for part in ("0.5", "0.1", "0.001")]
    assert halos == sorted(halos)
    assert 0 < halos[0] < halos[-1] < 200
    rows = table(memory("--measure", "influence", "--drive", "real"))
    assert [row["drive"] for row in rows] == ["real"]
    assert int(rows[0]["ecl_0.5"]) == halos[0]


def test_a_bidirectional_model_has_influence_and_no_memory_function(command, fasta, memory):
    done = command("memory", fasta, "-m", TWO_WAY, "-t", "1", *QUICK)
    assert done.code == 2
    assert "caduceus_ph_tiny reads in both directions" in done.error
    assert "--measure influence" in done.error
    rows = table(memory("--measure", "influence", model=TWO_WAY))
    assert [row["of"] for row in rows] == ["prediction"] * 3
    assert all(0 < int(row["ecl_0.9"]) <= 100 for row in rows)  # half of the window
    assert 0 < int(memory("--halo", "0.1", model=TWO_WAY)) <= 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--measure", "layer"), "--measure layer: choose from layers, influence"),
        (("--drive", ","), "--drive names none"),
        (("--probes", "0"), "--probes must be at least 1, not 0"),
        (("--max-lag", "-4"), "--max-lag must be at least 1, not -4"),
        (("--span", "1"), "--span must be at least 2"),
        (("--halo", "1"), "--halo must lie between 0 and 1, not 1.0"),
        (("--halo", "0.1", "--measure", "layers"), "--halo needs --measure influence"),
    ],
)
def test_wrong_options_are_named_before_anything_is_read(command, options, message):
    done = command("memory", "absent.fa", "-m", CAUSAL, *options)
    assert done.code == 2
    assert message in done.error


def test_a_sequence_that_is_too_short_is_refused(command, tmp_path):
    path = tmp_path / "short.fa"
    path.write_text(f">a\n{letters(255)}\n")
    done = command("memory", path, "-m", CAUSAL, "-t", "1")
    assert done.code == 1
    assert "no contig has 256 bases between assembly gaps" in done.error


def test_influence_alone_is_a_row_for_every_probability(fasta):
    settings = Settings(measure=("influence",), probes=2, span=100, tile=50)
    found = measure(fasta, load_model(CAUSAL), settings)
    assert [each.drive for each in found.influences] == ["uniform", "markov", "real"]
    assert found.influences[-1].binned()["distances"][0] == 1
    assert found.halo is None
    assert tsv(found).count("\n") == 3


def test_progress_adds_up_to_the_whole(fasta):
    seen = []
    settings = Settings(probes=2, span=100, tile=50, max_lag=20, channels=1, drives=("real",))
    measure(fasta, load_model(CAUSAL), settings, lambda done, total: seen.append((done, total)))
    assert {total for _, total in seen} == {sum(done for done, _ in seen)}


def test_another_seed_changes_the_random_drives_and_not_the_real_one(fasta):
    model = load_model(CAUSAL)
    profiles = []
    for seed in (0, 1):
        settings = Settings(measure=("influence",), probes=2, span=100, tile=50, seed=seed)
        profiles.append([each.profile for each in measure(fasta, model, settings).influences])
    (uniform, shuffled, real), (uniform1, shuffled1, real1) = profiles
    assert not np.array_equal(uniform, uniform1)
    assert not np.array_equal(shuffled, shuffled1)
    assert np.array_equal(real, real1)


def test_a_shuffle_keeps_the_words_and_forgets_where_they_were():
    rng = np.random.default_rng(0)
    unit = np.array([0, 0, 0, 1, 2, 3, 3, 1], np.uint8)
    real = np.tile(unit, 500)
    real[::97] = N_CODE
    drawn = markov(markov_table([real], order=2), 4000, rng)
    words = {tuple(real[i : i + 3]) for i in range(len(real) - 2)}
    clean = {word for word in words if N_CODE not in word}
    strange = sum(tuple(drawn[i : i + 3]) not in clean for i in range(3, 3990))
    assert strange < 5  # unseen words are rare, not impossible
    assert drawn.max() < 4
    assert np.bincount(drawn) == pytest.approx(np.bincount(np.tile(unit, 500)), rel=0.1)


PIECES = st.lists(st.integers(256, 200_000), min_size=1, max_size=6)


@given(PIECES, st.integers(1, 400_000), st.integers(2, 8000))
def test_stretches_lie_in_the_pieces_and_hold_about_what_was_asked_for(lengths, bases, shortest):
    shortest = min(shortest, max(lengths))
    pieces = [Interval(f"c{i}", 10, 10 + length) for i, length in enumerate(lengths)]
    found = stretches(pieces, bases, shortest)
    by_name = {piece.contig: piece for piece in pieces}
    for stretch in found:
        piece = by_name[stretch.contig]
        assert piece.start <= stretch.start < stretch.stop <= piece.stop
        assert stretch.length >= shortest
    assert 0 < sum(map(len, found)) <= max(bases, shortest)


def test_segments_and_probes_keep_clear_of_gaps(tmp_path):
    path = tmp_path / "gaps.fa"
    gap = "N" * 60
    path.write_text(f">a\n{letters(600)}{gap}{letters(300)}\n>b\n{'N' * 400}\n>c\n{letters(50)}\n")
    with decode_fasta(path, tmp_path / "codes") as genome:
        pieces = usable_segments(genome, gap_length=50)
        assert [str(piece) for piece in pieces] == ["a:1-600", "a:661-960"]
        contexts = probe_contexts(genome, pieces, 7, before=99, after=0)
        assert contexts.shape == (7, 100)
        assert (contexts < N_CODE).all()
        whole = usable_segments(genome, gap_length=1000)
        assert [str(piece) for piece in whole] == ["a:1-960", "b:1-400"]
        assert (probe_contexts(genome, whole, 9, 99, 0)[:, -1] < N_CODE).all()
        with pytest.raises(SequenceError, match="no base to probe"):
            probe_contexts(genome, whole[1:], 3, 99, 0)


@pytest.mark.data
def test_on_a_real_genome_the_bundled_model_looks_beyond_a_codon(real_data):
    settings = Settings(measure=("influence",), probes=4, span=1024, drives=("real",))
    fasta = os.fspath(real_data / "small" / "lambda_virus.fa")
    found = measure(fasta, load_model("ecoli-yeast-d128"), settings)
    assert 3 < found.influences[0].reach(0.5) < 100


def test_the_settings_of_a_bidirectional_model_are_checked_by_the_library_too(fasta):
    with pytest.raises(UsageError, match="both directions"):
        measure(fasta, load_model(TWO_WAY))
