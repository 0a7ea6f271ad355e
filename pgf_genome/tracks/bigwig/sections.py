"""The compressed sections of a bigWig file and the index over them."""

from __future__ import annotations

import struct
from typing import IO

import numpy as np

from pgf_genome.tracks.bigwig.trees import SECTION, section_index
from pgf_genome.tracks.deflate import zlib_compressed

SECTION_STRUCT = struct.Struct("<4I2Q")


class Sections:
    """Sections appended to ``file`` one after the other.

    The place of each stays in memory, in 32 bytes.

    Attributes
    ----------
    largest : int
        Bytes of the largest section before compression, which a reader's buffer has to hold.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._places = bytearray()
        self.largest = 0

    def __len__(self) -> int:
        return len(self._places) // SECTION.itemsize

    def write(self, extent: tuple[int, int, int, int], content: bytes) -> None:
        """Append a section that reaches from (rank, start) to (rank, stop)."""
        packed = zlib_compressed(content)
        self._places += SECTION_STRUCT.pack(*extent, self._file.tell(), len(packed))
        self._file.write(packed)
        self.largest = max(self.largest, len(content))

    def write_index(self, file: IO[bytes], moved: int = 0) -> int:
        """Write the index at the end of ``file``, where the sections are ``moved`` bytes further.

        Returns
        -------
        int
            Offset of the index in ``file``.
        """
        sections = np.frombuffer(bytes(self._places), SECTION).copy()
        sections["offset"] += np.uint64(moved)
        at = file.tell()
        file.write(section_index(sections, at))
        return at
