"""bigWig files, read with every number in them checked before it is used.

The C library behind pyBigWig trusts its files: of 20,000 damaged ones 86 ended the whole process.
Here memory is that of the index, 32 bytes for each section, and of one piece.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from pgf_genome.errors import IntegrityError
from pgf_genome.intervals import Interval
from pgf_genome.tracks.bigwig.trees import CHROM_TREE_MAGIC, EXTENT, INDEX_MAGIC, SECTION
from pgf_genome.tracks.bigwig.writer import (
    BED_GRAPH,
    FIXED_STEP,
    HEADER_BYTES,
    MAGIC,
    ROW,
    VARIABLE_ITEM,
    VARIABLE_STEP,
)
from pgf_genome.tracks.blocks import Piece

_SECTION_HEADER = struct.Struct("<5I2BH")
_NODE = struct.Struct("<2BH")
_LONGEST_NAME = 1 << 20
# a section counts its items in 16 bits
_LARGEST_SECTION = _SECTION_HEADER.size + ROW.itemsize * (2**16 - 1)


class _Rows(NamedTuple):
    """What a section holds: positions ``starts[i] .. stops[i] - 1`` have ``values[i]``."""

    starts: np.ndarray
    stops: np.ndarray
    values: np.ndarray


def read_bigwig(
    path: Path, sizes: Mapping[str, int], windows: Iterable[Interval], most: int
) -> Iterator[Piece]:
    """Read the values of some windows in pieces of at most ``most`` bases.

    Raises
    ------
    IntegrityError
        If the file is damaged, or its contigs are not those of ``sizes``.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        track = _BigWig(file, path)
        if track.contigs() != {name: (i, sizes[name]) for i, name in enumerate(sizes)}:
            raise IntegrityError(f"{path}: its contigs are not those of the run; run it again")
        track.read_index()
        for window in windows:
            rank = track.rank(window.contig)
            for start in range(window.start, window.stop, most):
                values = track.values(rank, start, min(start + most, window.stop))
                yield window.contig, start, values


