"""Methods: how gradients become the values of tracks, and what those values are.

With g = dF/dX at one position, (4,) over A, C, G, T, and r the observed base:

    sensitivity    |s|_2
    contribution   s[r]
    tism.a         g[a] - g[r], first-order effect of substituting a (Sasse 2024, iScience 27)
    surprisal      -log2 p(r | what predicts it), in bits

where s is what the method makes of g: the gradient on the simplex, g - mean_b g[b] (Majdandzic
2023, Genome Biology 24:109), or g itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgf_genome.alphabet import BASES
from pgf_genome.errors import UsageError
from pgf_genome.runs.record import Track

if TYPE_CHECKING:
    import numpy as np

TISM = tuple(f"tism.{base}" for base in BASES)
TRACKS = ("sensitivity", "contribution", *TISM, "surprisal")
DEFAULT_TRACKS = ("sensitivity", "contribution", "surprisal")


@dataclass(frozen=True)
class Method:
    """A way to make the values of sensitivity and contribution from the gradient.

    Attributes
    ----------
    name : str
    quantity : str
        What it makes of the gradient, in words.
    apply : callable
        Maps the gradient, (n, 4), to that quantity, (n, 4).
    """

    name: str
    quantity: str
    apply: Callable[[np.ndarray], np.ndarray]

    def describe(self, track: str, unit: str, strands: str, context: str) -> Track:
        """Describe a track of a run.

        Parameters
        ----------
        unit : str
            The unit of F.
        strands : str
            The strands whose gradients are averaged: "+", "-" or "+-".
        context : str
            What predicts a base under the model.
        """
        if track == "surprisal":
            mean = ", mean over the strands" if len(strands) > 1 else ""
            meaning = f"-log2 p(observed base | {context}){mean}"
            return Track("Surprisal", "bits", meaning)
        unit = f"{unit} of F per unit change of the one-hot"
        if track == "sensitivity":
            return Track("Sensitivity", unit, f"length of the {self.quantity}; >= 0")
        if track == "contribution":
            meaning = f"{self.quantity} at the observed base; signed letter height"
            return Track("Contribution of the observed base", unit, meaning)
        base = track.removeprefix("tism.")
        meaning = f"first-order change of F when the base becomes {base}"
        return Track(f"Effect of {base}", unit, meaning)


METHODS = {
    method.name: method
    for method in (
        Method(
            "corrected",
            "simplex-corrected gradient",
            lambda gradient: gradient - gradient.mean(axis=1, keepdims=True),
        ),
        Method("saliency", "raw gradient", lambda gradient: gradient),
    )
}


def track_names(requested: Sequence[str]) -> tuple[str, ...]:
    """Expand ``tism`` and check names; drop duplicates, and sort in the order of `TRACKS`.

    Raises
    ------
    UsageError
        For an unknown name or an empty list.
    """
    wanted = {name for track in requested for name in (TISM if track == "tism" else (track,))}
    unknown = sorted(wanted.difference(TRACKS))
    if unknown or not wanted:
        raise UsageError(
            f"unknown track {', '.join(unknown) or '(none given)'}; choose from "
            "sensitivity, contribution, tism, surprisal"
        )
    return tuple(name for name in TRACKS if name in wanted)
