"""Parsers of text formats, with a check of what they accept."""

from __future__ import annotations

import gzip
import re
import tempfile
from functools import cache
from pathlib import Path

import fuzz_readers as slow
import pysam
from fuzz_mutations import BINARY
from fuzz_target import COLUMNS, LENGTHS, NUMBERS, Target, written
from vcfs import HEADER, MEANING, without

from pgf_genome.effects.annotate import annotate
from pgf_genome.effects.reference import Reference
from pgf_genome.intervals import parse_region, parse_site, read_stranded_bed
from pgf_genome.quantities import bytes_of
from pgf_genome.sequence import BASES, Genome, counterparts, decode_fasta, new_names
from pgf_genome.sequence.annotation import read_annotation


def letters(genome: Genome) -> list[tuple[str, bytes]]:
    """Names and sequences of a genome."""
    table = bytes.maketrans(bytes(range(5)), f"{BASES}N".encode())
    return [
        (c.name, genome.codes(c.name, 0, c.length).tobytes().translate(table))
        for c in genome.contigs
    ]


def fasta(data: bytes, folder: Path) -> None:
    """Every cut into blocks reads the same, and what the slow reader reads."""
    path, block = written(folder, "g.fa", data), 1 + sum(data[:2]) % 40
    with decode_fasta(path, folder / "codes", block=block) as genome:
        assert letters(genome) == slow.fasta(data)


FASTA = b">chr1 of a kind\nACGTNacgtnRYK\nACGT\n\n>chr2\nGGCCTTAA\nGG\n>chr3\tx\nuuaa\n"


def indexed(data: bytes, folder: Path) -> None:
    """An index never leads to another sequence than that of the record."""
    path = written(folder, "g.fa", FASTA)
    written(folder, "g.fa.fai", data)
    with decode_fasta(path, folder / "codes", ["chr2"]) as genome:
        assert letters(genome) == [("chr2", b"GGCCTTAAGG")]


