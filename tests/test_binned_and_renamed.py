"""Tracks of bins, and contigs under other names, through the whole command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyBigWig
import pysam
import pytest
from models import assert_within

import pgf_genome as pgf

ORACLE = Path(__file__).parent / "oracles" / "hf_mamba_tiny"


@pytest.fixture(scope="module")
def fasta(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("in") / "in.fa"
    letters = np.random.default_rng(2).choice(list("ACGT"), 330)
    letters[40:43] = "N"
    path.write_text(f">c1 one\n{''.join(letters[:300])}\n>c2\n{''.join(letters[300:])}\n")
    return path


def run(folder: Path, fasta: Path, **options):
    chosen = {"tile": 64, "tracks": ("sensitivity",), "report": False}
    return pgf.attribute(fasta, pgf.load_model(ORACLE), folder / "x", **(chosen | options))


def values(path: Path, contig: str) -> np.ndarray:
    with pyBigWig.open(str(path)) as file:
        return np.array(file.values(contig, 0, file.chroms(contig)), np.float32)


def test_bins_hold_mean_and_maximum_of_the_scored_bases(tmp_path, fasta):
    done = run(tmp_path, fasta, bins=(50,))
    single = values(done.files["sensitivity.bigwig"], "c1")
    found = {
        kind: values(tmp_path / f"x.sensitivity.bin50.{kind}.bw", "c1") for kind in ("mean", "max")
    }
    for start in range(0, 300, 50):
        inside = single[start : start + 50]
        assert_within(1e-6, found["mean"][start], np.nanmean(inside.astype(float)))
        assert found["max"][start] == np.nanmax(inside)
    with pysam.TabixFile(str(tmp_path / "x.sensitivity.bin50.mean.bedgraph.gz")) as file:
        assert [row.split("\t")[1:3] for row in file.fetch("c2")] == [["0", "30"]]


def test_contigs_are_written_under_their_other_names(tmp_path, fasta):
    alias = tmp_path / "alias.tsv"
    alias.write_text("c1\tchr1\nc2\tchr2\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain = run(tmp_path / "a", fasta)
    renamed = run(tmp_path / "b", fasta, chrom_alias=alias, region=["c1:101-200"])
    found = values(renamed.files["sensitivity.bigwig"], "chr1")
    whole = values(plain.files["sensitivity.bigwig"], "c1")
    assert np.array_equal(found[100:200], whole[100:200])
    assert renamed.files["chrom.sizes"].read_text() == "chr1\t300\n"
    (contig,) = renamed.run["contigs"]
    assert (contig["contig"], contig["fasta_contig"]) == ("chr1", "c1")


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"bins": (1,)}, "`bins` must be at least 2, not 1"),
        ({"chrom_alias": "no-such-file"}, "no-such-file"),
    ],
)
def test_a_bad_option_is_one_clear_line(tmp_path, fasta, options, cause):
    with pytest.raises(pgf.PgfError, match=cause):
        run(tmp_path, fasta, **options)


def test_a_contig_without_another_name_is_an_error(tmp_path, fasta):
    alias = tmp_path / "alias.tsv"
    alias.write_text("c1\tchr1\n")
    with pytest.raises(pgf.PgfError, match="c2"):
        run(tmp_path, fasta, chrom_alias=alias)
