"""The reference sequence as letters, read where records are."""

from __future__ import annotations

from pgf_genome.sequence import BASES, Genome

BLOCK = 1 << 16
_LETTERS = bytes.maketrans(bytes(range(len(BASES) + 1)), f"{BASES}N".encode())


class Reference:
    """Bases of a genome as capital letters, with one block of them in memory."""

    def __init__(self, genome: Genome) -> None:
        self.lengths = genome.lengths
        self._genome = genome
        self._contig, self._start, self._block = "", 0, ""

    def letters(self, contig: str, start: int, stop: int) -> str:
        """Read a stretch, 0-based half-open, of the letters A, C, G, T and N.

        Raises
        ------
        SequenceError
            If there is no such contig.
        IndexError
            Unless ``0 <= start <= stop <= length``.
        """
        held = self._start <= start and stop <= self._start + len(self._block)
        if not (contig == self._contig and held):
            # records ascend, mostly, and codons begin a little before them
            first = max(min(start, start - BLOCK // 4), 0)
            last = max(stop, min(first + BLOCK, self._genome.contig(contig).length))
            codes = self._genome.codes(contig, first, last).tobytes()
            self._contig, self._start = contig, first
            self._block = codes.translate(_LETTERS).decode("ascii")
        return self._block[start - self._start : stop - self._start]
