"""The certificate of a run: all its items, of a run in work or of one that is finished."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pgf_genome.attribution.prepare import Prepared
from pgf_genome.attribution.segment import Results
from pgf_genome.engine.threads import torch_threads
from pgf_genome.intervals import Interval
from pgf_genome.runs.certificate import Certificate, Check
from pgf_genome.runs.run import Run
from pgf_genome.tracks.cutting import cut
from pgf_genome.verification import derivatives, files
from pgf_genome.verification.effects import effects
from pgf_genome.verification.excerpt import Excerpt, excerpts
from pgf_genome.verification.files import Values, track_files, values_of
from pgf_genome.verification.scores import Recomputed, recomputed
from pgf_genome.verification.states import replayed_states

# Of values around which only a part of the sequence was swept: root mean square of the error, as a
# part of that of the values. Values of another base, strand or track differ by more than 1.
IN_CONTEXT = 0.5

# Items of derivatives, each a function of excerpts.
DERIVATIVES: tuple[Callable[[Sequence[Excerpt]], Check], ...] = (
    derivatives.central_differences,
    derivatives.tangent_adjoint_identity,
    derivatives.autograd_equality,
    effects,
    derivatives.rounding,
)

log = logging.getLogger("pgf_genome")


def certify(plan: Prepared, run: Run, folder: Path | None = None) -> Certificate:
    """Check a run whose files are written.

    Parameters
    ----------
    plan : Prepared
        What was run.
    run : Run
        Its files and its record.
    folder : Path, optional
        Where it keeps states, witnesses and scores, if they are still there.
    """
    return Certificate(tuple(_checks(plan, run, folder)))


def _checks(plan: Prepared, run: Run, folder: Path | None) -> Iterator[Check]:
    yield same("model", plan.model.digest, run.record.model.get("sha256"), "weights")
    yield same("sequence", plan.genome.digest, run.record.fasta.sha256_of_bases, "bases")
    drawn = excerpts(plan)
    if not drawn:
        return
    with torch_threads(1):  # on stretches this short, threads wait for each other
        yield from [item(drawn) for item in DERIVATIVES]
    yield replayed_states(plan, folder)
    again = [*recomputed(plan, folder)]
    yield from _values(plan, run, again)
    places = [
        Interval(plan.segments[sample.segment].contig, *sample.span) for sample in plan.samples
    ]
    yield files.contents(run, places, None if folder is None else _scores(plan, folder, places))
    yield files.indexes(run)
    yield files.zoom_levels(run, places)


def same(name: str, found: str, known: object, what: str) -> Check:
    """Whether what is at hand has the digest that the run recorded."""
    if known is None:
        return Check.without(name, f"run.json has no digest of the {what}")
    said = f"digest of the {what}, 1 if it is not that of the run"
    return Check.of(name, 0.0, float(found != known), said)


def _scores(plan: Prepared, folder: Path, places: Sequence[Interval]) -> Values:
    """The values that the run keeps in its folder, before they are written."""
    tracks = plan.options.track_names
    pieces = (
        (result.task.segment.contig, start, table[: len(tracks)])
        for result in Results(plan, folder)
        if any(place.contig == result.task.segment.contig for place in places)
        for start, table in result.tracks()
    )
    once = [*dict.fromkeys(places)]
    held = dict(zip(once, cut(once, pieces, len(tracks)), strict=True))

    def values(track: str, place: Interval) -> np.ndarray:
        return held[place][tracks.index(track)]

    return values


def _values(plan: Prepared, run: Run, again: Sequence[Recomputed]) -> Iterator[Check]:
    """Values in the files against those that were computed again."""
    tolerance = derivatives.ROUNDING[plan.model.precision]
    kinds = {
        True: ("values", tolerance, _largest, "largest error of the largest value of a track"),
        False: ("values in context", IN_CONTEXT, _root_mean_square, "root mean square of the "
                "error, as a part of that of the values of a track"),
    }  # fmt: skip
    for exact, (name, most, measure, how) in kinds.items():
        places = [each for each in again if each.exact is exact]
        if not places:
            continue
        bases = sum(each.place.length for each in places)
        detail = f"{bases:,} bases at {len(places)} places computed again in float64; {how}"
        try:
            worst = [
                measure(*_rows(run, places, i, path))
                for i, track in enumerate(run.tracks)
                for each, path in track_files(run)
                if each == track
            ]
        except files.DAMAGE as error:
            yield Check(name, most, None, False, str(error))
        else:
            yield Check.of(name, most, float(np.max(worst, initial=0.0)), detail)
    if not again:
        why = "no place of the run can be computed again in little time"
        yield Check.without("values", why)


def _rows(
    run: Run, places: Sequence[Recomputed], i: int, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Values of track i in its file, and computed again; a row that one of them lacks is inf."""
    found = np.concatenate([values_of(path, run, each.place) for each in places]).astype(float)
    expected = np.concatenate([each.table[i] for each in places])
    alike = np.isnan(found) == np.isnan(expected)
    return np.where(alike, np.nan_to_num(found), np.inf), np.nan_to_num(expected)


def _largest(found: np.ndarray, expected: np.ndarray) -> float:
    return _part(np.abs(found - expected).max(), np.abs(expected).max())


def _root_mean_square(found: np.ndarray, expected: np.ndarray) -> float:
    return _part(*(np.sqrt(np.mean(each**2)) for each in (found - expected, expected)))


def _part(error: float, scale: float) -> float:
    return float(error / scale) if scale else float(error)