def region(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", "surrogateescape")
    found = parse_region(text, LENGTHS)
    assert (found.contig, found.start, found.stop) == slow.region(text, LENGTHS)


def site(data: bytes, folder: Path) -> None:
    found = parse_site(data.decode("utf-8", "surrogateescape"))
    assert parse_site(str(found)) == found


def size(data: bytes, folder: Path) -> None:
    assert bytes_of(data.decode("utf-8", "surrogateescape"), "max_memory") >= 0


def bed(data: bytes, folder: Path) -> None:
    read = read_stranded_bed(written(folder, "i.bed", data), LENGTHS)
    rows = [(e.interval.contig, e.interval.start, e.interval.stop, e.strand) for e in read]
    assert rows == slow.bed(data, LENGTHS)


def alias(data: bytes, folder: Path) -> None:
    path = written(folder, "names.txt", data)
    named = counterparts(path, LENGTHS)
    assert set(named.values()) <= set(LENGTHS)
    names = new_names(path, LENGTHS)
    assert len(set(names.values())) == len(LENGTHS)


GFF3 = (
    b"##gff-version 3\nchr1\tx\tgene\t11\t400\t.\t+\t.\tID=gene-a;Name=thrA%2C\n"
    b"chr1\tx\tmRNA\t11\t400\t.\t+\t.\tID=t;Parent=gene-a\n"
    b"chr1\tx\tCDS\t11\t100\t.\t+\t0\tID=cds-a;Parent=t;gene=thrA;transl_table=11\n"
    b"chr1\tx\tCDS\t201\t400\t.\t+\t1\tID=cds-a;Parent=t\n"
    b"chr2\tx\tCDS\t21\t80\t.\t-\t0\tID=cds-b;pseudo=true\n##FASTA\n>chr1\nACGT\n"
)
GTF = (
    b'chr1\tx\tgene\t11\t400\t.\t+\t.\tgene_id "a"; gene_name "thrA";\n'
    b'chr1\tx\tCDS\t11\t97\t.\t+\t0\tgene_id "a"; transcript_id "t"; note "b";\n'
    b'chr1\tx\tstop_codon\t98\t100\t.\t+\t0\tgene_id "a"; transcript_id "t";\n'
)


def gff(data: bytes, folder: Path) -> None:
    read = read_annotation(written(folder, "g.gff", data), LENGTHS, {c: c for c in LENGTHS}.get)
    for contig, genes in read.genes.items():
        assert all(0 <= a < b <= LENGTHS[contig] for a, b, _ in genes.of(0, LENGTHS[contig]))
    for contig, parts in read.coding.items():
        assert all(0 <= a < b <= LENGTHS[contig] for a, b, _ in parts.of(0, LENGTHS[contig]))
        assert all(cds.positions.size for _, _, cds in parts.of(0, LENGTHS[contig]))


CONTIGS = {"1": "ACGTTGCAAGGCTTAACCGGTTAACGATCG", "chr2": "ggccttNaacc", "3": "ACGT"}
RECORDS = (
    "1\t3\trs1\tG\tA,T\t5\tPASS\tAC=1\tGT\t0|1\n1\t4\t.\tTT\tT\t.\t.\t.\n"
    "chr2\t2\t.\tg\tGA\t.\t.\tDB\n7\t1\t.\tA\t<DEL>\t.\t.\t.\n3\t4\t.\tT\t*,C\t.\t.\t.\n"
)


@cache
def reference(folder: Path) -> Reference:
    """The genome of `CONTIGS`."""
    text = "".join(f">{name}\n{bases}\n" for name, bases in CONTIGS.items())
    path = folder.with_name(f"{folder.name}-genome")
    path.write_text(text)
    genome = decode_fasta(path, path.with_suffix(".codes"))
    for each in (path, path.with_suffix(".codes")):
        each.unlink()  # the genome holds it open
    return Reference(genome)


def annotated(path: Path, folder: Path) -> tuple[bytes, int]:
    """The output for a VCF, scored without a model, and its number of records."""
    out = folder / "out.vcf"
    summary = annotate(
        path,
        reference(folder),
        lambda contig, variants, report: (len(v.alt) for v in variants),
        MEANING,
        [str(out), str(folder / "out.tsv")],
        folder,
    )
    return out.read_bytes(), summary.records


def vcf(data: bytes, folder: Path) -> None:
    """Every record is kept, in order and byte by byte but for what is added to it."""
    text, rows = slow.vcf(data) or (b"", [])
    if text.startswith(b"BCF\x02"):
        bcf(data, folder)
        return
    output, records = annotated(written(folder, "in.vcf", data), folder)
    assert records == len(rows)
    alleles = sum(len(row[4].split(b",")) for row in rows)
    assert (folder / "out.tsv").read_bytes().count(b"\n") == alleles + 1
    if b"PGF_" not in text and not re.search(rb"\t(\t|\r|\n|$)", text):  # empty INFO becomes "."
        assert without(output) == text.removeprefix(b"\xef\xbb\xbf")


def bcf(data: bytes, folder: Path) -> None:
    annotated(written(folder, "in.bcf", data), folder)


@cache
def bcf_seeds() -> list[bytes]:
    """A BCF, compressed and not."""
    head = HEADER.replace("#CHROM", "##contig=<ID=1,length=30>\n##contig=<ID=3>\n#CHROM")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.vcf")
        path.write_text(head + "1\t3\trs1\tG\tA,T\t5\tPASS\t.\n3\t4\t.\tT\t*,C\t.\t.\t.\n")
        bcf_path = f"{folder}/a.bcf"
        with (
            pysam.VariantFile(str(path)) as read,
            pysam.VariantFile(bcf_path, "wb", header=read.header) as out,
        ):
            for each in read:
                out.write(each)
        packed = Path(folder, "a.bcf").read_bytes()
    return [packed, gzip.decompress(packed)]


def targets() -> list[Target]:
    """The parsers of this module."""
    words = [name.encode() for name in LENGTHS]
    return [
        Target(
            "region",
            region,
            [b"chr1:500-900", b"{a:1-9}:2-3", b"HLA*01:01:1-9", b"1"],
            [b":", b"-", b",", b"{", b"}", *words, *NUMBERS],
            share=60,
        ),
        Target(
            "site",
            site,
            [b"chr1:1,001:A>G", b"a:1-9:3"],
            [b":", b">", b"ACGT", *words, *NUMBERS],
            share=20,
        ),
        Target("size", size, [b"1.5G", b"800M"], [b"K", b"T", b"iB", b"."], share=5),
        Target(
            "FASTA",
            fasta,
            [FASTA, FASTA.replace(b"\n", b"\r\n")],
            [b">", b">chr1\n", b"ACGT", b"N" * 9, b"\n", b"-", b"*"],
            share=25,
            zipped=True,
        ),
        Target(
            "FASTA index",
            indexed,
            [b"chr1\t17\t16\t13\t14\nchr2\t10\t42\t8\t9\nchr3\t4\t62\t4\t5\n"],
            COLUMNS,
            share=10,
        ),
        Target(
            "BED",
            bed,
            [b"1\t0\t9\nchr2\t10\t20\tx\t5\t-\n", b"track x\nchr1 0 4000\n"],
            COLUMNS,
            share=25,
            zipped=True,
        ),
        Target(
            "alias",
            alias,
            [
                b"".join(b"%s\tn%d\n" % (w, i) for i, w in enumerate(words)),
                b"# ucsc\tncbi\n" + b"".join(b"u%d\t%s\n" % (i, w) for i, w in enumerate(words)),
                b"# Sequence-Name\tGenBank-Accn\tUCSC-style-name\n1\tna\tchrI\n",
            ],
            COLUMNS,
            share=20,
            zipped=True,
        ),
        Target(
            "GFF",
            gff,
            [GFF3, GTF],
            [
                b"ID=",
                b"Parent=",
                b";",
                b"gene",
                b"CDS",
                b"transl_table=",
                b'gene_id "',
                b'"',
                b"%0A",
                *COLUMNS,
            ],
            share=20,
            zipped=True,
        ),
        Target(
            "VCF",
            vcf,
            [(HEADER + RECORDS).encode(), (HEADER + RECORDS).replace("\n", "\r\n").encode()],
            [
                b"<DEL>",
                b"*",
                b".",
                b"]1:3]A",
                b",",
                b";",
                b"PGF_EFFECT=1",
                b"A",
                b"T",
                b"N",
                *COLUMNS,
            ],
            share=8,
            zipped=True,
        ),
        Target("BCF", bcf, bcf_seeds(), [b"BCF\x02\x02"], BINARY, share=4),
    ]
