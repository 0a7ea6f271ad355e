"""A stream of scores, checked once and cut into blocks at fixed positions."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from pgf_genome.errors import IntegrityError
from pgf_genome.files import discard, naming, part_path

BLOCK = 65_536

# contig, 0-based start and values (n,) of float32: what `BlockConsumer.add` takes
Piece = tuple[str, int, np.ndarray]


class BlockConsumer(ABC):
    """Consumer that takes a track in pieces of any length and sees it in blocks at fixed positions.

    A block covers positions ``[k * BLOCK, (k + 1) * BLOCK)`` of one contig, so the result
    does not depend on how the track was cut. Blocks without any value are left out.

    Parameters
    ----------
    name : str
        Name of the track in error messages.
    sizes : mapping of str to int
        Length of every contig in bases, in FASTA order.
    """

    def __init__(self, name: str, sizes: Mapping[str, int]) -> None:
        self.name = name
        self.sizes = dict(sizes)
        self._ranks = {contig: rank for rank, contig in enumerate(self.sizes)}
        self._contig: str | None = None
        self._end = 0
        self._block = np.empty(BLOCK, np.float32)
        self._block_start: int | None = None

    def add(self, contig: str, start: int, values: np.ndarray) -> None:
        """Take the scores of ``[start, start + len(values))`` of ``contig``.

        Parameters
        ----------
        contig : str
            Name as in ``sizes``. Contigs come in that order, and none comes twice.
        start : int
            0-based position of the first value, not before the end of the previous call.
        values : ndarray of float32, (n,)
            NaN where there is no score.

        Raises
        ------
        IntegrityError
            If the contig is unknown, the order is wrong, or a value is infinite or past the end
            of the contig.
        """
        values = np.asarray(values, np.float32)
        self._check(contig, start, values)
        if contig != self._contig:
            self._flush()
            self._contig = contig
        self._end = start + len(values)
        while len(values):
            offset = start % BLOCK
            if self._block_start != start - offset:
                self._flush()
                self._block_start = start - offset
                self._block[: self.sizes[contig] - self._block_start].fill(np.nan)
            piece = values[: BLOCK - offset]
            # adding zero turns -0 into 0, so that both are one value, one text and one run
            np.add(piece, np.float32(0), out=self._block[offset : offset + len(piece)])
            start += len(piece)
            values = values[len(piece) :]

    def _check(self, contig: str, start: int, values: np.ndarray) -> None:
        if contig not in self._ranks:
            raise IntegrityError(f"{self.name}: contig {contig!r} is not in the list of contigs")
        where = f"{self.name}: {contig}:{start:,} (0-based)"
        if contig == self._contig:
            if start < self._end:
                raise IntegrityError(f"{where}: scores must ascend; {self._end:,} is reached")
        elif self._contig is not None and self._ranks[contig] < self._ranks[self._contig]:
            raise IntegrityError(f"{where}: scores must come in FASTA order, after {self._contig}")
        stop = start + len(values)
        if start < 0 or stop > self.sizes[contig]:
            raise IntegrityError(
                f"{where}: scores end at {stop:,}, but the contig has {self.sizes[contig]:,} bases"
            )
        infinite = np.isinf(values)
        if infinite.any():
            first = start + int(infinite.argmax())
            raise IntegrityError(
                f"{self.name}: {contig}:{first:,} (0-based): infinite score; "
                "the model overflowed here, try float64"
            )

    def _flush(self) -> None:
        if self._block_start is None or self._contig is None:
            return
        start, self._block_start = self._block_start, None
        block = self._block[: self.sizes[self._contig] - start]
        if not np.isnan(block).all():
            self._consume(self._ranks[self._contig], start, block)

    @abstractmethod
    def _consume(self, rank: int, start: int, block: np.ndarray) -> None:
        """Take one block.

        Parameters
        ----------
        rank : int
            Place of the contig in ``sizes``.
        start : int
            0-based position of the block's first value, a multiple of `BLOCK`.
        block : ndarray of float32, (n,)
            At most `BLOCK` values, NaN where there is no score; at least one is a score. The
            caller uses the array again, so copy what has to stay.
        """


class TrackWriter(BlockConsumer):
    """Base of writers: the file is named ``.part`` until `close`, and removed by `abort`.

    As a context manager it closes the file, or aborts if the block raised.

    Raises
    ------
    ResourceError
        From every method, if the file cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], sizes: Mapping[str, int]) -> None:
        self.path = Path(path)
        super().__init__(str(path), sizes)
        self._part = part_path(path)
        with naming(path):
            self._part.unlink(missing_ok=True)  # what a killed run has left, or a link
            self._file = open(self._part, "wb")  # noqa: SIM115 - closed by close() or abort()

    def add(self, contig: str, start: int, values: np.ndarray) -> None:
        with naming(self.path):
            super().add(contig, start, values)

    def close(self) -> None:
        """Finish the file and its index under their final names; a second call does nothing."""
        if self._file.closed:
            return
        try:
            with naming(self.path):
                self._flush()
                self._finish()
                self._file.close()
                self._publish()
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        """Remove what was written; files under the final names are not touched."""
        # on a full disk, writing the rest of the buffer fails again; the file is removed anyway
        with suppress(OSError):
            self._file.close()
        for part in self._parts():
            discard(part)

    def _parts(self) -> list[Path]:
        return [self._part]

    @abstractmethod
    def _finish(self) -> None:
        """Write everything that comes after the last block."""

    def _publish(self) -> None:
        os.replace(self._part, self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()
