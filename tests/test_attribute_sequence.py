"""A sequence in memory gets the values that `attribute` writes for a FASTA of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyBigWig
import pytest
import torch
from Bio.Seq import Seq
from Bio.SeqRecord import SeqRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from pyfaidx import Fasta

import pgf_genome as pgf
from pgf_genome.attribution.methods import GRADIENT_TRACKS as TRACKS
from pgf_genome.attribution.methods import GRADIENTS
from pgf_genome.errors import UsageError

ORACLES = Path(__file__).parent / "oracles"
TEXT = "ACGTNACGGTTAcgtnACGATCGARYUuCAT" + 12 * "N" + "GATTACAGATTACA"


@pytest.fixture(scope="module", params=["hf_mamba_tiny", "hf_mamba2_tiny", "caduceus_ph_tiny",
                                        "caduceus_ps_tiny"])  # fmt: skip
def model(request):
    return pgf.load_model(ORACLES / request.param)


@pytest.fixture(scope="module")
def causal():
    return pgf.load_model(ORACLES / "hf_mamba_tiny", dtype=torch.float64)


def written(text, model, folder, **options):
    """The tracks that `attribute` writes for one contig, by name."""
    folder.mkdir(exist_ok=True)
    (folder / "in.fa").write_text(f">c\n{text}\n")
    done = pgf.attribute(folder / "in.fa", model, folder / "out", report=False, **options)
    values = {}
    for track in done.run["tracks"]:
        with pyBigWig.open(str(done.files[f"{track}.bigwig"])) as file:
            values[track] = file.values("c", 0, len(text), numpy=True)
    return values


def assert_same(found, expected):
    assert list(found) == list(expected)
    for track, values in expected.items():
        assert found[track].dtype == np.float32
        assert np.array_equal(found[track], values, equal_nan=True), track


@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("gap_length", [10, 10_000])
def test_every_track_is_what_attribute_writes(model, tmp_path, strand, gap_length):
    options = {"strand": strand, "gap_length": gap_length, "tracks": TRACKS}
    found = pgf.attribute_sequence(TEXT, model, **options)
    assert_same(found, written(TEXT, model, tmp_path, **options))
    assert np.isnan(found["sensitivity"][[4, 15, 24]]).all()


@pytest.mark.parametrize("objective", ["entropy", "logit:C", "norm"])
@pytest.mark.parametrize("method", [*GRADIENTS, "first-order", "near 3", "exact"])
def test_so_it_is_under_every_method_and_objective(model, tmp_path, method, objective):
    options = {"method": method, "objective": objective}
    if method == "near 3" and model.name.startswith("caduceus"):
        with pytest.raises(UsageError, match="can only be exact"):
            pgf.attribute_sequence(TEXT, model, **options)
        return
    assert_same(
        pgf.attribute_sequence(TEXT, model, **options), written(TEXT, model, tmp_path, **options)
    )


def test_windows_and_halos_are_those_of_attribute(tmp_path):
    model = pgf.load_model(ORACLES / "caduceus_ph_tiny", dtype=torch.float64)
    options = {"window": 20, "halo": 4}
    assert_same(
        pgf.attribute_sequence(TEXT, model, **options), written(TEXT, model, tmp_path, **options)
    )


@settings(max_examples=10, deadline=None)
@given(text=st.text("ACGTNacgtn", min_size=1, max_size=40), tile=st.integers(1, 50))
def test_any_text_in_any_tiles(causal, tmp_path_factory, text, tile):
    found = pgf.attribute_sequence(text, causal, tile_length=tile)
    assert_same(found, written(text, causal, tmp_path_factory.mktemp("run"), tile=tile))


@pytest.mark.parametrize("strand", ["+", "-", "both"])
def test_of_one_base_nothing_predicts_it(causal, strand):
    found = pgf.attribute_sequence("A", causal, strand=strand)
    assert all(values.shape == (1,) for values in found.values())
    assert np.isnan(found["surprisal"]).all()
    assert not np.isnan(found["sensitivity"]).any()


def test_a_sequence_of_n_has_no_values(causal):
    found = pgf.attribute_sequence(20 * "N", causal, gap_length=10)
    assert all(np.isnan(values).all() and len(values) == 20 for values in found.values())
    assert "<td></td>" in found._repr_html_()


def test_values_follow_from_the_adjoint(causal):
    """By their definition, from the gradient of the whole sequence at once."""
    gradient = pgf.adjoint(causal, TEXT).gradient[:, list(causal.vocabulary.base_ids)]
    slope = gradient - gradient.mean(axis=1, keepdims=True)
    expected = np.where(np.isin(list(TEXT), list("NnRY")), np.nan, np.linalg.norm(slope, axis=1))
    found = pgf.attribute_sequence(TEXT, causal, strand="+", tracks="sensitivity", tile_length=7)
    np.testing.assert_allclose(found["sensitivity"], expected, rtol=1e-6)


def test_targets_are_positions_of_the_objective(causal, tmp_path):
    likelihood = pgf.Likelihood(positions=((5, 9),))
    assert_same(
        pgf.attribute_sequence(TEXT, causal, objective=likelihood),
        written(TEXT, causal, tmp_path, target="c:6-9"),
    )


def test_text_records_and_ids_are_one_sequence(causal, tmp_path):
    (tmp_path / "in.fa").write_text(f">1\n{TEXT}\n")
    record = Fasta(str(tmp_path / "in.fa"))["1"]
    ids = causal.tokenize(TEXT)
    expected = pgf.attribute_sequence(TEXT, causal)
    for same in (TEXT.encode(), bytearray(TEXT.encode()), Seq(TEXT), SeqRecord(Seq(TEXT), "x"),
                 record, record[:], ids, ids.numpy().astype("uint8"), ids.tolist()):  # fmt: skip
        assert_same(pgf.attribute_sequence(same, causal), expected)


@pytest.mark.parametrize("nothing", ["", b"", " \n", torch.empty(0, dtype=torch.long), []])
def test_an_empty_sequence_is_refused(causal, nothing):
    with pytest.raises(pgf.PgfError, match="the sequence is empty"):
        pgf.attribute_sequence(nothing, causal)


def test_tokens_that_are_no_bases_are_refused(causal):
    ids = causal.tokenize("ACGTACGT")
    other = set(range(causal.config.vocab_rows)) - set(causal.vocabulary.code_to_id.tolist())
    ids[3] = min(other)
    with pytest.raises(pgf.PgfError, match=r"position 3 is neither a base nor N"):
        pgf.attribute_sequence(ids, causal)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tracks": "height"}, "unknown track height"),
        ({"strand": "x"}, "`strand` x"),
        ({"method": "guess"}, "`method` guess"),
        ({"objective": "loss"}, "`objective` loss"),
        ({"window": 100}, "`window` is for bidirectional models"),
    ],
)
def test_options_are_checked(causal, options, message):
    with pytest.raises(pgf.PgfError, match=message):
        pgf.attribute_sequence("ACGT", causal, **options)


def test_results_are_tables_in_notebooks(causal):
    found = pgf.attribute_sequence(TEXT, causal, tracks="surprisal")
    adjoint = pgf.adjoint(causal, TEXT)
    values = found["surprisal"], adjoint.gradient
    for result, array, unit in zip((found, adjoint), values, ("bits", "nats"), strict=True):
        page = result._repr_html_()
        assert f"<td>{len(TEXT)}</td>" in page
        assert f"<td>{unit}" in page
        assert f"<td>{np.nanmin(array):.4g}</td>" in page
        assert f"<td>{np.nanmax(array):.4g}</td>" in page
    assert f"F = {adjoint.value:.6g} nats" in page
