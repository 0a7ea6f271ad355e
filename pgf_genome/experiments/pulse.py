"""The response of a model to one pulse, by sweeps that stream and by one tape.

A pulse is a substitution at 0.8 L; lags are positions after it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from pgf_genome import process
from pgf_genome.checkpoints.load import load_model
from pgf_genome.effects.impulse import Pulse, Response, responses
from pgf_genome.effects.pulses.profile import bins
from pgf_genome.effects.pulses.settings import SUBSTITUTION, TANGENT
from pgf_genome.engine.running import require_causal
from pgf_genome.experiments.apart import Result, Work
from pgf_genome.experiments.scaling import pulse_in
from pgf_genome.experiments.trial import reader

PROBES = 8  # lags at which autograd computes the response


def by_tangent(
    weights: str, bases: str, length: int, near: int, tile: int, dtype: str, device: str
) -> Work:
    """Prepare the tangent sweep along a substitution."""
    process.tune()
    model = require_causal(load_model(weights, device, getattr(torch, dtype)), "pulse")
    columns = list(model.vocabulary.base_ids)

    def work(length: int, tile: int, near: int) -> Result:
        pulse = pulse_in(model, bases, length)
        tiles = responses(model, reader(model, bases), length, [pulse], TANGENT, tile)
        return recorded(tiles, columns, pulse.position, length, near)

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
        position, along = pulse_in(model, bases, length)
        pulse = Pulse(position, size * along)
        tiles = responses(model, reader(model, bases), length, [pulse], SUBSTITUTION, tile)
        return recorded(tiles, columns, position, length, near, size)

    work(min(length, 2 * tile), tile, 1)
    return lambda: work(length, tile, near)


def by_autograd(weights: str, bases: str, length: int, near: int, tile: int, device: str) -> Work:
    """Prepare one tape over the whole sequence, and the response of A at a few lags."""
    process.tune()
    model = require_causal(load_model(weights, device, torch.float64), "pulse")

    def work(length: int, near: int) -> Result:
        pulse, along = pulse_in(model, bases, length)
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
    tiles: Iterable[Response],
    columns: list[int],
    pulse: int,
    length: int,
    near: int,
    size: float = 1.0,
) -> Result:
    """Summarise a response while it streams by.

    Parameters
    ----------
    tiles : iterable of Response
        Of one pulse.
    columns : list of int
        Rows of the vocabulary that are A, C, G, T.
    pulse : int
        Position of the pulse.
    length : int
        Bases of the sequence.
    near : int
        Number of lags of which everything is kept.
    size : float
        Size of the pulse, by which its response is divided.

    Returns
    -------
    dict of str to ndarray
        ``near``, ``log_probs`` (near, 4) by lag; ``lags``, ``responses`` the first lag of every
        bin and the largest response in it; ``first`` the first position that responds, ``last``
        the response of the last.
    """
    edges = bins(length - pulse)
    kept = {"near": np.zeros((near, 4)), "log_probs": np.zeros((near, 4))}
    largest, first, last = np.zeros(len(edges)), -1, 0.0
    for tile in tiles:
        pair = tile.changes[0] / size, tile.log_probs
        change, log_probs = (t[:, columns].double().cpu().numpy() for t in pair)
        response = np.abs(change).max(axis=1)
        lags = np.arange(len(change)) + tile.start - pulse
        if first < 0 and response.any():
            first = pulse + lags[np.flatnonzero(response)[0]]
        behind = lags >= 0
        np.maximum.at(largest, np.searchsorted(edges, lags[behind], "right") - 1, response[behind])
        here = behind & (lags < near)
        kept["near"][lags[here]], kept["log_probs"][lags[here]] = change[here], log_probs[here]
        last = response[-1]
    return {
        **kept, "lags": edges, "responses": largest, "first": np.array(first, np.int64),
        "last": np.array(last, np.float64),
    }  # fmt: skip
