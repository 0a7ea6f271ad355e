"""``pgf-genome attribute``."""

from __future__ import annotations

from typing import Any

import click

from pgf_genome.attribution.methods import (
    DEFAULT_TRACKS,
    GRADIENT_TRACKS,
    GRADIENTS,
    IntegratedGradients,
)
from pgf_genome.attribution.options import Options
from pgf_genome.cli import tracks
from pgf_genome.cli.common import Command, computed, logged, written
from pgf_genome.cli.tracks import writes_tracks
from pgf_genome.cli.values import CommaList, FilePath, listed
from pgf_genome.engine.plan import HALO_SHARE, STEPS
from pgf_genome.quantities import whole_number


@click.command(
    cls=Command,
    short_help="Compute the sensitivity to every base, as genome-browser tracks.",
    examples=(
        "pgf-genome attribute chr1.fa.gz -o out/chr1",
        "pgf-genome attribute genome.fa --contig chr1 --track contribution --strand + -t 8",
        "pgf-genome attribute genome.fa -r chr1:1,001-1,500 --context 500 -o out/region",
    ),
)
@click.argument("fasta", type=FilePath())
@computed("--method", type=click.Choice([*GRADIENTS, "ig"]), default=Options.method,
          show_default=True, help="corrected (gradient on the simplex), saliency (raw gradient) or "
          "ig (integrated gradients from 1/4 of each base).")  # fmt: skip
@computed("--steps", type=int, default=STEPS, show_default=True, help="Nodes of the path of "
          "integrated gradients.")  # fmt: skip
@computed("--n-as-pad", is_flag=True, help="Feed N as the padding token, as Caduceus was "
          "trained.")  # fmt: skip
@computed("--halo", type=int, metavar="BASES", help="Bases on each side of a window that the "
          f"model sees but that are not written [1/{HALO_SHARE} of the window].")  # fmt: skip
@written("--track", "tracks", type=CommaList(["tism", *GRADIENT_TRACKS, "ig"]),
         default=Options.tracks, help="Any of sensitivity, contribution, tism, tism.A .. tism.T, "
         f"surprisal [{listed(DEFAULT_TRACKS)}]; of --method ig: ig, surprisal [ig].")  # fmt: skip
@writes_tracks
@logged
def attribute(method: str, steps: int, **options: Any) -> None:
    """Compute the exact derivative of an objective with respect to every base of FASTA.

    FASTA is plain, gzip or bgzip; "-" is standard input. Every contig is streamed through a
    pretrained causal Mamba model, forward and back, in memory that does not grow with it. A
    bidirectional model (Caduceus) reads windows with halos instead, or with --window all the whole
    contig, layer by layer.

    \b
    Writes
      PREFIX.<track>.bedgraph.gz (+ .tbi)  values, 0-based half-open; bases not scored: no row
      PREFIX.<track>.bw                    the same as bigWig
      PREFIX.chrom.sizes                   names and lengths
      PREFIX.report.html                   overview, distribution, strongest positions
      PREFIX.peaks.bed                     the strongest sites, as narrowPeak
      PREFIX.run.json                      versions, digests, objective values, conventions

    With --gff also PREFIX.genes.tsv: values on every gene, beside windows of its length and
    composition. With --bin N also PREFIX.<track>.binN.mean and .max, in the same formats. With
    --format npz also PREFIX.npz: sequences and hypothetical contributions of the regions,
    (n, 4, w).
    """
    if method == "ig":
        method = IntegratedGradients(whole_number(steps, "steps", 1)).name
    tracks.run(method=method, **options)
