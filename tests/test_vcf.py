"""VCFs are kept record by record, and every allele has an effect or a reason why not."""

from __future__ import annotations

import gzip
import io
import os
import threading
from pathlib import Path

import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vcfs import HEADER, MEANING, by_position, genome_file, infos, records, scored, without

import pgf_genome as pgf
from pgf_genome.effects.scoring import score_vcf
from pgf_genome.effects.settings import Files
from pgf_genome.effects.vcf import Flag
from pgf_genome.errors import ResourceError, SequenceError, UsageError


@pytest.mark.parametrize(
    ("row", "flags"),
    [
        ("1:3 G .", "no_alt"),
        ("1:3 G <DEL>", "symbolic"),
        ("1:3 G <NON_REF>", "symbolic"),
        ("1:3 G *", "spanning_deletion"),
        ("1:3 G G[2:5[", "breakend"),
        ("1:3 G ]2:5]G", "breakend"),
        ("1:3 G .TC", "breakend"),
        ("1:3 G TC.", "breakend"),
        ("1:3 A C", "ref_differs"),
        ("2:7 A C", "ref_differs"),  # an N in the FASTA
        ("1:3 GTTA A", "ref_differs"),
        ("1:0 A C", "outside_contig"),
        ("1:-4 A C", "outside_contig"),
        ("1:31 A C", "outside_contig"),
        ("1:30 GA C", "outside_contig"),
        ("1:99999999999999999999 A C", "outside_contig"),
        ("2:7 N C", "not_acgt"),
        ("1:3 G R", "not_acgt"),
        ("1:3 G AN", "not_acgt"),
        ("1:3 G a-", "not_acgt"),
        ("1:3 G ", "empty_allele"),
        ("1:3  A", "empty_allele"),
        ("7:3 G A", "unknown_contig"),
        ("1:3 G A,*,,<DUP>,N,T", ".,spanning_deletion,empty_allele,symbolic,not_acgt,."),
        ("1:4 G A,*", "ref_differs,spanning_deletion"),
    ],
)
def test_what_cannot_be_scored_is_kept_with_the_reason(fasta, row, flags):
    vcf = records("1:5 T C", row)
    output, summary = scored(fasta, vcf)
    assert without(output) == vcf.encode()
    found = dict(field.split("=") for field in infos(output)[1].split(";"))
    assert found["PGF_FLAG"] == flags
    effects = found.get("PGF_EFFECT", "").split(",")
    if flags != "no_alt":
        assert [effect == "." for effect in effects] == [flag != "." for flag in flags.split(",")]
    reasons = [flag for flag in flags.split(",") if flag != "."]
    assert {str(flag): n for flag, n in summary.not_scored.items()} == dict.fromkeys(reasons, 1)
    assert summary.alleles == 1 + len(flags.split(","))


@pytest.fixture
def fasta(tmp_path) -> Path:
    return genome_file(tmp_path)


