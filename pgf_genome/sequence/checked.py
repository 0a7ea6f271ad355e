"""A file of bytes that is read in pieces, and every piece compared with what was written."""

from __future__ import annotations

import os
import zlib
from array import array
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from pgf_genome.errors import IntegrityError

# bytes that share a checksum, and blocks that are kept in memory
BLOCK, KEPT = 1 << 16, 4


class CheckedWriter:
    """Writer of a file that takes the CRC-32 of every block on its way.

    Attributes
    ----------
    sums : array of int
        One number for each block of `BLOCK` bytes, the last of which may be shorter.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.sums = array("I")
        self._file, self._open = file, 0

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._file.write(data)
        view = memoryview(data)
        while view:
            if not self._open:
                self.sums.append(0)
            piece, view = view[: BLOCK - self._open], view[BLOCK - self._open :]
            self.sums[-1] = zlib.crc32(piece, self.sums[-1])
            self._open = (self._open + len(piece)) % BLOCK


class CheckedFile:
    """Reader of such a file, by threads at the same time.

    Read, not mapped: mapped pages would count as resident memory and grow with the file.

    Parameters
    ----------
    path : Path
    sums : sequence of int
        What `CheckedWriter` has found.
    """

    def __init__(self, path: Path, sums: Sequence[int]) -> None:
        self.path, self._sums = path, sums
        self._file = path.open("rb", buffering=0)
        self._block = lru_cache(KEPT)(self._checked)

    @classmethod
    def as_it_is(cls, path: Path) -> Self:
        """A file that is taken to be right as it is now."""
        with path.open("rb") as file:
            blocks = iter(lambda: file.read(BLOCK), b"")
            return cls(path, array("I", map(zlib.crc32, blocks)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, start: int, stop: int) -> np.ndarray:
        """Bytes ``start`` to ``stop``, uint8 (stop - start,).

        Raises
        ------
        IntegrityError
            If the file is not what was written.
        """
        data = np.empty(stop - start, np.uint8)
        for number in range(start // BLOCK, -(-stop // BLOCK)):
            first = number * BLOCK
            lo, hi = max(start, first), min(stop, first + BLOCK)
            data[lo - start : hi - start] = self._block(number)[lo - first : hi - first]
        return data

    def _checked(self, number: int) -> np.ndarray:
        block = bytearray()
        while len(block) < BLOCK:
            offset = number * BLOCK + len(block)
            piece = os.pread(self._file.fileno(), BLOCK - len(block), offset)
            if not piece:
                break
            block += piece
        if number >= len(self._sums) or zlib.crc32(block) != self._sums[number]:
            raise IntegrityError(
                f"{self.path}: the decoded sequence is not what was written there; check the "
                "disk, then run again"
            )
        return np.frombuffer(block, np.uint8)
