from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgf_genome.errors import IntegrityError, SequenceError, UsageError
from pgf_genome.sequence import (
    Contig,
    Genome,
    complement,
    decode_fasta,
    encode,
    reverse_complement,
    segments,
)


@pytest.fixture
def decode(tmp_path):
    def run(data: bytes) -> Genome:
        source = tmp_path / "some.fa"
        source.write_bytes(data)
        return decode_fasta(source, tmp_path / "codes")

    return run


def test_codes_are_read_within_a_contig_only(decode):
    with decode(b">x\nACGT\n>y\nNNTT\n") as genome:
        assert genome.codes("y", 1, 3).tolist() == [4, 3]
        assert genome.codes("x", 4, 4).tolist() == []
        for start, stop in [(-1, 2), (2, 5), (3, 2)]:
            with pytest.raises(IndexError, match="it has 4 bases"):
                genome.codes("x", start, stop)
        with pytest.raises(SequenceError, match="no contig 'z'"):
            genome.codes("z", 0, 1)


def test_a_code_file_of_another_size_is_refused(decode):
    with decode(b">x\nACGT\n") as genome:
        genome.path.write_bytes(b"\0\0")
        with pytest.raises(IntegrityError, match="is not what was written there"):
            genome.codes("x", 0, 4)
        with pytest.raises(IntegrityError, match="holds 2 bases where its contigs have 4"):
            Genome(genome.path, genome.contigs)


def naive_segments(codes: list[int], gap_length: int) -> list[tuple[int, int]]:
    kept = np.ones(len(codes), bool)
    position = 0
    for is_n, run in itertools.groupby(codes, lambda code: code == 4):
        stop = position + len(list(run))
        if is_n and stop - position >= gap_length:
            kept[position:stop] = False
        position = stop
    edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(int)))
    return [tuple(pair) for pair in edges.reshape(-1, 2).tolist()]


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from([0, 4]), st.integers(1, 12)), min_size=1, max_size=12),
    st.integers(1, 20),
    st.integers(1, 30),
)
def test_segments_are_what_lies_between_long_runs_of_n(runs, gap_length, block):
    codes = [code for code, length in runs for _ in range(length)]
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder, "codes")).write_bytes(bytes([4, 4, *codes, 4, 4]))
        contigs = [
            Contig("before", 2, 0, 0, 2, ""),
            Contig("x", len(codes), 2, 0, codes.count(4), ""),
            Contig("after", 2, 2 + len(codes), 0, 2, ""),
        ]
        with Genome(path, contigs) as genome:
            assert segments(genome, "x", gap_length, block) == naive_segments(codes, gap_length)


@pytest.mark.parametrize(
    ("letters", "expected"),
    [(b"A", [(0, 1)]), (b"N", [(0, 1)]), (b"NN", []), (b"NNA", [(2, 3)]), (b"ANN", [(0, 1)])],
)
def test_segments_of_the_smallest_contigs(decode, letters, expected):
    with decode(b">x\n" + letters) as genome:
        assert segments(genome, "x", gap_length=2) == expected


def test_a_gap_length_below_one_is_refused(decode):
    with decode(b">x\nA\n") as genome, pytest.raises(UsageError, match="at least 1, not 0"):
        segments(genome, "x", gap_length=0)


def test_letters_become_codes():
    assert encode("ACGTN acgtn Uu RYKMSWBDHV").tolist() == [0, 1, 2, 3, 4] * 2 + [3, 3] + [4] * 10
    with pytest.raises(SequenceError, match=r"character 3: 'E' is not .* protein"):
        encode("ACE")
    with pytest.raises(SequenceError, match="character 2"):
        encode("A€")


def test_complements_pair_the_bases_and_keep_n():
    assert complement(encode("ACGTN")).tolist() == encode("TGCAN").tolist()
    assert reverse_complement(encode("AACGN")).tolist() == encode("NCGTT").tolist()
    assert reverse_complement(encode("ACGTN")).dtype == np.uint8
