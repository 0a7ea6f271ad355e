"""Write demo.fa and demo.gff3: two synthetic contigs and the features planted in them.

Usage: python make_demo.py [DIRECTORY]    (default: the directory of this script)

The same bytes come out on every machine and with every numpy: all chance comes from the raw
64-bit stream of PCG64, which numpy promises not to change (NEP 19), and not from the methods
of `Generator`, whose streams it may change.

Coordinates in this script are 0-based half-open; GFF3 is 1-based inclusive.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SEED = 251223068
LINE = 60

# E. coli K-12: 50.8 % G+C over the genome.
BASE_USAGE = {"A": 24.6, "C": 25.4, "G": 25.4, "T": 24.6}

# Sense codons of E. coli K-12 W3110 per thousand (Codon Usage Database, 4332 coding sequences).
CODON_USAGE_TABLE = """
    TTT 22.4  TCT  8.5  TAT 16.3  TGT  5.2    CTT 11.0  CCT  7.1  CAT 12.9  CGT 20.9
    TTC 16.6  TCC  8.6  TAC 12.3  TGC  6.4    CTC 11.0  CCC  5.5  CAC  9.7  CGC 22.0
    TTA 13.9  TCA  7.2                        CTA  3.9  CCA  8.5  CAA 15.4  CGA  3.6
    TTG 13.7  TCG  8.9            TGG 15.3    CTG 52.7  CCG 23.2  CAG 28.8  CGG  5.4
    ATT 30.4  ACT  8.9  AAT 17.7  AGT  8.8    GTT 18.3  GCT 15.3  GAT 32.2  GGT 24.8
    ATC 25.0  ACC 23.4  AAC 21.7  AGC 16.1    GTC 15.3  GCC 25.5  GAC 19.1  GGC 29.6
    ATA  4.3  ACA  7.1  AAA 33.6  AGA  2.1    GTA 10.9  GCA 20.3  GAA 39.5  GGA  8.0
    ATG 27.8  ACG 14.4  AAG 10.3  AGG  1.2    GTG 26.2  GCG 33.6  GAG 17.8  GGG 11.1
