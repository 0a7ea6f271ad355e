"""The locus at which a browser opens by default: the strongest position, close up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pgf_genome.browser.track import Track
from pgf_genome.errors import IntegrityError
from pgf_genome.intervals import Interval
from pgf_genome.runs.run import leading
from pgf_genome.tracks import Peak

# bases; few enough for browsers to draw letters
WIDTH = 100
BINS = 1000
# only the first contigs, this many, are searched
CONTIGS = 100


def opening_locus(
    tracks: Iterable[Track], sizes: Mapping[str, int], summits: Sequence[Peak] = ()
) -> Interval:
    """Choose `WIDTH` bases around the first of the summits, or else around the largest value.

    Without a bigWig either, it is the first contig's start.
    """
    bigwigs = {track.name: track.path for track in tracks if track.bigwig}
    contig, middle = next(iter(sizes)), 0
    if summits:
        contig, middle = summits[0].contig, summits[0].position
    elif bigwigs:
        contig, middle = _strongest(bigwigs[leading(bigwigs)], sizes) or (contig, middle)
    length = sizes[contig]
    start = max(0, min(middle - WIDTH // 2, length - WIDTH))
    return Interval(contig, start, min(start + WIDTH, length))


def _strongest(path: Path, sizes: Mapping[str, int]) -> tuple[str, int] | None:
    """Find contig and position of the largest value by zoom levels and the values of one bin."""
    import pyBigWig

    try:
        with pyBigWig.open(str(path)) as file:
            searched = islice(sizes.items(), CONTIGS)
            highest = [_highest_bin(file, contig, length) for contig, length in searched]
            best = max(filter(None, highest), default=None)
            if best is None:
                return None
            _, contig, start, stop = best
            values = file.values(contig, start, stop, numpy=True)
            return contig, start + int(np.nanargmax(values))
    except RuntimeError as error:
        raise IntegrityError(f"{path}: cannot be read ({error}); run attribute again") from error


def _highest_bin(file: Any, contig: str, length: int) -> tuple[float, str, int, int] | None:
    """The largest value, and the bin that has it with its neighbours; None if nothing is scored."""
    bins = min(BINS, length)
    maxima = [-np.inf if x is None else x for x in file.stats(contig, type="max", nBins=bins)]
    highest = int(np.argmax(maxima))
    if maxima[highest] == -np.inf:
        return None
    start = length * max(highest - 1, 0) // bins
    return maxima[highest], contig, start, min(length * (highest + 2) // bins + 1, length)
