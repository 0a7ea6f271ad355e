from __future__ import annotations

import gzip
import io
import os
import sys
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
from pgf_genome.sequence import (
    Genome,
    decode_fasta,
    encode,
)

LETTERS = "ACGTUNRYKMSWBDHVacgtunrykmswbdhv"


def bgzip(data: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "data.gz")
        with bgzf.open(path, "wb") as file:
            file.write(data)
        return path.read_bytes()


def two_members(data: bytes) -> bytes:
    return gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :])


COMPRESSIONS = [bytes, gzip.compress, two_members, bgzip]


@pytest.fixture
def decode(tmp_path):
    """Decode bytes given as a file ``some.fa``."""

    def run(data: bytes, **options) -> Genome:
        source = tmp_path / "some.fa"
        source.write_bytes(data)
        return decode_fasta(source, tmp_path / "codes", **options)

    return run


@pytest.fixture
def refused(tmp_path, decode):
    """Check that bytes are refused in one line that names the file, and leave no scratch file."""

    def check(data: bytes, message: str, **options) -> None:
        with pytest.raises(SequenceError, match=message) as caught:
            decode(data, **options)
        assert "some.fa" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "codes").exists()

    return check


def all_codes(genome: Genome) -> dict[str, list[int]]:
    return {name: genome.codes(name, 0, size).tolist() for name, size in genome.lengths.items()}


records = st.dictionaries(
    st.text("chrXY|:_.1", min_size=1, max_size=6),
    st.text(LETTERS, min_size=1, max_size=80),
    min_size=1,
    max_size=4,
)


def in_lines(letters: str, width: int) -> list[str]:
    return [letters[start : start + width] for start in range(0, len(letters), width)]


def layout(draw, sequences: dict[str, str]) -> bytes:
    """The same records as FASTA text with random case, line length, line ends and blanks."""
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    width = draw(st.integers(1, 90))
    text = draw(st.sampled_from(["", "\ufeff", end]))
    for name, sequence in sequences.items():
        letters = draw(st.sampled_from([str.upper, str.lower, str.swapcase]))(sequence)
        lines = in_lines(letters, width)
        text += f">{name}{draw(st.sampled_from(['', ' ', ' a > b']))}{end}"
        text += draw(st.sampled_from([end, f" {end}", end + end])).join(lines) + end
    return text.removesuffix(draw(st.sampled_from(["", end]))).encode()


@settings(max_examples=150)
@given(st.data(), records)
def test_every_layout_compression_and_block_size_gives_the_same_genome(data, sequences):
    text = layout(data.draw, sequences)
    compressed = data.draw(st.sampled_from(COMPRESSIONS))(text)
    block = data.draw(st.sampled_from([1, 7, 64, 1 << 20]))
    expected = {name: encode(sequence).tolist() for name, sequence in sequences.items()}
    with tempfile.TemporaryDirectory() as folder:
        (source := Path(folder, "any.name")).write_bytes(compressed)
        plain = Path(folder, "plain")
        plain.write_text("".join(f">{name}\n{letters}\n" for name, letters in sequences.items()))
        with (
            decode_fasta(source, Path(folder, "a"), block=block) as genome,
            decode_fasta(plain, Path(folder, "b")) as reference,
        ):
            assert all_codes(genome) == expected
            assert genome.contigs == reference.contigs
            assert genome.digest == reference.digest


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_standard_input_is_read_and_stays_open(tmp_path, monkeypatch, compress):
    stdin = io.TextIOWrapper(io.BytesIO(compress(b">x\nACGT\n")))
    monkeypatch.setattr(sys, "stdin", stdin)
    with decode_fasta("-", tmp_path / "codes") as genome:
        assert all_codes(genome) == {"x": [0, 1, 2, 3]}
    assert not stdin.buffer.closed


def test_a_pipe_that_delivers_byte_by_byte_is_read(tmp_path):
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb", buffering=0) as file:
        for byte in gzip.compress(b">x\nACGT\n"):
            file.write(bytes([byte]))
    try:
        with decode_fasta(f"/dev/fd/{reader}", tmp_path / "codes") as genome:
            assert genome.lengths == {"x": 4}
    finally:
        os.close(reader)


def test_progress_adds_up_to_the_number_of_bases(decode):
    seen = []
    with decode(b">x\nACGTNNN\n>y\nAC\n", progress=seen.append, block=5):
        assert sum(seen) == 9


def test_contigs_count_their_n_and_ambiguous_codes(decode):
    with decode(b">x\nACRYN\n>y\nAC\n") as genome:
        counts = [
            (each.length, each.offset, each.n_count, each.ambiguous) for each in genome.contigs
        ]
        assert counts == [(5, 0, 3, 2), (2, 5, 0, 0)]
        assert genome.path.read_bytes() == bytes([0, 1, 4, 4, 4, 0, 1])


