"""The scorer of a genome: the variants of a segment together."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
from torch import Tensor

from pgf_genome.effects.annotate import Scorer
from pgf_genome.effects.by_contig import Variant
from pgf_genome.effects.changes import Tokens
from pgf_genome.effects.settings import Scoring
from pgf_genome.effects.variants import scores_of
from pgf_genome.intervals import Span
from pgf_genome.mamba.model import LanguageModel
from pgf_genome.sequence import Genome, segments

# Variants that are scored in one pass: each takes about a kilobyte.
AT_ONCE = 1 << 18


def scorer(
    model: LanguageModel, genome: Genome, scoring: Scoring, threads: int | None = None
) -> Scorer:
    """Score the variants of a contig as they come, those of a segment in one pass over it.

    Parameters
    ----------
    scoring : Scoring
        As `variants.fitted` gives it.
    threads : int, optional
        Threads in all; torch's count if None.

    Notes
    -----
    `AT_ONCE` variants are in memory at a time: a contig with more of them is passed over again.
    """

    def tokens_of(contig: str, span: Span) -> Tokens:
        def read(start: int, stop: int) -> Tensor:
            return model.vocabulary.encode(genome.codes(contig, span[0] + start, span[0] + stop))

        return Tokens(read, span[1] - span[0], model.vocabulary)

    def score(
        contig: str, variants: Sequence[Variant], report: Callable[[float], object]
    ) -> Iterator[float]:
        spans, coming = segments(genome, contig, scoring.gap_length), iter(variants)
        starts = [start for start, _ in spans]
        while chunk := list(islice(coming, AT_ONCE)):
            effects, by_segment = np.empty(len(chunk)), defaultdict(list)
            for i, variant in enumerate(chunk):
                # it replaces bases that are known, so it lies within a segment
                by_segment[bisect_right(starts, variant.position) - 1].append(i)
            for k, rows in sorted(by_segment.items()):
                start = starts[k]

                def done(share: float, count: int = len(rows)) -> None:
                    report(share * count)

                moved = (chunk[i]._replace(position=chunk[i].position - start) for i in rows)
                effects[rows] = scores_of(
                    *(model, scoring, tokens_of(contig, spans[k]), moved),
                    threads=threads,
                    report=done,
                )
            yield from effects

    return score
