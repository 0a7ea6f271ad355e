"""Variants sorted by contig, on disk, so that any number of them takes little memory."""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, NamedTuple, overload

import numpy as np

from pgf_genome.errors import IntegrityError

# A variant: its number, its position, where its alleles begin in the piece, and their lengths.
ROW = np.dtype(
    [("number", "<i8"), ("position", "<i8"), ("at", "<i8"), ("ref", "<i4"), ("alt", "<i4")]
)
_PACKED = struct.Struct("<3q2i")
# Bytes of a piece, and of all pieces that are not written yet.
PIECE, PENDING = 1 << 20, 1 << 24


class Variant(NamedTuple):
    """A change of the reference: ``ref`` at ``position``, 0-based, becomes ``alt``."""

    position: int
    ref: str
    alt: str


def shared_start(first: Sequence[object], second: Sequence[object]) -> int:
    """How many items two sequences have in common at their beginnings."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))


class _Pending(NamedTuple):
    rows: bytearray
    alleles: bytearray


class _Piece(NamedTuple):
    offset: int
    rows: int
    alleles: int  # bytes
    crc: int  # of both


class ByContig:
    """Writer of variants in any order, which are read back contig by contig.

    The variants of a contig stand in pieces, rows first and then the text of their alleles. Memory
    is ``PENDING``, and some bytes for each piece.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("w+b")
        self._pending: dict[str, _Pending] = {}
        self._pieces: dict[str, list[_Piece]] = {}
        self._waiting = 0

    def __enter__(self) -> ByContig:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def add(self, number: int, contig: str, variant: Variant) -> None:
        """Take a variant and its number."""
        position, ref, alt = variant
        pending = self._pending.get(contig)
        if pending is None:
            pending = self._pending[contig] = _Pending(bytearray(), bytearray())
        rows, alleles = pending
        rows += _PACKED.pack(number, position, len(alleles), len(ref), len(alt))
        alleles += (ref + alt).encode("ascii")
        self._waiting += _PACKED.size + len(ref) + len(alt)
        if len(rows) + len(alleles) >= PIECE:
            self._write(contig)
        elif self._waiting >= PENDING:
            self._write_all()

    def _write(self, contig: str) -> None:
        rows, alleles = self._pending.pop(contig)
        crc = zlib.crc32(alleles, zlib.crc32(rows))
        piece = _Piece(self._file.tell(), len(rows) // _PACKED.size, len(alleles), crc)
        self._file.write(rows)
        self._file.write(alleles)
        self._pieces.setdefault(contig, []).append(piece)
        self._waiting -= len(rows) + len(alleles)

    def _write_all(self) -> None:
        for contig in list(self._pending):
            self._write(contig)

    def variants(self) -> dict[str, OfContig]:
        """The variants of each contig, in the order in which they were added."""
        self._write_all()
        return {contig: OfContig(self._file, pieces) for contig, pieces in self._pieces.items()}


class OfContig(Sequence[Variant]):
    """The variants of one contig, read from disk as they are asked for."""

    def __init__(self, file: BinaryIO, pieces: Sequence[_Piece]) -> None:
        self._file, self._pieces = file, pieces
        self._starts = [0, *accumulate(piece.rows for piece in pieces)]
        self._held, self._rows, self._alleles = -1, np.empty(0, ROW), ""

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, index: int) -> Variant: ...
    @overload
    def __getitem__(self, index: slice) -> list[Variant]: ...
    def __getitem__(self, index: int | slice) -> Variant | list[Variant]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = index + len(self) if index < 0 else index
        if not 0 <= i < len(self):
            raise IndexError(f"variant {index} of {len(self)}")
        k = bisect_right(self._starts, i) - 1
        self._hold(k)
        _, position, at, ref, alt = self._rows[i - self._starts[k]].item()
        return Variant(
            position, self._alleles[at : at + ref], self._alleles[at + ref : at + ref + alt]
        )

    def __iter__(self) -> Iterator[Variant]:
        return (self[i] for i in range(len(self)))

    def column(self, name: str) -> Iterator[np.ndarray]:
        """The ``number`` or ``position`` of all variants, in pieces of (n,) int64."""
        for k in range(len(self._pieces)):
            self._hold(k)
            yield self._rows[name]

    def _hold(self, k: int) -> None:
        if k == self._held:
            return
        piece = self._pieces[k]
        self._file.seek(piece.offset)
        size = piece.rows * _PACKED.size
        content = self._file.read(size + piece.alleles)
        if zlib.crc32(content) != piece.crc:
            raise IntegrityError(
                "the variants in the scratch folder are not what was written there; check the "
                "disk, then run again"
            )
        self._rows = np.frombuffer(content, ROW, piece.rows)
        self._alleles = content[size:].decode("ascii")
        self._held = k
