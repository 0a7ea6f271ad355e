"""Ways to differentiate h_t = M h_{t-1} + b_t, F = sum_t <c_t, h_t>, by a diagonal M.

Symbols: N states, T steps, a (N,) the diagonal of M, b and c (T, N); h is 0 before the first step.
The ways differ in what they carry from step to step. Real-time recurrent learning (RTRL; Williams
and Zipser 1989) carries dh/dM. A tangent carries dh along one direction. The adjoint carries dF/dh
from the last step to the first, and keeps every h. Dense ways do not use that M is diagonal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass
class Tally:
    """Cost of a way.

    Attributes
    ----------
    operations : int
        Additions and multiplications of `Counted` arrays.
    carried : int
        Largest count of numbers alive between two steps, a tape included.
    """

    operations: int = 0
    carried: int = 0

    def carry(self, *arrays: np.ndarray) -> None:
        """Record the arrays that are alive between two steps."""
        self.carried = max(self.carried, sum(array.size for array in arrays))


class Counted(np.ndarray):
    """An array that counts the operations on it in a `Tally`."""

    tally: Tally

    def __array_finalize__(self, parent: np.ndarray | None) -> None:
        if isinstance(parent, Counted):
            self.tally = parent.tally

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs, out=None, **options):
        plain = [np.asarray(value) for value in inputs]
        if out is not None:
            options["out"] = tuple(np.asarray(value) for value in out)
        result = np.asarray(getattr(ufunc, method)(*plain, **options))
        terms = 2 * plain[0].shape[-1] if ufunc is np.matmul else 1
        self.tally.operations += plain[0].size if method == "reduce" else terms * result.size
        return counted(result, self.tally)


def counted(array: np.ndarray, tally: Tally) -> Counted:
    """View an array so that its operations are counted from now on."""
    view = array.view(Counted)
    view.tally = tally
    return view


class Problem(NamedTuple):
    """The recurrence, and a direction in the space of its poles."""

    a: np.ndarray  # (N,), the poles
    b: np.ndarray  # (T, N), inputs
    c: np.ndarray  # (T, N), weights of the outputs
    direction: np.ndarray  # (N,)


def random_problem(states: int, steps: int, seed: int) -> Problem:
    """Draw poles between 0.5 and 0.99, and all else from a normal distribution."""
    draws = np.random.default_rng(seed)
    b, c = draws.standard_normal((2, steps, states))
    return Problem(draws.uniform(0.5, 0.99, states), b, c, draws.standard_normal(states))


def rtrl_dense(problem: Problem, tally: Tally) -> float:
    """Carry dh/dM for all N^2 entries: P_t = M P_{t-1} + dM h_{t-1} / dM."""
    a, b, c, direction = problem
    N = len(a)
    M, h, P = _diagonal(a), np.zeros_like(a), np.zeros_like(a, shape=(N, N * N))
    gradient = np.zeros_like(a, shape=N * N)
    for b_t, c_t in zip(b, c, strict=True):
        P = M @ P
        for i in range(N):
            P[i, i * N : (i + 1) * N] += h
        h = M @ h + b_t
        gradient = gradient + c_t @ P
        tally.carry(M, P, h, gradient)
    return float((gradient.reshape(N, N).diagonal() * direction).sum())


def tangent_dense(problem: Problem, tally: Tally) -> float:
    """Carry dh along one direction, by products with a matrix."""
    a, b, c, direction = problem
    M, moving = _diagonal(a), _diagonal(direction)
    h, dot, slope = np.zeros_like(a), np.zeros_like(a), np.zeros_like(a, shape=())
    for b_t, c_t in zip(b, c, strict=True):
        dot = M @ dot + moving @ h
        h = M @ h + b_t
        slope = slope + (c_t * dot).sum()
        tally.carry(M, moving, h, dot, slope)
    return float(slope)


def rtrl_diagonal(problem: Problem, tally: Tally) -> float:
    """Carry dh/da for all N poles; each affects its own state alone (Zucchet et al. 2023)."""
    a, b, c, direction = problem
    h, p, gradient = np.zeros_like(a), np.zeros_like(a), np.zeros_like(a)
    for b_t, c_t in zip(b, c, strict=True):
        p = a * p + h
        h = a * h + b_t
        gradient = gradient + c_t * p
        tally.carry(a, h, p, gradient)
    return float((gradient * direction).sum())


def tangent(problem: Problem, tally: Tally) -> float:
    """Carry dh along one direction, as the tangent sweep does."""
    a, b, c, direction = problem
    h, dot, slope = np.zeros_like(a), np.zeros_like(a), np.zeros_like(a, shape=())
    for b_t, c_t in zip(b, c, strict=True):
        dot = a * dot + direction * h
        h = a * h + b_t
        slope = slope + (c_t * dot).sum()
        tally.carry(a, direction, h, dot, slope)
    return float(slope)


def adjoint(problem: Problem, tally: Tally) -> float:
    """Carry dF/dh backwards, as the adjoint sweep does in a tile; here all steps are one tile."""
    a, b, c, direction = problem
    tape = [np.zeros_like(a)]
    for b_t in b[:-1]:
        tape.append(a * tape[-1] + b_t)
    g, gradient = np.zeros_like(a), np.zeros_like(a)
    for before, c_t in zip(reversed(tape), c[::-1], strict=True):
        g = c_t + a * g
        gradient = gradient + g * before
        tally.carry(a, g, gradient, *tape)
    return float((gradient * direction).sum())


WAYS: dict[str, Callable[[Problem, Tally], float]] = {
    way.__name__.replace("_", "-"): way
    for way in (rtrl_dense, tangent_dense, rtrl_diagonal, tangent, adjoint)
}


def costs(way: str, problem: Problem) -> tuple[Tally, float]:
    """Run a way; return its total cost, and the derivative of F along the direction."""
    tally = Tally()
    derivative = WAYS[way](Problem(*(counted(array, tally) for array in problem)), tally)
    return tally, derivative


def _diagonal(a: np.ndarray) -> np.ndarray:
    matrix = np.zeros_like(a, shape=(len(a), len(a)))
    np.fill_diagonal(matrix, a)
    return matrix
