"""A decoded genome: a file with one byte per base, and the contigs in it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pgf_genome.alphabet import N_CODE
from pgf_genome.errors import IntegrityError, UsageError
from pgf_genome.intervals import unknown_contig
from pgf_genome.sequence.checked import CheckedFile, CheckedWriter
from pgf_genome.sequence.codes import SOFT_MASK

_BLOCK = 1 << 22


@dataclass(frozen=True)
class Contig:
    """One FASTA record within the file of codes.

    Attributes
    ----------
    name : str
        First word of the FASTA header.
    length : int
        Number of bases, at least 1.
    offset : int
        Byte of the code file at which the contig starts.
    ambiguous : int
        Number of bases given as IUPAC codes other than N.
    n_count : int
        Number of codes that are N, the ambiguous ones included.
    digest : str
        SHA-256 of the codes in hexadecimal: the same for every compression, case and line length.
    """

    name: str
    length: int
    offset: int
    ambiguous: int
    n_count: int
    digest: str

    def __post_init__(self) -> None:
        if self.length < 1 or not 0 <= self.ambiguous <= self.n_count <= self.length:
            raise ValueError(
                f"contig {self.name}: {self.ambiguous} ambiguous of {self.n_count} N "
                f"of {self.length} bases"
            )


def digest_of(contigs: Iterable[tuple[str, int, str]]) -> str:
    """SHA-256 in hexadecimal over name, length and digest of every contig, in order."""
    lines = (f"{name}\t{length}\t{digest}\n" for name, length, digest in contigs)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class Genome:
    """The contigs of a decoded FASTA, read by position without holding them in memory.

    As a context manager it closes the file of codes, which stays on disk.

    Parameters
    ----------
    path : Path
        The file of codes, one uint8 per base, contigs one after the other; soft-masked bases have
        ``SOFT_MASK`` added.
    contigs : iterable of Contig
        The contigs in it, in file order.
    sums : sequence of int, optional
        Checksums of `CheckedWriter`, with which the codes are compared whenever they are read;
        those of the file as it is now if None.

    Raises
    ------
    IntegrityError
        If the file's size is not the sum of the contigs' lengths.
    """

    def __init__(
        self, path: Path, contigs: Iterable[Contig], sums: Sequence[int] | None = None
    ) -> None:
        self.path = Path(path)
        self._show(contigs)
        size, expected = self.path.stat().st_size, sum(self.lengths.values())
        if size != expected:
            raise IntegrityError(
                f"{self.path} holds {size} bases where its contigs have {expected}; "
                "delete it and decode the FASTA again"
            )
        self._file = (
            CheckedFile.as_it_is(self.path) if sums is None else CheckedFile(self.path, sums)
        )

    def _show(self, contigs: Iterable[Contig]) -> None:
        self.contigs = tuple(contigs)
        self.lengths = {contig.name: contig.length for contig in self.contigs}
        self._by_name = {contig.name: contig for contig in self.contigs}

    def __enter__(self) -> Genome:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file of codes."""
        self._file.close()

    def only(self, names: Collection[str]) -> Genome:
        """The same file with only the named contigs in view; closing one closes both."""
        part = copy(self)
        part._show(contig for contig in self.contigs if contig.name in names)
        return part

    def renamed(self, names: Mapping[str, str]) -> Genome:
        """The same file with its contigs under new names; closing one closes both."""
        part = copy(self)
        part._show(replace(contig, name=names[contig.name]) for contig in self.contigs)
        return part

    @property
    def digest(self) -> str:
        """SHA-256 in hexadecimal over name, length and digest of every contig, in order."""
        return digest_of((each.name, each.length, each.digest) for each in self.contigs)

    def contig(self, name: str) -> Contig:
        """The contig of that name; raises SequenceError if there is none."""
        if name not in self._by_name:
            raise unknown_contig(name, self.lengths, "genome")
        return self._by_name[name]

    def codes(self, name: str, start: int, stop: int) -> np.ndarray:
        """Read the codes of a stretch of a contig, 0-based half-open.

        Returns
        -------
        ndarray of uint8, (stop - start,)

        Raises
        ------
        SequenceError
            If there is no such contig.
        IndexError
            Unless ``0 <= start <= stop <= length``.
        IntegrityError
            If the file of codes has changed since it was written.
        """
        stored = self._stored(name, start, stop)
        return np.bitwise_and(stored, SOFT_MASK - 1, out=stored)

    def soft_masked(self, name: str, start: int, stop: int) -> np.ndarray:
        """Whether each base of a stretch is lower case, bool (stop - start,); as `codes`."""
        return self._stored(name, start, stop) >= SOFT_MASK

    def _stored(self, name: str, start: int, stop: int) -> np.ndarray:
        contig = self.contig(name)
        if not 0 <= start <= stop <= contig.length:
            raise IndexError(f"{name} from {start} to {stop}: it has {contig.length} bases")
        return self._file.read(contig.offset + start, contig.offset + stop)


