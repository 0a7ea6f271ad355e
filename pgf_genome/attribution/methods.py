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

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pgf_genome.engine.objective import Objective, unit_of
from pgf_genome.engine.running import running_of
from pgf_genome.mamba.model import LanguageModel
from pgf_genome.runs.record import Track
from pgf_genome.sequence import BASES

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

    def describe(self, track: str, objective: Objective, strands: str, context: str) -> Track:
        """Describe a track of a run.

        Parameters
        ----------
        objective : Objective
            Its ``unit`` is that of F.
        strands : str
            The strands whose gradients are averaged: "+", "-" or "+-".
        context : str
            What predicts a base under the model.
        """
        if track == "surprisal":
            mean = ", mean over the strands" if len(strands) > 1 else ""
            meaning = f"-log2 p(observed base | {context}){mean}"
            return Track("Surprisal", "bits", meaning)
        unit = f"{unit_of(objective)} of F per unit change of the one-hot"
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


def strands_in_words(strands: str, model: LanguageModel) -> str:
    """Say whose gradients the tracks are made of."""
    if model.reads_both_strands:
        return "the model reads both strands, and the gradient goes through both"
    if strands == "+-":
        return "gradients of the strands are averaged before any track is derived"
    words = {
        "+": ("plus strand only", "right"),
        "-": ("minus strand only, written at the positions and bases of the plus strand", "left"),
    }
    said, side = words[strands]
    if running_of(model).streams:
        said += f"; a base acts only on what lies to its {side}, downstream on that strand"
    return said
