"""What Python users may give: text for ids, one thing for a list, whole numbers of any library."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch
from Bio.Seq import MutableSeq, Seq
from Bio.SeqRecord import SeqRecord
from hypothesis import strategies as st
from pyfaidx import Fasta

import pgf_genome as pgf
from pgf_genome.attribution.options import Options
from pgf_genome.intervals import Interval, parse_region, regions_of
from pgf_genome.quantities import bytes_of, size_text

TEXT = "ACGTNACGGTTAcgtnACGATCGA"


@pytest.fixture(scope="module")
def model():
    return pgf.load_model(Path(__file__).parent / "oracles" / "hf_mamba_tiny", dtype=torch.float64)


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    (tmp_path / "in.fa").write_text(f">1\n{TEXT}\n>12\n{TEXT * 3}\n")
    return tmp_path / "in.fa"


def test_text_and_records_are_tokenized(model, fasta):
    ids = model.tokenize(TEXT)
    expected = pgf.log_probs(model, ids)
    record = Fasta(str(fasta))["1"]
    forms = (TEXT, TEXT.encode(), Seq(TEXT), MutableSeq(TEXT), SeqRecord(Seq(TEXT), "x"))
    for sequence in (*forms, record, record[:]):
        assert torch.equal(model.tokenize(sequence), ids), type(sequence)
        assert np.array_equal(pgf.log_probs(model, sequence), expected), type(sequence)
        direction = np.zeros((len(TEXT), model.config.vocab_rows))
        assert not pgf.tangent(model, sequence, direction).any()
    assert pgf.adjoint(model, record).value == pgf.adjoint(model, ids).value


@pytest.mark.parametrize("sequence", [None, 5, ["A", "C"], Seq(None, 4), {"A": 1}])
def test_what_is_no_sequence_is_not_tokenized(model, sequence):
    with pytest.raises(pgf.PgfError, match=r"is no sequence|content is undefined"):
        model.tokenize(sequence)


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


@pytest.mark.parametrize("value", [0, -1, 2**70])
def test_whole_numbers_outside_of_their_range_are_refused(value):
    with pytest.raises(pgf.PgfError, match=r"`tile` must be at (least 1|most \d+), not"):
        Options(tile=value)


def test_sizes_are_read_as_on_the_command_line():
    assert Options(max_memory="1.5G").max_memory == 3 * 2**29
    assert Options(max_memory=np.int64(7)).max_memory == 7
    for wrong in ("lots", -1.5, True):
        with pytest.raises(pgf.PgfError, match=r"`max_memory`: .* is not a size such as 800M"):
            Options(max_memory=wrong)


@hypothesis.given(st.integers(0, 2**50))
def test_a_size_that_is_written_is_read_again(number):
    assert bytes_of(size_text(number)) == pytest.approx(number, rel=0.05)


def test_a_dtype_may_be_named(model):
    folder = Path(__file__).parent / "oracles" / "hf_mamba_tiny"
    for name in ("float32", "float64", "bfloat16"):
        by_name, by_type = (pgf.load_model(folder, dtype=d) for d in (name, getattr(torch, name)))
        assert by_name.precision == by_type.precision == getattr(torch, name)
        assert by_name.dtype == by_type.dtype
    with pytest.raises(pgf.PgfError, match="`dtype` must be float32, float64 or bfloat16, not x"):
        pgf.load_model(folder, dtype="x")


TABLE = {"chrom": ["12", "1", "12"], "start": [3, 0, 30], "end": [9, 4, 33]}


@pytest.mark.parametrize("name", ["region", "bed", "target"])
def test_a_table_of_regions_is_what_a_bed_file_is(model, fasta, tmp_path, name):
    table = pd.DataFrame(TABLE)
    table.to_csv(tmp_path / "some.bed", sep="\t", header=False, index=False)
    files = {"bed" if name != "target" else "target": str(tmp_path / "some.bed")}
    values = []
    for folder, options in (("table", {name: table}), ("file", files)):
        done = pgf.attribute(fasta, model, tmp_path / folder / "x", report=False, **options)
        tracks = {k: path.read_bytes() for k, path in done.files.items() if k != "run"}
        values.append((tracks, done.record.bases.written))
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"Chromosome": ["1"], "Start": [0], "End": [4]}, "needs columns chrom, start, end"),
        ({"chrom": ["1"], "start": [0.5], "end": [4]}, "row 0 .* not whole numbers"),
        ({"chrom": ["1"], "start": [4], "end": [4]}, "not valid: the start must be"),
        ({"chrom": ["1"], "start": [-1], "end": [4]}, "not valid: the start must be"),
        ({"chrom": [], "start": [], "end": []}, "table of regions is empty"),
    ],
)
def test_a_table_that_holds_no_regions_is_refused_in_one_line(columns, says):
    for name in ("region", "bed", "target"):
        with pytest.raises(pgf.PgfError, match=says) as error:
            Options(**{name: pd.DataFrame(columns)})
        assert "\n" not in str(error.value)


@hypothesis.given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1))
def test_regions_of_a_table_are_its_intervals(spans):
    """Whatever the name of the contig looks like."""
    name = "a:1-5"
    table = pd.DataFrame([(name, start, start + n) for start, n in spans], columns=[*TABLE])
    expected = [Interval(name, start, start + n) for start, n in spans]
    assert [parse_region(text, {name: 100}) for text in regions_of(table)] == expected


def test_a_context_without_a_region_is_refused():
    for given_with in ({}, {"contig": "1"}):
        with pytest.raises(pgf.PgfError, match="`context` goes with `region` or `bed`"):
            Options(context=5, **given_with)
    assert Options(context=5, bed=pd.DataFrame(TABLE)).context == 5


def test_signatures_show_every_option_with_its_default():
    shown = inspect.signature(pgf.attribute).parameters
    assert list(shown)[:4] == ["fasta", "model", "out_prefix", "progress"]
    keywords = {name: p.default for name, p in shown.items() if p.kind == p.KEYWORD_ONLY}
    assert keywords == {field.name: field.default for field in fields(Options)}
    one = inspect.signature(pgf.attribute_sequence).parameters
    for name in one.keys() & keywords.keys():
        assert one[name].default == keywords[name]
    for name in pgf.__all__:
        if inspect.isfunction(getattr(pgf, name)):
            kinds = {p.kind for p in inspect.signature(getattr(pgf, name)).parameters.values()}
            assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}


def test_a_misspelt_option_is_refused_before_anything_is_read():
    with pytest.raises(TypeError, match="strnd"):
        pgf.attribute("absent.fa", strnd="+")


def test_type_checkers_are_told_the_names_that_are_loaded_on_first_use():
    stub = ast.parse(Path(pgf.__file__).with_suffix(".pyi").read_text())
    told = {
        alias.asname: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told == pgf._HOMES


WRONG = {
    "model": (lambda m: pgf.adjoint("name", "ACGT"), "`model` must be what load_model gives"),
    "objective": (lambda m: pgf.adjoint(m, "ACGT", "entropy"), r"such as Likelihood\(\), not 'ent"),
    "tile": (lambda m: pgf.adjoint(m, "ACGT", tile_length=64.0), "`tile_length` must be a whole"),
    "direction": (lambda m: pgf.tangent(m, "ACGT", None), "direction is no array"),
    "no directions": (lambda m: pgf.tangent(m, "ACGT", np.zeros((0, 4, 16))), "expected"),
    "record": (lambda m: pgf.attribute(SeqRecord(Seq("A"), "a"), m), "attribute_sequence takes"),
    "no model": (lambda m: pgf.attribute("x.fa", None), "`model` must be a name or a directory"),
    "prefix": (lambda m: pgf.attribute("x.fa", m, 3), "`out_prefix` must be text, not 3"),
    "tracks": (lambda m: pgf.attribute("x.fa", m, tracks=1.5), "`tracks` must be one or several"),
    "region": (lambda m: pgf.attribute("x.fa", m, region=("1", 2)), "`region` must be text, not 2"),
    "bins": (lambda m: pgf.attribute("x.fa", m, bins="10"), "`bins` must be a whole number"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_has_no_meaning_is_refused_in_one_line(model, case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ask, says = WRONG[case]
    with pytest.raises(pgf.PgfError, match=says) as error:
        ask(model)
    assert "\n" not in str(error.value)


def test_the_modes_of_the_caller_change_nothing(model, fasta, tmp_path):
    folder = Path(__file__).parent / "oracles" / "hf_mamba_tiny"
    expected = pgf.adjoint(model, TEXT).gradient
    weights = pgf.parameter_gradient(model, TEXT).value
    with torch.inference_mode():
        loaded = pgf.load_model(folder, dtype="float64")
        assert np.array_equal(pgf.adjoint(model, TEXT).gradient, expected)
        assert pgf.parameter_gradient(model, TEXT).value == weights
        pgf.attribute(fasta, model, tmp_path / "x", report=False)
    with torch.device("meta"):
        assert np.array_equal(pgf.adjoint(loaded, TEXT).gradient, expected)
        pgf.attribute(fasta, pgf.load_model(folder), tmp_path / "x", report=False)
