"""Tracks on disk: exact text, equal values in every reader, nothing left behind by a failure."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pybigtools
import pyBigWig
import pysam
import pytest
from bench_writers import FORMATS, measure
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import small_disk

from pgf_genome.errors import IntegrityError, ResourceError, SequenceError, UsageError
from pgf_genome.tracks import (
    BedGraphWriter,
    BigWigWriter,
    Bins,
    TrackSummary,
    TrackWriter,
    write_chrom_sizes,
)
from pgf_genome.tracks.bigwig.trees import FANOUT
from pgf_genome.tracks.blocks import BLOCK

NAN = np.nan
SIZES = {"chr2": BLOCK + 2500, "chr10": 300, "chr1": 4000}


def bedgraph_text(tmp_path: Path, *calls: tuple[str, int, Sequence[float]], **options) -> str:
    path = tmp_path / "x.bedgraph"
    with BedGraphWriter(path, {"a": 100, "b": 100}, compress=False, **options) as writer:
        for contig, start, values in calls:
            writer.add(contig, start, np.array(values, np.float32))
    return path.read_text()


def scores(seed: int, length: int) -> np.ndarray:
    """Floats of every magnitude, plateaus, gaps and scattered holes."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**32, length, dtype=np.uint32)
    values = bits.view(np.float32)
    values = np.where(np.isfinite(values), values, np.float32(-0.0))
    values[rng.random(length) < 0.3] = rng.choice([0.0, -0.0, 0.5, 1e-30])
    for _ in range(rng.integers(0, 4)):
        start = rng.integers(0, length)
        values[start : start + rng.integers(0, length)] = rng.choice([NAN, 2.0])
    if rng.random() < 0.5:
        values[rng.random(length) < 0.2] = NAN
    return values


def feed(consumer, data: dict[str, np.ndarray], seed: int) -> None:
    rng = np.random.default_rng(seed)
    for contig, values in data.items():
        cuts = np.sort(rng.integers(0, len(values) + 1, rng.integers(0, 6)))
        start = 0
        for piece in np.split(values, cuts):
            consumer.add(contig, start, piece)
            start += len(piece)


def expand(records, length: int) -> np.ndarray:
    values = np.full(length, NAN, np.float32)
    reached = 0
    for start, stop, value in records:
        assert reached <= start < stop <= length
        values[start:stop] = value
        reached = stop
    return values


def assert_same_bits(found: np.ndarray, expected: np.ndarray) -> None:
    scored = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(found), ~scored)
    wanted = (expected[scored] + np.float32(0)).view(np.uint32)
    np.testing.assert_array_equal(found[scored].view(np.uint32), wanted)


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_equal_neighbours_are_one_row_also_across_calls(tmp_path: Path) -> None:
    text = bedgraph_text(tmp_path, ("a", 3, [0.5, 0.5]), ("a", 5, [0.5, 1]), ("b", 6, [1]))
    assert text == "a\t3\t6\t0.5\na\t6\t7\t1\nb\t6\t7\t1\n"


def test_unscored_positions_have_no_row_and_end_one(tmp_path: Path) -> None:
    text = bedgraph_text(tmp_path, ("a", 0, [NAN, 2, NAN, 2]), ("a", 9, [2, NAN]))
    assert text == "a\t1\t2\t2\na\t3\t4\t2\na\t9\t10\t2\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-2.25, "-2.25"),
        (0.1, "0.1"),
        (100.0, "100"),
        (123456.789, "123456.79"),
        (1e-4, "0.0001"),
        (-9.5e-5, "-9.5e-05"),
        (16777216.0, "16777216"),
        (3.4028235e38, "3.4028235e+38"),
        (1e15, "1000000000000000"),
        (1e16, "1e+16"),
        (1e-45, "1e-45"),
        (1.1754944e-38, "1.1754944e-38"),
    ],
)
def test_value_text_is_the_documented_form(tmp_path: Path, value: float, text: str) -> None:
    assert bedgraph_text(tmp_path, ("a", 0, [value])) == f"a\t0\t1\t{text}\n"


