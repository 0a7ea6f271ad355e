"""The files of one track: the track itself, and its summaries in bins."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pgf_genome.tracks.bedgraph import BedGraphWriter
from pgf_genome.tracks.bigwig import BigWigWriter
from pgf_genome.tracks.bins import BinnedTrack
from pgf_genome.tracks.blocks import BlockConsumer, TrackWriter


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
    """

    formats: Sequence[str] = ("bedgraph", "bigwig")
    compress: bool = True
    track_line: bool = False
    bins: Sequence[int] = ()

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
            Files are ``PREFIX.<track>.bw``, ``PREFIX.<track>.bin1000.mean.bw`` and so on.
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
                writer = self._writer(kind, Path(prefix), name, sizes, about)
                opened.append(stack.enter_context(writer))
                files[f"{name}.{kind}"] = writer.path
            return opened

        takers: list[BlockConsumer] = [*writers(track)]
        for width in dict.fromkeys(self.bins):
            name = f"{track}.bin{width}"
            summary = BinnedTrack(
                name, sizes, width, writers(f"{name}.mean"), writers(f"{name}.max")
            )
            takers.append(stack.enter_context(summary))
        return files, takers

    def _writer(
        self, kind: str, prefix: Path, name: str, sizes: Mapping[str, int], about: str
    ) -> TrackWriter:
        if kind == "bigwig":
            return BigWigWriter(f"{prefix}.{name}.bw", sizes)
        suffix = "bedgraph.gz" if self.compress else "bedgraph"
        line = track_line(f"{prefix.name} {name}", about) if self.track_line else None
        return BedGraphWriter(f"{prefix}.{name}.{suffix}", sizes, self.compress, line)


def track_line(name: str, about: str) -> str:
    """The first line of a bedGraph custom track at UCSC, without its newline."""
    return (
        f'track type=bedGraph name="{_quotable(name)}" description="{_quotable(about)}" '
        "visibility=full autoScale=on alwaysZero=on"
    )


def _quotable(text: str) -> str:
    """Replace quotation marks, for which UCSC has no escape."""
    return " ".join(text.replace('"', "'").split())
