"""The bins of a report: as many as the page can hold, and only where something was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from pgf_genome.intervals import Span
from pgf_genome.tracks import Bins

# Stretches of all contigs together, beside one for every contig.
STRETCHES = 200


def planned(
    spans: Mapping[str, Sequence[Span]], bins: int, longest: int | None = None
) -> dict[str, Bins]:
    """Lay bins of one width over the spans that a run wrote.

    A bin takes three numbers, a base alone one; with the coarser levels, which take a third of the
    bins and as much again of the bases, twice as many bases as bins fit into the same room.

    Parameters
    ----------
    spans : mapping of str to sequence of (int, int)
        What was written, by contig, 0-based half-open, ascending, without overlap.
    bins : int
        About how many bins there may be.
    longest : int, optional
        Contigs, those with most to show, that share the bins; each stretch of the others is one.
    """
    stretches = joined({contig: each for contig, each in spans.items() if _bases(each)})
    bases = {contig: _bases(each) for contig, each in stretches.items()}
    sharing = set(sorted(bases, key=lambda contig: -bases[contig])[:longest])
    shared = sum(bases[contig] for contig in sharing)
    width = 1 if shared <= 2 * bins else -(-shared // bins)
    return {
        contig: Bins(each, width if contig in sharing else max(b - a for a, b in each))
        for contig, each in stretches.items()
    }


def _bases(spans: Sequence[Span]) -> int:
    return sum(stop - start for start, stop in spans)


def joined(spans: Mapping[str, Sequence[Span]]) -> dict[str, tuple[Span, ...]]:
    """Close all gaps between the spans of contigs but the `STRETCHES` widest; none are empty."""
    gaps = np.array([after[0] - before[1] for each in spans.values()
                     for before, after in pairwise(each)], np.int64)  # fmt: skip
    kept = np.zeros(len(gaps), bool)
    kept[np.argsort(-gaps, kind="stable")[:STRETCHES]] = True
    opened = iter(kept.tolist())
    return {contig: tuple(_cut(each, opened)) for contig, each in spans.items()}


def _cut(spans: Sequence[Span], opened: Iterator[bool]) -> Iterator[Span]:
    start, reached = spans[0]
    for begin, stop in spans[1:]:
        if next(opened):
            yield start, reached
            start = begin
        reached = stop
    yield start, reached
