"""Ways to run a model: a causal one streams over tiles, a bidirectional one sees windows.

This module is the one place that asks what kind a model is. Everyone else asks the `Running` that
it gives.
"""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, cast

import torch
from torch import Tensor

from pgf_genome.engine import sweep
from pgf_genome.engine.equations import Reader
from pgf_genome.engine.layerwise.context import Layers
from pgf_genome.engine.layerwise.run import sweep as sweep_layers
from pgf_genome.engine.layout import Layout, TileLayout, WindowLayout, too_large
from pgf_genome.engine.objective import Likelihood, Objective, PseudoLikelihood
from pgf_genome.engine.plan import (
    ALL,
    DEFAULT_MEMORY,
    DEFAULT_WINDOW,
    HALO_SHARE,
    TANGENT_ROWS,
    TILE_LENGTH,
    Cost,
    Plan,
    WindowCost,
    layer_plan,
)
from pgf_genome.engine.store import FileStore, MemoryStore, Store
from pgf_genome.engine.threads import torch_threads
from pgf_genome.engine.windows import Windows
from pgf_genome.errors import UsageError
from pgf_genome.mamba.bidirectional import BidirectionalMamba
from pgf_genome.mamba.model import CausalMamba, LanguageModel
from pgf_genome.scan import Dual


class Running(ABC):
    """A model and the way its kind is run over one sequence in memory."""

    streams: ClassVar[bool]  # whether a state passes from tile to tile, and so over whole contigs
    likelihood: ClassVar[Callable[..., Objective]]  # makes the default objective
    likelihood_name: ClassVar[str]
    context: ClassVar[str]  # what the prediction of a base is conditioned on

    def __init__(self, model: LanguageModel) -> None:
        self.model = model

    def check(self, objective: Objective) -> None:
        """Raise a UsageError if an objective is not defined for this kind of model."""
        if not callable(objective):
            raise UsageError(
                f"the objective must be a callable on tiles, such as {self.likelihood.__name__}(), "
                f"not {objective!r}"
            )
        if getattr(objective, "needs_head", False):
            self.require_head(
                "use an objective of its last hidden layer, such as SquaredNorm (`objective` norm)"
            )

    def require_head(self, remedy: str) -> None:
        """Raise a UsageError if the model has no head, and so no predictions."""
        if not self.model.config.has_head:
            raise UsageError(f"{self.model.name} has no head and predicts nothing: {remedy}")

    def plan(self, length: int, tile_length: int | None, kept: int | None) -> Plan:
        """Choose what is not given of the plan of an adjoint sweep over one sequence."""
        tile_length = TILE_LENGTH if tile_length is None else tile_length
        return Plan(length, tile_length, 1 if kept is None else kept)

    @abstractmethod
    def adjoint(
        self, read: Reader, plan: Plan, objective: Objective, threads: int | None
    ) -> tuple[float, Tensor]:
        """F and its gradient with respect to the input, (L, V)."""

    @abstractmethod
    def parameter_gradient(
        self, read: Reader, plan: Plan, objective: Objective, threads: int | None
    ) -> tuple[float, list[Tensor]]:
        """F and its gradient with respect to every parameter, in float64.

        Raises
        ------
        UsageError
            If this kind of model has no tiles to go through.
        """

    @abstractmethod
    def tangent(self, read: Reader, plan: Plan, directions: Tensor, threads: int | None) -> Tensor:
        """Derivatives of the log-probabilities, (k, L, V), along directions (k, 1, L, V)."""

    @abstractmethod
    def log_probs(self, read: Reader, plan: Plan, threads: int | None) -> Tensor:
        """All predictions, (L, V)."""

    @abstractmethod
    def layout(
        self,
        batch: int = 1,
        tile: int | None = None,
        window: int | str | None = None,
        halo: int | None = None,
        max_memory: int | None = None,
        store_every: int = 1,
    ) -> Layout:
        """Choose tiles or windows for ``batch`` sequences in lock-step; None is for us to choose.

        Parameters
        ----------
        window : int or "all", optional
            For bidirectional models; "all" is all of every sequence.
        store_every : int
            Which layers stay in files where a sequence is run whole, see `WindowLayout`.

        Raises
        ------
        UsageError
            If an argument does not go with the model, or the memory does not suffice.
        """


