"""Sites: the strongest positions of a run, each with the bases around it that stand out with it.

``PREFIX.peaks.bed`` holds them in ENCODE's narrowPeak, BED with ten columns
(https://genome.ucsc.edu/FAQ/FAQformat.html#format12): contig, start, end (0-based half-open), name,
score, strand, signalValue, pValue, qValue, and the summit, counted from start. What is not known is
``.`` or -1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pgf_genome.errors import IntegrityError
from pgf_genome.files import atomic_write_text
from pgf_genome.intervals import Interval, merge
from pgf_genome.sequence import N_CODE, Genome
from pgf_genome.tracks import Mask, Peak

# Bases from an N, or from an end of a contig, within which the model's output is still unsettled.
# On hard-masked yeast chromosome I the mean sensitivity is 2.5 times its usual value beside an N,
# 1.2 times at 5 bases, and the usual one from 8 bases on.
EDGE = 8
# Bases on either side of a summit that can belong to its site, and the part of the summit's value
# that the site's outermost bases have at least; as many bases in a row may have less.
FLANK, PART, BRIDGED = 63, 0.5, 3
# Names of sites beside an edge end so.
MARK = "|edge"

# Values of the leading track in windows without overlap, in the order of the contigs.
ValuesIn = Callable[[Sequence[Interval]], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Site:
    """A strong position and its surroundings.

    Attributes
    ----------
    span : Interval
        From the first to the last base that belongs to it.
    summit : int
        The strongest position, 0-based.
    value : float
        The track's value there.
    edge : bool
        Whether an N or an end of the contig is within `EDGE` bases of the summit.
    """

    span: Interval
    summit: int
    value: float
    edge: bool = False


def edges_of(genome: Genome) -> Mask:
    """Say which positions have an N, or an end of their contig, within `EDGE` bases."""

    def mask(contig: str, start: int, stop: int) -> np.ndarray:
        length = genome.lengths[contig]
        first, last = max(start - EDGE, 0), min(stop + EDGE, length)
        is_n = genome.codes(contig, first, last) == N_CODE
        before = np.concatenate([[0], np.cumsum(is_n)])
        at = np.arange(start, stop)
        near = before[np.minimum(at + EDGE + 1, last) - first]
        near = near > before[np.maximum(at - EDGE, first) - first]
        return near | (at < EDGE) | (at >= length - EDGE)

    return mask


def sites_around(
    peaks: Iterable[Peak],
    sizes: Mapping[str, int],
    values_in: ValuesIn,
    edges: Collection[tuple[str, int]] = (),
) -> list[Site]:
    """Find the sites of peaks, in the order of the contigs.

    From the summit outward a site goes on while values have the summit's sign and at least `PART`
    of its magnitude, fewer than `BRIDGED` bases in a row excepted, for `FLANK` bases at most.

    Parameters
    ----------
    peaks : iterable of Peak
        More than twice `FLANK` bases apart.
    sizes : mapping of str to int
        Length of every contig in bases, in order.
    edges : collection of (str, int)
        Contig and position of the peaks that are beside an edge, see `edges_of`.
    """
    rank = {contig: i for i, contig in enumerate(sizes)}
    ordered = sorted(peaks, key=lambda peak: (rank[peak.contig], peak.position))
    around = [
        Interval(p.contig, max(p.position - FLANK, 0), min(p.position + FLANK + 1, sizes[p.contig]))
        for p in ordered
    ]
    sites = []
    for peak, window, values in zip(ordered, around, _apart(around, values_in), strict=True):
        beside = values * np.sign(peak.value) >= PART * abs(peak.value)
        at = peak.position - window.start
        left, right = _reach(beside[:at][::-1]), _reach(beside[at + 1 :])
        span = Interval(peak.contig, peak.position - left, peak.position + right + 1)
        edge = (peak.contig, peak.position) in edges
        sites.append(Site(span, peak.position, peak.value, edge))
    return sites


def _apart(windows: Sequence[Interval], values_in: ValuesIn) -> list[np.ndarray]:
    """Values in windows, of which neighbours may touch."""
    joined = merge(windows)
    values = iter(zip(joined, values_in(joined), strict=True))
    found, (whole, held) = [], next(values, (None, np.empty(0)))
    for window in windows:
        while whole is not None and (whole.contig != window.contig or whole.stop < window.stop):
            whole, held = next(values)
        assert whole is not None
        found.append(held[window.start - whole.start : window.stop - whole.start])
    return found


def _reach(beside: np.ndarray) -> int:
    """Bases from the summit outward that belong to the site."""
    reached = 0
    for place in np.flatnonzero(beside).tolist():
        if place - reached >= BRIDGED:
            break
        reached = place + 1
    return reached


def write_peaks(path: Path, sites: Sequence[Site], name_of: Callable[[Site], str] | None) -> None:
    """Write sites as narrowPeak.

    Parameters
    ----------
    sites : sequence of Site
        In the order in which they are written.
    name_of : callable, optional
        Gives the name of a site; without it, they are named by their rank, the strongest 1.

    Raises
    ------
    ResourceError
        If the file cannot be written.
    """
    strongest = max((abs(site.value) for site in sites), default=0.0) or 1.0
    order = np.argsort([-abs(site.value) for site in sites], kind="stable")
    ranks = {int(place): rank for rank, place in enumerate(order, 1)}
    lines = []
    for place, site in enumerate(sites):
        name = f"site{ranks[place]}" if name_of is None else name_of(site)
        score = round(1000 * abs(site.value) / strongest)
        span = site.span
        columns = (
            *(span.contig, span.start, span.stop, name + MARK * site.edge, score, "."),
            *(f"{site.value:.6g}", -1, -1, site.summit - span.start),
        )
        lines.append("\t".join(map(str, columns)) + "\n")
    atomic_write_text(path, "".join(lines))


def read_summits(path: Path) -> list[Peak]:
    """Read the summits of a file that `write_peaks` wrote, strongest first.

    Raises
    ------
    IntegrityError
        If it cannot be read, or is no such file.
    """
    try:
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        found = [Peak(row[0], int(row[1]) + int(row[9]), float(row[6])) for row in rows]
    except (OSError, ValueError, IndexError) as error:
        raise IntegrityError(
            f"{path}: cannot be read ({error}); pgf-genome report writes it again"
        ) from error
    return sorted(found, key=lambda peak: -abs(peak.value))
