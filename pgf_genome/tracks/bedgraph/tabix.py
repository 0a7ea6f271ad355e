"""The index of a bgzip-compressed bedGraph, gathered while its rows are written.

tabix would read the whole file again, which takes as long as writing it. The formats are
those of the tabix and CSI specifications (``tabix.pdf`` and ``CSIv1.pdf`` of samtools/hts-specs).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence

import numpy as np

from pgf_genome.tracks.bedgraph.bgzf import BgzfWriter

# the smallest bins and the windows of the linear index are 2**14 positions wide
LEAF_SHIFT = 14
# levels of bins below the one that covers everything; with those of a .tbi it covers 2**29 bases
TBI_DEPTH = 5
# coordinates (0-based half-open), columns of name, start and end, comment character, lines to skip
COLUMNS = (0x10000, 1, 2, 3, ord("#"), 0)


class TabixIndex:
    """Index of rows in file order: ``.tbi``, or ``.csi`` for contigs that a ``.tbi`` cannot cover.

    Memory grows by 64 bytes for every ``2**LEAF_SHIFT`` positions.

    Parameters
    ----------
    longest : int
        Bases of the longest contig.

    Attributes
    ----------
    suffix : str
        ``.tbi`` or ``.csi``.
    """

    def __init__(self, longest: int) -> None:
        self._depth = TBI_DEPTH
        while longest >= 2 ** (LEAF_SHIFT + 3 * self._depth):
            self._depth += 1
        self.suffix = ".tbi" if self._depth == TBI_DEPTH else ".csi"
        # contig, and sum of the windows of the first and last position, of the row that came last
        self._last = (-1, -1)
        self._runs = array("q")

    def add(self, rank: int, start: np.ndarray, stop: np.ndarray, place: np.ndarray) -> None:
        """Take rows in file order, and keep those whose windows are not those of the row before.

        Parameters
        ----------
        rank : int
            Place of the rows' contig in the list of contigs.
        start, stop : ndarray of int64, (n,)
            0-based half-open.
        place : ndarray of int64, (n,)
            Where each row begins in the text, before compression.
        """
        if len(start) == 0:
            return
        # neither window of a row lies before that of the row before, so the sum tells both
        windows = (start >> LEAF_SHIFT) + ((stop - 1) >> LEAF_SHIFT)
        new = np.flatnonzero(np.diff(windows)) + 1
        if (rank, windows[0]) != self._last:
            new = np.append(0, new)
        self._last = (rank, windows[-1])
        for i in new.tolist():
            self._runs.extend((rank, start[i], stop[i], place[i]))

    def content(self, names: Sequence[str], text: BgzfWriter) -> bytes:
        """Return the index, not yet compressed.

        Parameters
        ----------
        names : sequence of str
            Names of the contigs, in the order of their ranks.
        text : BgzfWriter
            The finished text, which consists of rows alone.
        """
        rank, start, stop, place = np.array(self._runs, np.int64).reshape(-1, 4).T
        offsets = text.virtual_offsets(np.append(place, text.length))
        # a run of rows ends where the next begins
        chunks = np.stack([offsets[:-1], offsets[1:]], axis=1)
        ranks, first = np.unique(rank, return_index=True)
        used = b"".join(names[i].encode() + b"\0" for i in ranks)
        columns = struct.pack("<7i", *COLUMNS, len(used)) + used
        if self._depth == TBI_DEPTH:
            head = struct.pack("<4si", b"TBI\1", len(ranks)) + columns
        else:
            head = struct.pack("<4s3i", b"CSI\1", LEAF_SHIFT, self._depth, len(columns))
            head += columns + struct.pack("<i", len(ranks))
        parts = [head]
        for at in map(slice, first, [*first[1:], len(rank)]):
            parts += self._contig(start[at], stop[at], chunks[at])
        return b"".join(parts)

    def _contig(self, start: np.ndarray, stop: np.ndarray, chunks: np.ndarray) -> Iterator[bytes]:
        """Bins with their chunks, then the linear index: the offset of each window's first row."""
        last = (stop - 1) >> LEAF_SHIFT
        linear = chunks[np.searchsorted(last, np.arange(last[-1] + 1)), 0]
        bins, windows = self._bins(start, stop)
        order = np.argsort(bins, kind="stable")
        cuts = np.flatnonzero(np.diff(bins[order])) + 1
        groups = np.split(order, cuts)
        yield struct.pack("<i", len(groups))
        for group in groups:
            first = group[0]
            if self._depth == TBI_DEPTH:
                yield struct.pack("<Ii", bins[first], len(group))
            else:
                yield struct.pack("<IQi", bins[first], linear[windows[first]], len(group))
            yield chunks[group].tobytes()
        if self._depth == TBI_DEPTH:
            yield struct.pack("<i", len(linear)) + linear.tobytes()

    def _bins(self, start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each row, find the smallest bin that holds it, and the first window of that bin."""
        bins, windows = np.zeros_like(start), np.zeros_like(start)
        for level in range(1, self._depth + 1):
            below = 3 * (self._depth - level)
            place = start >> (LEAF_SHIFT + below)
            inside = place == (stop - 1) >> (LEAF_SHIFT + below)
            bins = np.where(inside, (8**level - 1) // 7 + place, bins)
            windows = np.where(inside, place << below, windows)
        return bins, windows
