"""Three ways to compute h_t = a h_{t-1} + b_t in parallel or in sequence.

All take log a (Di,), b (T, Di) and the state before, h_0 (Di,), and return h (T, Di) in the type
of b. In exact arithmetic they are one function.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pgf_genome.scan.function import selective_scan

Scan = Callable[[Tensor, Tensor, Tensor], Tensor]
# Arguments at which softplus and SiLU are 1, so that step size and gate do not change the scan.
UNIT_STEP, UNIT_GATE = math.log(math.e - 1), 1.2784645427610738


def decaying_products(log_a: Tensor, b: Tensor, before: Tensor) -> Tensor:
    """Run the compiled scan of this package: products of factors below one, not their inverses."""
    one = torch.ones_like(b[None, :, :1])  # B and C: one state per channel
    constant = torch.ones_like(b[None])
    out, _ = selective_scan(
        b[None], UNIT_STEP * constant, one, one, UNIT_GATE * constant, log_a[None],
        torch.zeros_like(log_a), torch.zeros_like(log_a), before[None, None],
    )  # fmt: skip
    return out[0]


def log_shift(log_a: Tensor, b: Tensor, before: Tensor) -> Tensor:
    """Run the scan of the paper's published code: two cumulative sums, shifted by the largest.

        h_t = exp(L_t - m) sum_{s <= t} b_s exp(m - L_s),   L_t = t log a,  m = max L

    exp(m - L_s) grows as fast as the state decays, and overflows.
    """
    total = log_a.expand_as(b).cumsum(dim=0)
    shift = total.max(dim=0).values
    own = (total - shift).exp() * (b * (shift - total).exp()).cumsum(dim=0)
    return own + total.exp() * before


def log_space(log_a: Tensor, b: Tensor, before: Tensor) -> Tensor:
    """Scan in logarithms (Heinsen 2023, arXiv 2311.06281), positive and negative parts apart.

        log h_t = L_t + logcumsumexp(log b_s - L_s)

    Nothing overflows, but numbers of the size of L_t are subtracted.
    """
    total = log_a.expand_as(b).cumsum(dim=0)
    zero = torch.zeros_like(total[:1])
    total, inputs = torch.cat([zero, total]), torch.cat([before[None], b])
    parts = [
        (total + torch.logcumsumexp(part.clamp_min(0).log() - total, dim=0)).exp()
        for part in (inputs, -inputs)
    ]
    return (parts[0] - parts[1])[1:]


def in_blocks(scan: Scan, log_a: Tensor, b: Tensor, before: Tensor, block: int) -> Tensor:
    """Run a scan block by block, and pass the state on."""
    parts = []
    for piece in b.split(block):
        parts.append(scan(log_a, piece, before))
        before = parts[-1][-1]
    return torch.cat(parts)
