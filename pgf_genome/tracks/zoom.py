"""Zoom levels of a bigWig file: statistics of ever wider bins, made from narrower ones."""

from __future__ import annotations

import shutil
import struct
import tempfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pgf_genome.tracks.sections import Sections

FIRST_REDUCTION = 32
RECORDS_PER_SECTION = 1024
# levels smaller than this never reach the disk
SPOOL_BYTES = 2**20

STATISTICS = ("minimum", "maximum", "sum", "squares")
PLACE = [("rank", "<u4"), ("start", "<u4"), ("stop", "<u4"), ("count", "<u4")]
BIN = np.dtype(PLACE + [(name, "<f8") for name in STATISTICS])
LARGEST = float(np.finfo(np.float32).max)
RECORD = np.dtype(PLACE + [(name, "<f4") for name in STATISTICS])


def bins_of(rank: int, start: int, block: np.ndarray) -> np.ndarray:
    """Statistics of bins of `FIRST_REDUCTION` positions; bins without a score are left out.

    Parameters
    ----------
    rank
        Place of the contig in the list of contigs.
    start
        0-based position of the first value, a multiple of `FIRST_REDUCTION`.
    block
        (n,) float32, NaN where there is no score.
    """
    first = np.arange(0, len(block), FIRST_REDUCTION)
    scored = ~np.isnan(block)
    filled = np.where(scored, block, 0).astype(np.float64)
    bins = np.zeros(len(first), BIN)
    bins["rank"] = rank
    bins["start"] = start + first
    bins["stop"] = start + np.minimum(first + FIRST_REDUCTION, len(block))
    bins["count"] = np.add.reduceat(scored, first, dtype=np.int64)
    bins["minimum"] = np.fmin.reduceat(block, first)
    bins["maximum"] = np.fmax.reduceat(block, first)
    bins["sum"] = np.add.reduceat(filled, first)
    bins["squares"] = np.add.reduceat(filled * filled, first)
    return bins[bins["count"] > 0]


class ZoomLevel:
    """Bins of `reduction` positions, aligned at its multiples, spooled to an unnamed file.

    Parameters
    ----------
    reduction
        Positions per bin.
    lengths
        (contigs,) int64, length of every contig.
    folder
        Where the spool lies.
    """

    def __init__(self, reduction: int, lengths: np.ndarray, folder: Path) -> None:
        self.reduction = reduction
        self._lengths = lengths
        self._spool = tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=folder)  # noqa: SIM115
        self.sections = Sections(self._spool)
        self._open = np.zeros(0, BIN)
        self._records = np.zeros(0, RECORD)
        self._count = 0

    def add(self, bins: np.ndarray) -> np.ndarray:
        """Take narrower bins, ascending; returns the bins of this level that they complete."""
        if len(bins) == 0:
            return bins
        merged = self._merge(np.concatenate([self._open, bins]))
        complete, self._open = merged[:-1], merged[-1:]
        self._keep(complete)
        return complete

    def drain(self) -> np.ndarray:
        """Complete the last bin, write what is left, and return that bin."""
        last, self._open = self._open, self._open[:0]
        self._keep(last)
        self._write_section(self._records)
        return last

    def copy_to(self, file: BinaryIO) -> tuple[int, int]:
        """Append the level to `file`; returns the offsets of its data and of its index."""
        at = file.tell()
        file.write(struct.pack("<I", self._count))
        self._spool.seek(0)
        shutil.copyfileobj(self._spool, file)
        index_at = self.sections.write_index(file, moved=at + 4)
        self.close()
        return at, index_at

    def close(self) -> None:
        """Drop the spool."""
        self._spool.close()

    def _merge(self, bins: np.ndarray) -> np.ndarray:
        place = bins["start"] // self.reduction
        new = (np.diff(place) != 0) | (np.diff(bins["rank"]) != 0)
        first = np.concatenate([[0], np.flatnonzero(new) + 1])
        merged = bins[first]
        merged["start"] = place[first] * self.reduction
        ends = merged["start"].astype(np.int64) + self.reduction
        merged["stop"] = np.minimum(ends, self._lengths[merged["rank"]])
        merged["minimum"] = np.minimum.reduceat(bins["minimum"], first)
        merged["maximum"] = np.maximum.reduceat(bins["maximum"], first)
        for field in ("count", "sum", "squares"):
            merged[field] = np.add.reduceat(bins[field], first)
        return merged

    def _keep(self, bins: np.ndarray) -> None:
        self._count += len(bins)
        finite = bins.copy()
        for field in ("sum", "squares"):
            finite[field] = np.clip(bins[field], -LARGEST, LARGEST)
        self._records = np.concatenate([self._records, finite.astype(RECORD)])
        while len(self._records) >= RECORDS_PER_SECTION:
            self._write_section(self._records[:RECORDS_PER_SECTION])
            self._records = self._records[RECORDS_PER_SECTION:]

    def _write_section(self, records: np.ndarray) -> None:
        if len(records):
            first, last = records[0], records[-1]
            extent = (first["rank"], first["start"], last["rank"], last["stop"])
            self.sections.write(tuple(int(value) for value in extent), records.tobytes())
