"""Arrays of regions for motif discovery: ``--format npz``."""

from __future__ import annotations

import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pgf_genome as pgf
from pgf_genome.attribution import run
from pgf_genome.attribution.regions import write_arrays
from pgf_genome.errors import PgfError
from pgf_genome.intervals import Interval, Stranded
from pgf_genome.sequence import decode_fasta

ORACLE = Path(__file__).parent / "oracles" / "hf_mamba_tiny"
BED = "c\t60\t80\na\t5\t25\tover N\t0\t-\na\t0\t20\tfirst\t0\t+\na\t10\t30\tagain\t0\t-\n"
GIVEN = [("a", 40, 60, "+"), ("c", 60, 80, "+"), ("a", 5, 25, "-"), ("a", 0, 20, "+"),
         ("a", 10, 30, "-")]  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return pgf.load_model(ORACLE)


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    letters = np.random.default_rng(8).choice(list("ACGT"), 200)
    letters[12:15] = "N"
    return {"a": "".join(letters[:70]), "b": "".join(letters[70:100]), "c": "".join(letters[100:])}


@pytest.fixture
def fasta(tmp_path, texts) -> Path:
    path = tmp_path / "in.fa"
    path.write_text("".join(f">{name}\n{text}\n" for name, text in texts.items()))
    return path


@pytest.fixture
def given_regions(tmp_path) -> dict:
    (tmp_path / "in.bed").write_text(BED)
    return {"region": "a:41-60", "bed": tmp_path / "in.bed"}


