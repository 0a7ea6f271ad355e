"""Steps over one layer: two sweeps for every lane, which meet in the middle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pgf_genome.engine.layerwise.context import Chain, Layers, require
from pgf_genome.engine.layerwise.schedule import Step
from pgf_genome.engine.store import Pending
from pgf_genome.engine.threads import side_by_side
from pgf_genome.mamba.state import LayerState


class Rows(NamedTuple):
    """What is read of a tile for one chain."""

    h: Tensor
    base: Tensor  # what the shares are added to: h, or the cotangent of the layer's output
    share: Tensor | None  # of the chain that came first; None if it is this one, or damaged


class LayerStep(ABC):
    """A step over one layer: two sweeps for every lane, which meet in the middle."""

    out: str  # table of the rows
    carried: str  # table of what a sweep carries from tile to tile

    def __init__(self, layers: Layers, step: Step) -> None:
        self.layers, self.step = layers, step
        self.block = layers.model.layers[step.layer]
        self.out, self.carried = step.writes

    @abstractmethod
    def ascends(self, chain: Chain) -> bool:
        """Whether the sweep of a chain goes from the first tile to the last."""

    @abstractmethod
    def fetch(self, chain: Chain, k: int, second: bool) -> Callable[[], Rows]:
        """Begin to read what is needed of a tile."""

    @abstractmethod
    def visit(self, chain: Chain, k: int, rows: Rows, carried: Any) -> tuple[Tensor, Any]:
        """The share of a chain in the rows of a tile, and what it carries on."""

    @abstractmethod
    def joined(self, rows: Rows, own: Tensor, other: Tensor) -> Tensor:
        """The rows of a tile from the shares of both chains."""

    def run(self) -> None:
        layers = self.layers
        done = [self._done(chain) for chain in layers.chains]
        for second in (False, True):
            sweep = partial(self._stoppable, second)
            side_by_side(sweep, [*zip(layers.chains, done, strict=True)], layers.threads)

    def mixer(self, chain: Chain) -> Any:
        both = self.block.mixer
        return both.mamba_rev if chain.reverse != chain.lane.complement else both.mamba_fwd

    def before(self, chain: Chain, table: str, j: int) -> Pending:
        """Begin to read what was carried to the j-th tile of a sweep, of which 0 is blank."""
        blank = self.layers.blanks[chain.lane.number]
        if j == 0:
            return lambda: list(blank)
        number = chain.number * self.layers.plan.tiles + j - 1
        return self.layers.table(table).get(number, blank)

    def at(self, chain: Chain, k: int) -> int:
        """Place of tile k in the sweep of a chain."""
        return k if self.ascends(chain) else self.layers.plan.tiles - 1 - k

    def _done(self, chain: Chain) -> int:
        """Tiles of a sweep that a killed run has done."""
        tiles = self.layers.plan.tiles
        return next(
            (j for j in range(tiles) if self.before(chain, self.carried, j + 1)() is None), tiles
        )

    def _stoppable(self, second: bool, given: tuple[Chain, int]) -> None:
        try:
            self._sweep(second, *given)
        except BaseException:
            self.layers.stopped.set()  # the others end at their next tile
            raise

    def _sweep(self, second: bool, chain: Chain, done: int) -> None:
        """The first or the second part of a sweep, or what is left of it."""
        layers, tiles = self.layers, self.layers.plan.tiles
        middle = tiles // 2 if self.ascends(chain) else tiles - tiles // 2
        first, stop = (middle, tiles) if second else (0, middle)
        left = range(max(first, done), stop)
        self._advance(chain, [self.at(chain, j) for j in range(first, min(done, stop))])
        if not left:
            return
        carried = type(layers.blanks[0])(*require(self.before(chain, self.carried, left[0])(),
                                                  self.carried, left[0]))  # fmt: skip
        pending = self.fetch(chain, self.at(chain, left[0]), second)
        for j in left:
            if layers.stopped.is_set():
                return
            k, rows = self.at(chain, j), pending()
            if j + 1 < stop:
                pending = self.fetch(chain, self.at(chain, j + 1), second)
            own, carried = self.visit(chain, k, rows, carried)
            if second:
                own = self.joined(rows, own, self._others(chain, k, rows))
            layers.put_rows(self.out, chain.lane, k, own, final=second)
            table = layers.table(self.carried)
            table.put(chain.number * tiles + j, carried)
            self._advance(chain, [k])

    def _others(self, chain: Chain, k: int, rows: Rows) -> Tensor:
        """The share of the other chain of the lane, which was killed after it if not stored."""
        if rows.share is not None:
            return rows.share
        other = self.other(chain)
        j = self.at(other, k)
        carried = require(self.before(other, self.carried, j)(), self.carried, j)
        return self.visit(other, k, rows, type(self.layers.blanks[0])(*carried))[0]

    def other(self, chain: Chain) -> Chain:
        """The chain of the same lane that reads the other way."""
        return self.layers.chains[chain.number ^ 1]

    def _advance(self, chain: Chain, tiles: Sequence[int]) -> None:
        positions = sum(b - a for a, b in map(self.layers.plan.bounds, tiles))
        self.layers.advance(positions * self.step.work / len(self.layers.chains))


class Forth(LayerStep):
    """h_{i+1} = h_i + join of both mixers; carries their states."""

    def ascends(self, chain: Chain) -> bool:
        return not chain.reverse

    def fetch(self, chain: Chain, k: int, second: bool) -> Callable[[], Rows]:
        h = self.layers.hidden(self.step.layer, chain.lane, k)
        share = self.layers.rows(self.out, chain.lane, k, final=False) if second else None

        def rows() -> Rows:
            known = h()
            return Rows(known, known, first_of(share))

        return rows

    def visit(
        self, chain: Chain, k: int, rows: Rows, carried: LayerState
    ) -> tuple[Tensor, LayerState]:
        with torch.no_grad():
            y, state = self.mixer(chain)(self.block.norm(chain.turned(rows.h)), carried)
        return chain.turned(y), state

    def joined(self, rows: Rows, own: Tensor, other: Tensor) -> Tensor:
        return rows.base + self.block.mixer.join(own, other)


class Back(LayerStep):
    """The cotangent of h_i from that of h_{i+1}; carries the cotangents of the states."""

    def ascends(self, chain: Chain) -> bool:
        return chain.reverse

    def fetch(self, chain: Chain, k: int, second: bool) -> Callable[[], Rows]:
        layers, i = self.layers, self.step.layer
        h, bar = layers.hidden(i, chain.lane, k), layers.rows(f"bar{i + 1}", chain.lane, k)
        share = layers.rows(self.out, chain.lane, k, final=False) if second else None
        return lambda: Rows(h(), require(bar(), f"bar{i + 1}", k)[0], first_of(share))

    def _state(self, chain: Chain, k: int) -> LayerState:
        """The state of a mixer before it reads a tile."""
        j, name = self.layers.plan.tiles - 1 - self.at(chain, k), f"states{self.step.layer}"
        return type(self.layers.blanks[0])(*require(self.before(chain, name, j)(), name, j))

    def visit(
        self, chain: Chain, k: int, rows: Rows, carried: LayerState
    ) -> tuple[Tensor, LayerState]:
        bar = self.block.mixer.bar(rows.base, lambda: self._output(self.other(chain), k, rows.h))
        before = chain.turned(rows.h), *self._state(chain, k)
        inputs = [t.detach().requires_grad_() for t in before]
        with torch.enable_grad():
            y, end = self.mixer(chain)(self.block.norm(inputs[0]), type(carried)(*inputs[1:]))
        cotangents = [chain.turned(bar), *carried]
        gradient, *cotangent = torch.autograd.grad([y, *end], inputs, cotangents)
        return chain.turned(gradient), type(carried)(*cotangent)

    def _output(self, chain: Chain, k: int, h: Tensor) -> Tensor:
        with torch.no_grad():
            u = self.block.norm(chain.turned(h))
            return chain.turned(self.mixer(chain)(u, self._state(chain, k))[0])

    def joined(self, rows: Rows, own: Tensor, other: Tensor) -> Tensor:
        return rows.base + (own + other)


def first_of(pending: Pending | None) -> Tensor | None:
    """The one tensor of a record, if there is one."""
    found = None if pending is None else pending()
    return None if found is None else found[0]