field = st.sampled_from(["AC=1", "DB", "AA=a|||", "X=PGF_EFFECT", "PGF_EFFECTS=3", "Q=;"[:1]])
row = st.tuples(
    st.sampled_from(["1", "2", "3", "chr9", "HLA*01:01"]),
    st.integers(0, 40),
    st.sampled_from(["A", "ac", "GGC", "N", "T"]),
    st.lists(st.sampled_from(["A", "CC", "*", "<DEL>", "", "N", "G"]), min_size=1, max_size=3),
    st.one_of(st.just("."), st.lists(field, min_size=1, max_size=3).map(";".join)),
    st.sampled_from(["", "\tGT:DP\t0|1:3\t./.:.", "\tGT\t\t"]),
)
line = st.one_of(
    row.map(lambda r: f"{r[0]}\t{r[1]}\tid\t{r[2]}\t{','.join(r[3])}\t5\tq\t{r[4]}{r[5]}"),
    st.sampled_from(["", "##a comment", "#CHROM\tPOS"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    lines=st.lists(line, max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    ended=st.booleans(),
    how=st.sampled_from([bytes, gzip.compress]),
    name=st.sampled_from(["o.vcf", "o.vcf.gz"]),
)
def test_the_output_without_our_fields_is_the_input(fasta, lines, end, ended, how, name):
    lines = [*HEADER.splitlines(), "1\t3\t.\tG\tA\t.\t.\tAC=1", *lines]
    vcf = (end.join(lines) + end * ended).encode()
    output, summary = scored(fasta, how(vcf), name)
    assert without(output) == vcf
    assert all("PGF_" in info for info in infos(output) if info)
    assert summary.records == sum("\tid\t" in each for each in lines) + 1
    # what is there already is replaced
    again, _ = scored(fasta, how(output), name)
    assert again == output


def test_line_ends_of_added_header_lines_are_those_of_the_file(fasta):
    output, _ = scored(fasta, records("1:3 G A").replace("\n", "\r\n"))
    assert output.count(b"\r\n") == output.count(b"\n") == 5


def test_older_fields_of_ours_are_replaced(fasta):
    older = "PGF_EFFECT=9;AC=1;PGF_GENE=x;PGF_FLAG=no_alt;PGF_CONSEQUENCE=y;PGF_OTHER=1"
    vcf = records("1:3 G A", info=older).replace(
        "#CHROM", '##INFO=<ID=PGF_EFFECT,Number=1,Type=String,Description="old">\n#CHROM'
    )
    output, _ = scored(fasta, vcf)
    assert infos(output) == ["AC=1;PGF_OTHER=1;PGF_EFFECT=3.1"]
    assert output.count(b"##INFO=<ID=PGF_EFFECT,") == 1
    assert b"old" not in output


def test_a_vcf_without_records_has_none_afterwards(fasta):
    output, summary = scored(fasta, HEADER, "o.vcf.gz")
    assert without(output) == HEADER.encode()
    assert (summary.records, summary.alleles) == (0, 0)


def test_ten_thousand_alternatives_in_one_record(fasta):
    alts = [f"G{'ACGT'[i % 4] * (i // 4 + 1)}" for i in range(10_000)]
    output, summary = scored(fasta, records(f"1:3 G {','.join(alts)}"))
    assert infos(output)[0] == "PGF_EFFECT=" + ",".join(f"{3 + len(alt) / 10:.6g}" for alt in alts)
    assert summary.alleles == 10_000


GZIPPED = gzip.compress(records(*["1:3 G A"] * 2000).encode(), mtime=0)


@pytest.mark.parametrize(
    ("vcf", "said"),
    [
        (b"", "the VCF is empty"),
        (GZIPPED[:-20], "the gzip data is truncated"),
        (GZIPPED[:40] + b"\xff" * 5 + GZIPPED[45:], "the gzip data is damaged"),
        (b"BCF\x02\x02junk", "the BCF is truncated or damaged"),
        (gzip.compress(b"BCF\x02\x02junk", mtime=0), "the BCF is truncated or damaged"),
        (b"BCF\x04junk", "not a VCF but BCF of samtools 0.1; convert it with"),
        (b">1\nACGT\n", "not a VCF but FASTA; the order is FASTA, VCF"),
        (b"BZh9junk", "bzip2; decompress it first"),
        (b"1\t3\t.\tG\tA\t.\t.\t.\n", "it starts with '1\\t3\\t.\\tG\\tA"),
        (b"\x00\xff\x00", "not a VCF with its header"),
        (b"##fileformat=VCFv4.2\n1\t3\t.\tG\tA\t.\t.\t.\n", "line 2: the header ends without"),
        (b"##fileformat=VCFv4.2\n", "line 2: the header ends without"),
        ((HEADER + "1 3 . G A . . .\n").encode(), "line 3: 1 columns, separated by tabs"),
        ((HEADER + "\n1\t3\t.\tG\tA\t.\t.\n").encode(), "line 4: 7 columns"),
        (records("1:x G A").encode(), "line 3: POS is 'x', which is not a whole number"),
    ],
)  # fmt: skip
def test_what_is_no_vcf_is_an_error_of_one_line(fasta, vcf, said):
    with pytest.raises(SequenceError) as error:
        scored(fasta, vcf)
    assert said in str(error.value)
    assert str(fasta.parent / "in.vcf") in str(error.value)
    assert "\n" not in str(error.value)
    assert sorted(path.name for path in fasta.parent.iterdir()) == ["g.fa", "in.vcf"]


def test_bgzip_that_is_cut_between_two_blocks_is_truncated(fasta, tmp_path):
    with pysam.BGZFile(str(tmp_path / "x.vcf.gz"), "wb") as file:
        file.write(records(*["1:3 G A"] * 9000).encode())
    whole = (tmp_path / "x.vcf.gz").read_bytes()
    assert scored(fasta, whole)[1].records == 9000
    size = int.from_bytes(whole[16:18], "little") + 1
    with pytest.raises(SequenceError, match="the gzip data is truncated"):
        scored(fasta, whole[:size])


@pytest.mark.parametrize("how", ["wb", "wb0"])  # BGZF, and BGZF that is not compressed
def test_bcf_is_read_as_the_vcf_that_it_holds(fasta, tmp_path, how, monkeypatch):
    contigs = "".join(f"##contig=<ID={name}>\n" for name in "12")
    number = '##INFO=<ID=AF,Number=1,Type=Float,Description="x">\n'
    rows = records("2:3 C A", "1:3 G A,*", "1:4 T N", info="AF=0.25")
    vcf = rows.replace("#CHROM", f"{contigs}{number}#CHROM")
    (tmp_path / "a.vcf").write_text(vcf)
    with (
        pysam.VariantFile(str(tmp_path / "a.vcf")) as text,
        pysam.VariantFile(str(tmp_path / "a.bcf"), how, header=text.header) as binary,
    ):
        for record in text:
            binary.write(record)
    bcf = (tmp_path / "a.bcf").read_bytes()
    output, summary = scored(fasta, bcf)
    assert infos(output) == infos(scored(fasta, vcf)[0])
    assert summary.records == 3
    assert list((tmp_path).glob("*bcf.vcf")) == []
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bcf)))
    score_vcf(fasta, Files("-", str(tmp_path / "p.vcf")), by_position, MEANING)
    assert (tmp_path / "p.vcf").read_bytes() == output
    with pytest.raises(SequenceError, match="the BCF is truncated or damaged"):
        scored(fasta, bcf[:-30])


