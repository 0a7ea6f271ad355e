"""The indexes and zoom levels of a bigWig file, read without pyBigWig, which shows neither."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pgf_genome.tracks.bigwig.trees import EXTENT, INDEX_MAGIC, SECTION
from pgf_genome.tracks.bigwig.zoom import RECORD

MAGIC = 0x888FFC26
_PARENT = np.dtype([*EXTENT.descr, ("offset", "<u8")])


@dataclass(frozen=True)
class Part:
    """Data with an index behind them: those of the file, or of a zoom level."""

    reduction: int  # positions per bin; 1 for the data themselves
    data_at: int  # of the first section
    index_at: int


class Zooms:
    """A bigWig file, opened for its indexes and zoom levels.

    Parameters
    ----------
    path : Path

    Raises
    ------
    OSError, ValueError, struct.error, zlib.error
        From every method, if the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._path, self.parts = path, tuple(_parts(file))

    def fault(self) -> str | None:
        """What shows that an index is not of this file: its sections do not follow one another."""
        with self._path.open("rb") as file:
            for part in self.parts:
                try:
                    sections = _sections(file, part)
                except (ValueError, struct.error) as error:
                    return f"{self._path.name}: {error}"
                ends = np.cumsum(sections["size"], dtype=np.uint64) + np.uint64(part.data_at)
                starts = np.append(np.uint64(part.data_at), ends)
                if not (np.array_equal(sections["offset"], starts[:-1])
                        and starts[-1] == part.index_at):  # fmt: skip
                    what = "its values" if part.reduction == 1 else f"zoom level {part.reduction}"
                    return f"{self._path.name}: the index of {what} is not that of this file"
        return None

    def bins(self, part: Part, rank: int, start: int, stop: int) -> np.ndarray:
        """The bins of a zoom level that meet a stretch, dtype `RECORD`."""
        found = [np.zeros(0, RECORD)]
        with self._path.open("rb") as file:
            for section in _sections(file, part):
                first = section["first_rank"], section["start"]
                last = section["last_rank"], section["stop"]
                if (rank, start) < last and first < (rank, stop):
                    file.seek(int(section["offset"]))
                    content = zlib.decompress(file.read(int(section["size"])))
                    found.append(np.frombuffer(content, RECORD))
        bins = np.concatenate(found)
        inside = (bins["rank"] == rank) & (bins["start"] < stop) & (start < bins["stop"])
        return bins[inside]


def _parts(file: BinaryIO) -> Iterator[Part]:
    magic, _, zooms = struct.unpack("<I2H", file.read(8))
    if magic != MAGIC:
        raise ValueError("it is no bigWig file")
    _, data_at, index_at = struct.unpack("<3Q", file.read(24))
    yield Part(1, data_at + 8, index_at)
    for i in range(zooms):
        file.seek(64 + 24 * i)
        reduction, _, data_at, index_at = struct.unpack("<2I2Q", file.read(24))
        yield Part(reduction, data_at + 4, index_at)


def _sections(file: BinaryIO, part: Part) -> np.ndarray:
    """The leaves of an index, in order."""
    file.seek(part.index_at)
    magic, _, count = struct.unpack("<2IQ", file.read(16))
    if magic != INDEX_MAGIC:
        raise ValueError(f"no index begins at byte {part.index_at}")
    leaves = [*_leaves(file, part.index_at + 16 + EXTENT.itemsize + 16)]
    sections = np.concatenate([np.zeros(0, SECTION), *leaves])
    if len(sections) != count:
        raise ValueError(f"an index has {len(sections)} sections and says that it has {count}")
    return sections


def _leaves(file: BinaryIO, at: int, depth: int = 8) -> Iterator[np.ndarray]:
    if not depth:
        raise ValueError("an index goes in a circle")
    file.seek(at)
    leaf, _, count = struct.unpack("<2BH", file.read(4))
    kind = SECTION if leaf else _PARENT
    content = file.read(kind.itemsize * count)
    items = np.frombuffer(content, kind, count) if content or not count else None
    if items is None:
        raise ValueError("an index ends too early")
    if leaf:
        yield items
        return
    for offset in items["offset"].tolist():
        yield from _leaves(file, offset, depth - 1)
