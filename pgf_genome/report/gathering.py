"""Data of the report, gathered from the tracks in bounded memory while they pass by once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pgf_genome.intervals import Interval, merge
from pgf_genome.report.influence import Influence, Site, TargetDistance
from pgf_genome.runs.run import APART, PEAKS, leading
from pgf_genome.tracks import BlockConsumer, Envelope, Summary, TrackSummary

# Bins of all tracks together. Each takes 16 bytes with its share of the coarser levels, and 4/3 of
# that in base64, so the page has two megabytes of data.
BINS = 96_000
# Bases on either side of a peak that the page holds one by one.
AROUND = 128
MAX_CONTIGS = 200

Targets = Mapping[str, Sequence[tuple[int, int]]]


@dataclass(frozen=True)
class Gathered:
    """The tracks in bounded size.

    Attributes
    ----------
    sizes : mapping of str to int
        Length of every contig in bases, in FASTA order.
    summaries : mapping of str to Summary
        The summary of each track.
    influence : tuple of Influence
        Curves of sensitivity against the distance to the targets; empty without targets.
    outside : tuple of Site
        The most sensitive positions outside the targets, strongest first; empty without targets.
    """

    sizes: Mapping[str, int]
    summaries: Mapping[str, Summary]
    influence: tuple[Influence, ...] = ()
    outside: tuple[Site, ...] = ()

    @property
    def leading(self) -> str:
        """The track that ranks the peaks."""
        return leading(self.summaries)

    @property
    def peaks(self) -> list[Interval]:
        """The strongest positions, one base each, strongest first."""
        if not self.summaries:
            return []
        peaks = self.summaries[self.leading].peaks
        return [Interval(peak.contig, peak.position, peak.position + 1) for peak in peaks]

    @property
    def windows(self) -> list[Interval]:
        """The surroundings of the peaks, without overlap, in FASTA order."""
        around = [
            Interval(p.contig, max(p.start - AROUND, 0), min(p.stop + AROUND, self.sizes[p.contig]))
            for p in self.peaks
        ]
        ranks = {contig: rank for rank, contig in enumerate(self.sizes)}
        return merge(sorted(around, key=lambda each: ranks[each.contig]))

    @property
    def drawn(self) -> list[int]:
        """Ranks of the contigs with an overview: the longest ones, and those that have a peak."""
        if not self.summaries:
            return []
        envelopes = self.summaries[self.leading].envelopes
        scored = [rank for rank, envelope in enumerate(envelopes) if envelope.scored]
        longest = sorted(scored, key=lambda rank: -envelopes[rank].length)[:MAX_CONTIGS]
        with_peak = {peak.contig for peak in self.peaks}
        return sorted({*longest, *(r for r in scored if envelopes[r].contig in with_peak)})

    def envelopes(self, rank: int) -> list[Envelope]:
        """The envelopes of one contig, in the order of the tracks."""
        return [summary.envelopes[rank] for summary in self.summaries.values()]


class Gathering:
    """Consumer of the tracks of a run that makes a `Gathered` of them.

    Parameters
    ----------
    sizes : mapping of str to int
        Length of every contig in bases, in FASTA order.
    tracks : sequence of str
        Names of the tracks.
    targets : mapping of str to sequence of (int, int), optional
        Spans that the objective counts, by contig, 0-based half-open; None if it counts all.
    """

    def __init__(
        self, sizes: Mapping[str, int], tracks: Sequence[str], targets: Targets | None = None
    ) -> None:
        self.sizes = dict(sizes)
        bins = max(BINS // max(len(tracks), 1), 1)
        self._summaries = {
            name: TrackSummary(sizes, bins, bins, PEAKS, APART, MAX_CONTIGS) for name in tracks
        }
        self._distance = None
        if targets and "sensitivity" in tracks:
            self._distance = TargetDistance(sizes, targets)

    def takers(self, track: str) -> list[BlockConsumer]:
        """Return the consumers that have to be given the values of a track."""
        summary = self._summaries[track]
        if self._distance is not None and track == "sensitivity":
            return [summary, self._distance]
        return [summary]

    def result(self) -> Gathered:
        """Return all that was gathered; call it once, after the last value."""
        summaries = {name: summary.result() for name, summary in self._summaries.items()}
        if self._distance is None:
            return Gathered(self.sizes, summaries)
        return Gathered(self.sizes, summaries, self._distance.result(), self._distance.sites())
