"""bigWig: compressed sections, the trees that find them, and zoom levels."""

from pgf_genome.tracks.bigwig.writer import BigWigWriter

__all__ = ["BigWigWriter"]
