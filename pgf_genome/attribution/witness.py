"""Sampled places of a run, and what the sweeps knew around them: the witnesses of a certificate.

The gradient at a base depends on every base before it, through the state, and on every base after
it, through the cotangent of the state. Both are at hand while a contig is swept, and gone later: so
they are kept at the boundaries of the tiles that hold the sampled places.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple, Self

import numpy as np

from pgf_genome.attribution.place import Place
from pgf_genome.attribution.task import Segment, Witnessed
from pgf_genome.engine.layout import Layout, WindowLayout
from pgf_genome.engine.spool import RecordFile, nbytes
from pgf_genome.intervals import Span
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.state import State

# Places of a run, and bases of each at most.
PLACES, BASES_EACH = 3, 64


class Sample(NamedTuple):
    """A place of a run: ``span`` of a contig, within one tile or core of either strand."""

    number: int
    segment: int
    span: Span


def samples(segments: Sequence[Segment], layout: Layout) -> Iterator[Sample]:
    """Draw places from what is written; the same run has the same ones."""
    spans = [(i, span) for i, segment in enumerate(segments) for span in segment.write]
    ends = [*accumulate(stop - start for _, (start, stop) in spans)]
    if not ends:
        return
    drawn = np.random.default_rng(20).integers(0, ends[-1], PLACES)
    for number, at in enumerate(np.sort(drawn).tolist()):
        which = bisect_right(ends, at)
        segment, (start, stop) = spans[which]
        first = stop - (ends[which] - at)
        yield Sample(number, segment, _within(segments[segment], layout, first, (start, stop)))


def _within(segment: Segment, layout: Layout, first: int, span: Span) -> Span:
    """Bases from ``first`` on, in the span and in one tile or core, whichever way it is read."""
    size = layout.plan(segment.length).tile_length
    if isinstance(layout, WindowLayout) and not layout.whole(segment.length):
        size = layout.windows(segment.length).core
    on_plus, on_minus = first - segment.start, segment.stop - 1 - first
    ends = segment.start + (on_plus // size + 1) * size
    starts = on_minus // size * size
    return first, min(first + BASES_EACH, span[1], ends, segment.stop - starts)


def witnessed(
    sampled: Iterable[Sample], segment: Segment, layout: Layout, strands: str
) -> Iterator[Witnessed]:
    """The tiles of a segment that hold the places which were drawn in it."""
    size = layout.plan(segment.length).tile_length
    for each in sampled:
        at = each.span[0]
        for b, sign in enumerate(strands):
            position = at - segment.start if sign == "+" else segment.stop - 1 - at
            yield Witnessed(each.number, b, position // size)


class Witnesses:
    """What a run keeps of its samples: the state before a tile, and the cotangent after it.

    Parameters
    ----------
    place : Place
        Of any segment of the run.
    strands : int
        Strands of the run.
    """

    def __init__(self, place: Place, model: CausalMamba, strands: int) -> None:
        self._blank, self._strands = model.initial_state(1), strands
        self._place = place

    @cached_property
    def _file(self) -> RecordFile:
        """Made when it is needed: most runs have no witnesses."""
        size = 2 * nbytes(self._blank.tensors())
        return RecordFile(self._place.path("witnesses"), size, self._place.run)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if "_file" in vars(self):
            self._file.close()

    def keep(self, tile: Witnessed, before: State, after: State) -> None:
        """Store the state before a tile and the cotangent after it, of the batch of strands."""
        part = slice(tile.b, tile.b + 1)
        tensors = [*before.part(part).tensors(), *after.part(part).tensors()]
        self._file.write(self._number(tile), tensors)

    def of(self, tile: Witnessed) -> tuple[State, State] | None:
        """What was kept of a tile; None if the run did not come by since it keeps witnesses."""
        like = self._blank.tensors()
        found = self._file.read(self._number(tile), [*like, *like])
        if found is None:
            return None
        return self._blank.filled(found[: len(like)]), self._blank.filled(found[len(like) :])

    def _number(self, tile: Witnessed) -> int:
        return tile.number * self._strands + tile.b
