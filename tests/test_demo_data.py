"""The demonstration genome is what its script, its annotation and its README say."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from Bio import SeqIO
from Bio.Seq import Seq

from pgf_genome.sequence import decode_fasta

DATA = Path(__file__).parents[1] / "data"
with (DATA / "demo.fa").open(encoding="ascii") as handle:
    CONTIGS = {record.id: str(record.seq) for record in SeqIO.parse(handle, "fasta")}


@dataclass(frozen=True)
class Planted:
    """One line of the GFF3; `text` is the sequence read along the feature's strand."""

    contig: str
    kind: str
    first: int
    last: int
    strand: str
    phase: str
    attributes: dict[str, str]
    text: str


def planted() -> dict[str, Planted]:
    """The features of demo.gff3 by ID."""
    features = {}
    for line in (DATA / "demo.gff3").read_text(encoding="ascii").splitlines():
        if line.startswith("#"):
            continue
        contig, _, kind, first, last, _, strand, phase, column9 = line.split("\t")
        attributes = dict(pair.split("=") for pair in column9.split(";"))
        text = CONTIGS[contig][int(first) - 1 : int(last)]
        if strand == "-":
            text = str(Seq(text).reverse_complement())
        assert attributes["ID"] not in features
        features[attributes["ID"]] = Planted(
            contig, kind, int(first), int(last), strand, phase, attributes, text
        )
    return features


FEATURES = planted()
GENES = [name for name, feature in FEATURES.items() if feature.kind == "CDS"]


def test_script_reproduces_the_files_byte_for_byte(tmp_path: Path) -> None:
    subprocess.run([sys.executable, DATA / "make_demo.py", tmp_path], check=True)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {name: (DATA / name).read_bytes() for name in ("demo.fa", "demo.gff3")}


def test_contigs_decode_without_warning(tmp_path: Path) -> None:
    with decode_fasta(DATA / "demo.fa", tmp_path / "codes") as genome:
        assert genome.lengths == {"demo1": 20_000, "demo2": 8_000}
        assert [contig.ambiguous for contig in genome.contigs] == [0, 0]
        assert [contig.n_count for contig in genome.contigs] == [40, 0]


def test_gff3_declares_the_contigs_and_is_sorted() -> None:
    lines = (DATA / "demo.gff3").read_text(encoding="ascii").splitlines()
    regions = [f"##sequence-region {name} 1 {len(text)}" for name, text in CONTIGS.items()]
    assert lines[: len(regions) + 1] == ["##gff-version 3", *regions]
    places = [(feature.contig, feature.first) for feature in FEATURES.values()]
    assert places == sorted(places)
    assert all(1 <= f.first <= f.last <= len(CONTIGS[f.contig]) for f in FEATURES.values())


def test_genes_lie_on_both_strands() -> None:
    assert {FEATURES[name].strand for name in GENES} == {"+", "-"}


@pytest.mark.parametrize("name", GENES)
def test_gene_is_one_open_reading_frame(name: str) -> None:
    gene = FEATURES[name]
    # With cds=True Biopython checks start codon, stop codon, frame and the absence of other stops.
    protein = Seq(gene.text).translate(table=11, cds=True)
    assert gene.text.startswith("ATG")
    assert gene.text.endswith("TAA")
    assert gene.phase == "0"
    assert len(protein) == len(gene.text) / 3 - 1


@pytest.mark.parametrize("name", GENES)
def test_shine_dalgarno_motif_lies_seven_bases_before_the_start_codon(name: str) -> None:
    gene, motif = FEATURES[name], FEATURES[f"{name}.sd"]
    assert (motif.contig, motif.strand, motif.text) == (gene.contig, gene.strand, "AGGAGG")
    if gene.strand == "+":
        assert gene.first - motif.last - 1 == 7
    else:
        assert motif.first - gene.last - 1 == 7


def test_codons_are_biased_as_in_e_coli() -> None:
    codons = [codon for name in GENES for codon in re.findall("...", FEATURES[name].text)]
    # CTG makes half of the leucine codons of E. coli, CTA 4 % and AGG 2 % of the arginines.
    assert codons.count("CTG") > 8 * codons.count("CTA")
    assert codons.count("CGC") > 8 * codons.count("AGG")


def test_second_copy_repeats_the_first_8_kb_away() -> None:
    first, second = FEATURES["repeat.1"], FEATURES["repeat.2"]
    assert second.attributes["copy_of"] == "repeat.1"
    assert second.first - first.first == 8_000
    assert len(first.text) == 300
    assert second.text == first.text
    assert CONTIGS["demo1"].count(first.text) == 2


def test_hairpin_folds_back_on_itself() -> None:
    hairpin = FEATURES["hairpin"]
    assert len(hairpin.text) == 20 + 8 + 20
    assert hairpin.text[-20:] == str(Seq(hairpin.text[:20]).reverse_complement())


def test_tandem_repeat_is_copies_of_its_unit() -> None:
    tandem = FEATURES["tandem"]
    assert tandem.text == tandem.attributes["unit"] * 15
    assert len(tandem.attributes["unit"]) == 12


def test_homopolymer_run_of_n_and_lower_case_are_in_place() -> None:
    assert FEATURES["homopolymer"].text == "A" * 25
    assert FEATURES["unknown"].text == "N" * 40
    assert re.fullmatch("[acgt]{50}", FEATURES["softmasked"].text)
    assert sum(text.count("N") for text in CONTIGS.values()) == 40
    assert sum(letter.islower() for text in CONTIGS.values() for letter in text) == 50


def test_readme_tabulates_every_feature() -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\S+):([\d,]+)-([\d,]+)` \| (\S+) \| (\S+) \|", readme, re.MULTILINE)
    table = {
        (contig, int(first.replace(",", "")), int(last.replace(",", "")), strand, name)
        for contig, first, last, strand, name in rows
    }
    assert table == {(f.contig, f.first, f.last, f.strand, n) for n, f in FEATURES.items()}