def store_codes(codes: np.ndarray, path: Path, name: str) -> Genome:
    """Write a sequence in memory to a file of codes.

    Parameters
    ----------
    codes : ndarray of uint8, (L,)
        At least one code.
    path : Path
        The file to write; an existing one is replaced.
    name : str
        Name of the one contig.
    """
    letters = codes.tobytes()
    with path.open("wb") as file:
        writer = CheckedWriter(file)
        writer.write(letters)
    n_count = int(np.count_nonzero(codes == N_CODE))
    digest = hashlib.sha256(letters).hexdigest()
    return Genome(path, [Contig(name, len(codes), 0, 0, n_count, digest)], writer.sums)


def segments(
    genome: Genome, name: str, gap_length: int, block: int = _BLOCK
) -> list[tuple[int, int]]:
    """Find the stretches of a contig between its assembly gaps.

    Parameters
    ----------
    genome : Genome
    name : str
        Name of the contig.
    gap_length : int
        A run of at least this many N is a gap; shorter runs stay inside a segment.
    block : int
        Number of bases read at a time.

    Returns
    -------
    list of (start, stop)
        0-based half-open, ascending; empty for a contig that is one gap.

    Raises
    ------
    UsageError
        If ``gap_length`` is less than 1.
    SequenceError
        If there is no such contig.
    """
    if gap_length < 1:
        raise UsageError(f"the gap length must be at least 1, not {gap_length}")
    contig = genome.contig(name)
    if contig.n_count < gap_length:
        return [(0, contig.length)]
    spans = []
    start = 0
    for gap_start, gap_stop in _gaps(genome, contig, gap_length, block):
        if gap_start > start:
            spans.append((start, gap_start))
        start = gap_stop
    if start < contig.length:
        spans.append((start, contig.length))
    return spans


def _gaps(genome: Genome, contig: Contig, gap_length: int, block: int) -> Iterator[tuple[int, int]]:
    """Runs of at least ``gap_length`` N, ascending, joined where a block's end cuts them."""
    open_start = open_stop = 0
    for start in range(0, contig.length, block):
        stop = min(start + block, contig.length)
        is_n = np.zeros(stop - start + 2, bool)
        is_n[1:-1] = genome.codes(contig.name, start, stop) == N_CODE
        runs = np.flatnonzero(is_n[1:] != is_n[:-1]).reshape(-1, 2) + start
        # A run at the block's edge may be part of a longer one; all others are complete.
        at_edge = (runs[:, 0] == start) | (runs[:, 1] == stop)
        for run_start, run_stop in runs[at_edge | (runs[:, 1] - runs[:, 0] >= gap_length)].tolist():
            if run_start > open_stop:
                if open_stop - open_start >= gap_length:
                    yield open_start, open_stop
                open_start = run_start
            open_stop = run_stop
    if open_stop - open_start >= gap_length:
        yield open_start, open_stop
