"""BGZF: gzip in blocks, so that a reader can start in the middle.

Format: section 4.1 of the SAM specification.
"""

from __future__ import annotations

import struct
from array import array
from typing import IO

import numpy as np

from pgf_genome.tracks.deflate import gzip_body

# bytes of text in every block but the last, as in htslib and Biopython
BLOCK_BYTES = 65_280
# a gzip header with one extra field, BC, which holds the length of the block less one
HEADER = struct.Struct("<4BI2BH2BHH")
END_OF_FILE = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


class BgzfWriter:
    """Writer of BGZF blocks to ``file``.

    Attributes
    ----------
    length : int
        Bytes taken so far, before compression.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._rest = bytearray()
        self._starts = array("Q", [0])
        self.length = 0

    def write(self, text: bytes | memoryview) -> None:
        """Take any number of bytes; the blocks do not depend on how the text is cut into calls."""
        self.length += len(text)
        self._rest += text
        whole = len(self._rest) // BLOCK_BYTES * BLOCK_BYTES
        with memoryview(self._rest) as rest:
            for start in range(0, whole, BLOCK_BYTES):
                self._write_block(rest[start : start + BLOCK_BYTES])
        del self._rest[:whole]

    def finish(self) -> None:
        """Write the rest of the text and the end-of-file marker."""
        if self._rest:
            self._write_block(self._rest)
        self._file.write(END_OF_FILE)

    def virtual_offsets(self, at: np.ndarray) -> np.ndarray:
        """Virtual offsets of bytes of the text: start of their block << 16 | place in it.

        Call it after `finish`.

        Parameters
        ----------
        at : ndarray of int, (n,)
            Places in the uncompressed text, at most ``length``.

        Returns
        -------
        ndarray of uint64, (n,)
        """
        block, inside = np.divmod(np.asarray(at, np.uint64), np.uint64(BLOCK_BYTES))
        return (np.array(self._starts, np.uint64)[block] << np.uint64(16)) | inside

    def _write_block(self, text: bytearray | memoryview) -> None:
        body = gzip_body(text)
        size = HEADER.size + len(body)
        self._file.write(HEADER.pack(31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, size - 1))
        self._file.write(body)
        self._starts.append(self._starts[-1] + size)