@pytest.mark.parametrize("contigs", [None, ["y"]])  # read through, and by the index
def test_lower_case_is_kept_beside_the_codes(tmp_path, contigs):
    (source := tmp_path / "a.fa").write_bytes(b">x\nACGT\n>y\nacGTnNrR\n")
    pysam.faidx(str(source))
    with decode_fasta(source, tmp_path / "codes", contigs, block=3) as genome:
        assert genome.codes("y", 0, 8).tolist() == [0, 1, 2, 3, 4, 4, 4, 4]
        lower = [True, True, False, False, True, False, True, False]
        assert genome.soft_masked("y", 0, 8).tolist() == lower
        assert genome.soft_masked("y", 1, 3).tolist() == lower[1:3]
        assert genome.contig("y").ambiguous == 2


def test_the_digest_tells_sequences_and_names_apart(decode):
    texts = [b">x\nACGT\n", b">x\nACGA\n", b">y\nACGT\n", b">x\nAC\n>y\nGT\n"]
    digests = set()
    for text in texts:
        with decode(text) as genome:
            digests.add(genome.digest)
    assert len(digests) == len(texts)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the FASTA is empty"),
        (b"\xef\xbb\xbf\n \n", "the FASTA is empty"),
        (b"ACGT\n>x\nACGT\n", "not a FASTA: no header"),
        (b"\x00\x01\x02\x93", "not a FASTA: no header"),
        (b"@read\nACGT\n+\nIIII\n", "this looks like FASTQ"),
        (b"BZh91AY", "this looks like bzip2"),
        (b"> \nACGT\n", "line 1: a header without a name"),
        (b">x\nAC\n>\nACGT\n", "line 3: a header without a name"),
        (b">x\nACGT\n>y\nAC\n>x z\nAC\n", "line 5: record 'x' is already on line 1"),
        (b">x\n\n>y\nACGT\n", "line 1: record 'x' has no sequence"),
        (b">x\nACGT\n>y\n", "line 3: record 'y' has no sequence"),
        (b">x\nACGT\n>y", "line 3: record 'y' has no sequence"),
        (b">x\nACGT\nAC>GT\n", "line 3: '>' inside a sequence line"),
        (b">P1\nMKV\nACLF\n", "line 3, record 'P1': 'L' is not.*is this a protein sequence"),
        (b">x\nAC-GT\n", "line 2, record 'x': '-' is an alignment gap"),
        (b">x\nAC1GT\n", "line 2, record 'x': '1' is not a nucleotide code$"),
        (b">x\nACGT\n\x00\xff\n", "line 3, record 'x': byte 0x00 .* binary file"),
        (b">x\xff\x00\nACGT\n", "line 1: the record name is not text"),
        (b">x" + b" " * (1 << 20), "line 1: the header has no end"),
    ],
)
@pytest.mark.parametrize("block", [7, 1 << 20])
def test_bad_fasta_is_refused_with_its_place(refused, data, message, block):
    refused(data, message, block=block)


@pytest.mark.parametrize("compress", [gzip.compress, two_members, bgzip])
def test_truncated_and_damaged_gzip_is_refused(refused, compress):
    rng = np.random.default_rng(2)
    data = compress(b">x\n" + rng.choice(list(b"ACGT"), 5000).astype(np.uint8).tobytes())
    refused(data[: len(data) // 2 + 50], "gzip data is truncated")
    middle = len(data) // 2
    refused(data[:middle] + bytes(80) + data[middle + 80 :], "gzip data is damaged|truncated")
    refused(b"\x1f\x00" + data[2:], "gzip data is damaged")


def test_an_unknown_contig_is_refused_with_close_names(refused):
    refused(b">chr1\nACGT\n", "no contig '1'; did you mean 'chr1'", contigs=["1"])


def test_a_file_without_read_permission_is_refused(tmp_path, monkeypatch):
    (source := tmp_path / "some.fa").write_text(">x\nACGT\n")
    opened = Path.open

    def locked(self, *args, **kwargs):
        """Permission bits do not bind root, who runs the tests in containers."""
        if self == source:
            raise PermissionError(13, "Permission denied", str(source))
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", locked)
    with pytest.raises(SequenceError, match=r"cannot read the FASTA .*Permission denied"):
        decode_fasta(source, tmp_path / "codes")


def test_missing_files_and_directories_are_refused(tmp_path):
    with pytest.raises(SequenceError, match=r"cannot read the FASTA .*absent.fa: No such file"):
        decode_fasta(tmp_path / "absent.fa", tmp_path / "codes")
    with pytest.raises(SequenceError, match="Is a directory"):
        decode_fasta(tmp_path, tmp_path / "codes")
    assert os.listdir(tmp_path) == []


def test_an_unwritable_scratch_is_refused(tmp_path):
    (source := tmp_path / "some.fa").write_text(">x\nACGT\n")
    with pytest.raises(ResourceError, match=r"cannot write .*absent.* scratch directory"):
        decode_fasta(source, tmp_path / "absent" / "codes")
    with pytest.raises(ResourceError, match="Is a directory"):
        decode_fasta(source, tmp_path)


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_full_disk_is_refused_and_nothing_is_left(tmp_path, size):
    (source := tmp_path / "some.fa").write_text(f">x\n{'A' * size}\n")
    full = pytest.raises(ResourceError, match=r"codes: File too large; choose a scratch")
    with small_disk(size - 1), full:
        decode_fasta(source, tmp_path / "codes")
    assert not (tmp_path / "codes").exists()