def test_value_text_is_the_shortest_that_reads_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 20_000, dtype=np.uint32)
    edges = (np.arange(1, 255, dtype=np.uint32) << 23) + np.arange(-1, 2)[:, None]
    values = np.concatenate([bits, edges.ravel().astype(np.uint32)]).view(np.float32)
    values = values[np.isfinite(values) & (values != 0)]
    path = tmp_path / "x.bedgraph"
    with BedGraphWriter(path, {"a": len(values)}, compress=False) as writer:
        writer.add("a", 0, values)
    texts = [line.split("\t")[3] for line in path.read_text().splitlines()]
    for text, value in zip(texts, values, strict=True):
        scientific = np.format_float_scientific(value, trim="-", exp_digits=2)
        plain = 1e-4 <= abs(float(scientific)) < 1e16
        assert text == (np.format_float_positional(value, trim="-") if plain else scientific)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 2**32 - 1))
def test_every_reader_gives_back_the_float32_that_went_in(seed: int, cut: int) -> None:
    data = {contig: scores(seed + i, n) for i, (contig, n) in enumerate(SIZES.items())}
    with tempfile.TemporaryDirectory() as folder:
        bedgraph, bigwig = Path(folder, "x.bedgraph.gz"), Path(folder, "x.bw")
        with BedGraphWriter(bedgraph, SIZES) as text, BigWigWriter(bigwig, SIZES) as binary:
            feed(text, data, cut)
            feed(binary, data, cut + 1)
        with (
            pysam.TabixFile(str(bedgraph)) as tabix,
            pyBigWig.open(str(bigwig)) as kent,
            pybigtools.open(str(bigwig)) as rust,
        ):
            assert kent.chroms() == SIZES
            assert rust.chroms() == SIZES
            for contig, values in data.items():
                length = SIZES[contig]
                rows = (
                    tabix.fetch(contig, parser=pysam.asTuple()) if contig in tabix.contigs else ()
                )
                parsed = ((int(row[1]), int(row[2]), np.float32(row[3])) for row in rows)
                assert_same_bits(expand(parsed, length), values)
                assert_same_bits(expand(kent.intervals(contig) or (), length), values)
                assert_same_bits(expand(rust.records(contig), length), values)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 2**32 - 1))
def test_output_does_not_depend_on_how_the_track_is_cut(seed: int, cut: int) -> None:
    data = {contig: scores(seed + i, n) for i, (contig, n) in enumerate(SIZES.items())}
    outputs = []
    for cuts in (0, cut):
        summary = TrackSummary(SIZES, {name: Bins(((0, n),), 7) for name, n in SIZES.items() if n})
        with tempfile.TemporaryDirectory() as folder:
            names = [Path(folder, name) for name in ("x.bw", "x.bedgraph.gz")]
            with BigWigWriter(names[0], SIZES) as binary, BedGraphWriter(names[1], SIZES) as text:
                for consumer in (binary, text, summary):
                    feed(consumer, data, cuts)
            files = [*names, Path(folder, "x.bedgraph.gz.tbi")]
            outputs.append([path.read_bytes() for path in files] + [summary.result()])
    assert outputs[0] == outputs[1]


def test_zoom_levels_agree_with_the_scores(tmp_path: Path) -> None:
    values = np.random.default_rng(1).standard_normal(20 * 32 * 4**4, dtype=np.float32)
    values[32 * 4**4 : 2 * 32 * 4**4] = NAN
    path = tmp_path / "x.bw"
    with BigWigWriter(path, {"a": len(values)}) as writer:
        writer.add("a", 0, values)
    bins = values.reshape(20, -1)
    with pyBigWig.open(str(path)) as kent:
        assert kent.header()["nLevels"] > 4
        assert kent.header()["nBasesCovered"] == np.count_nonzero(~np.isnan(values))
        for kind, expected in (
            ("mean", bins.mean(axis=1)),
            ("min", bins.min(axis=1)),
            ("max", bins.max(axis=1)),
            ("coverage", (~np.isnan(bins)).mean(axis=1)),
        ):
            found = kent.stats("a", type=kind, nBins=20)
            found = [NAN if x is None else x for x in found]
            wanted = np.where(np.isnan(expected), NAN, expected)
            np.testing.assert_allclose(np.nan_to_num(found), np.nan_to_num(wanted), atol=1e-6)


