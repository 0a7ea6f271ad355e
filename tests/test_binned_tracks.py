"""Summary tracks: mean and maximum of bins, as files beside the track itself."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pybigtools
import pyBigWig
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgf_genome.errors import IntegrityError, UsageError
from pgf_genome.tracks import BinnedTrack, TrackFormat
from pgf_genome.tracks.blocks import BLOCK, BlockConsumer

NAN = np.nan
SIZES = {"a": BLOCK + 777, "b": 40, "c": 3 * BLOCK}


def plain(folder: Path, values: dict[str, list[float]], width: int) -> dict[str, str]:
    """Text of every bedGraph by name, of contigs of ten bases."""
    sizes = dict.fromkeys(values, 10)
    form = TrackFormat(formats=["bedgraph"], compress=False, bins=[width])
    with ExitStack() as stack:
        files, takers = form.open(stack, folder / "x", "t", sizes)
        for contig, scores in values.items():
            for taker in takers:
                taker.add(contig, 0, np.array(scores, np.float32))
    assert {path.name for path in folder.iterdir()} == {path.name for path in files.values()}
    return {name: path.read_text() for name, path in files.items()}


def test_a_bin_is_one_row_and_the_last_ends_with_the_contig(tmp_path: Path) -> None:
    texts = plain(tmp_path, {"a": [1, 2, 3, 6, 5, 5, 5, 5, -2, -4]}, 4)
    assert texts["t.bin4.mean.bedgraph"] == "a\t0\t4\t3\na\t4\t8\t5\na\t8\t10\t-3\n"
    assert texts["t.bin4.max.bedgraph"] == "a\t0\t4\t6\na\t4\t8\t5\na\t8\t10\t-2\n"


def test_only_scored_positions_count_and_a_bin_without_any_has_no_row(tmp_path: Path) -> None:
    texts = plain(tmp_path, {"a": [NAN, 2, NAN, 4] + [NAN] * 4, "b": [NAN] * 9 + [7]}, 4)
    assert texts["t.bin4.mean.bedgraph"] == "a\t0\t4\t3\nb\t8\t10\t7\n"
    assert texts["t.bin4.max.bedgraph"] == "a\t0\t4\t4\nb\t8\t10\t7\n"


def test_files_are_named_after_track_width_and_statistic(tmp_path: Path) -> None:
    with ExitStack() as stack:
        files, _ = TrackFormat(bins=[50, 7, 50]).open(stack, tmp_path / "x", "t", {"a": 9})
    assert {kind: path.name for kind, path in files.items()} == {
        "t.bedgraph": "x.t.bedgraph.gz",
        "t.bigwig": "x.t.bw",
        "t.bin50.mean.bedgraph": "x.t.bin50.mean.bedgraph.gz",
        "t.bin50.mean.bigwig": "x.t.bin50.mean.bw",
        "t.bin50.max.bedgraph": "x.t.bin50.max.bedgraph.gz",
        "t.bin50.max.bigwig": "x.t.bin50.max.bw",
        "t.bin7.mean.bedgraph": "x.t.bin7.mean.bedgraph.gz",
        "t.bin7.mean.bigwig": "x.t.bin7.mean.bw",
        "t.bin7.max.bedgraph": "x.t.bin7.max.bedgraph.gz",
        "t.bin7.max.bigwig": "x.t.bin7.max.bw",
    }


@pytest.mark.parametrize(
    ("formats", "said"),
    [
        ([], "no format: choose from bedgraph, bigwig"),
        (["bigwig", "wig"], "unknown format wig: choose from bedgraph, bigwig"),
    ],
)
def test_a_format_that_nobody_writes_is_refused(formats: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=f"^{said}$"):
        TrackFormat(formats)


def expected(values: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and maximum of every base's bin, by the definition."""
    means, maxima = np.full((2, len(values)), NAN, np.float32)
    for start in range(0, len(values), width):
        part = values[start : start + width]
        scored = part[~np.isnan(part)].astype(np.float64)
        if len(scored):
            means[start : start + width] = scored.mean()
            maxima[start : start + width] = scored.max()
    return means, maxima


