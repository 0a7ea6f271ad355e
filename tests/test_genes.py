"""Genes of an annotation: their parts, what lies nearest, and their table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pgf_genome.report import lane
from pgf_genome.report.lane import lanes
from pgf_genome.runs.genes import RATIO, TOLERANCE, Measured, OnFeatures, _windows, write_genes
from pgf_genome.sequence.annotation import Annotation, read_annotation
from pgf_genome.sequence.parts import Near, Parts, Places
from pgf_genome.tracks.blocks import BLOCK

GFF = """\
chr1\tx\tregion\t1\t100\t.\t+\t.\tID=chr1:1..100;Name=ANONYMOUS
chr1\tx\tgene\t11\t40\t.\t-\t.\tID=gene-1;Name=thrA
chr1\tx\tmRNA\t11\t40\t.\t-\t.\tID=t1;Parent=gene-1;Name=NM_1
chr1\tx\tmRNA\t11\t30\t.\t-\t.\tID=t2;Parent=gene-1;Name=NM_2
chr1\tx\tCDS\t13\t18\t.\t-\t0\tID=p1;Parent=t1;Name=NP_1
chr1\tx\tCDS\t25\t30\t.\t-\t0\tID=p1;Parent=t1;Name=NP_1
chr1\tx\tCDS\t16\t20\t.\t-\t0\tID=p2;Parent=t2;Name=NP_2
chr1\tx\tCDS\t61\t66\t.\t+\t0\tName=NP_3;locus_tag=b7
chr1\tx\ttandem_repeat\t63\t90\t.\t.\t.\tID=tandem
chr1\tx\tsilencer\t95\t96\t.\t.\t.\tNote=nameless
"""


def annotation(path: Path, text: str = GFF, **lengths: int) -> Annotation:
    path.write_text(text)
    sizes = {"chr1": 100} | lengths
    return read_annotation(path, sizes, {name: name for name in sizes}.get, parts=True)


def test_parts_of_a_gene_are_joined_by_type_and_have_its_name(tmp_path):
    found = [(p.name, p.kind, p.spans) for p in annotation(tmp_path / "a").parts["chr1"]]
    assert found == [
        ("thrA", "gene", ((10, 40),)),
        ("thrA", "mRNA", ((10, 40),)),
        ("thrA", "CDS", ((12, 20), (24, 30))),
        ("b7", "CDS", ((60, 66),)),
        ("tandem", "tandem_repeat", ((62, 90),)),
        ("silencer", "silencer", ((94, 96),)),
    ]


def test_genes_alone_have_no_features_of_their_own_kind(tmp_path):
    names = [name for *_, name in annotation(tmp_path / "a").genes["chr1"].of(0, 100)]
    assert names == ["thrA", "b7"]


@pytest.mark.parametrize(
    ("position", "near"),
    [
        (13, Near("thrA", "CDS", 0)),
        (21, Near("thrA", "mRNA", 0)),
        (64, Near("b7", "CDS", 0)),  # shorter than the repeat
        (80, Near("tandem", "tandem_repeat", 0)),
        (9, Near("thrA", "downstream", 1)),
        (42, Near("thrA", "upstream", -3)),
        (55, Near("b7", "upstream", -5)),
        (92, Near("b7", "downstream", 27)),  # of a gene, though the repeat is nearer
    ],
)
def test_nearest_is_the_smallest_feature_or_else_a_gene(tmp_path, position, near):
    assert Places(annotation(tmp_path / "a").parts).near("chr1", position) == near


def test_contigs_that_only_one_side_has_are_named(tmp_path, caplog):
    places = Places(
        annotation(tmp_path / "a", f"{GFF}NC_2\tx\tgene\t1\t9\t.\t+\t.\tID=g", II=9).parts
    )
    assert places.near("II", 3) is None
    assert "1 of its contigs (NC_2) are not in the genome" in caplog.text
    assert "on 1 contigs of the genome (II)" in caplog.text
    caplog.clear()
    annotation(tmp_path / "a", GFF, II=9)
    assert caplog.text == ""


class Codes:
    """A genome of one contig, as far as features need it."""

    def __init__(self, codes: np.ndarray) -> None:
        self._codes = codes

    def codes(self, contig: str, start: int, stop: int) -> np.ndarray:
        return self._codes[start:stop]


LENGTH = BLOCK + 4000
PLANTED = Parts("planted", "CDS", "+", ((BLOCK - 300, BLOCK - 100), (BLOCK - 50, BLOCK + 200)), "a")
PLAIN = Parts("plain", "CDS", "-", ((20_000, 20_450),), "b")
SHORT = Parts("short", "exon", "-", ((5, 9), (30, 31)), "b")
UNSCORED = Parts("unscored", "CDS", "+", ((60_000, 60_400),), "c")
PARTS = {"c": [PLANTED, PLAIN, SHORT, UNSCORED]}


def measured(values: np.ndarray, codes: np.ndarray | None, pieces: int = 1) -> list[Measured]:
    genome = None if codes is None else Codes(codes)
    features = OnFeatures({"b": 9, "c": len(values), "d": 9}, PARTS, None, genome)
    for part in np.array_split(np.arange(len(values)), pieces):
        features.add("c", int(part[0]), values[part])
    features.add("d", 0, np.ones(9, np.float32))
    return features.result()


@pytest.fixture(scope="module")
def track() -> tuple[np.ndarray, np.ndarray]:
    """Values that are larger where a base is G or C, and in one feature; with the codes."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, LENGTH).astype(np.uint8)
    values = rng.standard_exponential(LENGTH).astype(np.float32) + np.isin(codes, (1, 2))
    for start, stop in PLANTED.spans:
        values[start:stop] += 1
    values[7] = -30
    values[60_000:60_400] = np.nan
    return values.astype(np.float32), codes


