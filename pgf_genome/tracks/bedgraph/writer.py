"""bedGraph written row by row, compressed and indexed as the rows are made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.files import discard, part_path
from pgf_genome.tracks.bedgraph.bgzf import BgzfWriter
from pgf_genome.tracks.bedgraph.rows import POSITION_BYTES, VALUE_BYTES, powers_of_ten, put_rows
from pgf_genome.tracks.bedgraph.tabix import TabixIndex
from pgf_genome.tracks.blocks import BLOCK, TrackWriter

# suffix of a file by whether it is compressed
SUFFIXES = {True: ".bedgraph.gz", False: ".bedgraph"}

# a thread is given at least so much text at a time; to hand over less takes longer than to write it
TEXT_BYTES = 2**18


class BedGraphWriter(TrackWriter):
    """Writer of rows ``contig<TAB>start<TAB>end<TAB>value``, 0-based half-open, in FASTA order.

    Neighbours with the same float32 share a row; positions without a score have none. Values are
    the shortest decimals that read back as the same float32 (`pgf_genome.tracks.bedgraph.rows`).

    Parameters
    ----------
    path : path-like
        ``*.bedgraph.gz`` if ``compress``, else ``*.bedgraph``.
    sizes : mapping of str to int
        Length of every contig in bases, in FASTA order.
    compress : bool
        Write BGZF and an index beside it: ``.tbi``, or ``.csi`` if a contig has ``2**29`` bases or
        more.
    track_line : str, optional
        First line of a plain file, such as ``track type=bedGraph name="x"``. tabix cannot index
        a file that has one.

    Raises
    ------
    UsageError
        If ``path``, ``compress`` and ``track_line`` contradict each other.
    SequenceError
        If the name of a contig would read as a comment.
    ResourceError
        From every method, if the file cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        sizes: Mapping[str, int],
        compress: bool = True,
        track_line: str | None = None,
    ) -> None:
        if not os.fspath(path).endswith(SUFFIXES[compress]):
            raise UsageError(f"{os.fspath(path)}: the name must end in {SUFFIXES[compress]}")
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
        self._bgzf = BgzfWriter(self._file) if compress else None
        self._text: BgzfWriter | BinaryIO = self._file if self._bgzf is None else self._bgzf
        self._index = TabixIndex(max(sizes.values(), default=0)) if compress else None
        self._powers = powers_of_ten()
        self._names = [np.frombuffer(contig.encode(), np.uint8) for contig in self.sizes]
        widest = max((len(name) for name in self._names), default=0)
        row_bytes = widest + 2 * POSITION_BYTES + VALUE_BYTES + 4
        self._rows = np.empty((BLOCK + 1) * row_bytes, np.uint8)
        self._places = np.empty((3, BLOCK + 1), np.int64)
        self._rank = 0
        self._state = np.zeros(3, np.int64)
        self._length = 0
        # text is compressed and written in a thread while the rows that follow are made
        self._worker = ThreadPoolExecutor(1)
        self._waiting = bytearray()
        self._last: Future | None = None
        if track_line is not None:
            self._submit(f"{track_line}\n".encode())

    def _consume(self, rank: int, start: int, block: np.ndarray) -> None:
        if rank != self._rank:
            self._write_open_row()
            self._rank = rank
        self._write(start, block, finish=False)

    def _write_open_row(self) -> None:
        self._write(0, np.empty(0, np.float32), finish=True)

    def _write(self, start: int, values: np.ndarray, finish: bool) -> None:
        name = self._names[self._rank]
        written, count = put_rows(
            self._rows, self._places, name, start, values, self._powers, self._state, finish
        )
        if self._index is not None:
            start_of, stop_of, place = self._places[:, :count]
            self._index.add(self._rank, start_of, stop_of, self._length + place)
        self._submit(self._rows[:written].tobytes())

    def _submit(self, text: bytes) -> None:
        self._length += len(text)
        self._waiting += text
        if len(self._waiting) >= TEXT_BYTES:
            self._hand_over()

    def _hand_over(self) -> None:
        self._settle()
        self._last = self._worker.submit(self._text.write, bytes(self._waiting))
        self._waiting.clear()

    def _settle(self) -> None:
        """Wait until the text submitted last is written, and raise its error if it failed."""
        if self._last is not None:
            self._last.result()

    def _finish(self) -> None:
        if self.sizes:
            self._write_open_row()
        self._hand_over()
        self._settle()
        self._worker.shutdown()
        if self._bgzf is not None and self._index is not None:
            self._bgzf.finish()
            with open(self._index_part(self._index), "wb") as file:
                packed = BgzfWriter(file)
                packed.write(self._index.content(list(self.sizes), self._bgzf))
                packed.finish()

    def abort(self) -> None:
        self._worker.shutdown()
        super().abort()

    def _publish(self) -> None:
        if self._index is not None:
            os.replace(self._index_part(self._index), f"{self.path}{self._index.suffix}")
            for stale in {".tbi", ".csi"} - {self._index.suffix}:
                discard(Path(f"{self.path}{stale}"))
        super()._publish()

    def _index_part(self, index: TabixIndex) -> Path:
        return part_path(f"{self.path}{index.suffix}")

    def _parts(self) -> list[Path]:
        return [self._part] if self._index is None else [self._part, self._index_part(self._index)]
