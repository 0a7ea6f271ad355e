"""A VCF that is scored in parts, and joined, is that of one run."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_vcf import line
from vcfs import CONTIGS, HEADER, MEANING, by_position, genome_file, records, scored

from pgf_genome.effects.parts import join, part_path, split
from pgf_genome.effects.scoring import score_vcf
from pgf_genome.effects.settings import Files
from pgf_genome.errors import IntegrityError, SequenceError

LENGTHS = {name: len(bases) for name, bases in CONTIGS.items()}


@pytest.fixture
def fasta(tmp_path) -> Path:
    return genome_file(tmp_path)


def in_parts(fasta: Path, vcf: bytes, bases: int, output: Path) -> list[list[str]]:
    """Split a VCF, score its parts, and join them; the contigs of the parts."""
    folder, whole = fasta.parent / "parts", fasta.parent / "whole.vcf"
    folder.mkdir(exist_ok=True)
    whole.write_bytes(vcf)
    groups = split(whole, LENGTHS, bases, folder)
    done = [str(folder / f"{i}.scored.vcf.gz") for i in range(len(groups))]
    for i, path in enumerate(done):
        score_vcf(fasta, Files(str(part_path(folder, i)), path), by_position, MEANING)
    join(whole, groups, done, str(output))
    return groups


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(line, max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    ended=st.booleans(),
    how=st.sampled_from([bytes, gzip.compress]),
    bases=st.sampled_from([1, 35, 1000]),
)
def test_the_joined_vcf_is_that_of_one_run(fasta, lines, end, ended, how, bases):
    lines = [*HEADER.splitlines(), "1\t3\t.\tG\tA\t.\t.\tAC=1", *lines]
    vcf = how((end.join(lines) + end * ended).encode())
    expected, _ = scored(fasta, vcf, "one.vcf.gz")
    joined = fasta.parent / "joined.vcf.gz"
    in_parts(fasta, vcf, bases, joined)
    assert gzip.decompress(joined.read_bytes()) == expected
    index, other = (fasta.parent / f"{name}.vcf.gz.tbi" for name in ("one", "joined"))
    assert index.exists() == other.exists()
    assert not index.exists() or index.read_bytes() == other.read_bytes()


def test_contigs_share_a_part_up_to_so_many_bases(fasta):
    vcf = records("2:1 G A", "1:3 G A", "chrUn:1 A C", "3:1 A C").encode()
    out = fasta.parent / "o.vcf"
    assert in_parts(fasta, vcf, 1, out) == [["1"], ["2"], ["3"]]
    assert in_parts(fasta, vcf, 41, out) == [["1", "2"], ["3"]]
    assert in_parts(fasta, vcf, 45, out) == [["1", "2", "3"]]
    assert in_parts(fasta, records("2:1 G A").encode(), 1, out) == [["2"]]


def test_parts_of_another_vcf_are_refused(fasta, tmp_path):
    groups = in_parts(fasta, records("1:3 G A", "2:1 G A").encode(), 1, tmp_path / "o.vcf")
    parts = [tmp_path / "parts" / f"{i}.scored.vcf.gz" for i in range(2)]
    for other in (records("1:5 T C", "2:1 G A"), records("1:3 G A")):
        (tmp_path / "other.vcf").write_text(other)
        with pytest.raises(IntegrityError, match="score"):
            join(tmp_path / "other.vcf", groups, parts, str(tmp_path / "p.vcf"))
        assert not (tmp_path / "p.vcf").exists()


def test_a_vcf_without_any_contig_of_the_genome_is_told_by_its_part(fasta, tmp_path):
    with pytest.raises(SequenceError, match="no record is on a contig of the FASTA"):
        in_parts(fasta, records("chr1:3 G A").encode(), 1, tmp_path / "o.vcf")
