"""Real genomes: lengths, counts of N and first bases as published."""

from __future__ import annotations

import numpy as np
import pytest

from pgf_genome.intervals import parse_region
from pgf_genome.sequence import decode_fasta, encode, segments

pytestmark = pytest.mark.data

YEAST = "yeast/Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz"


def test_e_coli_of_plain_gzip(real_data, tmp_path):
    source = real_data / "ecoli_k12/GCF_000005845.2_ASM584v2_genomic.fna.gz"
    with decode_fasta(source, tmp_path / "codes") as genome:
        assert genome.lengths == {"NC_000913.3": 4_641_652}
        first = "AGCTTTTCATTCTGACTGCAACGGGCAATATGTCTCTGTGTGGATTAAAAAAAGAGTGTCTGATAGCAGCTTCTGAACTG"
        assert np.array_equal(genome.codes("NC_000913.3", 0, 80), encode(first))
        assert segments(genome, "NC_000913.3", 1) == [(0, 4_641_652)]


def test_yeast_of_bgzip_streamed_and_indexed(real_data, tmp_path):
    with decode_fasta(real_data / YEAST, tmp_path / "all") as genome:
        assert len(genome.contigs) == 17
        assert sum(genome.lengths.values()) == 12_157_105
        streamed = genome.contig("Mito")
        with decode_fasta(real_data / YEAST, tmp_path / "two", contigs=["Mito", "IV"]) as two:
            assert list(two.lengths) == ["IV", "Mito"]
            assert two.contig("Mito").digest == streamed.digest
            assert two.contig("IV").digest == genome.contig("IV").digest


def test_a_soft_mask_does_not_change_the_sequence(real_data, tmp_path):
    masked = real_data / "yeast/S288C_GCA_000146045.2.softmasked.fasta.gz"
    with decode_fasta(masked, tmp_path / "masked") as genome:
        nuclear = {contig.digest for contig in genome.contigs}
    with decode_fasta(real_data / YEAST, tmp_path / "plain") as genome:
        assert nuclear == {each.digest for each in genome.contigs if each.name != "Mito"}


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("yeast/chrI.snakemake-tutorial.fa", 18_841),
        ("human/Homo_sapiens_assembly18.trimmed.fasta", 8_000),
        ("human/z.fa", 0),
    ],
)
def test_n_are_counted(real_data, tmp_path, file, expected):
    with decode_fasta(real_data / file, tmp_path / "codes") as genome:
        assert sum(contig.n_count - contig.ambiguous for contig in genome.contigs) == expected


def test_names_with_pipes_are_kept_whole(real_data, tmp_path):
    name = "gi|9626243|ref|NC_001416.1|"
    with decode_fasta(real_data / "small/lambda_virus.fa", tmp_path / "codes") as genome:
        assert genome.lengths == {name: 48_502}
        assert parse_region(f"{name}:48,500-", genome.lengths).length == 3
