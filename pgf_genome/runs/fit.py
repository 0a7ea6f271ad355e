"""How well a model knows the sequence of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

# What is said where a model does not know the sequence of a run.
UNKNOWN = (
    "the model predicts this sequence no better than a Markov mixture without training does, so "
    "its sensitivities on this sequence mean little"
)


@dataclass(frozen=True)
class Fit:
    """How well a model knows the sequence of a run: bits per base, of the model and without it.

    Attributes
    ----------
    bases : int
        Bases with a surprisal, over which all three are means.
    model : float
        Mean surprisal of the run.
    order_0 : float
        Entropy of the composition.
    mixture : float
        An adaptive Markov mixture, see `pgf_genome.sequence.markov`.
    """

    bases: int
    model: float
    order_0: float
    mixture: float

    @property
    def knows(self) -> bool:
        """Whether the model predicts the sequence better than the mixture does."""
        return self.model < self.mixture

    def __str__(self) -> str:
        return (
            f"{self.model:.4f} bits per base, where the composition alone takes "
            f"{self.order_0:.4f} and an adaptive Markov mixture {self.mixture:.4f}"
        )


def pooled(fits: Sequence[Fit | None]) -> Fit | None:
    """The mean over all bases of several runs; None if one of them has none."""
    known = [fit for fit in fits if fit is not None]
    if not known or len(known) < len(fits):
        return None
    bases = [fit.bases for fit in known]

    def mean(values: Sequence[float]) -> float:
        return sum(map(mul, values, bases)) / sum(bases)

    each = zip(*((fit.model, fit.order_0, fit.mixture) for fit in known), strict=True)
    return Fit(sum(bases), *map(mean, each))