def test_features_have_the_mean_and_extreme_of_their_bases(track):
    values, codes = track
    planted, plain, short = measured(*track)
    for found, parts in ((planted, PLANTED), (plain, PLAIN), (short, SHORT)):
        at = np.concatenate([np.arange(*span) for span in parts.spans])
        assert found.parts is parts
        assert found.scored == len(at)
        assert found.mean == pytest.approx(values[at].mean(dtype=np.float64))
        assert found.gc == pytest.approx(np.isin(codes[at], (1, 2)).mean())
        assert found.highest_at == at[np.abs(values[at]).argmax()]
        assert found.highest == values[found.highest_at]
    assert short.highest == -30


def test_windows_are_those_of_length_and_composition(track):
    planted, plain, _ = measured(*track)
    assert planted.usual.windows > 1000
    assert planted.z > 10
    assert planted.p == 1 / (1 + planted.usual.windows)
    assert abs(plain.z) < 3
    assert plain.p > 0.01
    values, codes = track
    length = round(np.log(450) / np.log(RATIO))
    like = []
    for start, stop, _ in _windows("c", length, [(0, LENGTH)]).tolist():
        inside = ~np.isnan(values[start:stop])
        gc = np.isin(codes[start:stop][inside], (1, 2)).mean() if inside.any() else np.nan
        apart = stop <= 20_000 or start >= 20_450
        if apart and 2 * inside.sum() >= stop - start and abs(gc - plain.gc) <= TOLERANCE:
            like.append(values[start:stop][inside].mean(dtype=np.float64))
    assert plain.usual.windows == len(like)
    assert plain.usual.mean == pytest.approx(np.mean(like))
    assert plain.usual.deviation == pytest.approx(np.std(like))


def test_windows_lie_in_what_was_written():
    windows = _windows("c", 20, [(100, 110), (200, 300)])
    width = round(RATIO**20)
    assert set(windows[:, 0].tolist()) == {*range(100, 111 - width), *range(200, 301 - width)}
    assert (windows[:, 1] - windows[:, 0] == width).all()
    assert len(_windows("c", 60, [(100, 110), (200, 300)])) == 0


def test_features_do_not_depend_on_how_the_track_is_cut(track):
    assert measured(*track, pieces=37) == measured(*track)


def test_without_the_sequence_there_are_means_alone(track):
    found = measured(track[0], None)
    assert [each.usual for each in found] == [None] * 3
    assert np.isnan(found[0].gc)
    assert found[0].mean == measured(*track)[0].mean


def test_table_has_what_differs_most_first_and_ranks_by_type(tmp_path, track):
    rows = measured(*track)
    write_genes(tmp_path / "g.tsv", {"sensitivity": rows, "surprisal": rows[1:]}, "sensitivity")
    head, *lines = (line.split("\t") for line in (tmp_path / "g.tsv").read_text().splitlines())
    assert head[:6] == ["#contig", "start", "end", "gene", "rank", "strand"]
    assert [(row[3], row[4], row[6]) for row in lines] == [
        ("planted", "1", "CDS"), ("plain", "2", "CDS"), ("short", "1", "exon"),
    ]  # fmt: skip
    assert [row[head.index("mean_surprisal")] != "" for row in lines] == [False, True, True]
    assert {len(row) for row in lines} == {len(head)}


def test_lane_holds_genes_with_thick_parts_and_other_features(tmp_path, monkeypatch):
    places = Places(annotation(tmp_path / "a").parts)
    empty, drawn = lanes(places, ["none", "chr1"])
    assert empty == []
    assert drawn == [
        [10, 40, "thrA", "-", "", [12, 20, 24, 30]],
        [60, 66, "b7", "+", "", []],
        [62, 90, "tandem", ".", "tandem_repeat", []],
        [94, 96, "silencer", ".", "silencer", []],
    ]
    monkeypatch.setattr(lane, "MOST", 2)
    assert [feature[2] for feature in lanes(places, ["chr1"])[0]] == ["thrA", "tandem"]
