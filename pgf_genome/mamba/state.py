"""The state that a causal model carries from tile to tile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

# The memory of one mixer of the bases before the tile: a NamedTuple of its own, of any number of
# tensors, (batch, ..) each.
LayerState = tuple[Any, ...]


class State(NamedTuple):
    """The memory of a model or of one stage: the end of one tile is the start of the next."""

    layers: tuple[LayerState, ...]
    # (batch, V): log p(next base | everything so far); (batch, 0) in a stage that predicts nothing
    log_probs: Tensor

    def tensors(self) -> list[Tensor]:
        """Every tensor, in a fixed order."""
        return [*(t for layer in self.layers for t in layer), self.log_probs]

    def filled(self, tensors: Sequence[Any]) -> State:
        """A state of the same structure, of these tensors; inverse of ``tensors``."""
        rest = iter(tensors)
        layers = tuple(type(layer)(*islice(rest, len(layer))) for layer in self.layers)
        return State(layers, *rest)

    def map(self, function: Callable[..., Any], *others: State) -> State:
        """The state whose tensors are ``function`` of the corresponding tensors of the states."""
        columns = zip(*(state.tensors() for state in (self, *others)), strict=True)
        return self.filled([function(*column) for column in columns])

    def part(self, sequences: slice) -> State:
        """The state of some of the batch's sequences."""
        return self.map(lambda t: t[sequences])

    def detached(self) -> State:
        """The same numbers without their history."""
        return self.map(torch.Tensor.detach)

    @staticmethod
    def chained(stages: Sequence[State]) -> State:
        """The state of a model from those of its stages, first to last."""
        return State(tuple(chain(*(s.layers for s in stages))), stages[-1].log_probs)

    @staticmethod
    def joined(parts: Sequence[State]) -> State:
        """Inverse of ``part``: the states of consecutive sequences as one batch."""
        first, *others = parts
        return first.map(lambda *t: torch.cat(t), *others)