def test_a_file_that_is_not_there_is_named(fasta):
    with pytest.raises(SequenceError, match=r"cannot read the VCF .*none.vcf: No such file"):
        score_vcf(fasta, Files("none.vcf", str(fasta.parent / "o.vcf")), by_position, MEANING)


def test_standard_input_and_pipes_are_read(fasta, tmp_path, monkeypatch):
    vcf, out = gzip.compress(records("1:3 G A").encode()), str(tmp_path / "o.vcf")
    expected, _ = scored(fasta, vcf)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(vcf)))
    score_vcf(fasta, Files("-", out), by_position, MEANING)
    assert Path(out).read_bytes() == expected
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(vcf))
    writer.start()
    score_vcf(fasta, Files(str(tmp_path / "pipe"), out), by_position, MEANING)
    writer.join()
    assert Path(out).read_bytes() == expected
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(SequenceError, match="standard input is closed"):
        score_vcf(fasta, Files("-", out), by_position, MEANING)


def test_standard_output_is_a_vcf(fasta, capfdbinary):
    expected, _ = scored(fasta, records("1:3 G A"))
    score_vcf(fasta, Files(str(fasta.parent / "in.vcf"), "-"), by_position, MEANING)
    assert capfdbinary.readouterr().out == expected


@pytest.mark.parametrize("far", [False, True])
def test_sorted_output_is_indexed(fasta, far):
    # a record past the end of a contig may lie farther than a .tbi reaches
    rows = ["2:3 C A", "1:3 G A", "1:3 G T", "1:9 AG C", *["1:600000000 A C"] * far]
    vcf = records(*rows).replace("#CHROM", "##contig=<ID=2>\n##contig=<ID=1>\n#CHROM")
    scored(fasta, vcf, "o.vcf.gz")
    path = str(fasta.parent / "o.vcf.gz")
    assert [Path(path + suffix).exists() for suffix in (".tbi", ".csi")] == [not far, far]
    with pysam.VariantFile(path) as file:
        assert [r.pos for r in file.fetch("1", 0, 20)] == [3, 3, 9]
        (record,) = file.fetch("1", 8, 20)
        assert record.info["PGF_EFFECT"] == pytest.approx((9.1,))
        head = file.header.info["PGF_EFFECT"]
        assert (head.number, head.type) == ("A", "Float")
        for part in ("ALT minus that with REF, nats", "Strand both", "near 16", "tiny", "ab" * 32):
            assert part in head.description
        assert pgf.__version__ in str(head.record)


