"""``pgf-genome variants``."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import click
from click.core import ParameterSource

from pgf_genome import process
from pgf_genome.cli.common import (
    COMPUTED,
    Command,
    computed,
    logged,
    running,
    with_device,
    with_dtype,
    with_model,
    with_threads,
    written,
)
from pgf_genome.cli.values import FilePath, Near
from pgf_genome.effects.settings import SCORES, STRANDS, Files, Scoring


@click.command(
    cls=Command,
    short_help="Score the records of a VCF: what each allele does to the likelihood.",
    examples=(
        "pgf-genome variants genome.fa calls.vcf.gz -o calls.scored.vcf.gz",
        "pgf-genome variants genome.fa calls.vcf.gz -o calls.tsv --gff genes.gff3.gz --near 32",
        "pgf-genome variants chr1.fa chr1.vcf -o - --near exact > chr1.scored.vcf",
    ),
)
@click.argument("fasta", type=FilePath())
@click.argument("vcf", type=FilePath())
@with_model(COMPUTED)
@computed("--score", type=click.Choice(SCORES), default=Scoring.score, show_default=True,
          help="likelihood: that of the sequence with ALT minus that with REF (pseudo-likelihood, "
          "of a window, for a bidirectional model). masked: log p(ALT) - log p(REF) at the masked "
          "position; SNVs and models with a mask token only.")  # fmt: skip
@computed("--near", type=Near(), metavar=Near.name, default=str(Scoring.near),
          help="W bases are run again, the last changed one the first of them; what follows is "
          "first-order in the state. With first-order the change alone is run. "
          f"[{Scoring.near}; exact for a bidirectional model]")  # fmt: skip
@computed("--strand", type=click.Choice(STRANDS), default=Scoring.strand, show_default=True,
          help="A causal model on the plus strand alone sees effects on downstream bases "
          "only.")  # fmt: skip
@computed("--window", type=int, metavar="BASES", help="Bases that a bidirectional model sees, the "
          "variant in the middle [the context it was trained on].")  # fmt: skip
@computed("--gap-length", type=int, metavar="BASES", default=Scoring.gap_length, show_default=True,
          help="Restart the model at every run of N of at least this length.")  # fmt: skip
@computed("--gff", type=FilePath(), help="GFF3 or GTF: add genes, and what an allele does to "
          "proteins.")  # fmt: skip
@computed("--genetic-code", type=int, metavar="N", default=Files.genetic_code, show_default=True,
          help="NCBI's number of the code, where the GFF file has no transl_table.")  # fmt: skip
@computed("--chrom-alias", type=FilePath(), help="Other names of contigs, in VCF or GFF: UCSC "
          "chromAlias, NCBI assembly report, or two columns.")  # fmt: skip
@written("-o", "--output", type=FilePath(), required=True, metavar="OUT", help="OUT.vcf.gz is "
         "bgzip with an index, OUT.vcf plain, OUT.tsv or OUT.tsv.gz a table; - is a VCF on "
         "stdout.")  # fmt: skip
@written("--tsv", type=FilePath(), help="Write a table of all alleles as well.")
@with_threads
@with_device
@with_dtype
@running("--scratch-dir", type=FilePath(folder=True), help="Folder for temporary files [beside "
         "OUT].")  # fmt: skip
@logged
@click.pass_context
def variants(
    context: click.Context,
    fasta: str,
    model: str,
    score: str,
    near: int | None,
    strand: str,
    window: int | None,
    gap_length: int,
    threads: int,
    device: str,
    dtype: str,
    **files: Any,
) -> None:
    """Score every record of VCF: the log-likelihood of FASTA with ALT minus that with REF, in nats.

    Every record is kept, in order and unchanged but for INFO fields that are added. SNVs, MNVs,
    insertions and deletions are scored, each alternative allele alone. A causal model reads the
    whole contig; a bidirectional one (Caduceus, PlantCAD) reads a window around every variant,
    once with it and once without. What cannot be scored (symbolic alleles, *, breakends, letters
    other than A C G T, a REF that is not in the FASTA) has a flag that says why. Memory does not
    grow with the number of records; only contigs that have records are read by the model. VCF is
    plain, gzip, bgzip or BCF; "-" is standard input.

    \b
    INFO fields
      PGF_EFFECT        nats, for each allele; above 0 the model finds it more likely than REF
      PGF_MASKED_SCORE  in its place with --score masked
      PGF_FLAG          why an allele is not scored
      PGF_GENE          with --gff: genes that REF overlaps
      PGF_CONSEQUENCE   with --gff: allele, gene, consequence, codon, amino acids, codons

    \b
    Writes
      OUT                the VCF with these fields, or a table
      OUT.tbi            its index, if the name ends in .gz and the records are sorted
      NAME.summary.json  counts, versions and digests, for OUT = NAME.vcf.gz
    """
    process.tune()
    scoring, given = Scoring(near, strand, gap_length, score, window), Files(**files)
    given.require_folders()
    import torch

    from pgf_genome.checkpoints.load import load_model
    from pgf_genome.cli.progress import Progress
    from pgf_genome.effects.scorer import scorer
    from pgf_genome.effects.scoring import score_vcf
    from pgf_genome.effects.variants import default_near, fitted
    from pgf_genome.effects.writing import Meaning

    torch.set_num_threads(threads)
    loaded = load_model(model, device, dtype)
    if context.get_parameter_source("near") is ParameterSource.DEFAULT:
        scoring = replace(scoring, near=default_near(loaded))
    scoring = fitted(loaded, scoring)
    meaning = Meaning(loaded.name, loaded.digest, scoring)
    with Progress("variants") as progress:
        summary = score_vcf(
            fasta,
            given,
            lambda genome, kept: scorer(loaded, genome, scoring, threads, kept),
            meaning,
            progress,
        )
    for line in summary.lines():
        logging.getLogger("pgf_genome").info(line)