class _BigWig:
    """An open bigWig file."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._size = os.fstat(file.fileno()).st_size
        magic, *_, self._tree, self._data, self._index = struct.unpack(
            "<I2H3Q", self._bytes(0, HEADER_BYTES)[:32]
        )
        self._require(magic == MAGIC, "it does not begin as one")
        self._held: tuple[int, _Rows] | None = None

    def _require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise IntegrityError(
                f"{self._path}: not a bigWig file of this program, or damaged ({otherwise}); run "
                "the command again"
            )

    def _bytes(self, at: int, count: int) -> bytes:
        self._require(0 <= at <= at + count <= self._size, f"nothing is at byte {at + count}")
        self._file.seek(at)
        return self._file.read(count)

    def _leaves(self, root: int, leaf: np.dtype, parent: np.dtype, count: int) -> np.ndarray:
        """The leaves of a tree, in order; ``count`` is how many there have to be."""
        self._require(count * leaf.itemsize <= self._size, "a tree is larger than the file")
        found, left, level = [np.zeros(0, leaf)], count, [root]
        while level:
            below: list[int] = []
            for at in level:
                is_leaf, _, items = _NODE.unpack(self._bytes(at, _NODE.size))
                kind = leaf if is_leaf else parent
                node = np.frombuffer(self._bytes(at + _NODE.size, items * kind.itemsize), kind)
                if is_leaf:
                    found.append(node)
                    left -= items
                else:
                    below += node["offset"].tolist()
                # a tree in which a node leads up again has no end
                self._require(left >= 0 and len(below) <= count, "a tree has too many nodes")
            self._require(not below or len(below) > len(level), "a tree leads nowhere")
            level = below
        self._require(left == 0, "a tree has too few leaves")
        return np.concatenate(found)

    def contigs(self) -> dict[str, tuple[int, int]]:
        """Rank and length in bases of every contig, in the order of the ranks."""
        head = struct.unpack("<4I2Q", self._bytes(self._tree, 32))
        magic, _, key_bytes, value_bytes, count, _ = head
        known = magic == CHROM_TREE_MAGIC and value_bytes == 8 and 0 < key_bytes <= _LONGEST_NAME
        self._require(known, "the table of contigs is none")
        key = ("key", f"S{key_bytes}")
        leaf, parent = [key, ("rank", "<u4"), ("length", "<u4")], [key, ("offset", "<u8")]
        leaves = self._leaves(self._tree + 32, np.dtype(leaf), np.dtype(parent), count)
        items = np.sort(leaves, order="rank").tolist()
        self._ranks = {key.decode("utf-8", "replace"): rank for key, rank, _ in items}
        self._lengths = [length for *_, length in items]
        return {
            name: (rank, length)
            for (name, rank), length in zip(self._ranks.items(), self._lengths, strict=False)
        }

    def rank(self, contig: str) -> int:
        """The place of a contig in the file."""
        return self._ranks[contig]

    def read_index(self) -> None:
        """Read where the sections are."""
        magic, _, count = struct.unpack("<2IQ", self._bytes(self._index, 16))
        self._require(magic == INDEX_MAGIC, "the index is none")
        parent = np.dtype([*EXTENT.descr, ("offset", "<u8")])
        # without any score there is one section in the root, or none
        sections = self._leaves(self._index + 48, SECTION, parent, count)
        ranks, starts, stops = (sections[name] for name in ("first_rank", "start", "stop"))
        keys = ranks.astype(np.uint64) << np.uint64(32)
        first, last = keys + starts, keys + stops
        ascends = (sections["last_rank"] == ranks).all() and (starts < stops).all()
        self._require(ascends and (last[:-1] <= first[1:]).all(), "its sections overlap")
        (total,) = struct.unpack("<Q", self._bytes(self._data, 8))
        self._require(total == len(sections), "the index lacks sections")
        self._sections, self._first, self._last = sections, first, last

    def values(self, rank: int, start: int, stop: int) -> np.ndarray:
        """The values at positions start .. stop - 1 of a contig, NaN where there is none."""
        dense = np.full(stop - start, np.nan, np.float32)
        key = np.uint64(rank << 32)
        lower = np.searchsorted(self._last, key + np.uint64(start), "right")
        upper = np.searchsorted(self._first, key + np.uint64(stop), "left")
        for number in range(int(lower), int(upper)):
            rows = self._rows(number)
            first = np.searchsorted(rows.stops, start, "right")
            last = np.searchsorted(rows.starts, stop, "left")
            starts = np.maximum(rows.starts[first:last], start) - start
            lengths = np.minimum(rows.stops[first:last], stop) - start - starts
            at = np.repeat(starts - np.cumsum(lengths) + lengths, lengths)
            dense[at + np.arange(len(at))] = np.repeat(rows.values[first:last], lengths)
        return dense

    def _rows(self, number: int) -> _Rows:
        """The rows of a section, of which the last one read is kept."""
        if self._held is None or self._held[0] != number:
            self._held = number, self._unpacked(number)
        return self._held[1]

    def _unpacked(self, number: int) -> _Rows:
        rank, start, _, stop, at, size = self._sections[number].item()
        where = f"section {number}"
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(self._bytes(at, size), _LARGEST_SECTION)
        whole = unpacker.eof and len(content) >= _SECTION_HEADER.size
        self._require(whole, f"{where} is cut")
        *place, step, span, kind, _, count = _SECTION_HEADER.unpack_from(content)
        self._require(place == [rank, start, stop], f"{where} is not that of the index")
        dtype = {BED_GRAPH: ROW, VARIABLE_STEP: VARIABLE_ITEM, FIXED_STEP: np.dtype("<f4")}.get(kind)
        fits = dtype is not None and len(content) == _SECTION_HEADER.size + count * dtype.itemsize
        self._require(fits, f"{where} has another length")
        items = np.frombuffer(content, dtype, offset=_SECTION_HEADER.size)
        if kind == FIXED_STEP:
            starts, values = start + step * np.arange(count), items
        else:
            starts, values = items["start"].astype(np.int64), items["value"]
        stops = items["stop"].astype(np.int64) if kind == BED_GRAPH else starts + span
        ascends = (starts < stops).all() and (stops[:-1] <= starts[1:]).all()
        within = not count or (start <= starts[0] and stops[-1] <= stop <= self._lengths[rank])
        self._require(bool(ascends and within), f"the rows of {where} are not in it")
        return _Rows(starts, stops, values)
