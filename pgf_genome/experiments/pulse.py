"""The response of a model to one pulse, by sweeps that stream and by one tape.

A pulse is a substitution at 0.8 L; lags are positions after it. Nothing changes before it, so every
method but autograd begins with a primal sweep over the tiles before the one with the pulse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pgf_genome import process
from pgf_genome.checkpoints.load import load_model
from pgf_genome.engine import sweep
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.running import require_causal
from pgf_genome.experiments.apart import Result, Work
from pgf_genome.experiments.scaling import pulse_position, pulse_reader, substitution
from pgf_genome.experiments.trial import read_bases, reader
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.state import State

BINS_PER_DECADE = 8
PROBES = 8  # lags at which autograd computes the response


@dataclass(frozen=True)
class Approach:
    """A model that has read all tiles before the one with the pulse.

    Attributes
    ----------
    model : CausalMamba
    state : State
        State before ``start``.
    read : callable
        One-hot tiles from ``start`` on.
    plan : Plan
        The tiles from ``start`` on.
    start, pulse : int
        First base of the tile with the pulse, and position of the pulse.
    along : Tensor, (V,)
        Direction of the substitution.
    """

    model: CausalMamba
    state: State
    read: sweep.Reader
    plan: Plan
    start: int
    pulse: int
    along: Tensor

    @classmethod
    def of(cls, model: CausalMamba, bases: str, length: int, tile: int) -> Approach:
        pulse = pulse_position(length)
        start, state, read = pulse // tile * tile, model.initial_state(1), reader(model, bases)
        if start:
            for step in sweep.primal(model, read, Plan(start, tile), state):
                state = step.state
        return cls(
            model,
            state,
            lambda first, stop: read(start + first, start + stop),
            Plan(length - start, tile),
            start,
            pulse,
            substitution(model, read_bases(bases, pulse, pulse + 1)[0]),
        )


def by_tangent(
    weights: str, bases: str, length: int, near: int, tile: int, dtype: str, device: str
) -> Work:
    """Prepare the tangent sweep along a substitution."""
    process.tune()
    model = require_causal(load_model(weights, device, getattr(torch, dtype)), "pulse")
    columns = list(model.vocabulary.base_ids)

    def work(length: int, tile: int, near: int) -> Result:
        a = Approach.of(model, bases, length, tile)
        directions = pulse_reader(a.along, a.pulse - a.start)
        tiles = sweep.tangent(a.model, a.read, directions, a.plan, a.state)
        steps = ((t.tangents[0, 0][:, columns], t.log_probs[0][:, columns]) for t in tiles)
        return recorded(steps, a, length, near)

    work(min(length, 2 * tile), tile, 1)
    return lambda: work(length, tile, near)


def by_difference(
    weights: str, bases: str, length: int, near: int, tile: int, size: float, device: str
) -> Work:
    """Prepare two primal sweeps in float32, one with a small pulse, and their difference."""
    process.tune()
    model = require_causal(load_model(weights, device), "pulse")
    columns = list(model.vocabulary.base_ids)

    def work(length: int, tile: int, near: int) -> Result:
        a = Approach.of(model, bases, length, tile)
        directions = pulse_reader(a.along, a.pulse - a.start)

        def both(start: int, stop: int) -> Tensor:
            x = a.read(start, stop)
            return torch.cat([x, x + size * directions(start, stop)[0]])

        tiles = sweep.primal(model, both, a.plan, State.joined([a.state] * 2))
        predictions = (t.log_probs[:, :, columns] for t in tiles)
        return recorded((((p[1] - p[0]) / size, p[0]) for p in predictions), a, length, near)

    work(min(length, 2 * tile), tile, 1)
    return lambda: work(length, tile, near)


def by_autograd(weights: str, bases: str, length: int, near: int, tile: int, device: str) -> Work:
    """Prepare one tape over the whole sequence, and the response of A at a few lags."""
    process.tune()
    model = require_causal(load_model(weights, device, torch.float64), "pulse")

    def work(length: int, near: int) -> Result:
        pulse = pulse_position(length)
        along = substitution(model, read_bases(bases, pulse, pulse + 1)[0])
        lags = np.unique(np.geomspace(1, near - 1, PROBES).astype(np.int64))
        x = reader(model, bases)(0, length).requires_grad_()
        log_probs = model(x, model.initial_state(1))[0][0]
        responses = []
        for lag in lags:
            prediction = log_probs[pulse + lag, model.vocabulary.base_ids[0]]
            (bar,) = torch.autograd.grad(prediction, x, retain_graph=True)
            responses.append([(bar[0, pulse] @ along).item()])
        return {"near": np.array(responses), "probes": lags}

    work(min(length, 2 * tile), 4)
    return lambda: work(length, near)


def recorded(
    tiles: Iterable[tuple[Tensor, Tensor]], approach: Approach, length: int, near: int
) -> Result:
    """Summarise a response while it streams by.

    Parameters
    ----------
    tiles : iterable of (Tensor, Tensor)
        Responses and log-probabilities of the tiles of ``approach``, (T, 4) each.
    approach : Approach
    length : int
        Bases of the sequence.
    near : int
        Number of lags of which everything is kept.

    Returns
    -------
    dict of str to ndarray
        ``near``, ``log_probs`` (near, 4) by lag; ``lags``, ``responses`` the first lag of every
        bin and the largest response in it; ``first`` the first position that responds, ``last``
        the response of the last.
    """
    edges = bins(length - approach.pulse)
    kept = {"near": np.zeros((near, 4)), "log_probs": np.zeros((near, 4))}
    largest, first, last, at = np.zeros(len(edges)), -1, 0.0, approach.start - approach.pulse
    for pair in tiles:
        change, log_probs = (t.double().cpu().numpy() for t in pair)
        response, lags = np.abs(change).max(axis=1), np.arange(at, at + len(change))
        if first < 0 and response.any():
            first = approach.pulse + lags[np.flatnonzero(response)[0]]
        behind = lags >= 0
        np.maximum.at(largest, np.searchsorted(edges, lags[behind], "right") - 1, response[behind])
        here = behind & (lags < near)
        kept["near"][lags[here]], kept["log_probs"][lags[here]] = change[here], log_probs[here]
        at, last = at + len(change), response[-1]
    return {
        **kept, "lags": edges, "responses": largest, "first": np.array(first, np.int64),
        "last": np.array(last, np.float64),
    }  # fmt: skip


def bins(lags: int) -> np.ndarray:
    """Return the first lag of every bin of 0 .. lags - 1, eight bins to a decade."""
    powers = np.arange(math.ceil(math.log10(lags) * BINS_PER_DECADE) + 1) / BINS_PER_DECADE
    edges = np.unique([0, *(10**powers).astype(np.int64)])
    return edges[edges < lags]