def test_total_of_extreme_scores_stays_finite(tmp_path: Path) -> None:
    path = tmp_path / "x.bw"
    with BigWigWriter(path, {"a": 100}) as writer:
        writer.add("a", 0, np.full(100, 3e38, np.float32))
    with pybigtools.open(str(path)) as rust:
        summary = rust.info()["summary"]
    assert np.isfinite(list(summary.values())).all()
    assert summary["max"] == pytest.approx(3e38)


def test_more_contigs_than_one_tree_node_holds(tmp_path: Path) -> None:
    sizes = {f"contig_{i}": 10 for i in range(FANOUT * FANOUT + 3)}
    path = tmp_path / "x.bw"
    some = {"contig_0": 1.0, "contig_999": 2.0, f"contig_{FANOUT * FANOUT + 2}": 3.0}
    with BigWigWriter(path, sizes) as writer:
        for contig, value in some.items():
            writer.add(contig, 4, np.array([value], np.float32))
    with pyBigWig.open(str(path)) as kent, pybigtools.open(str(path)) as rust:
        assert list(kent.chroms()) == list(sizes)
        assert rust.chroms() == sizes
        for contig, value in some.items():
            assert kent.intervals(contig) == ((4, 5, value),)
            assert list(rust.records(contig)) == [(4, 5, value)]


def test_more_sections_than_one_index_node_holds(tmp_path: Path) -> None:
    positions = range(0, 300 * FANOUT * BLOCK // 256, BLOCK)
    sizes = {"a": positions[-1] + BLOCK}
    path = tmp_path / "x.bw"
    assert len(positions) > FANOUT
    with BigWigWriter(path, sizes) as writer:
        for i, position in enumerate(positions):
            writer.add("a", position, np.array([i], np.float32))
    with pyBigWig.open(str(path)) as kent, pybigtools.open(str(path)) as rust:
        last = len(positions) - 1
        for i in (0, 1, FANOUT, last):
            expected = (positions[i], positions[i] + 1, float(i))
            assert kent.intervals("a", positions[i], positions[i] + 5) == (expected,)
            assert list(rust.records("a", positions[i], positions[i] + 5)) == [expected]


def test_track_without_any_score_is_valid(tmp_path: Path) -> None:
    bedgraph, bigwig = tmp_path / "x.bedgraph.gz", tmp_path / "x.bw"
    with BedGraphWriter(bedgraph, SIZES) as text, BigWigWriter(bigwig, SIZES) as binary:
        for writer in (text, binary):
            writer.add("chr10", 0, np.full(300, NAN, np.float32))
    assert gzip.decompress(bedgraph.read_bytes()) == b""
    with pysam.TabixFile(str(bedgraph)) as tabix:
        assert tabix.contigs == []
    with pyBigWig.open(str(bigwig)) as kent, pybigtools.open(str(bigwig)) as rust:
        assert kent.chroms() == rust.chroms() == SIZES
        assert kent.header()["nBasesCovered"] == 0
        assert kent.intervals("chr1") is None
        assert list(rust.records("chr1")) == []


def test_contig_beyond_the_reach_of_tbi_gets_csi(tmp_path: Path) -> None:
    path, far = tmp_path / "x.bedgraph.gz", 599_999_990
    with BedGraphWriter(path, {"big": 600_000_000}) as writer:
        writer.add("big", 5, np.array([1], np.float32))
        writer.add("big", far, np.array([2, 3], np.float32))
    assert left_in(tmp_path) == ["x.bedgraph.gz", "x.bedgraph.gz.csi"]
    with pysam.TabixFile(str(path), index=f"{path}.csi") as tabix:
        assert list(tabix.fetch("big", far, far + 1)) == [f"big\t{far}\t{far + 1}\t2"]


WRITERS = [("x.bedgraph.gz", BedGraphWriter), ("x.bw", BigWigWriter)]


@pytest.mark.parametrize(("name", "writer_class"), WRITERS)
@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ([("a", 0, [1, np.inf])], r"a:1 \(0-based\): infinite"),
        ([("a", 8, [1, 2, 3])], "end at 11, but the contig has 10 bases"),
        ([("a", -1, [1])], "a:-1"),
        ([("c", 0, [1])], "'c' is not in the list"),
        ([("a", 4, [1, 2]), ("a", 5, [1])], "6 is reached"),
        ([("b", 0, [1]), ("a", 0, [1])], "FASTA order, after b"),
    ],
)
def test_bad_input_is_refused_and_leaves_nothing(
    tmp_path: Path, name: str, writer_class: type[TrackWriter], calls, message: str
) -> None:
    def write() -> None:
        with writer_class(tmp_path / name, {"a": 10, "b": 10}) as writer:
            for contig, start, values in calls:
                writer.add(contig, start, np.array(values, np.float32))

    with pytest.raises(IntegrityError, match=message):
        write()
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(("name", "writer_class"), WRITERS)
def test_failure_keeps_the_files_of_an_earlier_run(
    tmp_path: Path, name: str, writer_class: type[TrackWriter]
) -> None:
    path = tmp_path / name

    def write(value: float) -> None:
        with writer_class(path, {"a": 10}) as writer:
            writer.add("a", 0, np.full(3, value, np.float32))

    write(1.0)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(IntegrityError, match="infinite"):
        write(np.inf)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("name", "writer_class"), WRITERS)
