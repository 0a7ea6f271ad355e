"""Methods: what is computed for every base, and how it becomes the values of tracks.

A method gives four numbers v at a position, one for each of A, C, G, T; r is the observed base.
Those of a gradient method are v = g = dF/dX. Its tracks:

    sensitivity    |s|_2
    contribution   s[r]
    tism.a         g[a] - g[r], first-order effect of substituting a (Sasse 2024, iScience 27)

where s is what the method makes of g: the gradient on the simplex, g - mean_b g[b] (Majdandzic
2023, Genome Biology 24:109), or g itself. Those of a substitution method are effects of changes,
v[a] = F(x with a) - F(x), or g in their place. Its tracks:

    effect.a       v[a] - v[r]
    importance     minus the mean of effect.a over the three bases a that are not observed

That of integrated gradients is made of v = the mean of g along a path to X from X0, which is 1/4 in
every base:

    ig             sum_a (X - X0)[a] v[a] (Sundararajan, Taly and Yan 2017, ICML)

The hypothetical contribution of a base a, for motif discovery, is v[a] - mean_b v[b]: what the
method would give as the contribution of a, were it observed. That of r is the contribution, of
integrated gradients ig, and of effects 3/4 of the importance.

Every method has surprisal, -log2 p(r | what predicts it), in bits.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeGuard

from pgf_genome.alphabet import BASES
from pgf_genome.errors import UsageError
from pgf_genome.runs.record import Track

if TYPE_CHECKING:
    import numpy as np

TISM = tuple(f"tism.{base}" for base in BASES)
EFFECTS = tuple(f"effect.{base}" for base in BASES)
# What arrays of regions are made of, kept with the tracks; no track of any method.
HYPOTHETICAL = tuple(f"hypothetical.{base}" for base in BASES)
# Names that stand for several tracks.
GROUPS = {"tism": TISM, "effect": EFFECTS}
GRADIENT_TRACKS = ("sensitivity", "contribution", *TISM, "surprisal")
EFFECT_TRACKS = (*EFFECTS, "importance", "surprisal")
PATH_TRACKS = ("ig", "surprisal")
TRACKS = (*GRADIENT_TRACKS[:-1], *EFFECT_TRACKS[:-1], *PATH_TRACKS)
DEFAULT_TRACKS = ("sensitivity", "contribution", "surprisal")
_NUMBERED = re.compile(r"(near|ig) ([1-9]\d{0,17})", re.ASCII)


@dataclass(frozen=True)
class Method(ABC):
    """What is computed for every base.

    Attributes
    ----------
    name : str
        It names everything that the numbers depend on.
    title : str
        What a run computes, for headings.
    tracks : tuple of str
        Those that can be made of it, in their order.
    default_tracks : tuple of str
    """

    name: str
    title: ClassVar[str]
    tracks: ClassVar[tuple[str, ...]]
    default_tracks: ClassVar[tuple[str, ...]]

    @property
    def sweeps(self) -> int:
        """Adjoint sweeps over every sequence."""
        return 1

    def describe(self, track: str, unit: str, strands: str, context: str) -> Track:
        """Describe a track of a run.

        Parameters
        ----------
        unit : str
            The unit of F.
        strands : str
            The strands that are averaged: "+", "-" or "+-".
        context : str
            What predicts a base under the model.
        """
        mean = ", mean over the strands" if len(strands) > 1 else ""
        if track == "surprisal":
            meaning = f"-log2 p(observed base | {context}){mean}"
            return Track("Surprisal", "bits", meaning)
        return self._describe(track, unit, mean)

    @abstractmethod
    def _describe(self, track: str, unit: str, mean: str) -> Track:
        """Describe a track of this method's own; ``mean`` says over what it is averaged."""


@dataclass(frozen=True)
class Gradient(Method):
    """The gradient, or what is made of it.

    Attributes
    ----------
    quantity : str
        What it makes of the gradient, in words.
    positive : str
        What it says of the observed base where it is above zero.
    apply : callable
        Maps the gradient, (n, 4), to that quantity, (n, 4).
    """

    quantity: str
    positive: str
    apply: Callable[[np.ndarray], np.ndarray]

    title = "Sensitivity"
    tracks = GRADIENT_TRACKS
    default_tracks = DEFAULT_TRACKS

    def _describe(self, track: str, unit: str, mean: str) -> Track:
        unit = f"{unit} of F per unit change of the one-hot"
        if track == "sensitivity":
            return Track("Sensitivity", unit, f"length of the {self.quantity}; >= 0")
        if track == "contribution":
            meaning = f"{self.quantity} at the observed base; signed letter height"
            return Track("Contribution of the observed base", unit, meaning, self.positive)
        base = track.removeprefix("tism.")
        meaning = f"first-order change of F when the base becomes {base}"
        return Track(f"Effect of {base}", unit, meaning)


