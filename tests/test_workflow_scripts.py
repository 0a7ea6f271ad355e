"""The scripts of the Snakemake workflow, without Snakemake."""

from __future__ import annotations

import ast
import gzip
import importlib.util
import io
import json
import math
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pysam
import pytest
from finished import record
from hypothesis import given
from hypothesis import strategies as st

from pgf_genome.errors import SequenceError
from pgf_genome.runs.record import Contig
from pgf_genome.tracks import FORMATS, track_file

SCRIPTS = Path(__file__).parents[1] / "workflows" / "scripts"


def script(name: str) -> ModuleType:
    """A script of the workflow, as a module."""
    path = SCRIPTS / f"{name}.py"
    specification = importlib.util.spec_from_file_location(f"workflow_{name}", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_copied_fasta_has_the_same_records_and_a_right_index(tmp_path):
    text = b">a long name\nACGT\nac\nGGGTTT\r\n\n>b\nNN\n>empty\n>c\n A C \nG"
    with (tmp_path / "c.fa").open("wb") as file:
        found = script("genome").copy(io.BytesIO(text), file)
    assert (tmp_path / "c.fa").read_bytes() == b">a\nACGTacGGGTTT\n>b\nNN\n>empty\n\n>c\nACG\n"
    assert {name: length for name, (length, _) in found.items()} == {
        "a": 12, "b": 2, "empty": 0, "c": 3,
    }  # fmt: skip


def test_the_workflow_names_tracks_as_their_writer_does():
    """Snakemake may run where the package is not installed, so its rules repeat the suffixes."""
    rules = (SCRIPTS.parent / "rules" / "common.smk").read_text(encoding="utf-8")
    suffixes = ast.literal_eval(re.search(r"^SUFFIXES = (.*)$", rules, re.MULTILINE)[1])
    assert {kind: f"x.t.{suffix}" for kind, suffix in suffixes.items()} == {
        kind: track_file("x", "t", kind).name for kind in FORMATS
    }


def test_index_of_the_copy_is_that_of_samtools(tmp_path):
    genome = script("genome")
    files = SimpleNamespace(fasta=tmp_path / "c.fa", fai=tmp_path / "c.fa.fai")
    (tmp_path / "in.fa.gz").write_bytes(gzip.compress(b">a\nACG\nT\n>b\nGGG\nGG\n", mtime=0))
    given = SimpleNamespace(fasta=str(tmp_path / "in.fa.gz"))
    genome.main(
        SimpleNamespace(
            input=given, output=files, params=SimpleNamespace(md5=None), log=[tmp_path / "log"]
        )
    )
    ours = files.fai.read_text()
    files.fai.unlink()
    pysam.faidx(str(files.fasta))
    assert files.fai.read_text() == ours


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b"ACGT\n", "the first line does not begin with '>'"),
        (b">a\nA\n>a\nC\n", "record 2: its name 'a' is missing or taken"),
        (b">\nA\n", "record 1: its name '' is missing or taken"),
        (gzip.compress(b">a\n" + b"ACGT" * 50, mtime=0)[:-9], "end-of-stream"),
    ],
)
def test_fasta_that_cannot_be_copied_is_told_in_one_line(tmp_path, content, said):
    (tmp_path / "in.fa").write_bytes(content)
    job = SimpleNamespace(
        input=SimpleNamespace(fasta=str(tmp_path / "in.fa")),
        output=SimpleNamespace(fasta=tmp_path / "c.fa", fai=tmp_path / "c.fa.fai"),
        params=SimpleNamespace(md5=None),
        log=[tmp_path / "log"],
    )
    with pytest.raises(SystemExit):
        script("genome").main(job)
    line = (tmp_path / "log").read_text()
    assert line.startswith(f"{tmp_path}/in.fa: ")
    assert said in line
    assert line.count("\n") == 1


@given(
    lengths=st.lists(st.integers(1, 1000), min_size=1, max_size=40),
    group_bases=st.integers(1, 1200),
)
def test_groups_are_balanced_and_hold_every_contig_once(lengths, group_bases):
    contigs = {f"c{i}": length for i, length in enumerate(lengths)}
    groups = script("scatter").deal(contigs, group_bases)
    assert sorted(name for group in groups for name in group) == sorted(contigs)
    rank = {name: i for i, name in enumerate(contigs)}
    assert all(group == sorted(group, key=rank.get) for group in groups)
    assert [group[0] for group in groups] == sorted((g[0] for g in groups), key=rank.get)
    shared = [sum(map(contigs.get, group)) for group in groups if contigs[group[0]] < group_bases]
    assert len(shared) <= math.ceil(sum(shared) / group_bases)
    # the longest list that is filled greedily is no longer than the mean and one contig more
    assert max(shared, default=0) < 2 * group_bases
    assert all(len(group) == 1 for group in groups if contigs[group[0]] >= group_bases)


@pytest.mark.parametrize(
    ("bed", "targets", "expected"),
    [
        (None, None, ["a\t0\t50\n", "b\t0\t10\nc\t0\t20\n"]),
        ("b 1 2\na 3 4\nb\t5\t6\tname\n\n", None, ["a 3 4\n", "b 1 2\nb\t5\t6\tname\n"]),
        ("\ufeffb 1 2\r\n#x\r\na 3 4\r\n", None, ["a 3 4\n", "b 1 2\n"]),
        (None, "b:1-5", ["b\t0\t10\n"]),
    ],
)
def test_groups_hold_what_is_to_be_written(tmp_path, bed, targets, expected):
    (tmp_path / "fai").write_text("a\t50\t3\t50\t51\nb\t10\t3\t10\t11\nc\t20\t3\t20\t21\n")
    (tmp_path / "plan").write_text(json.dumps({"segments": [{"contig": "b"}]}))
    if bed is not None:
        (tmp_path / "in.bed").write_bytes(bed.encode())
    job = SimpleNamespace(
        input=SimpleNamespace(fai=tmp_path / "fai", plan=tmp_path / "plan"),
        output=SimpleNamespace(beds=tmp_path / "groups"),
        params=SimpleNamespace(
            bed=bed and str(tmp_path / "in.bed"), targets=targets, group_bases=40
        ),
    )
    script("scatter").main(job)
    assert [path.read_text() for path in sorted((tmp_path / "groups").iterdir())] == expected


def test_a_line_of_a_contig_that_is_not_there_is_refused(tmp_path):
    (tmp_path / "in.bed").write_text("a 3 4\nz 1 2\n")
    with pytest.raises(SequenceError, match=r"line 2: .*'z'"):
        script("scatter").bed_lines(str(tmp_path / "in.bed"), {"a": 50})


def test_summary_page_escapes_names_and_shows_large_numbers_whole(tmp_path):
    contigs = Contig("c", 3_099_441_038, 1, -4e9), Contig("d", 1, 0, None)
    run = record({}, model={"name": "<b>&"}, contigs=contigs)
    statistics = {"tism.A": {"scored": 7, "peaks": [{"contig": "c", "position": 8, "value": -1.5}]}}
    summary = script("summary")
    row = summary.row("g", run, statistics)
    assert (row["peaks"], row["bits_per_base"], row["objective_value"]) == (
        "c:9 (-1.5)",
        "",
        -4e9,
    )
    for name in ("report.html", "peaks.bed"):
        (tmp_path / f"g.{name}").touch()
    page = summary.page([row], tmp_path)
    assert '<a href="g.report.html">report</a> <a href="g.peaks.bed">peaks</a>' in page
    assert '<td class="text">&lt;b&gt;&amp;</td>' in page
    assert "<td>3,099,441,039</td>" in page
