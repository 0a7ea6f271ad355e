"""Data of the report, gathered from the tracks in bounded memory while they pass by once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from pgf_genome.intervals import Interval, merge
from pgf_genome.report.bins import planned
from pgf_genome.report.influence import Influence, Site, TargetDistance
from pgf_genome.report.quantiles import Spread
from pgf_genome.runs.genes import Measured, OnFeatures
from pgf_genome.runs.record import Quantiles
from pgf_genome.runs.run import APART, PEAKS, leading, shown
from pgf_genome.runs.sites import edges_of
from pgf_genome.sequence import Genome
from pgf_genome.sequence.parts import Parts
from pgf_genome.tracks import BlockConsumer, Envelope, Peak, Strongest, Summary, TrackSummary

# Bins of all tracks together. Each takes 16 bytes with its share of the coarser levels, and 4/3 of
# that in base64, so the page has two megabytes of data.
BINS = 96_000
# Sites that are written at most; the first `PEAKS` of them are those of the page.
SITES = 1000
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
    strongest : tuple of Peak
        The strongest positions by the leading track, strongest first.
    edges : frozenset of (str, int), optional
        Contig and position of those of them that are beside an N or an end of the contig; None if
        there can be none, for such positions are left out.
    quantiles : mapping of str to mapping of str to Quantiles
        Of each track, by group of bases.
    measured : mapping of str to sequence of Measured
        Features with the values of each track; empty without features.
    influence : tuple of Influence
        Curves of sensitivity against the distance to the targets; empty without targets.
    outside : tuple of Site
        The most sensitive positions outside the targets, strongest first; empty without targets.
    inside : float, optional
        Mean sensitivity inside the targets; None without targets, or if it is zero.
    """

    sizes: Mapping[str, int]
    summaries: Mapping[str, Summary]
    strongest: tuple[Peak, ...] = ()
    edges: frozenset[tuple[str, int]] | None = frozenset()
    quantiles: Mapping[str, Mapping[str, Quantiles]] = field(default_factory=dict)
    measured: Mapping[str, Sequence[Measured]] = field(default_factory=dict)
    influence: tuple[Influence, ...] = ()
    outside: tuple[Site, ...] = ()
    inside: float | None = None

    @property
    def leading(self) -> str:
        """The track that ranks the peaks."""
        return leading(self.summaries)

    @property
    def peaks(self) -> list[Interval]:
        """The strongest positions of the page, one base each, strongest first."""
        return [Interval(p.contig, p.position, p.position + 1) for p in self.strongest[:PEAKS]]

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
    def drawn(self) -> list[str]:
        """The contigs with an overview: the longest ones, and those that have a peak."""
        if not self.summaries:
            return []
        scored = [each for each in self.summaries[self.leading].envelopes if each.scored]
        longest = sorted(scored, key=lambda each: -each.length)[:MAX_CONTIGS]
        shown = {each.contig for each in longest} | {peak.contig for peak in self.peaks}
        return [each.contig for each in scored if each.contig in shown]

    def envelopes(self, contig: str) -> list[Envelope]:
        """The envelopes of one contig, in the order of the tracks."""
        return [each[contig] for each in self._by_contig]

    @cached_property
    def _by_contig(self) -> list[dict[str, Envelope]]:
        return [{e.contig: e for e in summary.envelopes} for summary in self.summaries.values()]


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
    written : mapping of str to sequence of (int, int), optional
        Spans that were written, likewise; None if all were.
    genome : Genome, optional
        The sequence, under the names of the tracks. Without it, soft-masked bases and positions
        beside an N are not told apart.
    keep_edges : bool
        Whether positions beside an N or an end of a contig can be among the strongest.
    features : mapping of str to sequence of Parts, optional
        Features to measure, by contig.
    """

    def __init__(
        self,
        sizes: Mapping[str, int],
        tracks: Sequence[str],
        targets: Targets | None = None,
        written: Targets | None = None,
        genome: Genome | None = None,
        keep_edges: bool = False,
        features: Mapping[str, Sequence[Parts]] | None = None,
    ) -> None:
        self.sizes = dict(sizes)
        if written is None:
            written = {contig: ((0, length),) for contig, length in sizes.items()}
        bins = planned(written, max(BINS // max(len(tracks), 1), 1), MAX_CONTIGS)
        soft_masked = None if genome is None else genome.soft_masked
        self._summaries = {name: TrackSummary(sizes, bins) for name in tracks}
        self._spreads = {name: Spread(sizes, soft_masked) for name in tracks}
        self._edges = None if genome is None else edges_of(genome)
        self._left_out = self._edges is not None and not keep_edges
        without = self._edges if self._left_out else None
        self._strongest = Strongest(sizes, SITES, APART, without)
        self._leading = leading(tracks) if tracks else None
        self._features = {}
        if features is not None:
            self._features = {
                name: OnFeatures(
                    sizes, features, written, genome if name == self._leading else None
                )
                for name in shown(tracks)
            }
        self._distance = None
        if targets and "sensitivity" in tracks:
            self._distance = TargetDistance(sizes, targets)

    def takers(self, track: str) -> list[BlockConsumer]:
        """Return the consumers that have to be given the values of a track."""
        takers: list[BlockConsumer] = [self._summaries[track], self._spreads[track]]
        if track == self._leading:
            takers.append(self._strongest)
        if track in self._features:
            takers.append(self._features[track])
        if self._distance is not None and track == "sensitivity":
            takers.append(self._distance)
        return takers

    def result(self) -> Gathered:
        """Return all that was gathered; call it once, after the last value."""
        summaries = {name: summary.result() for name, summary in self._summaries.items()}
        quantiles = {name: spread.result() for name, spread in self._spreads.items()}
        measured = {name: features.result() for name, features in self._features.items()}
        strongest = self._strongest.result()
        edges = None if self._left_out else self._edges_among(strongest)
        gathered = Gathered(self.sizes, summaries, strongest, edges, quantiles, measured)
        if self._distance is None:
            return gathered
        curves = self._distance.result()  # the rest is known after it
        return replace(
            gathered,
            influence=curves,
            outside=self._distance.sites(),
            inside=self._distance.inside,
        )

    def _edges_among(self, peaks: Sequence[Peak]) -> frozenset[tuple[str, int]]:
        """Contig and position of the peaks that are beside an edge."""
        if self._edges is None:
            return frozenset()
        return frozenset(
            (peak.contig, peak.position)
            for peak in peaks
            if self._edges(peak.contig, peak.position, peak.position + 1)[0]
        )