"""
START, STOP = "ATG", "TAA"
SHINE_DALGARNO, SPACER = "AGGAGG", 7

COMPLEMENT = str.maketrans("ACGT", "TGCA")


@dataclass(frozen=True)
class Feature:
    """What was planted at [start, end) of a contig; `kind` is a Sequence Ontology term."""

    start: int
    end: int
    kind: str
    strand: str
    attributes: Mapping[str, str]

    def gff3(self, contig: str) -> str:
        """The feature as one GFF3 line."""
        phase = "0" if self.kind == "CDS" else "."
        attributes = ";".join(f"{key}={value}" for key, value in self.attributes.items())
        columns = (contig, "planted", self.kind, self.start + 1, self.end, ".", self.strand, phase)
        return "\t".join(map(str, (*columns, attributes)))


@dataclass
class Draft:
    """A contig in the making: random background over which features are planted once."""

    name: str
    letters: list[str]
    features: list[Feature] = field(default_factory=list)

    def plant(self, start: int, text: str, kind: str, strand: str = ".", **attributes: str) -> None:
        """Write `text`, read along `strand`, over the background at `start`, and annotate it."""
        end = start + len(text)
        taken = [f for f in self.features if f.start < end and start < f.end]
        if taken or end > len(self.letters):
            raise ValueError(f"{self.name}:{start}-{end} does not fit or overlaps {taken}")
        self.letters[start:end] = reverse_complement(text) if strand == "-" else text
        self.features.append(Feature(start, end, kind, strand, attributes))

    def plant_gene(self, start: int, codons: str, strand: str, name: str) -> None:
        """Plant a coding sequence at `start` with a Shine-Dalgarno motif before its start codon."""
        offset = len(SHINE_DALGARNO) + SPACER
        motif_start = start - offset if strand == "+" else start + len(codons) + SPACER
        self.plant(start, codons, "CDS", strand, ID=name)
        self.plant(motif_start, SHINE_DALGARNO, "Shine_Dalgarno_sequence", strand, ID=f"{name}.sd")


def reverse_complement(text: str) -> str:
    """The other strand of `text` (only A, C, G, T), read 5' to 3'."""
    return text.translate(COMPLEMENT)[::-1]


def draw(source: np.random.PCG64, usage: Mapping[str, float], count: int) -> list[str]:
    """Draw `count` independent words with probabilities in proportion to `usage`."""
    # The upper 53 bits make a uniform double in [0, 1).
    uniform = (source.random_raw(count) >> np.uint64(11)) * 2.0**-53
    edges = np.cumsum(list(usage.values()))
    words = list(usage)
    return [words[i] for i in np.searchsorted(edges / edges[-1], uniform, side="right")]


def coding_sequence(source: np.random.PCG64, codons: int) -> str:
    """An open reading frame of `codons` codons, start and stop included."""
    fields = CODON_USAGE_TABLE.split()
    usage = {codon: float(rate) for codon, rate in zip(fields[::2], fields[1::2], strict=True)}
    return "".join([START, *draw(source, usage, codons - 2), STOP])


def contigs() -> list[Draft]:
    """The two contigs with everything planted in them, features in order of position."""
    source = np.random.PCG64(SEED)

    def background(length: int) -> list[str]:
        return draw(source, BASE_USAGE, length)

    def gene(draft: Draft, start: int, codons: int, strand: str, name: str) -> None:
        draft.plant_gene(start, coding_sequence(source, codons), strand, name)

    demo1 = Draft("demo1", background(20_000))
    gene(demo1, 500, 400, "+", "geneA")
    gene(demo1, 1_760, 250, "+", "geneB")
    stem, loop = "".join(background(20)), "".join(background(8))
    hairpin = stem + loop + reverse_complement(stem)
    demo1.plant(2_530, hairpin, "inverted_repeat", ID="hairpin", stem="20", loop="8")
    unit = "".join(background(12))
    demo1.plant(3_000, unit * 15, "tandem_repeat", ID="tandem", unit=unit, copies="15")
    repeat = "".join(background(300))
    demo1.plant(4_000, repeat, "direct_repeat", "+", ID="repeat.1")
    gene(demo1, 5_000, 360, "-", "geneC")
    demo1.plant(7_000, "A" * 25, "monomeric_repeat", ID="homopolymer", unit="A", copies="25")
    demo1.plant(8_000, "N" * 40, "gap", ID="unknown")
    gene(demo1, 9_000, 500, "+", "geneD")
    demo1.plant(12_000, repeat, "direct_repeat", "+", ID="repeat.2", copy_of="repeat.1")
    gene(demo1, 13_000, 600, "+", "geneE")
    gene(demo1, 16_000, 450, "-", "geneF")
    gene(demo1, 18_000, 200, "+", "geneG")

    demo2 = Draft("demo2", background(8_000))
    gene(demo2, 600, 350, "+", "geneH")
    lower = "".join(background(50)).lower()
    demo2.plant(2_500, lower, "sequence_feature", ID="softmasked", Note="lower case")
    gene(demo2, 3_500, 500, "-", "geneI")

    for draft in (demo1, demo2):
        draft.features.sort(key=lambda feature: feature.start)
    return [demo1, demo2]


def fasta(drafts: list[Draft]) -> str:
    """The contigs as FASTA with lines of 60."""
    records = (
        f">{d.name} synthetic\n" + "\n".join(textwrap.wrap("".join(d.letters), LINE)) + "\n"
        for d in drafts
    )
    return "".join(records)


def gff3(drafts: list[Draft]) -> str:
    """The planted features as GFF3."""
    lines = ["##gff-version 3"]
    lines += [f"##sequence-region {d.name} 1 {len(d.letters)}" for d in drafts]
    lines += [feature.gff3(d.name) for d in drafts for feature in d.features]
    return "\n".join(lines) + "\n"


def main(directory: Path) -> None:
    """Write demo.fa and demo.gff3 into `directory`."""
    drafts = contigs()
    (directory / "demo.fa").write_text(fasta(drafts), encoding="ascii", newline="\n")
    (directory / "demo.gff3").write_text(gff3(drafts), encoding="ascii", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
