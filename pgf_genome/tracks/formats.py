"""The files of a track: their names, their writers, and summaries in bins beside them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pgf_genome.errors import UsageError
from pgf_genome.tracks.bedgraph.writer import SUFFIXES as BEDGRAPH_SUFFIXES
from pgf_genome.tracks.bedgraph.writer import BedGraphWriter
from pgf_genome.tracks.bigwig.writer import SUFFIX as BIGWIG_SUFFIX
from pgf_genome.tracks.bigwig.writer import BigWigWriter
from pgf_genome.tracks.bins import BinnedTrack
from pgf_genome.tracks.blocks import BlockConsumer, TrackWriter

FORMATS = ("bedgraph", "bigwig")
# suffixes of a track's files in the order of preference: bigWig is the fastest to read
SUFFIXES = (BIGWIG_SUFFIX, *BEDGRAPH_SUFFIXES.values())
# regular expressions of the end of an index, and of the end of any file of a track
INDEX = r"(?:\.tbi|\.csi)?"
FILES = rf"(?:{'|'.join(map(re.escape, SUFFIXES))}){INDEX}"


def track_file(prefix: str | os.PathLike[str], name: str, kind: str, compress: bool = True) -> Path:
    """Name the file of a track.

    Parameters
    ----------
    prefix : path-like
        Prefix of the run's files.
    name : str
        The track, or one of its summaries: ``sensitivity``, ``sensitivity.bin1000.mean``.
    kind : str
        One of `FORMATS`.
    compress : bool
        Whether bedGraph is bgzip with an index.
    """
    suffix = BIGWIG_SUFFIX if kind == "bigwig" else BEDGRAPH_SUFFIXES[compress]
    return Path(f"{os.fspath(prefix)}.{name}{suffix}")


@dataclass(frozen=True)
class TrackFormat:
    """File formats in which every track of a run is written.

    Attributes
    ----------
    formats : sequence of str
        Any of ``bedgraph`` and ``bigwig``.
    compress : bool
        Whether bedGraph is bgzip with an index.
    track_line : bool
        Whether plain bedGraph starts with a UCSC track line.
    bins : sequence of int
        Widths of the bins of the summaries, in bases.

    Raises
    ------
    UsageError
        If there is no format, or one that is not known.
    """

    formats: Sequence[str] = ("bedgraph", "bigwig")
    compress: bool = True
    track_line: bool = False
    bins: Sequence[int] = ()

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.formats if kind not in FORMATS]
        if unknown or not self.formats:
            named = f"unknown format {', '.join(unknown)}" if unknown else "no format"
            raise UsageError(f"{named}: choose from {', '.join(FORMATS)}")

    def open(
        self,
        stack: ExitStack,
        prefix: str | os.PathLike[str],
        track: str,
        sizes: Mapping[str, int],
        about: str = "",
    ) -> tuple[dict[str, Path], list[BlockConsumer]]:
        """Open all files of a track; they are complete when ``stack`` is closed without error.

        Parameters
        ----------
        stack : ExitStack
            The stack that closes the files.
        prefix : path-like
        track : str
            Files are named by `track_file`; the summaries ``<track>.bin1000.mean`` and so on.
        sizes : mapping of str to int
            Length of every contig in bases, in FASTA order.
        about : str
            Description of the values, for the track line.

        Returns
        -------
        files : dict of str to Path
            Files by name and format, ``<track>.bigwig``.
        takers : list of BlockConsumer
            Consumers of the values of the track.

        Raises
        ------
        PgfError
            If a file cannot be opened.
        """
        files: dict[str, Path] = {}

        def writers(name: str) -> list[TrackWriter]:
            opened = []
            for kind in dict.fromkeys(self.formats):
                path = track_file(prefix, name, kind, self.compress)
                line = track_line(f"{Path(prefix).name} {name}", about)
                opened.append(stack.enter_context(self._writer(kind, path, sizes, line)))
                files[f"{name}.{kind}"] = path
            return opened

        takers: list[BlockConsumer] = [*writers(track)]
        for width in dict.fromkeys(self.bins):
            name = f"{track}.bin{width}"
            summary = BinnedTrack(
                name, sizes, width, writers(f"{name}.mean"), writers(f"{name}.max")
            )
            takers.append(stack.enter_context(summary))
        return files, takers

    def _writer(self, kind: str, path: Path, sizes: Mapping[str, int], line: str) -> TrackWriter:
        if kind == "bigwig":
            return BigWigWriter(path, sizes)
        return BedGraphWriter(path, sizes, self.compress, line if self.track_line else None)


def track_line(name: str, about: str) -> str:
    """The first line of a bedGraph custom track at UCSC, without its newline."""
    return (
        f'track type=bedGraph name="{_quotable(name)}" description="{_quotable(about)}" '
        "visibility=full autoScale=on alwaysZero=on"
    )


def _quotable(text: str) -> str:
    """Replace quotation marks, for which UCSC has no escape."""
    return " ".join(text.replace('"', "'").split())
