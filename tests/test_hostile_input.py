"""Input that once ended the program, took its memory or was read wrongly: fuzz.py found it."""

from __future__ import annotations

import gzip
import json
import os
import zipfile
from itertools import product
from pathlib import Path

import pytest
import torch
from finished import LENGTHS, write_run
from fuzz_targets import TARGETS
from vcfs import genome_file, records, scored

from pgf_genome import intervals, lines
from pgf_genome.browser.locus import opening_locus
from pgf_genome.checkpoints.files import read_weights
from pgf_genome.checkpoints.tokenizer import read_vocabulary
from pgf_genome.effects import vcf
from pgf_genome.errors import IntegrityError, ModelError, PgfError, SequenceError, UsageError
from pgf_genome.files import output_prefix
from pgf_genome.intervals import parse_site, read_bed
from pgf_genome.runs.storing import read_record
from pgf_genome.sequence.annotation import read_annotation
from pgf_genome.sequence.fasta import fasta_bytes
from pgf_genome.tracks.reading import read_track


def test_an_error_is_one_short_line_that_a_terminal_shows_as_it_is():
    said = str(PgfError(f"a\nb\x1b[31m\u202e\ud800 {'x' * 9000} advice"))
    assert said.startswith(r"a b\x1b[31m\u202e\ud800 xxx")
    assert said.endswith("xx advice")
    assert len(said) < 2100


def test_what_is_held_in_memory_is_bounded(tmp_path, monkeypatch):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"c\t0\t9\n" * 9))
    monkeypatch.setattr(intervals, "MOST", 8)
    with pytest.raises(SequenceError, match="more than 8 intervals"):
        read_bed(path, {"c": 9})
    monkeypatch.setattr(lines, "LONGEST", 5)
    with pytest.raises(SequenceError, match="line 1 has more than 5 letters"):
        read_bed(path, {"c": 9})
    monkeypatch.setattr(vcf, "MOST_ALTS", 2)
    with pytest.raises(SequenceError, match="line 3: 3 alternative alleles, where 2 are read"):
        scored(genome_file(tmp_path), records("1:3 G A,C,T"))
    monkeypatch.setattr(vcf, "LONGEST", 70)
    with pytest.raises(SequenceError, match="line 3 has more than 0 MB"):
        scored(genome_file(tmp_path), records(f"1:3 G {'A' * 70}"))


@pytest.mark.parametrize(
    ("row", "message"),
    [("1:1_0 G A", "POS is '1_0'"), ("1:+3 G A", "POS is"), ("1:3 G A\r", "a carriage return")],
)
def test_a_malformed_record_is_refused(tmp_path, row, message):
    with pytest.raises(SequenceError, match=f"line 3: {message}"):
        scored(genome_file(tmp_path), records(row))


@pytest.mark.parametrize("rows", ["c\t5\t3\t1\n", "c\t0\t9223372036854775807\t1\n", "c\t-2\t3\t1\n",
                                  "c\t4\t6\t1\nc\t2\t3\t1\n", "d\t1\t2\t1\nc\t1\t2\t1\n",
                                  "c\t0\t99999999999999999999999\t1\n"])  # fmt: skip
def test_rows_of_a_bedgraph_ascend_within_their_contig(tmp_path, rows):
    path = tmp_path / "t.bedgraph"
    path.write_text(rows)
    with pytest.raises(IntegrityError, match=r"t\.bedgraph: "):
        list(read_track(path, {"c": 9, "d": 9}))


def test_a_damaged_bedgraph_is_one_clear_error(tmp_path):
    path = tmp_path / "t.bedgraph.gz"
    path.write_bytes(gzip.compress(b"c\t0\t3\t0.5\n", mtime=0)[:10] + b"\xff" * 20)
    with pytest.raises(IntegrityError, match="cannot be read"):
        list(read_track(path, {"c": 9}))