@settings(max_examples=8, deadline=None)
@given(
    width=st.sampled_from([2, 31, 1000, BLOCK - 1, BLOCK, 3 * BLOCK]) | st.integers(2, 4 * BLOCK),
    seed=st.integers(0, 2**32 - 1),
)
def test_bins_are_those_of_the_definition_in_every_reader(width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = {contig: rng.standard_normal(n).astype(np.float32) for contig, n in SIZES.items()}
    data["a"][:BLOCK] = NAN
    data["c"][rng.random(len(data["c"])) < 0.5] = NAN
    with tempfile.TemporaryDirectory() as folder:
        with ExitStack() as stack:
            files, takers = TrackFormat(bins=[width]).open(stack, f"{folder}/x", "t", SIZES)
            for contig, values in data.items():
                for taker in takers:
                    middle = len(values) // 3
                    taker.add(contig, 0, values[:middle])
                    taker.add(contig, middle, values[middle:])
        for place, statistic in enumerate(("mean", "max")):
            name = f"t.bin{width}.{statistic}"
            bedgraph, bigwig = str(files[f"{name}.bedgraph"]), str(files[f"{name}.bigwig"])
            with (
                pyBigWig.open(bigwig) as kent,
                pybigtools.open(bigwig) as rust,
                pysam.TabixFile(bedgraph) as tabix,
            ):
                for contig, values in data.items():
                    wanted = expected(values, width)[place]
                    found = kent.values(contig, 0, len(values), numpy=True)
                    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)
                    rows = list(rust.records(contig))
                    np.testing.assert_array_equal(spread(rows, len(values)), found)
                    rows = [row.split("\t")[1:] for row in tabix.fetch(contig)]
                    rows = [(int(a), int(b), np.float32(value)) for a, b, value in rows]
                    np.testing.assert_array_equal(spread(rows, len(values)), found)


def spread(rows, length: int) -> np.ndarray:
    values = np.full(length, NAN, np.float32)
    for start, stop, value in rows:
        values[start:stop] = value
    return values


def test_plateaus_are_rows_of_a_bigwig(tmp_path: Path) -> None:
    path, values = tmp_path / "x.t.bw", np.full(BLOCK + 10, NAN, np.float32)
    values[5:50], values[50:90], values[BLOCK - 3 : BLOCK + 4] = 1, -2, 0.5
    with ExitStack() as stack:
        form = TrackFormat(formats=["bigwig"])
        _, (writer,) = form.open(stack, tmp_path / "x", "t", {"a": len(values)})
        writer.add("a", 0, values)
    rows = ((5, 50, 1.0), (50, 90, -2.0), (BLOCK - 3, BLOCK, 0.5), (BLOCK, BLOCK + 4, 0.5))
    with pyBigWig.open(str(path)) as kent, pybigtools.open(str(path)) as rust:
        assert kent.intervals("a") == rows
        assert tuple(rust.records("a")) == rows
        assert kent.intervals("a", 60, 61) == ((50, 90, -2.0),)
        assert kent.stats("a", 0, 100, type="coverage") == [0.85]


class Failing(BlockConsumer):
    def _consume(self, rank: int, start: int, block: np.ndarray) -> None:
        raise AssertionError("the last bin was handed on although the track failed")


def test_a_failed_track_hands_no_bin_on() -> None:
    def fail() -> None:
        with BinnedTrack("t", {"a": 10}, 4, [Failing("t", {"a": 10})], []) as track:
            track.add("a", 0, np.array([1, 2], np.float32))
            track.add("a", 2, np.array([np.inf], np.float32))

    with pytest.raises(IntegrityError, match="infinite"):
        fail()


@pytest.mark.parametrize("width", [-1, 0, 1])
def test_a_bin_of_less_than_two_bases_is_refused(width: int) -> None:
    with pytest.raises(UsageError, match=f"a bin must be at least 2 bases wide, not {width}"):
        BinnedTrack("t", {"a": 10}, width, [], [])


def test_a_track_line_holds_no_quotation_mark_and_no_line_end(tmp_path: Path) -> None:
    form = TrackFormat(formats=["bedgraph"], compress=False, track_line=True)
    with ExitStack() as stack:
        files, _ = form.open(stack, tmp_path / 'my "x"', "t", {"a": 9}, 'of "F"\nper base')
    assert files["t.bedgraph"].read_text() == (
        "track type=bedGraph name=\"my 'x' t\" description=\"of 'F' per base\" "
        "visibility=full autoScale=on alwaysZero=on\n"
    )
