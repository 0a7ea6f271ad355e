"""Where a browser opens when nobody says: at the strongest position, close enough for letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pgf_genome.errors import IntegrityError
from pgf_genome.intervals import Interval

if TYPE_CHECKING:
    from pgf_genome.browser.scene import Track

WIDTH = 100
BINS = 1000
# so many contigs, the first ones, are searched
CONTIGS = 100


def opening_locus(tracks: Iterable[Track], sizes: Mapping[str, int]) -> Interval:
    """`WIDTH` bases around the largest value, or at the first contig's start without a bigWig."""
    bigwigs = [track for track in tracks if track.bigwig]
    # the order says what is worth a look; `sorted` is stable
    bigwigs.sort(key=lambda track: track.name not in ("sensitivity", "contribution"))
    contig, middle = next(iter(sizes)), 0
    if bigwigs:
        contig, middle = _strongest(bigwigs[0].path, sizes) or (contig, middle)
    length = sizes[contig]
    start = max(0, min(middle - WIDTH // 2, length - WIDTH))
    return Interval(contig, start, min(start + WIDTH, length))


def _strongest(path: Path, sizes: Mapping[str, int]) -> tuple[str, int] | None:
    """Contig and position of the largest value, by the zoom levels and one bin of values."""
    import pyBigWig

    try:
        with pyBigWig.open(str(path)) as file:
            searched = islice(sizes.items(), CONTIGS)
            found = [_highest_bin(file, contig, length) for contig, length in searched]
            best = max(filter(None, found), default=None)
            if best is None:
                return None
            _, contig, start, stop = best
            values = file.values(contig, start, stop, numpy=True)
            return contig, start + int(np.nanargmax(values))
    except RuntimeError as error:
        raise IntegrityError(f"{path}: cannot be read ({error}); run attribute again") from error


def _highest_bin(file: Any, contig: str, length: int) -> tuple[float, str, int, int] | None:
    """Largest value, and the bin that has it with its neighbours; None if nothing is scored."""
    bins = min(BINS, length)
    maxima = [-np.inf if x is None else x for x in file.stats(contig, type="max", nBins=bins)]
    highest = int(np.argmax(maxima))
    if maxima[highest] == -np.inf:
        return None
    start = length * max(highest - 1, 0) // bins
    return maxima[highest], contig, start, min(length * (highest + 2) // bins + 1, length)
