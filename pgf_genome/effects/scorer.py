"""The scorer of a genome: the variants of a segment together."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pgf_genome import __version__
from pgf_genome.effects.annotate import Scorer
from pgf_genome.effects.by_contig import Variant
from pgf_genome.effects.changes import Tokens
from pgf_genome.effects.settings import Scoring
from pgf_genome.effects.variants import scores_of
from pgf_genome.engine.spool import RecordFile
from pgf_genome.files import naming
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
    kept: Path | None = None,
) -> Scorer:
    """Score the variants of a contig as they come, those of a segment in one pass over it.

    Parameters
    ----------
    scoring : Scoring
        As `variants.fitted` gives it.
    threads : int, optional
        Threads in all; torch's count if None.
    kept : Path, optional
        A folder in which the effects of every pass are kept and looked for.

    Notes
    -----
    `AT_ONCE` variants are in memory at a time: a contig with more of them is passed over again.
    """

    kind = model.digest, str(model.dtype), str(model.precision), str(model.device)
    identity = __version__, *kind, scoring, threads

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

                moved = [chunk[i]._replace(position=chunk[i].position - start) for i in rows]

                def done(share: float, count: int = len(rows)) -> None:
                    report(share * count)

                def scores(moved: list[Variant] = moved, k: int = k) -> np.ndarray:
                    tokens = tokens_of(contig, spans[k])
                    return scores_of(model, scoring, tokens, moved, threads=threads, report=done)

                what = repr((identity, genome.contig(contig).digest, spans[k], moved))
                effects[rows] = scores() if kept is None else _kept(kept, what, len(rows), scores)
            yield from effects

    return score


def _kept(folder: Path, what: str, count: int, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """The effects that a stopped run has left, (count,) float64, or else new ones, which are kept.

    Parameters
    ----------
    what : str
        All that they depend on.
    """
    name = sha256(what.encode()).hexdigest()
    with naming(folder):
        folder.mkdir(exist_ok=True)
    with RecordFile(folder / name, 8 * count, name) as file:
        found = file.read(0, [torch.empty(count, dtype=torch.float64)])
        if found is None:
            found = [torch.from_numpy(compute())]
            file.write(0, found)
    return found[0].numpy()
