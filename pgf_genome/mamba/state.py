"""The state that a causal model carries from tile to tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class LayerState(NamedTuple):
    """What one block remembers of the bases before the tile."""

    conv: Tensor  # (batch, K-1, Di): the last inputs of the convolution
    scan: Tensor  # (batch, N, Di): the recurrent state


class State(NamedTuple):
    """What a whole model remembers: the end of one tile is the start of the next.

    A tuple of tensors, so that the spool can walk it.
    """

    layers: tuple[LayerState, ...]
    log_probs: Tensor  # (batch, V): log p(next base | everything so far)

    def tensors(self) -> list[Tensor]:
        """Every tensor, in a fixed order."""
        return [t for layer in self.layers for t in layer] + [self.log_probs]

    @classmethod
    def from_tensors(cls, tensors: list[Tensor]) -> State:
        """Inverse of ``tensors``."""
        *layered, log_probs = tensors
        pairs = zip(layered[::2], layered[1::2], strict=True)
        return cls(tuple(LayerState(conv, scan) for conv, scan in pairs), log_probs)

    def part(self, sequences: slice) -> State:
        """The state of some of the batch's sequences."""
        return State.from_tensors([t[sequences] for t in self.tensors()])

    def detached(self) -> State:
        """The same numbers without their history."""
        return State.from_tensors([t.detach() for t in self.tensors()])

    @classmethod
    def joined(cls, parts: Sequence[State]) -> State:
        """Inverse of ``part``: the states of consecutive sequences as one batch."""
        return cls.from_tensors(
            [torch.cat(t) for t in zip(*(s.tensors() for s in parts), strict=True)]
        )
