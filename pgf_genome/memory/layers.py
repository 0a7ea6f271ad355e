"""Memory functions and time constants of every layer of a causal model, in one streaming pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pgf_genome.engine.plan import Plan
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.memory.estimator import (
    FLOOR_BASES,
    MemoryFunction,
    Moments,
    functions_of,
    lagged_bases,
)


@dataclass(frozen=True)
class LayerMemory:
    """The memory of one layer for the bases of one drive.

    Attributes
    ----------
    drive : str
    layer : int
        Counted from 1.
    output : MemoryFunction
        Of the residual stream after the layer: what all later layers can read.
    channels : dict of int to MemoryFunction
        Of the N states of sampled channels, by channel.
    time_constants : ndarray, (Di,)
        Bases in which the slowest state of a channel falls to 1/e, by its mean step size.
    """

    drive: str
    layer: int
    output: MemoryFunction
    channels: dict[int, MemoryFunction]
    time_constants: np.ndarray

    @property
    def slowest(self) -> dict[str, float]:
        """Median, 95 % quantile and maximum of the time constants."""
        quantiles = np.quantile(self.time_constants, [0.5, 0.95, 1.0])
        return dict(zip(("median", "95%", "max"), quantiles.tolist(), strict=True))


class LayerSums:
    """The sums of all layers, drive by drive; they grow by one stretch at a time.

    Parameters
    ----------
    model : CausalMamba
    drives : sequence of str
        Name of every sequence of a batch.
    lags : ndarray of int, (K,)
        Ascending from 0. As many bases as the longest, and at least `FLOOR_BASES`, warm the model
        up at the start of a stretch.
    channels : int
        Channels of a layer whose states are measured, evenly spaced.
    tile_length : int

    Notes
    -----
    Memory: one tile of the batch with the states of the sampled channels in float64, and per
    drive and layer D (D + 3 K) + c N (N + 3 K) sums. Time: about 1.5 forward-equivalents and one
    D x D product per base.
    """

    def __init__(
        self,
        model: CausalMamba,
        drives: Sequence[str],
        lags: np.ndarray,
        channels: int,
        tile_length: int,
    ) -> None:
        width = model.config.mixer.d_inner
        self.model, self.drives, self.lags = model, tuple(drives), lags
        self.channels = np.unique(np.linspace(0, width - 1, min(channels, width)).astype(int))
        self._tile_length = tile_length
        self._window = np.arange(FLOOR_BASES)
        self._moments: dict[tuple[object, ...], Moments] = {}
        self._rates = np.zeros((len(self.drives), len(model.layers), width))
        self._positions = 0

    def add(self, codes: np.ndarray, progress: Callable[[int], object]) -> None:
        """Read a stretch under every drive.

        Parameters
        ----------
        codes : ndarray of uint8, (drives, L)
            L is more than the longest lag and `FLOOR_BASES`.
        progress : callable
            Called with the bases done since the last call.
        """
        model = self.model
        state = model.initial_state(len(codes)).layers
        shape = (len(codes), len(self.channels), model.config.mixer.d_state)
        held = [np.zeros(shape) for _ in model.layers]
        plan = Plan(codes.shape[1], self._tile_length)
        for start, stop in map(plan.bounds, range(plan.tiles)):
            ids = model.vocabulary.encode(codes[:, start:stop])
            with torch.no_grad():
                state, held = self._add_tile(ids, state, held, codes, start)
            progress(ids.numel())

    def _add_tile(self, ids, state, held, codes, start):
        """Run one tile through all layers; their states after it."""
        targets, warm = self._targets(codes, start, start + ids.shape[1])
        h = self.model.embed(self.model.one_hot(ids))
        after, kept = [], []
        for i, block in enumerate(self.model.layers):
            recurrence = block.mixer.recurrence(block.norm(h), state[i])
            states = recurrence.states(self.channels, held[i])  # (T, batch, c, N)
            self._rates[:, i] += recurrence.rates() * ids.shape[1]
            h, layer_state = block(h, state[i])
            output = h.double().cpu().numpy()
            for d, y in enumerate(targets):
                self._include((d, i, "states"), states[warm, d].swapaxes(0, 1), y)
                self._include((d, i, "output"), output[d, warm], y)
            after.append(layer_state)
            kept.append(states[-1])
        self._positions += ids.shape[1]
        return after, kept

    def _targets(self, codes, start, stop) -> tuple[list[np.ndarray], slice]:
        """Lagged bases of every drive, and which positions of the tile they belong to."""
        first = max(start, int(self.lags[-1]), FLOOR_BASES)
        if first >= stop:
            return [], slice(0)
        targets = [lagged_bases(c, first, stop, self.lags) for c in codes]
        for d, y in enumerate(targets):
            recent = lagged_bases(codes[d], first, stop, self._window)
            self._include((d, "floor"), recent.reshape(len(recent), -1), y)
        return targets, slice(first - start, None)

    def _include(self, key: tuple[object, ...], x: np.ndarray, y: np.ndarray) -> None:
        moments = Moments.of(x, y)
        known = self._moments.get(key)
        self._moments[key] = moments if known is None else known + moments

    def result(self) -> list[LayerMemory]:
        """Every layer under every drive, drive by drive."""
        precision = torch.finfo(self.model.dtype).eps
        found = []
        for d, drive in enumerate(self.drives):
            floor = self._floor(d)
            for i in range(len(self.model.layers)):
                output, states = (
                    functions_of(self._moments[d, i, what], self.lags, precision, floor)
                    for what in ("output", "states")
                )
                channels = dict(zip(self.channels.tolist(), states, strict=True))
                constants = self._positions / self._rates[d, i]
                found.append(LayerMemory(drive, i + 1, output[0], channels, constants))
        return found

    def _floor(self, d: int) -> tuple[float, ...]:
        known = functions_of(self._moments[d, "floor"], self.lags, 0.0)[0]
        pairs = zip(self.lags, known.values, strict=True)
        return tuple(value if lag >= FLOOR_BASES else 0.0 for lag, value in pairs)
