"""A finished run as a type: what its record refuses, and its values read back."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished import PEAK, record, scores, sequence, write_fasta, write_run
from hypothesis import given
from hypothesis import strategies as st

import pgf_genome as pgf
from pgf_genome.errors import IntegrityError, PgfError, SequenceError, UsageError
from pgf_genome.runs.joining import DifferenceError, joined
from pgf_genome.runs.record import Bases, Contig, Fasta, Halo, HaloLocus, Part, Record
from pgf_genome.runs.schema import decoded, encoded
from pgf_genome.runs.storing import read_record, write_record


def full(**changed: Any) -> Record:
    """A record with something in every field."""
    simple = record({"a": 9, "b": 4}, ["x"])
    return replace(
        simple,
        tile_length=64,
        halo=Halo(9, 1, (HaloLocus("a", 0, 9, 0.5, 0.25),)),
        fasta=Fasta("in.fa", "12", "/data/in.fa"),
        contigs=(Contig("a", 9, 1, -1.5, "34", "A", ((0, 2), (5, 9))), Contig("b", 4, 0, None)),
        files={"run": "p.run.json"},
        parts=(Part("q.run.json", 1, None, simple.performance, simple.bases),),
        **changed,
    )


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return write_run(tmp_path, fasta=write_fasta(tmp_path / "in.fa"))


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    for each in (record({"a": 9}), full()):
        write_record(tmp_path / "p", each)
        assert read_record(tmp_path / "p") == each
        assert pgf.open_run(tmp_path / "p").run == encoded(each)


def test_the_file_says_its_schema_and_a_later_one_is_refused(tmp_path: Path) -> None:
    path = write_record(tmp_path / "p", full())
    facts = json.loads(path.read_text())
    assert next(iter(facts)) == "schema"
    path.write_text(json.dumps(facts | {"schema": 2}))
    with pytest.raises(IntegrityError, match=r"p\.run\.json: .*its schema is 2"):
        read_record(tmp_path / "p")


def test_facts_of_later_versions_are_ignored() -> None:
    assert decoded(Bases, {"written": 1, "read": 2, "skipped": 3}, "bases") == Bases(1, 2)


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (["title"], 3, "title is a int, not str"),
        (["bases", "read"], "many", "bases.read is a str, not int"),
        (["bases"], {"read": 1}, "bases.written is missing"),
        (["contigs", 1, "length"], True, r"contigs\[1\].length is a bool, not int"),
        (["contigs", 0, "length"], -1, "contig a has -1 bases"),
        (["contigs", 0, "targets"], [[0, 2, 4]], r"contigs\[0\].targets\[0\] has 3 items, not 2"),
        (["contigs", 0, "targets"], [[5, 10]], "contig a has no bases from 5 to 10"),
        (["contigs", 1, "contig"], "a", "contig a is listed twice"),
        (["contigs"], None, "contigs is a NoneType, not list"),
        (["tracks", "x"], [], "tracks.x is a list, not dict"),
        (["files", "x.bigwig"], "../../etc/passwd", "files.x.bigwig is .* no name of a file"),
        (["files", "x.bigwig"], "/etc/passwd", "no name of a file"),
        (["performance", "seconds"], 10**400, "performance.seconds is a int, not float"),
    ],
)
def test_a_damaged_record_is_one_line_that_says_where(tmp_path, at, value, said) -> None:
    path = write_record(tmp_path / "p", full())
    facts = spoilt = json.loads(path.read_text())
    for key in at[:-1]:
        spoilt = spoilt[key]
    spoilt[at[-1]] = value
    path.write_text(json.dumps(facts))
    with pytest.raises(IntegrityError, match=rf"p\.run\.json: not the run\.json of .*{said}") as e:
        read_record(tmp_path / "p")
    assert "\n" not in str(e.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(key=st.sampled_from(list(encoded(full()))), value=JSON)
def test_anything_in_any_place_is_taken_or_refused(key: str, value: Any) -> None:
    with suppress(ValueError):
        assert isinstance(decoded(Record, encoded(full()) | {key: value}, ""), Record)


@pytest.mark.parametrize("text", ["", "null", "[" * 100_000, "\x00", '{"title": NaN}'])
def test_text_that_is_no_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.run.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"p\.run\.json: not the run\.json"):
        pgf.open_run(tmp_path / "p")


def test_a_missing_record_is_refused_by_the_same_error(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"p\.run\.json: cannot be read .* give the prefix"):
        pgf.open_run(tmp_path / "p")


def test_records_are_joined_by_the_rules_of_their_fields() -> None:
    other = replace(
        full(), contigs=(Contig("c", 5, 1, -2.0),), fasta=Fasta("in.fa", "56", "/data/in.fa")
    )
    whole = joined([full(), other])
    assert [each.contig for each in whole.contigs] == ["a", "b", "c"]
    assert whole.bases == Bases(26, 26)
    assert whole.fasta == Fasta("in.fa", None, "/data/in.fa")
    assert (whole.performance.seconds, whole.performance.peak_memory_bytes) == (4.0, 20)
    assert whole.files == {}
    assert len(whole.parts) == 2
    moved = replace(other, fasta=Fasta("in.fa", "56", "/elsewhere/in.fa"))
    assert joined([full(), moved]).fasta.path is None
    with pytest.raises(DifferenceError, match='strand is "-" where it is "both"') as caught:
        joined([full(), full(), replace(other, strand="-")])
    assert caught.value.which == 2


# Values


def test_values_of_a_region_are_those_written(prefix: Path) -> None:
    run = pgf.open_run(prefix)
    for track in run.tracks:
        whole = scores(track, "c1")
        np.testing.assert_array_equal(run.values(track, "c1"), whole)
        np.testing.assert_array_equal(run.values(track, "c1:1,001-1,250"), whole[1000:1250])
    assert run.values("contribution", "c2:500").tolist() == [scores("contribution", "c2")[499]]


@pytest.mark.parametrize(
    ("track", "region", "said"),
    [
        ("tism.A", "c1", "the run has no track tism.A; choose from contribution, sensitivity"),
        ("contribution", "c3", "there is no contig 'c3'"),
        ("contribution", "c1:0-5", "region 'c1:0-5'"),
    ],
)
def test_values_that_are_not_there_are_named(prefix: Path, track, region, said) -> None:
    with pytest.raises(PgfError, match=said):
        pgf.open_run(prefix).values(track, region)


def test_a_run_that_was_renamed_is_read_under_its_new_name(prefix: Path, tmp_path: Path) -> None:
    for path in list(tmp_path.glob("run.*")):
        path.rename(tmp_path / path.name.replace("run.", "new.name.", 1))
    run = pgf.open_run(tmp_path / "new.name")
    assert all(path.is_file() for path in run.files.values())
    np.testing.assert_array_equal(run.values("sensitivity", "c2"), scores("sensitivity", "c2"))


def test_peaks_are_the_strongest_positions_with_all_tracks(prefix: Path) -> None:
    peaks = pgf.open_run(prefix).peaks()
    assert list(peaks) == ["contig", "start", "end", "contribution", "sensitivity", "surprisal"]
    assert (peaks["end"] - peaks["start"] == 1).all()
    first = peaks.iloc[0]
    assert (first["contig"], first["start"]) == PEAK
    assert first["contribution"] == scores("contribution", PEAK[0])[PEAK[1]]
    assert peaks["sensitivity"].is_monotonic_decreasing
    on_first = np.sort(peaks.loc[peaks["contig"] == "c1", "start"])
    assert np.diff(on_first).min() >= 128


def test_logo_draws_every_scored_base_as_tall_as_its_value(prefix: Path) -> None:
    figure = pgf.open_run(prefix).logo("c1:1,995-2,005")
    (bars,) = figure.data
    values = scores("contribution", "c1")[1994:2005]
    np.testing.assert_array_equal(np.asarray(bars.y, np.float32), values)
    assert "".join(bars.customdata) == sequence("c1")[1994:2005]
    assert list(bars.x) == list(range(1995, 2006))
    assert len(figure.layout.shapes) == np.count_nonzero(~np.isnan(values))
    drawn = np.array(figure.layout.shapes[0].path.replace("L", "M").split("M")[1].split(), float)
    assert 1994.5 < drawn[0] < 1995.5


def test_logo_needs_the_sequence_of_the_run(prefix: Path, tmp_path: Path) -> None:
    run = pgf.open_run(prefix)
    (tmp_path / "other.fa").write_text(">c1\nACGT\n")
    with pytest.raises(SequenceError, match="not the sequence of the run, for contig c1 differs"):
        run.logo("c1:1-9", fasta=tmp_path / "other.fa")
    with pytest.raises(SequenceError, match="does not say where the FASTA is"):
        pgf.open_run(write_run(tmp_path, "nowhere")).logo("c1:1-9")
    with pytest.raises(UsageError, match="no track x"):
        run.logo("c1:1-9", track="x")


def test_a_run_shows_itself_in_a_notebook(tmp_path: Path) -> None:
    write_record(tmp_path / "<p>", replace(full(), title="Sensitivity of <b>.fa"))
    shown = pgf.open_run(tmp_path / "<p>")._repr_html_()
    assert "Sensitivity of &lt;b&gt;.fa" in shown
    assert "&lt;p&gt;.*" in shown
    assert "what x is" in shown
