"""Sites: the strongest positions, away from N and ends, with their surroundings, as narrowPeak."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pgf_genome as pgf
from pgf_genome.errors import IntegrityError
from pgf_genome.intervals import Interval
from pgf_genome.runs.sites import (
    EDGE,
    FLANK,
    Site,
    edges_of,
    read_summits,
    sites_around,
    write_peaks,
)
from pgf_genome.sequence import N_CODE, store_codes
from pgf_genome.sequence.shuffle import dinucleotide_shuffle
from pgf_genome.tracks import Peak

ORACLE = Path(__file__).parent / "oracles" / "hf_mamba_tiny"
NARROW_PEAK = ["chrom", "start", "end", "name", "score", "strand", "signal", "p", "q", "peak"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([0, 0, 0, 0, 0, 0, N_CODE]), min_size=1, max_size=70), st.data())
def test_edges_are_the_positions_near_an_n_or_an_end(tmp_path_factory, codes, data):
    start, stop = sorted(data.draw(st.lists(st.integers(0, len(codes)), min_size=2, max_size=2)))
    path = tmp_path_factory.mktemp("codes") / "codes"
    with store_codes(np.array(codes, np.uint8), path, "c") as genome:
        found = edges_of(genome)("c", start, stop).tolist()
    walls = [i for i, code in enumerate(codes) if code == N_CODE] + [-1, len(codes)]
    assert found == [any(abs(p - w) <= EDGE for w in walls) for p in range(start, stop)]


def sites(values: list[float], summit: int, **options) -> list[Site]:
    array = np.array(values, np.float32)
    peaks = [Peak("c", summit, float(array[summit]))]

    def values_in(windows: list[Interval]) -> list[np.ndarray]:
        return [array[w.start : w.stop] for w in windows]

    return sites_around(peaks, {"c": len(values)}, values_in, **options)


@pytest.mark.parametrize(
    ("values", "summit", "span"),
    [
        ([0, 4, 8, 4, 0], 2, (1, 4)),
        ([0, 4, 3, 3, 8, 3, 3, 3, 4], 4, (1, 5)),  # two in a row are bridged, three are not
        ([-4, 4, -8, np.nan, -4], 2, (0, 5)),  # of one sign
        ([8] * 200, 100, (100 - FLANK, 101 + FLANK)),
    ],
)
def test_a_site_reaches_as_far_as_half_of_its_summit(values, summit, span):
    (site,) = sites(values, summit)
    assert (site.span.start, site.span.stop, site.summit) == (*span, summit)


def test_neighbouring_sites_are_read_apart():
    array = np.zeros(400, np.float32)
    array[[100, 228, 300]] = 3, -2, 1
    asked = []

    def values_in(windows):
        asked.extend(windows)
        return [array[w.start : w.stop] for w in windows]

    peaks = [Peak("c", at, float(array[at])) for at in (228, 100, 300)]
    found = sites_around(peaks, {"b": 5, "c": 400}, values_in, {("c", 300)})
    assert [(s.summit, s.value, s.edge) for s in found] == [
        (100, 3, False), (228, -2, False), (300, 1, True),
    ]  # fmt: skip
    assert asked == [
        Interval("c", 100 - FLANK, 101 + FLANK),
        Interval("c", 228 - FLANK, 301 + FLANK),
    ]


def test_peaks_are_narrow_peak_and_are_read_back(tmp_path):
    given = [
        Site(Interval("c", 3, 9), 5, -2.0),
        Site(Interval("d", 0, 1), 0, 4.0, edge=True),
    ]
    write_peaks(path := tmp_path / "p.bed", given, None)
    assert path.read_text() == (
        "c\t3\t9\tsite2\t500\t.\t-2\t-1\t-1\t2\nd\t0\t1\tsite1|edge\t1000\t.\t4\t-1\t-1\t0\n"
    )
    assert read_summits(path) == [Peak("d", 0, 4.0), Peak("c", 5, -2.0)]
    path.write_text("c\t3\n")
    with pytest.raises(IntegrityError, match=r"p\.bed: cannot be read .* report writes it again"):
        read_summits(path)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, N_CODE), max_size=60), st.integers(0, 2**32 - 1))
def test_a_shuffle_keeps_every_dinucleotide_and_both_ends(codes, seed):
    shuffled = dinucleotide_shuffle(np.array(codes, np.uint8), np.random.default_rng(seed)).tolist()
    assert Counter(pairwise(shuffled)) == Counter(pairwise(codes))
    assert (shuffled[:1], shuffled[-1:]) == (codes[:1], codes[-1:])


def test_all_sequences_with_the_same_dinucleotides_are_drawn_alike():
    random = np.random.default_rng(0)
    drawn = Counter(
        "".join(map(str, dinucleotide_shuffle(np.array([0, 1, 0, 2, 0, 1, 1]), random)))
        for _ in range(1200)
    )
    # 0 to 1 or 2 and back, and the second 1 after either 1
    assert set(drawn) == {"0102011", "0110201", "0201011", "0201101"}
    assert min(drawn.values()) > 200


GFF = "c\tx\tgene\t401\t700\t.\t-\t.\tID=g;Name=thrA\nd\tx\tCDS\t1\t9\t.\t+\t0\tID=p;gene=thrB\n"


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over a contig with a run of N, lower case and a gene."""
    folder = tmp_path_factory.mktemp("sites")
    letters = np.random.default_rng(1).choice(list("ACGT"), 1500)
    letters[300:340] = "N"
    text = "".join(letters)
    (folder / "in.fa").write_text(f">c\n{text[:900]}{text[900:].lower()}\n>d\nACGTACGTACGT\n")
    (folder / "g.gff").write_text(GFF)
    run = pgf.attribute(
        *(folder / "in.fa", ORACLE, folder / "x"),
        gff=folder / "g.gff",
        shuffled=300,
        tile=256,
        report=False,
    )
    return run.prefix


