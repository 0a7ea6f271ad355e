"""The interface between a stack of blocks and its mixers.

A mixer is a file of this folder with two classes: a `MixerConfig`, which knows before any weight
exists what the mixer remembers and costs, and the `Mixer` that it builds.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pgf_genome.errors import ModelError, UsageError
from pgf_genome.mamba.recurrence import Recurrence
from pgf_genome.mamba.state import LayerState
from pgf_genome.scan import along


def check_sizes(config: Any) -> None:
    """Raise a ModelError unless every integer field of a dataclass is positive."""
    for name, value in sizes_of(config).items():
        if type(value) is not int or value < 1:
            raise ModelError(f"{name} must be a positive integer, not {value!r}")


def sizes_of(config: Any) -> dict[str, int]:
    """The integer fields of a dataclass, by name."""
    return {f.name: getattr(config, f.name) for f in fields(config) if f.type in (int, "int")}


@dataclass(frozen=True, kw_only=True)
class MixerConfig(ABC):
    """Sizes and switches of a mixer.

    Attributes
    ----------
    d_inner : int
        Channels of the recurrence, Di.
    d_state : int
        States per channel, N.
    """

    d_inner: int
    d_state: int

    def __post_init__(self) -> None:
        check_sizes(self)

    @abstractmethod
    def build(self, d_model: int) -> Mixer:
        """A mixer of these sizes in a residual stream of width ``d_model``."""

    @property
    @abstractmethod
    def state(self) -> LayerState:
        """The shapes, batch aside, of what the mixer remembers; a NamedTuple, as its state is."""

    @property
    def state_size(self) -> int:
        """Numbers that the mixer remembers of one sequence."""
        return sum(map(math.prod, self.state))

    @property
    @abstractmethod
    def tape(self) -> int:
        """Numbers kept per position of a tile for the backward pass."""

    @abstractmethod
    def matrix_work(self, d_model: int) -> int:
        """Multiply-adds of the matrix products per position, forward."""

    def identity(self) -> dict[str, Any]:
        """The mixer's part of a model's digest, as plain values."""
        return {"mixer": type(self).__name__} | asdict(self)


class Mixer(nn.Module, ABC):
    """``mixer(u, state) -> (out, state)``: causal, pure in both.

    A tile `u` is (batch, T, D), and so is the output; `state` is of the mixer's own kind. For
    derivatives in forward mode `u` and `state` are `Dual` numbers.

    Attributes
    ----------
    config : MixerConfig
    precision : torch.dtype or None
        Precision of the factors of matrix products; None is that of the weights.
    shared_modules : tuple of str
        The modules that two mixers, one for each direction of reading, may have in common.
    """

    precision: torch.dtype | None = None
    shared_modules: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: MixerConfig) -> None:
        super().__init__()
        self.config = config

    def blank_state(self, batch: int) -> LayerState:
        """The state before the first base: zeros, in the type and on the device of the weights."""
        weight, shapes = next(self.parameters()), self.config.state
        return type(shapes)(*(weight.new_zeros(batch, *shape) for shape in shapes))

    @abstractmethod
    def forward(self, u: Tensor, state: Any) -> tuple[Tensor, LayerState]:
        """The output for a tile and the state after it."""

    def along(self, u: Tensor, state: Any) -> tuple[Tensor, LayerState]:
        """The output for a tile, and the states before every position and after the last.

        Position by position; a mixer that can do it faster has a method of its own.

        Parameters
        ----------
        state : LayerState
            Of tensors (batch, T, ..): the state before the tile, the same in all rows. The gradient
            with respect to the row of a position is the cotangent of the state before it.

        Returns
        -------
        out : Tensor, (batch, T, D)
        states : LayerState
            Of tensors (batch, T + 1, ..). Only the last row is differentiable.
        """
        kind = type(state)

        def step(now: slice, *before: Tensor) -> tuple[Tensor, LayerState]:
            return self(u[:, now], kind(*before))

        out, states = along(step, *state)
        return out, kind(*states)

    def shared(self, state: Any, times: int) -> LayerState:
        """The state of ``times`` sequences, next to each other, for each sequence of a state."""
        return type(state)(*(t.repeat_interleave(times, dim=0) for t in state))

    def recurrence(self, u: Tensor, state: Any) -> Recurrence:
        """The inputs of the recurrence over a tile, for the analysis of its states.

        Raises
        ------
        UsageError
            If the mixer has no recurrence of this form.
        """
        raise UsageError(f"the states of a {type(self).__name__} mixer cannot be analysed")
