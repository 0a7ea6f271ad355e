"""One strand of a stretch of a contig: the only place where a decoded sequence is turned round.

A strand counts positions in its own direction of reading. On the plus strand position 0 is the
first base of the stretch; on the minus strand it is the last one, and bases are complemented.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pgf_genome.intervals import Span
from pgf_genome.sequence.codes import reverse_complement
from pgf_genome.sequence.genome import Genome


@dataclass(frozen=True)
class Strand:
    """A strand of bases ``start .. stop - 1`` of a contig.

    Attributes
    ----------
    genome : Genome
    contig : str
    start, stop : int
        0-based half-open, on the plus strand of the contig.
    sign : str
        "+" or "-".
    """

    genome: Genome
    contig: str
    start: int
    stop: int
    sign: str

    def __post_init__(self) -> None:
        if self.sign not in ("+", "-"):
            raise ValueError(f"a strand is '+' or '-', not {self.sign!r}")

    @property
    def reverse(self) -> bool:
        """True if it reads from the end of the stretch to its start."""
        return self.sign == "-"

    @property
    def origin(self) -> int:
        """Position of its first base, counted from the end of the contig at which it begins."""
        return self.genome.contig(self.contig).length - self.stop if self.reverse else self.start

    def codes(self, start: int, stop: int) -> np.ndarray:
        """Read bases at its own positions, uint8 (stop - start,)."""
        first, last = self.in_contig((start, stop))
        codes = self.genome.codes(self.contig, first, last)
        return reverse_complement(codes) if self.reverse else codes

    def in_contig(self, span: Span) -> Span:
        """Turn a span of its own positions into one of the contig."""
        start, stop = span
        if self.reverse:
            return self.stop - stop, self.stop - start
        return self.start + start, self.start + stop

    def of_contig(self, span: Span) -> Span:
        """Turn a span of the contig into one of its own positions."""
        start, stop = span
        if self.reverse:
            return self.stop - stop, self.stop - start
        return start - self.start, stop - self.start

    def on_plus(self, values: np.ndarray) -> np.ndarray:
        """Bring values at consecutive own positions into the order of the plus strand.

        Parameters
        ----------
        values : ndarray, (n,) or (n, 4)
            The second axis is that of A, C, G, T, which are complemented.

        Returns
        -------
        ndarray, (n,) or (n, 4)
            A view.
        """
        return values[(slice(None, None, -1),) * values.ndim] if self.reverse else values