def test_full_disk_is_a_clear_error(
    tmp_path: Path, name: str, writer_class: type[TrackWriter]
) -> None:
    values = np.random.default_rng(0).standard_normal(100_000, dtype=np.float32)
    with (
        small_disk(50_000),
        pytest.raises(ResourceError, match=rf"{name}: cannot be written"),
        writer_class(tmp_path / name, {"a": len(values)}) as writer,
    ):
        writer.add("a", 0, values)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(("name", "writer_class"), WRITERS)
def test_missing_folder_is_a_clear_error(
    tmp_path: Path, name: str, writer_class: type[TrackWriter]
) -> None:
    with pytest.raises(ResourceError, match=rf"nowhere/{name}: cannot be written \(No such"):
        writer_class(tmp_path / "nowhere" / name, {"a": 10})


def test_bigwig_refuses_contigs_longer_than_its_coordinates(tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match="4,294,967,296 bases"):
        BigWigWriter(tmp_path / "x.bw", {"a": 2**32})
    assert left_in(tmp_path) == []


def test_bedgraph_refuses_a_contig_that_reads_as_a_comment(tmp_path: Path) -> None:
    with pytest.raises(SequenceError, match="'#a' would read as a comment"):
        BedGraphWriter(tmp_path / "x.bedgraph.gz", {"#a": 5})


def test_track_line_is_the_first_line_of_plain_text_only(tmp_path: Path) -> None:
    line = 'track type=bedGraph name="x"'
    assert bedgraph_text(tmp_path, ("a", 0, [1]), track_line=line) == f"{line}\na\t0\t1\t1\n"
    with pytest.raises(UsageError, match="cannot have a track line"):
        BedGraphWriter(tmp_path / "x.bedgraph.gz", {"a": 5}, track_line=line)


@pytest.mark.parametrize(("name", "compress"), [("x.bedgraph", True), ("x.bedgraph.gz", False)])
def test_name_and_compression_must_agree(tmp_path: Path, name: str, compress: bool) -> None:
    with pytest.raises(UsageError, match="the name must end in"):
        BedGraphWriter(tmp_path / name, {"a": 5}, compress=compress)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_peak_memory_does_not_grow_with_the_rows(kind: str) -> None:
    short, long = (measure(kind, rows).peak_memory for rows in (500_000, 4_000_000))
    # what grows, the index, takes less than a byte for ten rows
    assert long - short < 4 * 2**20


def test_chrom_sizes_keep_the_order_of_the_fasta(tmp_path: Path) -> None:
    path = tmp_path / "x.chrom.sizes"
    write_chrom_sizes(path, SIZES)
    assert path.read_text() == f"chr2\t{BLOCK + 2500}\nchr10\t300\nchr1\t4000\n"
    assert left_in(tmp_path) == ["x.chrom.sizes"]
