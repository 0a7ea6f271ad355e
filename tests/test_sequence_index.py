from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pysam
import pytest
from Bio import bgzf
from hypothesis import given, settings
from hypothesis import strategies as st
from limits import small_disk

from pgf_genome.errors import ResourceError, SequenceError
from pgf_genome.sequence import BASES, decode_fasta, encode


def write_plain(path: Path, text: str) -> None:
    path.write_text(text)


def write_bgzip(path: Path, text: str) -> None:
    with bgzf.open(path, "wb") as file:
        file.write(text.encode())


@pytest.fixture
def source(tmp_path) -> Path:
    """An indexed FASTA of which the second record is damaged."""
    path = tmp_path / "a.fa"
    path.write_text(">good\nACGT\n>bad\nAC!T\n")
    pysam.faidx(str(path))
    return path


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.text("chrXY|:_.1", min_size=1, max_size=6),
        st.text("ACGTNRacgtn", min_size=1),
        min_size=1,
    ),
    st.data(),
)
def test_an_index_gives_the_same_contigs_as_streaming(sequences, data):
    width = data.draw(st.integers(1, 90))
    wanted = data.draw(st.sets(st.sampled_from(sorted(sequences))))
    write = data.draw(st.sampled_from([write_plain, write_bgzip]))
    block = data.draw(st.sampled_from([1, 7, 1 << 20]))
    text = ""
    for name, letters in sequences.items():
        lines = [letters[start : start + width] for start in range(0, len(letters), width)]
        text += "\n".join([f">{name} more", *lines, ""])
    with tempfile.TemporaryDirectory() as folder:
        indexed, bare = Path(folder, "indexed.fa"), Path(folder, "bare.fa")
        write(indexed, text)
        write(bare, text)
        pysam.faidx(str(indexed))
        files = sorted(os.listdir(folder))
        with (
            decode_fasta(indexed, Path(folder, "x"), contigs=wanted, block=block) as fetched,
            decode_fasta(bare, Path(folder, "y"), contigs=wanted, block=block) as streamed,
        ):
            assert fetched.contigs == streamed.contigs
            assert fetched.path.read_bytes() == streamed.path.read_bytes()
            assert list(fetched.lengths) == [name for name in sequences if name in wanted]
        assert sorted(os.listdir(folder)) == sorted([*files, "x", "y"])


def test_pieces_may_start_where_a_bgzip_block_of_65536_bytes_starts(tmp_path):
    letters = "".join(np.random.default_rng(1).choice(list(BASES), 200_000))
    source = tmp_path / "a.fa.gz"
    write_bgzip(source, f">x\n{letters}\n")
    pysam.faidx(str(source))
    with decode_fasta(source, tmp_path / "codes", contigs=["x"], block=65_533) as genome:
        assert np.array_equal(genome.codes("x", 0, 200_000), encode(letters))


def test_only_the_wanted_contigs_of_an_indexed_file_are_read(source, tmp_path):
    seen = []
    with decode_fasta(source, tmp_path / "codes", ["good"], seen.append, block=3) as genome:
        assert genome.codes("good", 0, 4).tolist() == [0, 1, 2, 3]
        assert seen == [3, 1]
    with pytest.raises(SequenceError, match="record 'bad', base 3: '!' is not a nucleotide"):
        decode_fasta(source, tmp_path / "codes", contigs=["bad"])


def test_an_index_older_than_its_fasta_is_not_used(source, tmp_path):
    source.write_text(">other\nAC\n>good\nTTTTT\n")
    os.utime(f"{source}.fai", (1, 1))
    with decode_fasta(source, tmp_path / "codes", contigs=["good"]) as genome:
        assert genome.lengths == {"good": 5}


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("good\t40\t6\t4\t5\n", "its index is of no use .*; remake it with: samtools faidx"),
        ("good\t6\t6\t9\t10\n", "its index is of no use .*another file.*; remake it"),
        ("good\t4\t16\t4\t5\n", "its index is of no use .*another file"),
        ("good\t3\t6\t4\t5\n", "its index is of no use .*another file"),
        ("good\t0\t6\t4\t5\n", "record 'good' has no sequence"),
        ("y\t4\t3\t4\t5\n", "its index is of no use .*another file"),
        ("bad\t4\t16\t4\t5\n", "its index is of no use .*does not list every record"),
        ("nonsense\n", "its index is of no use .*; remake it with: samtools faidx"),
    ],
)
def test_an_index_that_does_not_fit_is_refused_in_one_line(source, tmp_path, capfd, index, message):
    Path(f"{source}.fai").write_text(index)
    with pytest.raises(SequenceError, match=message) as caught:
        decode_fasta(source, tmp_path / "codes", contigs=["good"])
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
    assert not (tmp_path / "codes").exists()


@pytest.mark.parametrize("write", [write_plain, write_bgzip])
def test_a_newer_index_of_another_version_of_the_file_is_refused(tmp_path, write):
    source = tmp_path / "a.fa"
    write(source, ">one\nAAAA\n>two\nCCCC\n")
    pysam.faidx(str(source))
    index = Path(f"{source}.fai").read_text()
    write(source, ">two\nCCCC\n>one\nAAAA\n")
    pysam.faidx(str(source))
    Path(f"{source}.fai").write_text(index)
    with pytest.raises(SequenceError, match=r"its index is of no use .*another file"):
        decode_fasta(source, tmp_path / "codes", contigs=["one"])


def test_a_contig_that_an_index_rightly_lacks_is_unknown(source, tmp_path):
    with pytest.raises(SequenceError, match=r"no contig 'food'; did you mean 'good'"):
        decode_fasta(source, tmp_path / "codes", contigs=["food"])


def test_a_full_disk_is_not_taken_for_a_fault_of_the_index(source, tmp_path):
    with small_disk(1), pytest.raises(ResourceError, match="File too large"):
        decode_fasta(source, tmp_path / "codes", contigs=["good"])
