"""Small VCFs, scored on a genome of three contigs."""

from __future__ import annotations

import gzip
from pathlib import Path

from pgf_genome.effects.annotate import Summary
from pgf_genome.effects.scoring import score_vcf
from pgf_genome.effects.settings import Files, Scoring
from pgf_genome.effects.vcf import without_ours
from pgf_genome.effects.writing import Meaning
from pgf_genome.sequence import Genome

MEANING = Meaning("tiny", "ab" * 32, Scoring())
HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
CONTIGS = {"1": "ACGTTGCAAGGCTTAACCGGTTAACGATCG", "2": "ggccttNaacc", "3": "ACGT"}


def genome_file(folder: Path) -> Path:
    """A FASTA of these contigs."""
    path = folder / "g.fa"
    path.write_text("".join(f">{name}\n{bases}\n" for name, bases in CONTIGS.items()))
    return path


def by_position(genome: Genome, kept: Path | None = None):
    """A scorer that needs no model: 1-based position and lengths of the alleles."""
    return lambda contig, variants, report: (v.position + 1 + len(v.alt) / 10 for v in variants)


def records(*rows: str, info: str = ".") -> str:
    """A VCF of rows such as ``1:3 G A,T``."""
    lines = []
    for row in rows:
        site, ref, alt = row.split(" ")
        contig, position = site.split(":")
        lines.append(f"{contig}\t{position}\t.\t{ref}\t{alt}\t.\tPASS\t{info}\n")
    return HEADER + "".join(lines)


def scored(
    fasta: Path, vcf: str | bytes, name: str = "o.vcf", scorer=by_position, **more: str
) -> tuple[bytes, Summary]:
    """The output of a VCF, and its summary."""
    folder = fasta.parent
    (folder / "in.vcf").write_bytes(vcf if isinstance(vcf, bytes) else vcf.encode())
    out = str(folder / name)
    summary = score_vcf(fasta, Files(str(folder / "in.vcf"), out, **more), scorer, MEANING)
    data = Path(out).read_bytes()
    return gzip.decompress(data) if name.endswith("gz") else data, summary


def infos(output: bytes) -> list[str]:
    lines = output.decode().splitlines()
    return [line.split("\t")[7] for line in lines if line and not line.startswith("#")]


def without(output: bytes) -> bytes:
    """An output without what was added to it."""
    kept = []
    for line in output.splitlines(keepends=True):
        fields = line.split(b"\t")
        if not line.startswith(b"#") and len(fields) > 7:
            body = fields[7].rstrip(b"\r\n")
            fields[7] = without_ours(body) + fields[7][len(body) :]
        if not line.startswith(b"##INFO=<ID=PGF_"):
            kept.append(b"\t".join(fields))
    return b"".join(kept)
