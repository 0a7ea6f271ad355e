"""Branches: changed sequences that leave the reference at a position and rejoin it at another.

    reference   .. x_{t-1} | x_t .. x_{r-1} | x_r .. x_{e-1} | x_e ..
    branch                 | own bases      | x_r .. x_{e-1} | x_e ..
                           leave            rejoin           left to first order

Before t a branch is the reference, so it begins in the reference's state s_t. From e on it reads
what the reference reads, from another state s'_e: what is still to come of F differs from that of
the reference by <l_e, s'_e - s_e>, to first order *in the state*, with the cotangent l_e that the
adjoint sweep carries. With e at the end of the sequence nothing is to come, and nothing is
approximated. So

    F(branch) - F(reference)  =  terms of the branch up to e  -  terms t .. e - 1 of the reference
                                 +  <l_e, s'_e - s_e>
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pgf_genome.engine.objective import Objective, observe_batch, sums
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.mamba.state import State
from pgf_genome.scan import inner_change

# Positions that branches run at a time, and positions of all branches that run together.
STEP, ROWS = 256, 2048


@torch.no_grad()
def run(
    model: CausalMamba,
    objective: Objective,
    read: Callable[[int, int], tuple[Tensor, Tensor]],
    state: State,
    starts: Tensor,
    lengths: Tensor,
) -> tuple[Tensor, State]:
    """Run branches side by side.

    Parameters
    ----------
    read : callable
        ``read(first, last)`` gives what the branches read at their positions first .. last - 1,
        counted from where each of them leaves, and the targets there that are held fixed,
        (branches, last - first, V) each.
    state : State
        The state in which each of them begins.
    starts : Tensor of int64, (branches,)
        Position where each of them leaves the reference.
    lengths : Tensor of int64, (branches,)
        Positions that it has. All run as far as the longest; what they read after their ends does
        not count, but is in their state.

    Returns
    -------
    values : Tensor, (branches,) float64
        The sum of the objective's terms.
    state : State
        After the longest.
    """
    longest = int(lengths.max())
    values = torch.zeros(len(starts), dtype=torch.float64, device=starts.device)
    for first in range(0, longest, STEP):
        x, targets = read(first, min(first + STEP, longest))
        hidden, layers = model.hidden(x, state)
        tiles, predicted = observe_batch(model, x, hidden, state.log_probs, targets)
        values += sums(objective, tiles, starts + first, lengths - first)
        state = State(layers, predicted)
    return values, state


def to_come(after: State, reference: State, cotangents: State) -> Tensor:
    """<l_e, s'_e - s_e> of branches, a fixed number of them for each state of the reference.

    Parameters
    ----------
    after : State, (n k, ..)
        States s'_e, those of the same reference next to each other.
    reference, cotangents : State, (n, ..)

    Returns
    -------
    Tensor, (n, k) float64
    """
    n = len(reference.log_probs)
    columns = (s.tensors() for s in (after, reference, cotangents))
    parts = [
        inner_change(moved.unflatten(0, (n, -1)), unmoved, bar)
        for moved, unmoved, bar in zip(*columns, strict=True)
    ]
    return torch.stack(parts).sum(dim=0)