def test_every_damaged_byte_of_a_bigwig_is_survived(tmp_path):
    """The library that read them ended the process on some of these."""
    path = Path(f"{write_run(tmp_path)}.surprisal.bw")
    whole = path.read_bytes()
    head = {*range(64), *range(64, len(whole), max(len(whole) // 300, 1))}
    refused = 0
    for at in sorted(head):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            list(read_track(path, LENGTHS))
        except IntegrityError:
            refused += 1
    assert refused > len(head) // 2


def test_browse_opens_at_the_largest_value(tmp_path):
    from finished import PEAK, write_fasta

    from pgf_genome.browser.scene import read_scene

    scene = read_scene(write_run(tmp_path, fasta=write_fasta(tmp_path / "g.fa")))
    locus = opening_locus(scene.tracks, LENGTHS)
    assert (locus.contig, locus.start + 50) == PEAK


GENE = "c\tx\tCDS\t1\t9\t.\t+\t0\t"


@pytest.mark.parametrize("table", ["\u00b2", "9" * 5000, "1_1", "-1"])
def test_a_translation_table_that_is_no_number_is_refused(tmp_path, table):
    (path := tmp_path / "g.gff").write_text(f"{GENE}ID=a;transl_table={table}\n")
    with pytest.raises(SequenceError, match="which is not one of NCBI's"):
        read_annotation(path, {"c": 9}, {"c": "c"}.get)


def test_names_of_genes_cannot_break_a_line(tmp_path):
    (path := tmp_path / "g.gff").write_text(f"{GENE}ID=a;gene=x%09y%0Az%1B\n")
    (found,) = read_annotation(path, {"c": 9}, {"c": "c"}.get).genes["c"].of(0, 9)
    assert found == (0, 9, "x y z ")


def test_long_attributes_and_long_lines_of_parents_take_linear_time(tmp_path):
    word = "a" * 200_000
    (path := tmp_path / "g.gtf").write_text(f'{GENE}gene_id "a"; transcript_id "t"; {word}\n')
    assert list(read_annotation(path, {"c": 9}, {"c": "c"}.get).genes) == ["c"]
    chain = "".join(f"c\tx\tgene\t1\t9\t.\t+\t.\tID={i};Parent={i + 1}\n" for i in range(5000))
    path.write_text(chain)
    assert len(read_annotation(path, {"c": 9}, {"c": "c"}.get).genes["c"].of(0, 9)) == 1


@pytest.mark.parametrize("text", ["c:5:>A", "c:5:A>", "c:5:>"])
def test_half_a_change_is_no_site(text):
    with pytest.raises(SequenceError, match="is not a site"):
        parse_site(text)


@pytest.mark.parametrize("value", [1e308, 10**400])
def test_a_huge_size_in_a_configuration_is_refused(tmp_path, value):
    TARGETS["config.json"].run(TARGETS["config.json"].seeds[0], tmp_path)
    config = json.loads((tmp_path / "config.json").read_bytes()) | {"expand": value}
    with pytest.raises(ModelError, match=r"expand"):
        TARGETS["config.json"].run(json.dumps(config).encode(), tmp_path)


def test_tokens_are_texts(tmp_path):
    vocabulary = [["A", 0], [7, 0], ["C", 0], ["G", 0], ["T", 0], ["N", 0]]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    with pytest.raises(ModelError, match="not an object from tokens to distinct ids"):
        read_vocabulary(tmp_path, 9)


def test_a_weight_file_never_holds_more_than_its_bytes(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.zeros(1).expand(1 << 20, 1 << 20)}, path)
    with pytest.raises(ModelError, match=r"pytorch_model\.bin are larger than the file"):
        read_weights(tmp_path)
    torch.save({"a": torch.zeros(100_000)}, plain := tmp_path / "plain")
    with zipfile.ZipFile(plain) as read, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for each in read.namelist():
            out.writestr(each, read.read(each))
    with pytest.raises(ModelError, match="is compressed"):
        read_weights(tmp_path)


def test_a_pipe_is_no_weight_file(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="is not a regular file"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        *product(["contig", "track"], ["a\nb", "\ud800", "\x1b[31m"]),
        ("track", "../x"),  # a contig may have that name; it is no part of a path
    ],
)
def test_names_in_a_record_can_be_shown_and_lead_nowhere(tmp_path, place, name):
    prefix = write_run(tmp_path)
    path = Path(f"{prefix}.run.json")
    facts = json.loads(path.read_text())
    if place == "contig":
        facts["contigs"][0]["contig"] = name
    else:
        facts["tracks"][name] = facts["tracks"].pop("surprisal")
    path.write_text(json.dumps(facts))
    with pytest.raises(IntegrityError, match="of a finished run"):
        read_record(prefix)


@pytest.mark.parametrize("name", ["a\nb", "x" * 201, "\udcff"])
def test_a_prefix_that_no_file_can_have_is_refused_at_once(tmp_path, name):
    with pytest.raises(UsageError, match="`out_prefix`"):
        output_prefix(f"{tmp_path}/{name}")


def test_a_folder_in_the_place_of_an_output_is_seen_at_once(tmp_path):
    (tmp_path / "x.report.html").mkdir()
    (tmp_path / "x.pgf-work").mkdir()
    with pytest.raises(UsageError, match=r"x\.report\.html is a folder"):
        output_prefix(tmp_path / "x")


def test_an_output_is_never_a_file_that_is_read(tmp_path):
    fasta = genome_file(tmp_path)
    before = fasta.read_bytes()
    with pytest.raises(UsageError, match="is a file that is read"):
        scored(fasta, records("1:3 G A"), "g.fa")
    assert fasta.read_bytes() == before
    with pytest.raises(UsageError, match="are the same file"):
        scored(fasta, records("1:3 G A"), "o.tsv", tsv=f"{tmp_path}/./o.tsv")


def test_a_record_that_is_nested_too_deeply_is_refused(tmp_path):
    prefix = write_run(tmp_path)
    path = Path(f"{prefix}.run.json")
    facts = json.loads(path.read_text())
    facts["model"]["name"] = json.loads("[" * 600 + "]" * 600)
    path.write_text(json.dumps(facts))
    with pytest.raises(IntegrityError, match="finished run"):
        read_record(prefix)


def test_what_follows_complete_gzip_data_is_left_out_with_a_warning(tmp_path, caplog):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b">a\nAC") + gzip.compress(b"GT\n") + b"garbage")
    assert b"".join(fasta_bytes(path)) == b">a\nACGT\n"
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: what follows the gzip data, which is complete, is left out"
    ]


@pytest.mark.parametrize(
    "data",
    [b"\x1f\x00abc", gzip.compress(b">a\nAC", mtime=0)[:-8] + bytes(8)],
    ids=["no member", "checksum"],
)
def test_gzip_data_with_a_wrong_checksum_or_none_is_damaged(tmp_path, data):
    path = tmp_path / "x.gz"
    path.write_bytes(data)
    with pytest.raises(SequenceError, match="the gzip data is damaged"):
        b"".join(fasta_bytes(path))
