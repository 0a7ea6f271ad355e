"""Track values computed again from the letters of the sequence.

Nothing of the run's own bookkeeping is used here: the other strand is made of text, the tracks are
made of the gradients by formulas of their own, and the model computes in float64.

The value at a base depends on all of the sequence before and after it, and in a model that
remembers, on thousands of bases with noticeable weight. So a place can be computed again exactly

- where the run kept the state before and the cotangent after the tiles that hold it
  (`attribute --verify`);
- in segments of up to `WHOLE` bases, which are swept again from end to end;
- under a bidirectional model, whose windows know nothing of each other.

Elsewhere, in a long contig after the run, `AROUND` bases on either side are swept. This shows that
values stand at the right base, on the right strand, in the right track and of the right sign, and
not that their last digits are right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from pgf_genome.alphabet import BASES, N_CODE
from pgf_genome.attribution.methods import IntegratedGradients, Method, runs_again
from pgf_genome.attribution.place import Place
from pgf_genome.attribution.prepare import Prepared
from pgf_genome.attribution.task import Task, Witnessed
from pgf_genome.attribution.witness import Sample, Witnesses, witnessed
from pgf_genome.effects.substitutions import substitution_effects
from pgf_genome.engine import sweep
from pgf_genome.engine.arrays import adjoint, log_probs
from pgf_genome.engine.layout import WindowLayout
from pgf_genome.engine.objective import Objective, counted_from
from pgf_genome.engine.path import integrated_gradients
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.running import running_of
from pgf_genome.intervals import Interval, Span
from pgf_genome.mamba.model import CausalMamba, LanguageModel
from pgf_genome.mamba.state import State
from pgf_genome.verification.excerpt import in_double

# Bases of a segment that is swept again as a whole, and bases that are swept around a place else.
WHOLE, AROUND = 16_384, 4096
TILE = 4096
PAIRED = str.maketrans("ACGT", "TGCA")


@dataclass(frozen=True, eq=False)
class Recomputed:
    """Values of all tracks of a run at a place, (tracks, n); exact or of the sequence around it."""

    place: Interval
    table: np.ndarray
    exact: bool


@dataclass(frozen=True)
class _Stretch:
    """What is swept of one strand: bases of the contig, and what is known at its two ends."""

    span: Span
    minus: bool
    before: State | None = None
    after: State | None = None


def recomputed(plan: Prepared, folder: Path | None) -> Iterator[Recomputed]:
    """Compute the values of the samples of a run again.

    Parameters
    ----------
    folder : Path, optional
        Where the run is, if it is still there: the place of its witnesses.
    """
    streams = running_of(plan.model).streams
    if not streams and runs_again(plan.method):
        return
    model = in_double(plan.model) if streams else plan.model
    numbers = {sample.segment for sample in plan.samples}
    tasks = {i: task for i, task in enumerate(plan.tasks) if i in numbers}
    for sample in plan.samples:
        task = tasks[sample.segment]
        stretches = [*_stretches(plan, task, sample, folder)]
        if not stretches:
            continue
        found = [
            _of_strand(plan, task, model, b, stretch, sample.span)
            for b, stretch in enumerate(stretches)
        ]
        values = np.mean([value for value, _ in found], axis=0)
        log_p = np.stack([log_p for _, log_p in found])
        known = ~np.isnan(log_p)
        mean = np.where(known, log_p, 0).sum(axis=0) / np.where(known, 1, 0).sum(axis=0).clip(1)
        mean[~known.any(axis=0)] = np.nan
        place = Interval(task.segment.contig, *sample.span)
        codes = plan.genome.codes(place.contig, place.start, place.stop)
        exact = all(_is_exact(task, streams, stretch) for stretch in stretches)
        yield Recomputed(place, _tracks(plan, values, mean, codes), exact)


def _is_exact(task: Task, streams: bool, stretch: _Stretch) -> bool:
    whole = stretch.span == (task.segment.start, task.segment.stop)
    return whole or stretch.after is not None or not streams


def _stretches(
    plan: Prepared, task: Task, sample: Sample, folder: Path | None
) -> Iterator[_Stretch]:
    """What has to be swept of each strand for a sample; nothing where that would be too much."""
    segment, layout = task.segment, plan.layout
    tiles = [*witnessed([sample], segment, layout, plan.strands)]
    if layout.whole(segment.length):
        if segment.length <= WHOLE:
            yield from (_Stretch((segment.start, segment.stop), s == "-") for s in plan.strands)
        return
    if isinstance(layout, WindowLayout):
        windows = layout.windows(segment.length)
        for tile, sign in zip(tiles, plan.strands, strict=True):
            at = sample.span[0] - segment.start
            first = at if sign == "+" else segment.length - 1 - at
            core = next(c for c in windows.in_tile(tile.k) if c[0] <= first < c[1])
            yield _Stretch(_in_contig(task, sign, windows.seen(*core)), sign == "-")
        return
    kept = _kept(plan, task, tiles, folder)
    for tile, sign in zip(tiles, plan.strands, strict=True):
        if kept:
            span = _in_contig(task, sign, task.plan.bounds(tile.k))
            yield _Stretch(span, sign == "-", *kept[tile.b])
        elif segment.length <= WHOLE:
            yield _Stretch((segment.start, segment.stop), sign == "-")
        else:
            start, stop = _reach(plan, task, sample.span)
            if stop - start > 3 * WHOLE:
                return
            span = max(start - AROUND, segment.start), min(stop + AROUND, segment.stop)
            yield _Stretch(span, sign == "-")


def _reach(plan: Prepared, task: Task, span: Span) -> Span:
    """The bases of a place and of the targets of its segment."""
    if plan.targets is None:
        return span
    targets = [s for s in plan.targets[task.segment.contig] if s[0] < task.segment.stop]
    return min(span[0], *(a for a, _ in targets)), max(span[1], *(b for _, b in targets))


def _kept(
    plan: Prepared, task: Task, tiles: Sequence[Witnessed], folder: Path | None
) -> list[tuple[State, State]]:
    """State and cotangent at the ends of the tiles; none unless all are there."""
    if folder is None:
        return []
    model = plan.model
    assert isinstance(model, CausalMamba)  # its layout is not one of windows
    with Witnesses(Place(folder, folder.name), model, len(plan.strands)) as witnesses:
        found = [witnesses.of(tile) for tile in tiles]
    known = [each for each in found if each is not None]
    return known if len(known) == len(tiles) else []


def _in_contig(task: Task, sign: str, span: Span) -> Span:
    start, stop = span
    if sign == "-":
        return task.segment.stop - stop, task.segment.stop - start
    return task.segment.start + start, task.segment.start + stop


def _of_strand(
    plan: Prepared, task: Task, model: LanguageModel, b: int, stretch: _Stretch, span: Span
) -> tuple[np.ndarray, np.ndarray]:
    """What the method gives at the bases of a span, (n, 4), and log p of the observed ones, (n,).

    Both are in the order of the plus strand.
    """
    segment, (start, stop) = task.segment, stretch.span
    codes = plan.genome.codes(segment.contig, start, stop)
    text = "".join((BASES + "N")[code] for code in codes)
    part, origin = slice(span[0] - start, span[1] - start), start
    first_of_all = start == segment.start
    if stretch.minus:
        text = text[::-1].translate(PAIRED)
        part = slice(stop - span[1], stop - span[0])
        origin = plan.genome.lengths[segment.contig] - stop
        first_of_all = stop == segment.stop
    objective = counted_from(task.objectives[b], origin)
    by_base, log_p = _scores(plan.method, model, text, objective, stretch, part)
    if first_of_all and part.start == 0 and running_of(model).streams:
        log_p[0] = np.nan
    return (by_base[::-1, ::-1], log_p[::-1]) if stretch.minus else (by_base, log_p)


def _scores(
    method: Method,
    model: LanguageModel,
    text: str,
    objective: Objective,
    stretch: _Stretch,
    part: slice,
) -> tuple[np.ndarray, np.ndarray]:
    """The same for a part of a text, in the direction in which it is read."""
    ids, bases = model.tokenize(text), list(model.vocabulary.base_ids)
    if not isinstance(model, CausalMamba):
        by_base = adjoint(model, ids, objective).gradient[part, bases]
        every = log_probs(model, ids) if model.config.has_head else None
    else:
        by_base, every = _swept(model, ids, objective, stretch)
        by_base = by_base[part, bases]
    if isinstance(method, IntegratedGradients):
        whole = integrated_gradients(model, ids, method.steps, objective, TILE)
        by_base = whole.attribution[part]
    elif runs_again(method):
        given = model, ids, part.start, part.stop
        by_base = substitution_effects(
            *given, near=method.near, objective=objective, tile_length=TILE
        )
    if every is None:
        return by_base.astype(float), np.full(len(by_base), np.nan)
    rows = np.arange(len(ids))[part]
    return by_base.astype(float), every[rows, ids.numpy()[part]].astype(float)


def _swept(
    model: CausalMamba, ids: Tensor, objective: Objective, stretch: _Stretch
) -> tuple[np.ndarray, np.ndarray | None]:
    """Gradient and the log-probabilities of every base, (L, V), from what is known at the ends."""
    plan, blank = Plan(len(ids), TILE), model.initial_state(1)

    def read(start: int, stop: int) -> Tensor:
        return model.one_hot(ids[None, start:stop])

    ends = (stretch.before, stretch.after)
    before, after = (
        blank if end is None else end.map(lambda t: t.to(blank.log_probs)) for end in ends
    )
    steps = sweep.primal(model, read, plan, before, range(plan.replayed))
    states = [before, *(step.state for step in steps)]
    gradient = np.empty((plan.length, model.config.vocab_rows))
    log_p = np.empty((plan.length, model.config.outputs))
    for tile in sweep.adjoint(model, read, plan, [objective], states, after):
        rows = slice(*plan.bounds(tile.k))
        gradient[rows] = tile.gradient[0].cpu().numpy()
        log_p[rows] = tile.log_p[0].cpu().numpy()
    return gradient, log_p if model.config.has_head else None


def _tracks(plan: Prepared, values: np.ndarray, log_p: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """All tracks of the run, (tracks, n); NaN at what is no base."""
    rows, observed = np.arange(len(codes)), np.minimum(codes, N_CODE - 1)
    own = values[rows, observed]
    slope = values if plan.method.name == "saliency" else values - values.mean(axis=1)[:, None]
    by_name = {
        "sensitivity": np.linalg.norm(slope, axis=1),
        "contribution": slope[rows, observed],
        "importance": (4 * own - values.sum(axis=1)) / 3,
        "ig": values.sum(axis=1),
        "surprisal": -log_p / np.log(2),
    }
    for a, base in enumerate(BASES):
        by_name[f"tism.{base}"] = by_name[f"effect.{base}"] = values[:, a] - own
    table = np.stack([by_name[name] for name in plan.options.track_names])
    table[:, codes == N_CODE] = np.nan
    return table