def load(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def turned(array: np.ndarray, strand: str) -> np.ndarray:
    return array[::-1, ::-1] if strand == "-" else array


def test_there_is_a_row_for_every_region_as_it_was_given(
    tmp_path, fasta, model, texts, given_regions
):
    done = pgf.attribute(fasta, model, tmp_path / "x", formats="npz", **given_regions)
    found = load(done.files["npz"])
    assert [(name, array.dtype.kind) for name, array in found.items()] == [
        ("sequences", "i"), ("hypothetical", "f"), ("chrom", "U"), ("start", "i"), ("end", "i"),
        ("strand", "U"),
    ]  # fmt: skip
    assert (found["sequences"].dtype, found["hypothetical"].dtype) == (np.int8, np.float32)
    places = (found[name].tolist() for name in ("chrom", "start", "end", "strand"))
    assert list(zip(*places, strict=True)) == GIVEN
    for row, (contig, start, stop, strand) in zip(found["sequences"], GIVEN, strict=True):
        expected = [[base == letter for letter in texts[contig][start:stop]] for base in "ACGT"]
        np.testing.assert_array_equal(row, turned(np.array(expected), strand))


@pytest.mark.parametrize("method", ["corrected", "saliency"])
def test_hypothetical_contributions_are_tism_and_contribution(
    tmp_path, fasta, model, texts, given_regions, method
):
    options = {"formats": "npz", "method": method, "report": False, "tile": 16}
    found = load(
        pgf.attribute(fasta, model, tmp_path / "x", **options, **given_regions).files["npz"]
    )
    whole = {
        name: pgf.attribute_sequence(text, model, tracks=("tism", "contribution"))
        for name, text in texts.items()
    }
    for row, (contig, start, stop, strand) in zip(found["hypothetical"], GIVEN, strict=True):
        values = np.array([whole[contig][f"tism.{base}"] for base in "ACGT"])
        expected = np.nan_to_num(values + whole[contig]["contribution"])[:, start:stop]
        np.testing.assert_allclose(row, turned(expected, strand), rtol=1e-4, atol=1e-5)
    at_n = found["sequences"].sum(axis=1) == 0
    assert at_n.any()
    assert not found["hypothetical"].transpose(0, 2, 1)[at_n].any()


@pytest.mark.parametrize(
    ("method", "track", "share"), [("ig 3", "ig", 1), ("near 5", "importance", 0.75)]
)
def test_the_observed_base_has_what_the_method_gives_to_it(
    tmp_path, fasta, model, method, track, share
):
    options = {"formats": ("bigwig", "npz"), "method": method, "tracks": track, "strand": "+"}
    done = pgf.attribute(fasta, model, tmp_path / "x", region="c:11-40", context=30, **options)
    found = load(done.files["npz"])
    observed = (found["sequences"] * found["hypothetical"]).sum(axis=1)[0]
    expected = share * done.values(track, "c:11-40")
    np.testing.assert_allclose(observed, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected).max() > 1e-3


def test_tracks_are_those_of_a_run_without_arrays(tmp_path, fasta, model, given_regions):
    both = pgf.attribute(fasta, model, tmp_path / "x", formats=("bedgraph", "npz"), **given_regions)
    alone = pgf.attribute(fasta, model, tmp_path / "y", formats="bedgraph", **given_regions)
    assert set(both.files) - set(alone.files) == {"npz"}
    for kind in ("contribution.bedgraph", "sensitivity.bedgraph", "surprisal.bedgraph"):
        assert both.files[kind].read_bytes() == alone.files[kind].read_bytes()
    assert both.tracks == alone.tracks


def test_equal_runs_write_equal_bytes_and_a_run_without_arrays_removes_them(
    tmp_path, fasta, model, given_regions
):
    def again(name: str, **options) -> Path:
        given = {"report": False} | options
        return pgf.attribute(fasta, model, tmp_path / name, **given, **given_regions).prefix

    path = tmp_path / "x.npz"
    again("x", formats="npz")
    again("y", formats="npz")
    assert path.read_bytes() == (tmp_path / "y.npz").read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert {each.date_time[0] for each in archive.infolist()} == {1980}
    assert sorted(each.name for each in tmp_path.glob("x.*")) == [
        "x.chrom.sizes", "x.npz", "x.peaks.bed", "x.run.json",
    ]  # fmt: skip
    again("x", formats="bigwig")
    assert not path.exists()


def test_regions_have_the_new_names_of_their_contigs(tmp_path, fasta, model, given_regions):
    (tmp_path / "names.tsv").write_text("a\tA\nb\tB\nc\tC\n")
    options = given_regions | {"chrom_alias": tmp_path / "names.tsv"}
    done = pgf.attribute(fasta, model, tmp_path / "x", formats="npz", **options)
    assert load(done.files["npz"])["chrom"].tolist() == ["A", "C", "A", "A", "A"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "--format npz is for regions of one width: give them by --region or --bed"),
        ({"--contig": "a"}, "--format npz is for regions of one width"),
        ({"-r": "a:1-10", "-b": "in.bed"},
         "needs regions of one width: a:1-10 has 10 bases, c:61-80 has 20"),
        ({"-b": "in.bed", "--target": "a:1-10"}, "no --target lies on the contig of c:61-80"),
        ({"-r": "a:1-10", "--format": "npy"}, "npy: choose from bedgraph, bigwig, npz"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["attribute", "mutagenesis"])
def test_what_cannot_be_an_array_is_an_error_of_a_line_before_any_work(
    command, tmp_path, fasta, given_regions, monkeypatch, name, options, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "warm_up", lambda model: pytest.fail("the run began"))
    words = [word for pair in ({"--format": "npz"} | options).items() for word in pair]
    done = command(name, fasta, "-m", ORACLE, "-o", "out/x", *words)
    assert done.code == 2
    assert message in done.err
    assert done.err.strip().count("\n") == 0
    assert not list(Path("out").glob("*"))


def test_report_names_the_genes_of_sites_outside_the_target(command, tmp_path, fasta):
    (tmp_path / "genes.gff3").write_text("c\tx\tgene\t41\t100\t.\t+\t.\tID=far;Name=far\n")
    words = ("-m", ORACLE, "--target", "c:1-20", "--gff", tmp_path / "genes.gff3", "--strand", "+")
    done = command("attribute", fasta, *words, "-o", tmp_path / "x", "--objective", "norm")
    assert done.code == 0, done.err
    assert "outside the target" not in (tmp_path / "x.report.html").read_text()  # nothing acts back
    words = (*words[:-1], "-")
    done = command("attribute", fasta, *words, "-o", tmp_path / "x", "--objective", "norm")
    assert done.code == 0, done.err
    page = (tmp_path / "x.report.html").read_text()
    assert "Strongest sites outside the target" in page
    assert "<th>Gene</th>" in page


PLACES = st.tuples(st.sampled_from("ac"), st.integers(0, 60), st.sampled_from("+-"))


@given(
    width=st.integers(1, 10),
    places=st.lists(PLACES, min_size=1, max_size=8),
    cuts=st.sets(st.integers(1, 69)),
    missing=st.integers(0, 70),
)
def test_rows_are_cut_from_any_pieces(tmp_path_factory, width, places, cuts, missing):
    folder = tmp_path_factory.mktemp("arrays")
    rng = np.random.default_rng(4)
    values = {name: rng.standard_normal((4, 70)).astype(np.float32) for name in "ac"}
    (folder / "in.fa").write_text("".join(f">{name}\n{'ACGTGGN' * 10}\n" for name in "ac"))
    edges = [0, *sorted(cuts), 70]
    pieces = [
        (name, start, values[name][:, start:stop])
        for name in "ac"
        for start, stop in pairwise(edges)
        if not start <= missing < stop
    ]
    regions = [Stranded(Interval(name, at, at + width), strand) for name, at, strand in places]
    with decode_fasta(folder / "in.fa", folder / "codes") as genome:
        write_arrays(folder / "x.npz", regions, pieces, genome, folder)
    known = {name: np.zeros((4, 70), np.float32) for name in "ac"}
    for name, start, each in pieces:
        known[name][:, start : start + each.shape[1]] = each
    rows = load(folder / "x.npz")["hypothetical"]
    for row, (name, at, strand) in zip(rows, places, strict=True):
        np.testing.assert_array_equal(row, turned(known[name][:, at : at + width], strand))


def test_folder_that_takes_no_file_is_named(tmp_path, fasta):
    with (
        decode_fasta(fasta, tmp_path / "codes") as genome,
        pytest.raises(PgfError, match="absent"),
    ):
        write_arrays(
            tmp_path / "x.npz", [Stranded(Interval("a", 0, 5))], [], genome, tmp_path / "absent"
        )
