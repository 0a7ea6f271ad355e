"""Finished tracks, read piece by piece from bigWig, or from bedGraph if there is no bigWig."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from isal import igzip_lib

from pgf_genome.errors import IntegrityError, ResourceError
from pgf_genome.intervals import Interval
from pgf_genome.tracks.bedgraph.reader import read_bedgraph
from pgf_genome.tracks.bigwig.reader import highest_value, read_bigwig
from pgf_genome.tracks.bigwig.writer import SUFFIX as BIGWIG_SUFFIX
from pgf_genome.tracks.blocks import Piece
from pgf_genome.tracks.formats import SUFFIXES

__all__ = ["Piece", "highest_position", "read_track", "track_path"]

# what readers and their libraries raise for a damaged file
DAMAGE: tuple[type[Exception], ...] = (
    *(OSError, EOFError, OverflowError, ValueError, zlib.error),
    cast(type[Exception], igzip_lib.error),
)
# bases in memory at a time
PIECE = 1 << 20


def track_path(prefix: str | os.PathLike[str], track: str) -> Path:
    """Find the file that holds a track of a run.

    Raises
    ------
    ResourceError
        If there is no such file.
    """
    paths = [Path(f"{os.fspath(prefix)}.{track}{suffix}") for suffix in SUFFIXES]
    existing = next((path for path in paths if path.is_file()), None)
    if existing is None:
        raise ResourceError(
            f"{paths[0]}: not found, nor as {' or '.join(SUFFIXES[1:])}; give the prefix of a "
            "finished run whose tracks are beside its run.json"
        )
    return existing


def read_track(
    path: Path,
    sizes: Mapping[str, int],
    windows: Sequence[Interval] | None = None,
    most: int = PIECE,
) -> Iterator[Piece]:
    """Read a track in successive pieces, as `BlockConsumer.add` takes them.

    Parameters
    ----------
    path : Path
        ``.bw``, ``.bedgraph.gz`` or ``.bedgraph``, 0-based half-open, in the order of ``sizes``.
    sizes : mapping of str to int
        Length of every contig in bases.
    windows : sequence of Interval, optional
        Stretches that the pieces have to cover; everything if None. bigWig is read there only,
        bedGraph from end to end.
    most : int
        Bases of a piece at most.

    Yields
    ------
    (str, int, ndarray of float32)
        Contig, 0-based start and values (n,), NaN where there is no row.

    Raises
    ------
    IntegrityError
        If the file cannot be read, or its contigs are not those of ``sizes``.
    """
    with _damage(path):
        if path.suffix == BIGWIG_SUFFIX:
            wanted = _whole(sizes) if windows is None else windows
            yield from read_bigwig(path, sizes, wanted, most)
        else:
            yield from read_bedgraph(path, sizes, most)


def highest_position(path: Path, sizes: Mapping[str, int]) -> tuple[str, int] | None:
    """Find contig and 0-based position of the largest value of a bigWig; None without any score.

    Raises
    ------
    IntegrityError
        As `read_track`.
    """
    with _damage(path):
        return highest_value(path, sizes)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file causes into an `IntegrityError`."""
    try:
        yield
    except DAMAGE as error:
        raise IntegrityError(f"{path}: cannot be read ({error}); run the command again") from error


def _whole(sizes: Mapping[str, int]) -> Iterator[Interval]:
    return (Interval(contig, 0, length) for contig, length in sizes.items())
