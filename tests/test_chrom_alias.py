"""Tables of contig names, as UCSC and NCBI publish them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from pgf_genome.errors import SequenceError
from pgf_genome.sequence import new_names

TWO_COLUMNS = "1\tchr1\n2\tchr2\n\nMT\tchrM\n"
UCSC_DATABASE = (
    "alias\tchrom\tsource\n1\tchr1\tensembl\nNC_000001.11\tchr1\trefseq\nMT\tchrM\tncbi\n"
)
UCSC_BIGZIPS = (
    "# ucsc\tassembly\tensembl\tgenbank\trefseq\n"
    "chr1\t1\t1\tCM000663.2\tNC_000001.11\n"
    "chrM\tMT\tMT\tJ01415.2\tNC_012920.1\n"
    "chrUn_x\t\t\tKI270752.1\t\n"
)
UCSC_HUB = (
    "# refseq\tassembly\tgenbank\tncbi\tucsc\n"
    "NC_048407.1\tchr01\tCM023106.1\t1\tchr1\nNC_9.1\tMT\tX1.1\tMT\tchrM\n"
)
NCBI_REPORT = (
    "# Assembly name:  GRCh38.p14\n"
    "# Sequence-Name\tSequence-Role\tAssigned-Molecule\tAssigned-Molecule-Location/Type\t"
    "GenBank-Accn\tRelationship\tRefSeq-Accn\tAssembly-Unit\tSequence-Length\tUCSC-style-name\r\n"
    "1\tassembled-molecule\t1\tChromosome\tCM000663.2\t=\tNC_000001.11\tPrimary\t9\tchr1\r\n"
    "MT\tassembled-molecule\tMT\tMitochondrion\tJ01415.2\t=\tNC_012920.1\tnon-nuclear\t9\tchrM\r\n"
    "HG1\tfix-patch\t1\tChromosome\tKN196472.1\t=\tna\tPATCHES\t9\tna\r\n"
)


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "aliases.txt"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (TWO_COLUMNS, {"MT": "chrM", "1": "chr1"}),
        (TWO_COLUMNS, {"chr1": "chr1"}),
        (UCSC_DATABASE, {"NC_000001.11": "chr1", "MT": "chrM"}),
        (UCSC_BIGZIPS, {"CM000663.2": "chr1", "MT": "chrM", "chrUn_x": "chrUn_x"}),
        (UCSC_BIGZIPS, {"1": "chr1", "KI270752.1": "chrUn_x"}),
        (UCSC_HUB, {"NC_048407.1": "chr1", "CM023106.1": "chr1"}),
        (NCBI_REPORT, {"NC_000001.11": "chr1", "J01415.2": "chrM"}),
        (NCBI_REPORT, {"1": "chr1", "MT": "chrM"}),
    ],
)
def test_new_names_are_found_in_every_kind_of_table(
    tmp_path: Path, text: str, names: dict[str, str]
) -> None:
    path = table(tmp_path, text)
    for old, new in names.items():
        assert new_names(path, [old]) == {old: new}


def test_the_order_is_that_of_the_contigs(tmp_path: Path) -> None:
    found = new_names(table(tmp_path, TWO_COLUMNS), ["MT", "1"])
    assert list(found.items()) == [("MT", "chrM"), ("1", "chr1")]


def test_a_compressed_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "chromAlias.txt.gz"
    path.write_bytes(gzip.compress(UCSC_DATABASE.encode()))
    assert new_names(path, ["MT"]) == {"MT": "chrM"}


@pytest.mark.parametrize(
    ("text", "contigs", "message"),
    [
        (TWO_COLUMNS, ["1", "3"], "no new name for contig '3'"),
        (NCBI_REPORT, ["HG1"], "no new name for contig 'HG1'"),
        (NCBI_REPORT, ["na"], "no new name for contig 'na'"),
        (UCSC_DATABASE, ["1", "NC_000001.11"], "contigs '1' and 'NC_000001.11' would both be"),
        ("1\tchr1\n1\tchrI\n", ["1"], "chr1 and chrI for contig '1'"),
        ("1 chr1\n", ["1"], "line 1 has 1 columns, separated by tabs"),
        ("1\tchr 1\n", ["1"], "line 1: 'chr 1' cannot be the name of a contig"),
        ("1\t#1\n", ["1"], "line 1: '#1' cannot be the name of a contig"),
        ("1\tchr\x1b[31m\n", ["1"], "line 1: 'chr\\x1b[31m' cannot be the name of a contig"),
        ("1\tchr\udcff\n", ["1"], "line 1: 'chr\ufffd' cannot be the name of a contig"),
        ("\x1f\udc8b", ["1"], "the gzip data is truncated or damaged"),
    ],
)
def test_what_cannot_be_renamed_is_one_clear_error(
    tmp_path: Path, text: str, contigs: list[str], message: str
) -> None:
    path = tmp_path / "aliases.txt"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SequenceError, match=r"aliases\.txt") as caught:
        new_names(path, contigs)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        SequenceError, match=r"cannot read the table of .*nothing\.txt: No such file"
    ):
        new_names(tmp_path / "nothing.txt", ["1"])
