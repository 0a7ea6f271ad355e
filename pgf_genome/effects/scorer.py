"""The scorer of a genome by a causal model: one pass over a segment for all variants in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from torch import Tensor

from pgf_genome.effects.annotate import Scorer
from pgf_genome.effects.by_contig import Variant
from pgf_genome.effects.settings import Scoring
from pgf_genome.effects.strand import Strand, signs_of
from pgf_genome.effects.variants import branch_of, effects_of
from pgf_genome.engine.objective import Likelihood
from pgf_genome.engine.plan import TILE_LENGTH, Plan
from pgf_genome.engine.running import require_causal
from pgf_genome.engine.threads import side_by_side
from pgf_genome.intervals import Span
from pgf_genome.mamba.model import LanguageModel
from pgf_genome.sequence import Genome, segments

# Variants that are scored in one pass: each takes about a kilobyte.
AT_ONCE = 1 << 18


def scorer(
    model: LanguageModel,
    genome: Genome,
    scoring: Scoring,
    threads: int | None = None,
    progress: Callable[[float, float], object] | None = None,
) -> Scorer:
    """Score the variants of a contig, each segment of it in one pass.

    Parameters
    ----------
    model : CausalMamba
    genome : Genome
    scoring : Scoring
    threads : int, optional
        Threads in all; torch's count if None.
    progress : callable, optional
        Called after every segment with its bases, and those of the contig.

    Raises
    ------
    UsageError
        If the model is bidirectional.

    Notes
    -----
    For more than `AT_ONCE` variants in a segment there is one pass for so many of them.
    """
    causal = require_causal(model, "variants")

    def strand_of(contig: str, span: Span) -> Strand:
        def read(start: int, stop: int) -> Tensor:
            codes = genome.codes(contig, span[0] + start, span[0] + stop)
            return causal.one_hot(causal.vocabulary.encode(codes[None]))

        return Strand(causal, read, span[1] - span[0], Likelihood())

    def of_segment(plus: Strand, variants: Iterable[Variant]) -> np.ndarray:
        plan, changes = Plan(plus.length, TILE_LENGTH), [branch_of(plus, *v) for v in variants]

        def of_strand(sign: str) -> np.ndarray:
            if sign == "+":
                return effects_of(plus, plan, changes, scoring.near)
            paired = causal.vocabulary.complement
            mirrored = [change.on_minus_strand(plus.length, paired) for change in changes]
            return effects_of(plus.reverse(), plan, mirrored, scoring.near)

        return np.mean(side_by_side(of_strand, signs_of(scoring.strand), threads), axis=0)

    def score(contig: str, variants: Sequence[Variant]) -> np.ndarray:
        spans = segments(genome, contig, scoring.gap_length)
        positions = np.fromiter((v.position for v in variants), np.int64, len(variants))
        # a variant replaces bases that are known, so it lies within a segment
        within = np.searchsorted([start for start, _ in spans], positions, "right") - 1
        effects = np.empty(len(variants))
        for k, span in enumerate(spans):
            inside = np.flatnonzero(within == k)
            plus = strand_of(contig, span)
            for cut in range(0, len(inside), AT_ONCE):
                numbers = inside[cut : cut + AT_ONCE]
                chosen = (variants[i] for i in numbers)
                moved = (v._replace(position=v.position - span[0]) for v in chosen)
                effects[numbers] = of_segment(plus, moved)
            if progress is not None:
                progress(plus.length, genome.lengths[contig])
        return effects

    return score
