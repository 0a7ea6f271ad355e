"""bedGraph text: plain, or bgzip-compressed with a tabix index."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pysam
from Bio import bgzf

from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.files import discard, part_path, quiet_htslib
from pgf_genome.tracks.blocks import BLOCK, TrackWriter
from pgf_genome.tracks.rows import (
    POSITION_BYTES,
    VALUE_BYTES,
    powers_of_ten,
    put_rows,
)

# a .tbi index ends at 2**29 - 1 (tabix specification, section 1)
TBI_LIMIT = 2**29 - 1
# level 6 makes the files 6 % smaller and the writer four times slower
COMPRESSION = 1


class BedGraphWriter(TrackWriter):
    """Rows ``contig<TAB>start<TAB>end<TAB>value``, 0-based half-open, FASTA order.

    Neighbours with the same float32 are one row; positions without a score have none. Values are
    the shortest decimals that read back as the same float32 (`pgf_genome.tracks.rows`).

    Parameters
    ----------
    path
        ``*.bedgraph.gz`` if `compress`, else ``*.bedgraph``.
    sizes
        Length of every contig in bases, in FASTA order.
    compress
        Write BGZF and an index beside it: `.tbi`, or `.csi` if a contig is longer than 2**29 - 1.
    track_line
        First line of a plain file, such as ``track type=bedGraph name="x"``. tabix cannot index a
        file that has one.

    Raises
    ------
    UsageError
        If `path`, `compress` and `track_line` contradict each other.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sizes: Mapping[str, int],
        compress: bool = True,
        track_line: str | None = None,
    ) -> None:
        suffix = ".bedgraph.gz" if compress else ".bedgraph"
        if not os.fspath(path).endswith(suffix):
            raise UsageError(f"{os.fspath(path)}: the name must end in {suffix}")
        if compress and track_line is not None:
            raise UsageError(
                f"{os.fspath(path)}: a compressed bedGraph cannot have a track line, "
                "its index would be unusable; write it uncompressed or without the line"
            )
        comment = next((contig for contig in sizes if contig.startswith("#")), None)
        if comment is not None:
            raise SequenceError(
                f"{os.fspath(path)}: contig {comment!r} would read as a comment; rename it"
            )
        super().__init__(path, sizes)
        longest = max(sizes.values(), default=0)
        self._index = f".{'csi' if longest > TBI_LIMIT else 'tbi'}" if compress else None
        self._text = (
            bgzf.BgzfWriter(fileobj=self._file, compresslevel=COMPRESSION)
            if compress
            else self._file
        )
        if track_line is not None:
            self._text.write(f"{track_line}\n".encode())
        self._powers = powers_of_ten()
        self._names = [np.frombuffer(contig.encode(), np.uint8) for contig in self.sizes]
        widest = max((len(name) for name in self._names), default=0)
        row_bytes = widest + 2 * POSITION_BYTES + VALUE_BYTES + 4
        self._rows = np.empty((BLOCK + 1) * row_bytes, np.uint8)
        self._rank = 0
        self._open_row = np.zeros(3, np.int64)

    def _consume(self, rank: int, start: int, block: np.ndarray) -> None:
        if rank != self._rank:
            self._write_open_row()
            self._rank = rank
        self._write(start, block, finish=False)

    def _write_open_row(self) -> None:
        self._write(0, np.empty(0, np.float32), finish=True)

    def _write(self, start: int, values: np.ndarray, finish: bool) -> None:
        name = self._names[self._rank]
        written = put_rows(self._rows, name, start, values, self._powers, self._open_row, finish)
        self._text.write(self._rows[:written].tobytes())

    def _finish(self) -> None:
        if self.sizes:
            self._write_open_row()
        if self._index is not None:
            self._text.close()

    def _publish(self) -> None:
        if self._index is not None:
            with quiet_htslib():
                pysam.tabix_index(
                    str(self._part),
                    preset="bed",
                    force=True,
                    csi=self._index == ".csi",
                    index=str(self._index_part),
                )
            os.replace(self._index_part, f"{self.path}{self._index}")
            for stale in {".tbi", ".csi"} - {self._index}:
                discard(Path(f"{self.path}{stale}"))
        super()._publish()

    @property
    def _index_part(self) -> Path:
        return part_path(f"{self.path}{self._index}")

    def _parts(self) -> list[Path]:
        return [self._part, self._index_part] if self._index is not None else [self._part]
