"""Zoom levels of a bigWig file: statistics of ever wider bins, each made from narrower ones."""

from __future__ import annotations

import shutil
import struct
import tempfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pgf_genome.tracks.bigwig.sections import Sections
from pgf_genome.tracks.bins import PLACE, STATISTICS, Binning

FIRST_REDUCTION = 32
RECORDS_PER_SECTION = 1024
# a level smaller than this stays in memory
SPOOL_BYTES = 2**20

LARGEST = float(np.finfo(np.float32).max)
RECORD = np.dtype(PLACE + [(name, "<f4") for name in STATISTICS])


class ZoomLevel:
    """Bins of ``reduction`` positions, aligned at its multiples and spooled to an unnamed file.

    Parameters
    ----------
    reduction : int
        Positions per bin.
    lengths : ndarray of int64, (contigs,)
        Length of every contig in bases.
    folder : Path
        Folder of the spool.
    """

    def __init__(self, reduction: int, lengths: np.ndarray, folder: Path) -> None:
        self.reduction = reduction
        self._binning = Binning(reduction, lengths)
        self._spool = tempfile.SpooledTemporaryFile(SPOOL_BYTES, dir=str(folder))  # noqa: SIM115
        self.sections = Sections(self._spool)
        self._records = np.zeros(0, RECORD)
        self._count = 0

    def add(self, bins: np.ndarray) -> np.ndarray:
        """Take narrower bins, ascending, and return the bins of this level that they complete."""
        complete = self._binning.add(bins)
        self._keep(complete)
        return complete

    def drain(self) -> np.ndarray:
        """Complete the last bin, write all records that are left, and return that bin."""
        last = self._binning.drain()
        self._keep(last)
        self._write_section(self._records)
        return last

    def copy_to(self, file: BinaryIO) -> tuple[int, int]:
        """Append the level to ``file`` and return the offsets of its data and of its index."""
        at = file.tell()
        file.write(struct.pack("<I", self._count))
        self._spool.seek(0)
        shutil.copyfileobj(self._spool, file)
        index_at = self.sections.write_index(file, moved=at + 4)
        self.close()
        return at, index_at

    def close(self) -> None:
        """Delete the spool."""
        self._spool.close()

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
            begin = int(first["rank"]), int(first["start"])
            end = int(last["rank"]), int(last["stop"])
            self.sections.write((*begin, *end), records.tobytes())
