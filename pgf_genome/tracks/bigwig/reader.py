"""bigWig files, read with pyBigWig."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pgf_genome.errors import IntegrityError
from pgf_genome.intervals import Interval
from pgf_genome.tracks.blocks import Piece


def read_bigwig(
    path: Path, sizes: Mapping[str, int], windows: Iterable[Interval], most: int
) -> Iterator[Piece]:
    """Read the values of some windows in pieces of at most ``most`` bases.

    Raises
    ------
    IntegrityError
        If the contigs of the file are not those of ``sizes``.
    OSError, RuntimeError
        If the file is damaged; pyBigWig does not say where.
    """
    import pyBigWig

    with pyBigWig.open(str(path)) as file:
        if file.chroms() != dict(sizes):
            raise IntegrityError(f"{path}: its contigs are not those of the run; run it again")
        for window in windows:
            for start in range(window.start, window.stop, most):
                stop = min(start + most, window.stop)
                yield window.contig, start, file.values(window.contig, start, stop, numpy=True)
