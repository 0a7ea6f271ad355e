from __future__ import annotations

import gzip
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgf_genome.errors import SequenceError
from pgf_genome.intervals import Interval, merge, parse_region, read_bed, read_stranded_bed

LENGTHS = {"chr1": 1000, "chr2": 50, "HLA:A*01-02|x": 30, "chr1:5-6": 9}


@pytest.fixture
def bed(tmp_path):
    def write(text: str | bytes):
        path = tmp_path / "some.bed"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (6, 5)])
def test_an_interval_is_never_negative_empty_or_reversed(start, stop):
    with pytest.raises(SequenceError, match=f"chr1 from {start} to {stop}"):
        Interval("chr1", start, stop)


def test_an_interval_prints_as_a_region_and_has_a_length():
    interval = Interval("chr1", 1000, 2000)
    assert str(interval) == "chr1:1001-2000"
    assert interval.length == len(interval) == 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chr1", ("chr1", 0, 1000)),
        ("chr1:500", ("chr1", 499, 1000)),
        ("chr1:500-", ("chr1", 499, 1000)),
        ("chr1:500-900", ("chr1", 499, 900)),
        ("chr1:1-1,000", ("chr1", 0, 1000)),
        ("chr1:7-7", ("chr1", 6, 7)),
        ("HLA:A*01-02|x", ("HLA:A*01-02|x", 0, 30)),
        ("HLA:A*01-02|x:2-3", ("HLA:A*01-02|x", 1, 3)),
        ("{HLA:A*01-02|x}", ("HLA:A*01-02|x", 0, 30)),
        ("{HLA:A*01-02|x}:2-3", ("HLA:A*01-02|x", 1, 3)),
        ("chr1:5-6", ("chr1:5-6", 0, 9)),
        ("{chr1}:5-6", ("chr1", 4, 6)),
    ],
)
def test_regions_are_read_as_samtools_reads_them(text, expected):
    assert parse_region(text, LENGTHS) == Interval(*expected)


@given(st.data())
def test_a_printed_interval_parses_to_itself(data):
    contig = data.draw(st.sampled_from(["chr1", "chr2", "HLA:A*01-02|x"]))
    start = data.draw(st.integers(0, LENGTHS[contig] - 1))
    stop = data.draw(st.integers(start + 1, LENGTHS[contig]))
    interval = Interval(contig, start, stop)
    assert parse_region(str(interval), {"chr1": 1000, "chr2": 50, "HLA:A*01-02|x": 30}) == interval


@pytest.mark.parametrize("text", ["chr2:0-5", "chr2:9-5", "chr2:1-51", "chr2:51", "chr2:0"])
def test_a_range_outside_its_contig_is_refused_with_the_length(text):
    with pytest.raises(SequenceError, match="not a range within chr2, which has 50 bases"):
        parse_region(text, LENGTHS)


@pytest.mark.parametrize(
    "text", ["chr2:", "chr2:-5", "chr2:a-b", "chr2:1-2-3", "chr2:²", "{chr2}:"]
)
def test_a_malformed_range_is_refused_with_the_syntax(text):
    with pytest.raises(SequenceError, match="is not a range; write chr2:START-END"):
        parse_region(text, LENGTHS)


def test_an_unknown_contig_is_refused_with_close_names():
    yeast = dict.fromkeys(("I", "II", "III", "Mito"), 9)
    with pytest.raises(SequenceError, match=r"no contig 'chrI'; did you mean 'I'\?.* all: 4"):
        parse_region("chrI:1-5", yeast)
    with pytest.raises(SequenceError, match=r"'mito'; did you mean 'Mito'\?"):
        parse_region("mito", yeast)
    with pytest.raises(
        SequenceError, match="'NC_1'; contigs in all: 4, the first: 'I', 'II', 'III'"
    ):
        parse_region("NC_1:1-5", yeast)


BED_TEXT = (
    "#comment\nbrowser position chr1:1-5\ntrack name=x\n\n"
    "chr2\t0\t50\tname\t0\t+\r\nchr1 5 6\n  \nchr1\t999\t1000"
)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_bed_lines_are_read_in_order_whatever_the_separators(bed, compress):
    path = bed(compress(BED_TEXT.encode()))
    assert read_bed(path, LENGTHS) == [
        Interval("chr2", 0, 50),
        Interval("chr1", 5, 6),
        Interval("chr1", 999, 1000),
    ]


def test_the_sixth_column_of_a_bed_file_is_the_strand(bed):
    path = bed(
        b"chr2\t0\t50\tname\t0\t-\textra\nchr2\t0\t9\tname\t0\t+\n"
        b"chr2\t1\t9\tname\t0\t.\nchr2\t2\t9\nchr1 5 6 name 0 -\n"
    )
    assert [each.strand for each in read_stranded_bed(path, LENGTHS)] == list("-+++-")
    assert [each.interval for each in read_stranded_bed(path, LENGTHS)] == read_bed(path, LENGTHS)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1\t5", "2 columns where BED needs three"),
        ("chr1\t5\tx", "'x' is not an integer"),
        ("chr1\t1_0\t20", "'1_0' is not an integer"),
        ("chr1\t1.5\t20", "'1.5' is not an integer"),
        ("chr1\t7\t5", "7 to 5 is not an interval within chr1, which has 1000 bases"),
        ("chr1\t5\t5", "5 to 5 is not an interval"),
        ("chr1\t-1\t5", "-1 to 5 is not an interval"),
        ("chr1\t5\t1001", "5 to 1001 is not an interval"),
        ("1\t5\t6", "no contig '1'; did you mean 'chr1'"),
    ],
)
def test_a_bad_bed_line_is_refused_with_file_and_line(bed, line, message):
    path = bed(f"chr1\t0\t1\n# comment\n{line}\n")
    with pytest.raises(SequenceError, match=f"some.bed, line 3: .*{message}"):
        read_bed(path, LENGTHS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no intervals"),
        (b"# nothing\n", "no intervals"),
        (b"\xff\xfe\x00chr1", "not a BED file"),
        (gzip.compress(b"chr1\t0\t1\n", mtime=0)[:-6], "gzip data is truncated or damaged"),
    ],
)
def test_a_bed_file_without_intervals_is_refused(bed, content, message):
    with pytest.raises(SequenceError, match=f"some.bed: .*{message}"):
        read_bed(bed(content), LENGTHS)


def test_a_missing_bed_file_is_refused(tmp_path):
    with pytest.raises(SequenceError, match=r"absent.bed: No such file"):
        read_bed(tmp_path / "absent.bed", LENGTHS)


def test_merging_joins_what_overlaps_or_touches_and_keeps_the_order_of_contigs():
    given_ = [("b", 5, 9), ("a", 1, 3), ("b", 0, 2), ("a", 3, 4), ("b", 6, 7), ("a", 6, 8)]
    expected = [("b", 0, 2), ("b", 5, 9), ("a", 1, 4), ("a", 6, 8)]
    assert merge(Interval(*each) for each in given_) == [Interval(*each) for each in expected]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(1, 8))))
def test_merging_keeps_every_base_and_leaves_a_gap_between_intervals(raw):
    intervals = [Interval(contig, start, start + length) for contig, start, length in raw]
    merged = merge(intervals)

    def bases(some):
        return {(each.contig, at) for each in some for at in range(each.start, each.stop)}

    assert bases(merged) == bases(intervals)
    for left, right in itertools.pairwise(merged):
        assert left.contig != right.contig or left.stop < right.start
