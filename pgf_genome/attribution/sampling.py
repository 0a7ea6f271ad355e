"""The error of effects that are not exact, measured against exact ones on bases of the run.

At some places of what is written, drawn at random, a few neighbouring bases are substituted in an
excerpt of the sequence by themselves: once by the method of the run, and once to the excerpt's end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pgf_genome.attribution.methods import Substitutions
from pgf_genome.attribution.prepare import Prepared
from pgf_genome.attribution.substituted import strand_of
from pgf_genome.attribution.task import Task
from pgf_genome.effects.substitutions import effects_at
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.running import running_of
from pgf_genome.engine.threads import side_by_side
from pgf_genome.intervals import Span
from pgf_genome.runs.record import EffectError

# Places in all, and bases of each; one place for so many written bases at most.
PLACES, BASES_EACH, BASES_PER_PLACE = 16, 8, 128
# Bases of an excerpt on either side of those that are substituted, and in all where there are
# targets, which lie in it too.
AROUND, LONGEST = 512, 32_768

log = logging.getLogger("pgf_genome")


class _Place(NamedTuple):
    """Bases to substitute, and the excerpt around them; positions of the segment's contig."""

    task: Task
    bases: Span
    excerpt: Span


def effect_error(plan: Prepared) -> EffectError | None:
    """Measure the error of a run's method under a causal model; None where nothing is measured.

    That is where the method is exact or gives no effects, and where all bases are too far from the
    targets.
    """
    method = plan.method
    if not isinstance(method, Substitutions) or method.near is None:
        return None
    if not running_of(plan.model).streams:
        return None
    places = list(_places(plan))
    if not places:
        log.warning(
            "the error of %s is not measured: no base that is written lies within %s bases of the "
            "targets", *(method.name, f"{LONGEST:,}"),
        )  # fmt: skip
        return None
    log.info("measuring the error of %s at %d places", method.name, len(places))
    pairs = [(_effects(place, method.near), _effects(place, None)) for place in places]
    found, exact = (np.concatenate(each).ravel() for each in zip(*pairs, strict=True))
    changed = np.isfinite(exact) & (exact != 0)
    return _compared(method.name, found[changed], exact[changed])


def _compared(name: str, found: np.ndarray, exact: np.ndarray) -> EffectError | None:
    if not len(exact):
        return None
    error, varies = found - exact, min(np.ptp(found), np.ptp(exact)) > 0
    return EffectError(
        method=name,
        substitutions=len(exact),
        pearson=float(np.corrcoef(found, exact)[0, 1]) if varies else None,
        root_mean_square=float(np.sqrt(np.mean(error**2))),
        largest=float(np.abs(error).max()),
        spread=float(exact.std()),
        bases_run=AROUND,
    )


def _places(plan: Prepared) -> Iterator[_Place]:
    """Places drawn from what is written, with their excerpts; those too far from targets not."""
    count = int(np.clip(plan.written // BASES_PER_PLACE, 1, PLACES))
    drawn = np.sort(np.random.default_rng(0).integers(0, max(plan.written, 1), count))
    before = 0
    for task in plan.tasks:
        for start, stop in task.segment.write:
            inside = drawn[(drawn >= before) & (drawn < before + stop - start)]
            for at in inside.tolist():
                first = start + at - before
                bases = first, min(first + BASES_EACH, stop)
                excerpt = _excerpt(plan, task, bases)
                if excerpt is not None:
                    yield _Place(task, bases, excerpt)
            before += stop - start


def _excerpt(plan: Prepared, task: Task, bases: Span) -> Span | None:
    segment, (start, stop) = task.segment, bases
    targets = [] if plan.targets is None else plan.targets[segment.contig]
    first = min([start, *(a for a, _ in targets)])
    last = max([stop, *(b for _, b in targets)])
    if plan.targets is not None and last - first > LONGEST:
        return None
    return max(first - AROUND, segment.start), min(last + AROUND, segment.stop)


def _effects(place: _Place, near: int | None) -> np.ndarray:
    """Effects at the bases of a place, mean of the strands of the run."""
    task, excerpt = place.task, place.excerpt

    def of_strand(b: int) -> np.ndarray:
        whole, strand = task.strands[b], strand_of(task, b, excerpt)
        offset = whole.of_contig(excerpt)[0]
        first, last = (position - offset for position in whole.of_contig(place.bases))
        values = effects_at(strand, Plan(strand.length, AROUND), (first, last), near)
        return whole.on_plus(values)

    return np.mean(side_by_side(of_strand, range(len(task.strands)), task.threads), axis=0)
