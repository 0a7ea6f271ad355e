"""Tracks: streams of one float32 per position, written and summarised in constant memory.

Everything here is fed by ``add(contig, start, values)``: float32 values of consecutive positions
from ``start`` (0-based), NaN where a position was not scored and therefore has no row. Calls come
in FASTA order, ascending, without overlap. The result never depends on how a track is cut into
calls.
"""

from __future__ import annotations

from pgf_genome.tracks.bedgraph import BedGraphWriter
from pgf_genome.tracks.bigwig import BigWigWriter
from pgf_genome.tracks.bins import BinnedTrack
from pgf_genome.tracks.blocks import BlockConsumer, TrackWriter
from pgf_genome.tracks.formats import FORMATS, TrackFormat, track_file, track_line
from pgf_genome.tracks.sizes import write_chrom_sizes
from pgf_genome.tracks.strongest import Mask, Peak, Strongest
from pgf_genome.tracks.summary import Bins, Envelope, HistogramBin, Summary, TrackSummary

__all__ = [
    "FORMATS",
    "BedGraphWriter",
    "BigWigWriter",
    "BinnedTrack",
    "Bins",
    "BlockConsumer",
    "Envelope",
    "HistogramBin",
    "Mask",
    "Peak",
    "Strongest",
    "Summary",
    "TrackFormat",
    "TrackSummary",
    "TrackWriter",
    "track_file",
    "track_line",
    "write_chrom_sizes",
]
