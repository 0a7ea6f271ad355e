"""``pgf-genome mutagenesis``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from pgf_genome.attribution.methods import EFFECT_TRACKS, Substitutions
from pgf_genome.attribution.options import Options
from pgf_genome.cli import tracks
from pgf_genome.cli.common import Command, computed, logged, written
from pgf_genome.cli.tracks import writes_tracks
from pgf_genome.cli.values import CommaList, FilePath, Near, listed
from pgf_genome.effects.settings import MUTAGENESIS_NEAR

if TYPE_CHECKING:
    from pgf_genome.mamba.model import LanguageModel


@click.command(
    cls=Command,
    short_help="Compute the effects of all substitutions, as genome-browser tracks.",
    examples=(
        "pgf-genome mutagenesis genome.fa -o out/genome",
        "pgf-genome mutagenesis genome.fa -r chr1:1,001-1,500 --context 5000 --gff genes.gff3 "
        "-o out/locus",
        "pgf-genome mutagenesis genome.fa -b promoters.bed --near 32 --tsv -o out/promoters",
    ),
)
@click.argument("fasta", type=FilePath())
@computed("--near", type=Near(), metavar=Near.name, default=str(MUTAGENESIS_NEAR),
          help="Bases, from the substituted one on, that are run again; what follows is "
          f"first-order in the state [{MUTAGENESIS_NEAR}, or exact].")  # fmt: skip
@written("--track", "tracks", type=CommaList(["effect", *EFFECT_TRACKS]), default=Options.tracks,
         help="Any of effect, effect.A .. effect.T, importance, surprisal "
         f"[{listed(Substitutions.default_tracks)}].")  # fmt: skip
@writes_tracks
@logged
@click.pass_context
def mutagenesis(command: click.Context, near: int | None, **options: Any) -> None:
    """Compute what every substitution in FASTA does to the objective.

    An effect is F with another base at a position, less F of the sequence, in nats: below 0 the
    model finds the changed sequence less likely. The importance of a base is minus the mean of its
    three effects. Every contig is streamed through a causal model, forward and back; at every base
    --near bases are run again for each of the three others, from the model's exact state. The
    error of what follows is measured on a sample of the run. --near exact runs every substitution
    to the end of its contig: for short sequences. A bidirectional model reads a window around
    every base, once as it is and once with each of the others: exact, and slow.

    \b
    Writes
      PREFIX.<track>.bedgraph.gz (+ .tbi)  values, 0-based half-open; bases not scored: no row
      PREFIX.<track>.bw                    the same as bigWig
      PREFIX.tsv.gz (+ .tbi)               with --tsv: a row for every base
      PREFIX.heatmap.html, .heatmap.N.svg  regions of up to 2,000 bases, with their sequence
      PREFIX.report.html                   overview, distribution, strongest positions
      PREFIX.peaks.bed                     the strongest sites, as narrowPeak
      PREFIX.run.json                      versions, digests, conventions, the error of --near

    With --gff also PREFIX.genes.tsv: values on every gene, beside windows of its length and
    composition. With --format npz also PREFIX.npz: sequences and hypothetical contributions of the
    regions.
    """
    chosen = command.get_parameter_source("near") is not ParameterSource.DEFAULT

    def fitted(given: Options, model: LanguageModel) -> Options:
        from pgf_genome.engine.running import running_of

        return given if chosen or running_of(model).streams else replace(given, method="exact")

    tracks.run(method=Substitutions(near).name, fitted=fitted, **options)
