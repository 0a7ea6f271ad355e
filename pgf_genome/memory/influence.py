"""Influence of the base k positions away on a prediction, measured by adjoint probes.

    I(k) = E_t | d log p(x_t) / d X_{t +- k} |^2

over probed positions t, with the gradient on the simplex (its mean over the four bases
subtracted). I(k) is a base's share of the Fisher information, and to second order how far the
prediction moves when that base is redrawn. In a causal model only the bases before t count. A
memory function says what is still *in* a state; the influence says what of it is *used*.

The terms are those of CerebrasResearch/ECL, which measures the same by Monte-Carlo perturbation:
ECL_b is the smallest distance within which a fraction b of all influence lies.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from pgf_genome.engine import sweep
from pgf_genome.engine.arrays import adjoint
from pgf_genome.engine.objective import Likelihood, PseudoLikelihood
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.running import running_of
from pgf_genome.errors import IntegrityError
from pgf_genome.mamba.bidirectional import BidirectionalMamba
from pgf_genome.mamba.model import CausalMamba, LanguageModel
from pgf_genome.mamba.state import State

# A probe goes no further back once the norm of its cotangent is below this part of its largest:
# then no base before can matter, however well the state holds it.
DEAD = 1e-4
PROBES_AT_ONCE = 4
BINS_PER_DECADE = 8


@dataclass(frozen=True)
class Influence:
    """The influence profile of one drive.

    Attributes
    ----------
    drive : str
    energy : ndarray, (probes, span)
        Squared gradient at distance 0, 1, .. of each probe, both sides added; 0 at distance 0.
    """

    drive: str
    energy: np.ndarray

    @property
    def profile(self) -> np.ndarray:
        """The profile I(k), (span,)."""
        return self.energy.mean(axis=0)

    def reach(self, fraction: float) -> int:
        """Return ECL, the smallest distance within which a fraction of the influence lies."""
        within = np.cumsum(self.profile)
        return int(np.searchsorted(within, fraction * within[-1]))

    def interval(self, fraction: float, resamples: int = 200) -> tuple[int, int]:
        """Return the 90 % confidence interval of `reach`, by bootstrap over the probes."""
        rng, within = np.random.default_rng(0), np.cumsum(self.energy, axis=1)
        reaches = []
        for _ in range(resamples):
            total = within[rng.integers(len(within), size=len(within))].sum(axis=0)
            reaches.append(np.searchsorted(total, fraction * total[-1]))
        low, high = np.quantile(reaches, [0.05, 0.95], method="nearest")
        return int(low), int(high)

    @property
    def tail(self) -> float:
        """Part of the influence in the farther half of the span; NaN if there is no influence.

        Where it is not small, influence extends beyond the span and all lengths are too short.
        """
        profile = self.profile
        with np.errstate(invalid="ignore"):
            return float(profile[len(profile) // 2 :].sum() / profile.sum())

    @property
    def mean_distance(self) -> float:
        """Mean distance of the influence in bases; NaN if there is no influence."""
        profile = self.profile
        with np.errstate(invalid="ignore"):
            return float((np.arange(len(profile)) * profile).sum() / profile.sum())

    def binned(self) -> dict[str, list[float]]:
        """Bin I(k), eight bins to a decade: ``distances`` and ``mean``, as a report draws them.

        A bin stands at the mean of its distances; bins without influence are left out.
        """
        profile = self.profile
        decades = np.log10(max(len(profile), 2)) + 1
        edges = np.unique(np.floor(10 ** (np.arange(decades * BINS_PER_DECADE) / BINS_PER_DECADE)))
        distance = np.arange(1, len(profile))
        cell = np.searchsorted(edges, distance, side="right") - 1
        count = np.bincount(cell)
        middle, mean = (
            np.bincount(cell, v) / np.maximum(count, 1) for v in (distance, profile[1:])
        )
        drawn = (count > 0) & (mean > 0)
        return {"distances": middle[drawn].tolist(), "mean": mean[drawn].tolist()}


def influence(
    model: LanguageModel,
    drive: str,
    contexts: np.ndarray,
    tile_length: int,
    progress: Callable[[int], object] = lambda bases: None,
) -> Influence:
    """Probe the last base of every context, or the middle one if the model is bidirectional.

    Parameters
    ----------
    contexts : ndarray of uint8, (probes, L)
        Base codes. The probed bases must not be N.
    tile_length : int
        Positions per tile of the adjoint sweep of a causal model.
    progress : callable
        Called with the bases done since the last call.

    Raises
    ------
    IntegrityError
        If a gradient is not finite.

    Notes
    -----
    With a causal model every context starts from an empty state. A primal sweep reads it to its
    end and stores the boundary states in a temporary file. The adjoint sweep then goes back, for
    every probe to the tile boundary where the norm of its cotangent is at most `DEAD` of its
    largest at any boundary, or to the start. The influence itself does not decide where to stop,
    because a model may hold a base for long before it uses it.
    """
    parts = []
    streams = running_of(model).streams
    for first in range(0, len(contexts), PROBES_AT_ONCE):
        batch = contexts[first : first + PROBES_AT_ONCE]
        if streams:
            parts.append(_sweeps(cast(CausalMamba, model), batch, tile_length))
        else:
            parts.append(_windows(cast(BidirectionalMamba, model), batch))
        progress(batch.size)
    energy = np.concatenate(parts)
    if not np.isfinite(energy).all():
        raise IntegrityError(
            f"influence, {drive} sequence: a gradient is not finite; the model overflows on this "
            "sequence: check the checkpoint"
        )
    return Influence(drive, energy)


def _sweeps(model: CausalMamba, contexts: np.ndarray, tile_length: int) -> np.ndarray:
    """Compute energies (probes, L) by distance before the last base."""
    probes, length = contexts.shape
    ids = model.vocabulary.encode(contexts)
    plan = Plan(length, tile_length)
    objective = Likelihood(targets="fixed", positions=((length - 1, length),))
    energy, going = np.zeros((probes, length)), np.ones(probes, bool)
    largest = np.zeros(probes)

    def read(start: int, stop: int) -> Tensor:
        return model.one_hot(ids[:, start:stop])

    back = sweep.there_and_back(model, read, plan, [objective] * probes)
    # It is a generator, and closing it deletes the stored states.
    with closing(cast(Generator[sweep.AdjointTile], back)) as tiles:
        for tile in tiles:
            start, stop = plan.bounds(tile.k)
            energy[going, start:stop] = _energy(model, tile.gradient)[going]
            norm = _norms(tile.cotangent)
            largest = np.maximum(largest, norm)
            going &= norm > DEAD * largest
            if not going.any():
                break
    return energy[:, ::-1]


def _windows(model: BidirectionalMamba, contexts: np.ndarray) -> np.ndarray:
    """Compute energies by distance from the middle base, masked if the model has a mask."""
    length = contexts.shape[1]
    middle = length // 2
    distance = np.abs(np.arange(length) - middle)
    mask = model.vocabulary.mask_id
    energy = np.zeros((len(contexts), distance.max() + 1))
    for i, codes in enumerate(contexts):
        ids = model.vocabulary.encode(codes)
        objective = PseudoLikelihood(targets=tuple(ids.tolist()), positions=((middle, middle + 1),))
        seen = ids.clone()
        if mask is not None:
            seen[middle] = mask
        by_position = _energy(model, torch.from_numpy(adjoint(model, seen, objective).gradient))
        by_position[middle] = 0  # a base has no influence on itself
        energy[i] = np.bincount(distance, by_position)
    return energy


def _energy(model: LanguageModel, gradient: Tensor) -> np.ndarray:
    """Squared length (..) of the gradient (.., V) on the simplex of the four bases."""
    g = gradient[..., list(model.vocabulary.base_ids)].double()
    return (g - g.mean(dim=-1, keepdim=True)).square().sum(dim=-1).cpu().numpy()


def _norms(cotangent: State) -> np.ndarray:
    """Norm of every probe's cotangent, (probes,) float64."""
    squares = [t.double().flatten(1).square().sum(dim=1) for t in cotangent.tensors()]
    return torch.stack(squares).sum(dim=0).sqrt().cpu().numpy()
