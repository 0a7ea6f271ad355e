"""What Python users may give: text for ids, one thing for a list, whole numbers of any library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from Bio.Seq import Seq
from Bio.SeqRecord import SeqRecord
from pyfaidx import Fasta

import pgf_genome as pgf
from pgf_genome.attribution.options import Options

TEXT = "ACGTNACGGTTAcgtnACGATCGA"


@pytest.fixture(scope="module")
def model():
    return pgf.load_model(Path(__file__).parent / "oracles" / "hf_mamba_tiny", dtype=torch.float64)


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    (tmp_path / "in.fa").write_text(f">1\n{TEXT}\n>12\n{TEXT * 3}\n")
    return tmp_path / "in.fa"


def test_text_and_records_are_tokenized(model, fasta):
    expected = pgf.log_probs(model, model.tokenize(TEXT))
    for given in (TEXT, Seq(TEXT), SeqRecord(Seq(TEXT), "x"), Fasta(str(fasta))["1"][:]):
        assert np.array_equal(pgf.log_probs(model, given), expected), type(given)
    assert pgf.adjoint(model, TEXT).value == pgf.adjoint(model, model.tokenize(TEXT)).value


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "int64"])
def test_ids_are_whole_numbers_of_any_width(model, dtype):
    ids = model.tokenize(TEXT)
    narrow = ids.numpy().astype(dtype)
    expected = pgf.log_probs(model, ids.flip(0))
    for given in (narrow[::-1], torch.from_numpy(narrow).flip(0), narrow[::-1].tolist()):
        assert np.array_equal(pgf.log_probs(model, given), expected)


@pytest.mark.parametrize("given", [None, object(), ["ACGT"], {"a": 1}, [[1, 2], [3]]])
def test_what_is_neither_ids_nor_text_is_refused(model, given):
    with pytest.raises(pgf.PgfError, match=r"neither token ids nor a sequence|expected token ids"):
        pgf.log_probs(model, given)


def test_text_with_letters_that_are_no_bases_is_refused(model):
    with pytest.raises(pgf.PgfError, match="character 5"):
        pgf.adjoint(model, "ACGTXZ!")


@pytest.mark.parametrize(
    ("name", "one", "several"),
    [
        ("contig", "12", ["12"]),
        ("region", "12:3-8", ["12:3-8"]),
        ("target", "12:3-8", ["12:3-8"]),
        ("tracks", "sensitivity", ["sensitivity"]),
        ("formats", "bigwig", ["bigwig"]),
        ("bins", 10, [10]),
    ],
)
def test_one_thing_stands_for_a_list_of_one(model, fasta, tmp_path, name, one, several):
    values = []
    for folder, given in (("one", one), ("several", several)):
        done = pgf.attribute(fasta, model, tmp_path / folder / "x", report=False, **{name: given})
        values.append({kind: path.read_bytes() for kind, path in done.files.items()
                       if kind != "run"})  # fmt: skip
    assert values[0] == values[1]


def test_a_bed_file_may_be_a_path(model, fasta, tmp_path):
    (tmp_path / "some.bed").write_text("12\t3\t9\n")
    done = pgf.attribute(fasta, model, tmp_path / "x", bed=tmp_path / "some.bed", report=False)
    assert done.run["bases"]["written"] == 6


def test_whole_numbers_of_numpy_are_whole_numbers():
    assert Options(tile=np.int64(512), bins=np.int32(7)).tile == 512
    assert type(Options(tile=np.int64(512)).tile) is int


@pytest.mark.parametrize("value", [64.0, "64", True, [64]])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(pgf.PgfError, match="`tile` must be a whole number"):
        Options(tile=value)
