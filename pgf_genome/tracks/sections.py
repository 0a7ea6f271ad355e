"""The compressed sections of a bigWig file and the index over them."""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np
from isal import isal_zlib

from pgf_genome.tracks.trees import SECTION, section_index

# scores do not compress better at a higher level, and the highest takes three times the time
COMPRESSION = 1
SECTION_STRUCT = struct.Struct("<4I2Q")


class Sections:
    """Sections appended to `file` one after the other; their places stay in memory, 32 bytes each.

    Attributes
    ----------
    largest
        Bytes of the largest section before compression: a reader's buffer.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places = bytearray()
        self.largest = 0

    def __len__(self) -> int:
        return len(self._places) // SECTION.itemsize

    def write(self, extent: tuple[int, int, int, int], content: bytes) -> None:
        """Append a section that reaches from (rank, start) to (rank, stop)."""
        packed = isal_zlib.compress(content, COMPRESSION)
        self._places += SECTION_STRUCT.pack(*extent, self._file.tell(), len(packed))
        self._file.write(packed)
        self.largest = max(self.largest, len(content))

    def write_index(self, file: BinaryIO, moved: int = 0) -> int:
        """Write the index at the end of `file`, where the sections are now `moved` bytes later.

        Returns
        -------
        int
            Offset of the index in `file`.
        """
        sections = np.frombuffer(bytes(self._places), SECTION).copy()
        sections["offset"] += np.uint64(moved)
        at = file.tell()
        file.write(section_index(sections, at))
        return at
