"""The locus at which a browser opens by default: the strongest position, close up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pgf_genome.browser.track import Track
from pgf_genome.intervals import Interval
from pgf_genome.runs.run import leading
from pgf_genome.tracks import Peak
from pgf_genome.tracks.reading import highest_position

# bases; few enough for browsers to draw letters
WIDTH = 100


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
        contig, middle = highest_position(bigwigs[leading(bigwigs)], sizes) or (contig, middle)
    length = sizes[contig]
    start = max(0, min(middle - WIDTH // 2, length - WIDTH))
    return Interval(contig, start, min(start + WIDTH, length))