def test_sites_of_a_run_are_away_from_n_and_ends_and_named_by_genes(prefix):
    run = pgf.open_run(prefix)
    peaks = pd.read_csv(run.files["peaks"], sep="\t", names=NARROW_PEAK)
    summit = peaks["start"] + peaks["peak"]
    assert (peaks["chrom"] == "c").all()
    assert summit.between(EDGE, 1500 - EDGE - 1).all()
    assert not summit.between(300 - EDGE, 339 + EDGE).any()
    assert (peaks["name"][summit.between(400, 699)] == "thrA").all()
    last = peaks.iloc[-1]
    assert last["name"] == f"thrA:{699 - summit.iloc[-1]}"  # upstream of a gene on the minus strand
    again = run.peaks()
    assert sorted(again["start"]) == sorted(summit)
    by_strength = peaks.sort_values("signal", ascending=False)["signal"].round(4).tolist()
    assert again["sensitivity"].round(4).tolist() == pytest.approx(by_strength)


def test_genes_of_a_run_are_a_table(prefix):
    genes = pd.read_csv(pgf.open_run(prefix).files["genes"], sep="\t")
    assert genes[["#contig", "start", "end", "gene", "strand", "feature"]].values.tolist() == [
        ["c", 400, 700, "thrA", "-", "gene"], ["d", 0, 9, "thrB", "+", "CDS"],
    ]  # fmt: skip
    values = pgf.open_run(prefix).values("contribution", "c:401-700")
    assert genes["mean_contribution"][0] == pytest.approx(values.mean(), rel=1e-4)
    assert genes["windows"][0] > 100
    assert np.isnan(genes["z"][1])


def test_quantiles_tell_all_masked_and_shuffled_bases(prefix):
    run = pgf.open_run(prefix)
    groups = run.record.quantiles["sensitivity"]
    assert {name: each.bases for name, each in groups.items()} == {
        "all": 1472, "soft_masked": 600, "other": 872, "shuffled": 150,
    }  # fmt: skip
    values = np.concatenate([run.values("sensitivity", "c"), run.values("sensitivity", "d")])
    exact = np.nanquantile(values, groups["all"].levels, method="inverted_cdf")
    np.testing.assert_allclose(groups["all"].values, exact, rtol=0.01)


def test_report_draws_the_tables_again_and_a_run_without_genes_removes_theirs(
    command, prefix, tmp_path
):
    shutil.copytree(prefix.parent, folder := tmp_path / "copy")
    before = {path.name: path.read_bytes() for path in folder.glob("x.*")}
    copy = folder / "x"
    (folder / "x.genes.tsv").unlink()
    (folder / "x.peaks.bed").unlink()
    assert command("report", copy).code == 0
    assert {name: (folder / name).read_bytes() for name in before} == before
    page = (folder / "x.report.html").read_text()
    assert "thrA, gene" in page
    assert "Shuffled sequence has the same dinucleotides" in page
    assert command("report", copy, "-o", tmp_path / "p.html", "--keep-edges").code == 0
    assert "|edge" in (tmp_path / "p.peaks.bed").read_text()
    assert {name: (folder / name).read_bytes() for name in before} == before
    pgf.attribute(folder / "in.fa", ORACLE, copy, tile=256, tracks="surprisal", report=False)
    assert not (folder / "x.genes.tsv").exists()
    assert not (folder / "x.peaks.bed").exists()


@pytest.mark.skipif(shutil.which("bedtools") is None, reason="needs bedtools")
def test_bedtools_reads_peaks_and_genes(prefix):
    files = pgf.open_run(prefix).files
    asked = [
        "bedtools",
        "intersect",
        "-s",
        "-wa",
        "-wb",
        "-a",
        files["genes"],
        "-b",
        files["genes"],
    ]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 2
    asked = ["bedtools", "intersect", "-u", "-a", files["peaks"], "-b", files["genes"]]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert {line.split("\t")[3] for line in done.stdout.splitlines()} == {"thrA"}
