"""bedGraph: text, plain or bgzip-compressed with a tabix index."""

from pgf_genome.tracks.bedgraph.writer import BedGraphWriter

__all__ = ["BedGraphWriter"]
