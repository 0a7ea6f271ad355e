"""Genes of an annotation: their parts, what lies nearest, and their table."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgf_genome.sequence.annotation import Annotation, read_annotation
from pgf_genome.sequence.parts import Near, Places

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
