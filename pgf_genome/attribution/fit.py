"""How well the model knows the sequence of a run, from the surprisal that is written anyway.

It is measured on the finished values, in the order in which they are written, so that a run that
was stopped comes to the same numbers. The mixture reads the plus strand of what is written.
"""

from __future__ import annotations

import numpy as np

from pgf_genome.runs.fit import Fit
from pgf_genome.sequence import Genome
from pgf_genome.sequence.markov import Mixture


class FitMeter:
    """Takes the surprisal of a run, as the writers of tracks do.

    Parameters
    ----------
    genome : Genome
    """

    def __init__(self, genome: Genome) -> None:
        self._genome = genome
        self._mixture = Mixture()
        self._reached: tuple[str, int] | None = None

    def add(self, contig: str, start: int, surprisal: np.ndarray) -> None:
        """Take bits of consecutive positions, float32 (n,); NaN where there is none."""
        stop = start + len(surprisal)
        if self._reached != (contig, start):
            self._mixture.begin()
        self._mixture.add(self._genome.codes(contig, start, stop), surprisal)
        self._reached = contig, stop

    def result(self) -> Fit | None:
        """The fit so far; None if nothing had a surprisal."""
        counts = self._mixture.composition
        bases = int(counts.sum())
        if not bases:
            return None
        shares = counts[counts > 0] / bases
        entropy = max(float(-(shares * np.log2(shares)).sum()), 0.0)
        return Fit(bases, self._mixture.given / bases, entropy, self._mixture.bits / bases)
