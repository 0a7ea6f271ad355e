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
from pgf_genome.tracks.bigwig.zoom import RECORD
from pgf_genome.tracks.blocks import Piece

_ITEMS = {BED_GRAPH: ROW, VARIABLE_STEP: VARIABLE_ITEM, FIXED_STEP: np.dtype("<f4")}
_SECTION_HEADER = struct.Struct("<5I2BH")
_NODE = struct.Struct("<2BH")
ZOOM = np.dtype([("reduction", "<u4"), ("", "<u4"), ("data", "<u8"), ("index", "<u8")])
# of the longest contig, in which the largest value is looked for
BINS = 1000
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
        track.require_contigs(sizes)
        track.read_index()
        ranks = {contig: rank for rank, contig in enumerate(sizes)}
        for window in windows:
            rank = ranks[window.contig]
            for start in range(window.start, window.stop, most):
                values = track.values(rank, start, min(start + most, window.stop))
                yield window.contig, start, values


def highest_value(path: Path, sizes: Mapping[str, int]) -> tuple[str, int] | None:
    """Find contig and 0-based position of the largest value; None if nothing is scored.

    Raises
    ------
    IntegrityError, OSError
        As `read_bigwig`.
    """
    with path.open("rb") as file:
        track = _BigWig(file, path)
        track.require_contigs(sizes)
        track.read_index()
        found = track.highest()
    return found and (list(sizes)[found[0]], found[1])


class _BigWig:
    """An open bigWig file."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._size = os.fstat(file.fileno()).st_size
        magic, _, self._zooms, self._tree, self._data, self._index = struct.unpack(
            "<I2H3Q", self._bytes(0, HEADER_BYTES)[:32]
        )
        self._require(magic == MAGIC, "it does not begin as one")
        self._held: tuple[int, _Rows] | None = None

    def _require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise IntegrityError(
                f"{self._path}: cannot be read ({otherwise}); run the command again"
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

    def require_contigs(self, sizes: Mapping[str, int]) -> None:
        """Raise unless the file has these contigs, with their lengths, in this order."""
        head = struct.unpack("<4I2Q", self._bytes(self._tree, 32))
        magic, _, key_bytes, value_bytes, count, _ = head
        known = magic == CHROM_TREE_MAGIC and value_bytes == 8 and 0 < key_bytes <= _LONGEST_NAME
        self._require(known, "the table of contigs is none")
        key = ("key", f"S{key_bytes}")
        leaf, parent = [key, ("rank", "<u4"), ("length", "<u4")], [key, ("offset", "<u8")]
        leaves = self._leaves(self._tree + 32, np.dtype(leaf), np.dtype(parent), count)
        found = sorted((rank, name, length) for name, rank, length in leaves.tolist())
        if found != [(i, name.encode(), n) for i, (name, n) in enumerate(sizes.items())]:
            raise IntegrityError(
                f"{self._path}: its contigs are not those of the run; run it again"
            )
        self._lengths = list(sizes.values())

    def read_index(self) -> None:
        """Read where the sections are."""
        sections = self._sections_of(self._index)
        ranks, starts, stops = (sections[name] for name in ("first_rank", "start", "stop"))
        keys = ranks.astype(np.uint64) << np.uint64(32)
        first, last = keys + starts, keys + stops
        ascends = (sections["last_rank"] == ranks).all() and (starts < stops).all()
        apart = (last[:-1] <= first[1:]).all()
        self._require(bool(ascends and apart), "its sections overlap")
        (total,) = struct.unpack("<Q", self._bytes(self._data, 8))
        self._require(total == len(sections), "the index lacks sections")
        self._sections, self._first, self._last = sections, first, last

    def _sections_of(self, index: int) -> np.ndarray:
        magic, _, count = struct.unpack("<2IQ", self._bytes(index, 16))
        self._require(magic == INDEX_MAGIC, "an index is none")
        parent = np.dtype([*EXTENT.descr, ("offset", "<u8")])
        return self._leaves(index + 48, SECTION, parent, count)

    def highest(self) -> tuple[int, int] | None:
        """Rank and position of the largest value, by a zoom level and the values of one bin."""
        best: tuple[float, int, int, int] | None = None
        for rank, start, stop, maximum in self._bins():
            if best is None or maximum > best[0]:
                best = maximum, rank, start, stop
        if best is None:
            return None
        _, rank, start, stop = best
        within = rank < len(self._lengths) and start < stop <= self._lengths[rank]
        self._require(within, "a bin is outside its contig")
        values = self.values(rank, start, stop)
        self._require(not np.isnan(values).all(), "a bin has no values")
        return rank, start + int(np.nanargmax(values))

    def _bins(self) -> Iterator[tuple[int, int, int, float]]:
        """Rank, start, stop and maximum of bins; contigs shorter than any bin are read whole."""
        heads = np.frombuffer(self._bytes(HEADER_BYTES, self._zooms * ZOOM.itemsize), ZOOM)
        if not len(heads):
            for rank, length in enumerate(self._lengths):
                values = self.values(rank, 0, length)
                if not np.isnan(values).all():
                    yield rank, 0, length, float(np.nanmax(values))
            return
        wide = np.flatnonzero(heads["reduction"] >= max(self._lengths) / BINS)
        level = heads[wide[0] if len(wide) else -1]
        for *_, at, size in self._sections_of(int(level["index"])).tolist():
            content = self._content(at, size)
            self._require(len(content) % RECORD.itemsize == 0, "a zoom level is cut")
            records = np.frombuffer(content, RECORD)
            if len(records):
                rank, start, stop, _, _, maximum, *_ = records[records["maximum"].argmax()].item()
                yield rank, start, stop, maximum

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

    def _content(self, at: int, size: int) -> bytes:
        """A compressed section, of no more bytes than one can have."""
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(self._bytes(at, size), _LARGEST_SECTION)
        self._require(unpacker.eof, f"a section at byte {at} is cut")
        return content

    def _unpacked(self, number: int) -> _Rows:
        rank, start, _, stop, at, size = self._sections[number].item()
        where, content = f"section {number}", self._content(at, size)
        self._require(len(content) >= _SECTION_HEADER.size, f"{where} is cut")
        *place, step, span, kind, _, count = _SECTION_HEADER.unpack_from(content)
        self._require(place == [rank, start, stop], f"{where} is not that of the index")
        dtype = {BED_GRAPH: ROW, VARIABLE_STEP: VARIABLE_ITEM, FIXED_STEP: np.dtype("<f4")}.get(
            kind
        )
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