@pytest.mark.parametrize("rows", [("1:9 A C", "1:3 G A"), ("1:9 A C", "2:3 C A", "1:10 G A")])
def test_unsorted_output_has_no_index_and_says_so(fasta, caplog, rows):
    index = fasta.parent / "o.vcf.gz.tbi"
    scored(fasta, records("1:3 G A"), "o.vcf.gz")
    assert index.exists()
    output, summary = scored(fasta, records(*rows), "o.vcf.gz")
    assert without(output) == records(*rows).encode()
    assert not index.exists()
    assert not summary.is_sorted
    assert "has no index: the records are not sorted" in caplog.text


def test_what_tabix_cannot_index_is_written_all_the_same(fasta, caplog):
    vcf = HEADER + "\n1\t3\t.\tG\tA\t.\t.\t.\n"
    output, _ = scored(fasta, vcf, "o.vcf.gz")
    assert without(output) == vcf.encode()
    assert not list(fasta.parent.glob("o.vcf.gz.*"))
    assert "o.vcf.gz has no index (building of index for" in caplog.text


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"output": "."}, "`output` '.' is a folder: add a name for the file"),
        ({"output": "x.bcf"}, "BCF is not written; name a .vcf.gz"),
        ({"output": "x.vcf", "tsv": "x.txt"}, "`tsv` x.txt: the name of a table ends in .tsv"),
        ({"output": "x.tsv", "tsv": "x.tsv"}, "`output` and `tsv` are the same file"),
    ],
)
def test_outputs_are_checked_before_anything_is_read(files, said):
    with pytest.raises(UsageError) as error:
        Files("in.vcf", **files)
    assert said in str(error.value)


def test_the_input_is_never_the_output(fasta):
    vcf = records("1:3 G A")
    with pytest.raises(UsageError, match="is a file that is read"):
        scored(fasta, vcf, "in.vcf")
    assert (fasta.parent / "in.vcf").read_text() == vcf


def test_a_genetic_code_is_one_of_ncbi(fasta):
    with pytest.raises(UsageError, match="`genetic_code` 99 is not one of NCBI's"):
        scored(fasta, records("1:3 G A"), genetic_code=99)


def test_a_folder_that_takes_no_files_is_named(fasta, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match="`output`: no file can be made in"):
        scored(fasta, records("1:3 G A"), "file/o.vcf")


@pytest.mark.data
def test_every_record_of_a_published_vcf_is_kept(real_data, tmp_path):
    folder, out = real_data / "human", str(tmp_path / "z.vcf.gz")
    files = Files(str(folder / "z.vcf.gz"), out)
    summary = score_vcf(folder / "z.fa", files, by_position, MEANING)
    assert without(gzip.decompress(Path(out).read_bytes())) == gzip.decompress(
        (folder / "z.vcf.gz").read_bytes()
    )
    assert summary.records == 28_998
    assert summary.flags == {Flag.SCORED: 29_120, Flag.SYMBOLIC: 24}
    with pysam.VariantFile(out) as read:
        assert sum(len(record.info["PGF_EFFECT"]) for record in read.fetch("z")) == 29_144
