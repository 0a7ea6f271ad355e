"""How much of a prediction depends on the base k positions away, by adjoint probes.

    I(k) = E_t | d log p(x_t) / d X_{t +- k} |^2

over probed positions t, with the gradient on the simplex (its mean over the four bases taken
off): a base's share of the Fisher information, and to second order how far the prediction moves
when that base is redrawn. Of a causal model only the bases before t count. Where a memory
function says what is still *in* a state, this says what is *used*.

The words are those of CerebrasResearch/ECL, which measures the same by Monte-Carlo perturbation:
ECL_b is the smallest distance within which a fraction b of all influence lies.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

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

# A cotangent whose norm is below this part of its largest has died: no base further back can
# matter, be it as good a copy as the state can hold.
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
        Squared gradient at distance 0, 1, .. of each probe, both sides together; 0 at distance 0.
    """

    drive: str
    energy: np.ndarray

    @property
    def profile(self) -> np.ndarray:
        """(span,) I(k)."""
        return self.energy.mean(axis=0)

    def reach(self, fraction: float) -> int:
        """ECL: the smallest distance within which a fraction of the influence lies, bases."""
        within = np.cumsum(self.profile)
        return int(np.searchsorted(within, fraction * within[-1]))

    def interval(self, fraction: float, resamples: int = 200) -> tuple[int, int]:
        """Where `reach` lies in nine tenths of the bootstrap samples of the probes."""
        rng, within = np.random.default_rng(0), np.cumsum(self.energy, axis=1)
        found = []
        for _ in range(resamples):
            total = within[rng.integers(len(within), size=len(within))].sum(axis=0)
            found.append(np.searchsorted(total, fraction * total[-1]))
        low, high = np.quantile(found, [0.05, 0.95], method="nearest")
        return int(low), int(high)

    @property
    def tail(self) -> float:
        """Part of the influence in the farther half of the span; NaN if there is none.

        Where it is not small, influence goes on beyond the span and all lengths are too short.
        """
        profile = self.profile
        with np.errstate(invalid="ignore"):
            return float(profile[len(profile) // 2 :].sum() / profile.sum())

    @property
    def mean_distance(self) -> float:
        """Of all influence, bases; NaN if there is none."""
        profile = self.profile
        with np.errstate(invalid="ignore"):
            return float((np.arange(len(profile)) * profile).sum() / profile.sum())

    def binned(self) -> dict[str, list[float]]:
        """``distances`` and ``mean`` of I(k) in bins, eight to a decade, as a report draws them.

        A bin stands at the mean of its distances; distances of no influence are left out.
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
        held = (count > 0) & (mean > 0)
        return {"distances": middle[held].tolist(), "mean": mean[held].tolist()}


def influence(
    model: LanguageModel,
    drive: str,
    contexts: np.ndarray,
    tile_length: int,
    progress: Callable[[int], object] = lambda bases: None,
) -> Influence:
    """Probe the last base of every context, or of a bidirectional model the middle one.

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
    Of a causal model every context starts from an empty state. A primal sweep reads it to its
    end, storing the boundary states in a temporary file; the adjoint sweep then goes back, for
    every probe to the tile's boundary where the norm of its cotangent is at most `DEAD` of its
    largest at any boundary, or to the start. It is not the influence that decides: a model may
    hold a base for long and say nothing of it meanwhile.
    """
    parts = []
    streams = running_of(model).streams
    for first in range(0, len(contexts), PROBES_AT_ONCE):
        batch = contexts[first : first + PROBES_AT_ONCE]
        parts.append(_sweeps(model, batch, tile_length) if streams else _windows(model, batch))
        progress(batch.size)
    energy = np.concatenate(parts)
    if not np.isfinite(energy).all():
        raise IntegrityError(
            f"influence, {drive} sequence: a gradient is not finite; the model overflows on this "
            "sequence: check the checkpoint"
        )
    return Influence(drive, energy)


def _sweeps(model: CausalMamba, contexts: np.ndarray, tile_length: int) -> np.ndarray:
    """Energies (probes, L) by distance."""
    probes, length = contexts.shape
    ids = model.vocabulary.encode(contexts)
    plan = Plan(length, tile_length)
    objective = Likelihood(targets="fixed", positions=((length - 1, length),))
    energy, going = np.zeros((probes, length)), np.ones(probes, bool)
    largest = np.zeros(probes)

    def read(start: int, stop: int) -> Tensor:
        return model.one_hot(ids[:, start:stop])

    with closing(sweep.there_and_back(model, read, plan, [objective] * probes)) as tiles:
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
    """As `_sweeps`, around the middle; the probed base is masked if the model has a mask."""
    length = contexts.shape[1]
    middle = length // 2
    distance = np.abs(np.arange(length) - middle)
    mask = model.vocabulary.special.get("[MASK]")
    energy = np.zeros((len(contexts), distance.max() + 1))
    for i, codes in enumerate(contexts):
        ids = model.vocabulary.encode(codes)
        objective = PseudoLikelihood(targets=tuple(ids.tolist()), positions=((middle, middle + 1),))
        seen = ids.clone()
        if mask is not None:
            seen[middle] = mask
        found = _energy(model, torch.from_numpy(adjoint(model, seen, objective).gradient))
        found[middle] = 0  # what a base says of itself is no influence of another
        energy[i] = np.bincount(distance, found)
    return energy


def _energy(model: LanguageModel, gradient: Tensor) -> np.ndarray:
    """(.., V) -> (..): squared length of the gradient on the simplex of the four bases."""
    g = gradient[..., list(model.vocabulary.base_ids)].double()
    return (g - g.mean(dim=-1, keepdim=True)).square().sum(dim=-1).cpu().numpy()


def _norms(cotangent: State) -> np.ndarray:
    """(probes,) float64."""
    squares = [t.double().flatten(1).square().sum(dim=1) for t in cotangent.tensors()]
    return torch.stack(squares).sum(dim=0).sqrt().cpu().numpy()
