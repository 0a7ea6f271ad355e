"""Sequence: a FASTA of any size is decoded to one byte per base on disk and read in pieces."""

from pgf_genome.alphabet import BASES, N_CODE
from pgf_genome.sequence.alias import counterparts, new_names
from pgf_genome.sequence.codes import complement, encode, reverse_complement
from pgf_genome.sequence.fasta import decode_fasta
from pgf_genome.sequence.genome import Contig, Genome, digest_of, segments, store_codes
from pgf_genome.sequence.indexed import indexed_lengths
from pgf_genome.sequence.strand import Strand

__all__ = [
    "BASES",
    "N_CODE",
    "Contig",
    "Genome",
    "Strand",
    "complement",
    "counterparts",
    "decode_fasta",
    "digest_of",
    "encode",
    "indexed_lengths",
    "new_names",
    "reverse_complement",
    "segments",
    "store_codes",
]