@dataclass(frozen=True)
class Substitutions(Method):
    """Effects of all substitutions.

    Attributes
    ----------
    near : int or None
        Positions, from the substituted one on, that are run again; what lies beyond is first-order
        in the state. None for all, 0 for none: first-order in the input.
    """

    name: str = field(init=False)
    near: int | None

    title = "Substitution effects"
    tracks = EFFECT_TRACKS
    default_tracks = (*EFFECTS, "importance")

    def __post_init__(self) -> None:
        name = {None: "exact", 0: "first-order"}.get(self.near, f"near {self.near}")
        object.__setattr__(self, "name", name)

    @property
    def how(self) -> str:
        """How close the numbers are to the definition, in words."""
        if self.near is None:
            return "exact"
        if self.near == 0:
            return "to first order in the input"
        bases = "base is" if self.near == 1 else f"{self.near:,} bases are"
        return f"{bases} run again, the rest is first-order in the state"

    def _describe(self, track: str, unit: str, mean: str) -> Track:
        if track == "importance":
            meaning = f"minus the mean effect of the three other bases{mean}; {self.how}"
            positive = "F falls, in the mean, when another base takes the place of this one"
            return Track("Importance of the observed base", f"{unit} of F", meaning, positive)
        base = track.removeprefix("effect.")
        meaning = f"change of F when the base becomes {base}{mean}; {self.how}"
        return Track(f"Effect of {base}", f"{unit} of F", meaning)


@dataclass(frozen=True)
class IntegratedGradients(Method):
    """The mean gradient along a straight path from the baseline to the sequence.

    Attributes
    ----------
    steps : int
        Nodes of the quadrature.
    """

    name: str = field(init=False)
    steps: int

    title = "Integrated gradients"
    tracks = PATH_TRACKS
    default_tracks = ("ig",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"ig {self.steps}")

    @property
    def sweeps(self) -> int:
        return self.steps + 2  # the two ends of the path as well

    def _describe(self, track: str, unit: str, mean: str) -> Track:
        meaning = (
            f"what the observed base adds to F on the way from 1/4 of each base to the sequence, "
            f"by {self.steps} nodes of Gauss and Legendre{mean}"
        )
        positive = "this base adds to F, compared with 1/4 of each base in every place"
        return Track("Integrated gradient", f"{unit} of F", meaning, positive)


# Methods whose names are words.
METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Gradient(
            "corrected",
            "simplex-corrected gradient",
            "F is larger with this base than with the mean of the four bases, to first order",
            lambda gradient: gradient - gradient.mean(axis=1, keepdims=True),
        ),
        Gradient(
            "saliency",
            "raw gradient",
            "F rises with more of this base, to first order",
            lambda gradient: gradient,
        ),
        Substitutions(None),
        Substitutions(0),
    )
}
GRADIENTS = tuple(name for name, method in METHODS.items() if isinstance(method, Gradient))


def method_of(name: str) -> Method:
    """Find a method by its name: one of `METHODS`, ``near W``, or ``ig K``.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    numbered = _NUMBERED.fullmatch(str(name))
    if numbered:
        kind = Substitutions if numbered[1] == "near" else IntegratedGradients
        return kind(int(numbered[2]))
    if name not in METHODS:
        words = ", ".join(METHODS)
        raise UsageError(f"`method` {name}: choose from {words}, near BASES, ig STEPS")
    return METHODS[name]


def runs_again(method: Method) -> TypeGuard[Substitutions]:
    """Whether changed sequences are run; without it, gradients are all that is needed."""
    return isinstance(method, Substitutions) and method.near != 0


def track_names(requested: Sequence[str], method: Method) -> tuple[str, ...]:
    """Expand ``tism`` and ``effect``, and check names; drop duplicates, in the method's order.

    Raises
    ------
    UsageError
        For a name of no track of the method, or no name at all.
    """
    wanted = {name for track in requested for name in GROUPS.get(track, (track,))}
    unknown = sorted(wanted.difference(method.tracks))
    if unknown or not wanted:
        grouped = dict.fromkeys(track.partition(".")[0] for track in method.tracks)
        raise UsageError(
            f"unknown track {', '.join(unknown) or '(none given)'}; those of method {method.name} "
            f"are {', '.join(grouped)}"
        )
    return tuple(name for name in method.tracks if name in wanted)