class Streamed(Running):
    """A causal model: sweeps over tiles, in memory of one tile."""

    model: CausalMamba
    streams = True
    likelihood = Likelihood
    likelihood_name = "likelihood"
    context = "all bases before it"

    def check(self, objective: Objective) -> None:
        super().check(objective)
        if isinstance(objective, PseudoLikelihood):
            raise UsageError(
                "a causal model predicts a base from those before it: use Likelihood "
                "(`objective` likelihood)"
            )

    def plan(self, length: int, tile_length: int | None, kept: int | None) -> Plan:
        return self._cost(batch=1).plan(length, tile_length, kept)

    def _cost(self, batch: int) -> Cost:
        model = self.model
        return Cost.of(model.config, _parameters(model), batch, model.dtype.itemsize)

    def adjoint(
        self, read: Reader, plan: Plan, objective: Objective, threads: int | None
    ) -> tuple[float, Tensor]:
        value = torch.zeros((), dtype=torch.float64)
        gradient = torch.empty(plan.length, self.model.config.vocab_rows, dtype=self.model.dtype)
        for tile in sweep.there_and_back(self.model, read, plan, [objective], threads=threads):
            start, stop = plan.bounds(tile.k)
            gradient[start:stop] = tile.gradient[0].cpu()
            value += tile.values[0].cpu()
        return value.item(), gradient

    def parameter_gradient(
        self, read: Reader, plan: Plan, objective: Objective, threads: int | None
    ) -> tuple[float, list[Tensor]]:
        self.check(objective)
        parameters = list(self.model.parameters())
        total = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
        value = torch.zeros((), dtype=torch.float64)
        for tile in sweep.there_and_back(self.model, read, plan, [objective], parameters, threads):
            value += tile.values[0].cpu()
            for whole, part in zip(total, tile.weights, strict=True):
                whole += part
        return value.item(), total

    def tangent(self, read: Reader, plan: Plan, directions: Tensor, threads: int | None) -> Tensor:
        shorter = min(plan.tile_length, -(-TANGENT_ROWS // len(directions)))
        tiles = sweep.tangent(
            self.model,
            read,
            lambda start, stop: directions[:, :, start:stop],
            replace(plan, tile_length=shorter),
            self.model.initial_state(1),
            threads,
        )
        return torch.cat([tile.tangents[:, 0] for tile in tiles], dim=1)

    def log_probs(self, read: Reader, plan: Plan, threads: int | None) -> Tensor:
        blank = self.model.initial_state(1)
        steps = sweep.primal(self.model, read, plan, blank, threads=threads)
        return torch.cat([step.log_probs[0] for step in steps])

    def layout(
        self,
        batch: int = 1,
        tile: int | None = None,
        window: int | str | None = None,
        halo: int | None = None,
        max_memory: int | None = None,
        store_every: int = 1,
    ) -> TileLayout:
        every = store_every if store_every > 1 else None
        for name, value in (("window", window), ("halo", halo), ("store_every", every)):
            if value is not None:
                raise UsageError(
                    f"`{name}` is for bidirectional models; {self.model.name} is causal and "
                    "streams whole contigs: leave it out"
                )
        cost = self._cost(batch)
        memory = DEFAULT_MEMORY if max_memory is None else max_memory
        tile = tile or cost.longest_tile(memory)
        _refuse_beyond(max_memory, cost.memory(tile), "tile", tile)
        return TileLayout(tile, cost)


class Windowed(Running):
    """A bidirectional model: one whole sequence goes through it layer by layer."""

    model: BidirectionalMamba
    streams = False
    likelihood = PseudoLikelihood
    likelihood_name = "pseudo-likelihood"
    context = "its whole window, itself included"

    def check(self, objective: Objective) -> None:
        super().check(objective)
        if isinstance(objective, Likelihood):
            raise UsageError(
                "a bidirectional model has no likelihood of a base given those before it: use "
                "PseudoLikelihood (`objective` pseudo-likelihood)"
            )

    def adjoint(
        self, read: Reader, plan: Plan, objective: Objective, threads: int | None
    ) -> tuple[float, Tensor]:
        gradient = torch.empty(plan.length, self.model.config.vocab_rows, dtype=self.model.dtype)

        def found(k: int, of_tile: Tensor) -> None:
            start, stop = layers.plan.bounds(k)
            gradient[start:stop] = of_tile[0].cpu()

        with self._layers(read, plan.length, [objective], threads) as layers:
            values = cast(Tensor, sweep_layers(layers, lambda k, tiles, values: None, found))
        return values.item(), gradient

    def parameter_gradient(
        self, read: Reader, plan: Plan, objective: Objective, threads: int | None
    ) -> tuple[float, list[Tensor]]:
        raise UsageError("weight gradients over tiles need a causal model")

    def tangent(self, read: Reader, plan: Plan, directions: Tensor, threads: int | None) -> Tensor:
        x = read(0, plan.length)
        at_once = max(1, TANGENT_ROWS // plan.length)
        with torch.no_grad(), torch_threads(threads):
            return torch.cat(
                [self.model(Dual(x, dx)).dots[:, 0] for dx in directions.split(at_once)]
            )

    def log_probs(self, read: Reader, plan: Plan, threads: int | None) -> Tensor:
        seen: list[Tensor] = []
        with self._layers(read, plan.length, None, threads) as layers:
            sweep_layers(layers, lambda k, tiles, values: seen.append(tiles[0].log_p))
        return torch.cat(seen)

    @contextmanager
    def _layers(
        self,
        read: Reader,
        length: int,
        objectives: Sequence[Objective] | None,
        threads: int | None,
    ) -> Iterator[Layers]:
        """One whole sequence, in memory or, where it is long, in temporary files."""
        with ExitStack() as stack:
            store: Store = MemoryStore()
            if length > self.layout(window=ALL).in_memory:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pgf-"))
                store = FileStore(Path(folder) / "layers", "")
            stack.enter_context(store)
            stack.enter_context(torch_threads(threads))
            given = self.model, read, layer_plan(length), store
            yield Layers(*given, 1, objectives, threads=threads)

    def layout(
        self,
        batch: int = 1,
        tile: int | None = None,
        window: int | str | None = None,
        halo: int | None = None,
        max_memory: int | None = None,
        store_every: int = 1,
    ) -> WindowLayout:
        cost = WindowCost.of(self.model.config, _parameters(self.model), self.model.dtype.itemsize)
        usual = self.model.trained_length or DEFAULT_WINDOW
        limit = max_memory or max(DEFAULT_MEMORY, cost.memory(usual))
        if window == ALL:
            if halo is not None:
                raise UsageError("`halo` is for windows, and `window` all has none: leave it out")
            tile = tile or cost.longest_tile(limit)
            _refuse_beyond(max_memory, cost.memory(1, tile), "tile", tile)
            return WindowLayout(None, 0, cost, cost.in_memory(limit), tile, store_every)
        if tile is not None:
            raise UsageError(
                f"`tile` is for causal models, and for `window` all; {self.model.name} is "
                "bidirectional: `window`"
            )

        def halo_of(window: int) -> int:
            return window // HALO_SHARE if halo is None else halo

        size = cast(int, window) or usual
        if window is None and max_memory is not None:
            size = cost.longest_window(max_memory, size, halo_of)
        Windows(1, size, halo_of(size))  # refuses a halo that leaves no core
        given = size, halo_of(size), cost, cost.in_memory(limit)
        return WindowLayout(*given, store_every=store_every)


def running_of(model: LanguageModel) -> Running:
    """Choose the way in which a model is run.

    Raises
    ------
    UsageError
        If it is no model.
    """
    if not isinstance(model, LanguageModel):
        raise UsageError(f"`model` must be what load_model gives, not {model!r}")
    return Windowed(model) if isinstance(model, BidirectionalMamba) else Streamed(model)


def require_causal(model: LanguageModel, what: str) -> CausalMamba:
    """The model itself.

    Raises
    ------
    UsageError
        If it is not causal; the message says ``what`` needs such a model.
    """
    if not isinstance(model, CausalMamba):
        raise UsageError(f"{what} needs a causal model; {model.name} is bidirectional")
    return model


def _parameters(model: LanguageModel) -> int:
    return sum(p.numel() for p in model.parameters())


def _refuse_beyond(limit: int | None, need: int, name: str, value: int) -> None:
    """Raise a UsageError if what was chosen needs more memory than there may be."""
    if limit is not None and need > limit:
        raise too_large(name, value, need)
