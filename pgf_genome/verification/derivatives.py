"""Items (a), (b), (c) and (g): the derivatives of the sweeps against other ways to get them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pgf_genome.engine import windows
from pgf_genome.engine.arrays import adjoint, tangent
from pgf_genome.engine.equations import adjoint as adjoint_by_equations
from pgf_genome.engine.objective import Objective, Tile
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.running import require_causal, running_of
from pgf_genome.mamba.bidirectional import BidirectionalMamba
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.runs.certificate import Check
from pgf_genome.scan import only_equations
from pgf_genome.verification.excerpt import Excerpt, largest_difference

# Steps of differences in entries of X, and entries of each excerpt.
STEP, ENTRIES = 1e-4, 8
DIFFERENCES, IDENTITY, AUTOGRAD = 1e-6, 1e-9, 1e-9
# Of numbers in the precision of a run, as a part of the largest entry.
ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.1}
# Bases that are run step by step, in Python.
STEPWISE = 96


def central_differences(excerpts: Sequence[Excerpt]) -> Check:
    """dF/dX against (F(X + h e) - F(X - h e)) / 2 h, in float64, at entries drawn at random."""
    rng, pairs = np.random.default_rng(1), []
    for excerpt in (each.exact() for each in excerpts):
        x, bases = excerpt.one_hot(), excerpt.model.vocabulary.base_ids
        at = rng.integers(len(x), size=ENTRIES), rng.choice(bases, ENTRIES)
        gradient = excerpt.adjoint().gradient
        found = []
        for t, row in zip(*at, strict=True):
            step = torch.zeros_like(x)
            step[t, row] = STEP
            found.append((excerpt.value(x + step) - excerpt.value(x - step)) / (2 * STEP))
        scale = np.abs(gradient).max(initial=0.0) or 1.0
        pairs.append((np.append(found, scale) / scale, np.append(gradient[at], scale) / scale))
    return Check.of(
        "central differences",
        DIFFERENCES,
        largest_difference(pairs),
        f"gradient against central differences at {ENTRIES * len(excerpts)} entries, float64, "
        "largest difference of the largest entry",
    )


def tangent_adjoint_identity(excerpts: Sequence[Excerpt]) -> Check:
    """<w, J v> against <J^T w, v> for random v and w, J the derivative of all log-probabilities."""
    name = "tangent-adjoint identity"
    rng, errors = np.random.default_rng(2), [0.0]
    for excerpt in (each.exact() for each in excerpts):
        model, tile = excerpt.model, excerpt.tile_length
        if not model.config.has_head:
            return Check.without(name, "the model has no head, and so no log-probabilities")
        v, w = (rng.standard_normal((len(excerpt.ids), model.config.vocab_rows)) for _ in "vw")
        ahead = int(running_of(model).streams)  # a row of the tangent predicts the base after it
        w[:ahead] = 0
        moved = tangent(model, excerpt.ids, v, tile)
        forth = np.sum(w[ahead:] * moved[: len(moved) - ahead])
        back = np.sum(adjoint(model, excerpt.ids, _weighted(w), tile).gradient * v)
        errors.append(abs(forth - back) / np.linalg.norm(w[ahead:] * moved[: len(w) - ahead]))
    return Check.of(
        name,
        IDENTITY,
        float(np.max(errors)),
        f"<w, Jv> against <J'w, v> on {len(excerpts)} stretches in tiles, float64, as a part of "
        "the norm of what is summed",
    )


def _weighted(weights: np.ndarray) -> Objective:
    """The objective sum_t <w_t, log p_t>."""

    def objective(tile: Tile) -> Tensor:
        part = torch.from_numpy(weights[tile.start : tile.start + len(tile.x)])
        return (part.to(tile.log_p) * tile.log_p).sum()

    return objective


def autograd_equality(excerpts: Sequence[Excerpt]) -> Check:
    """The sweeps against torch's autograd through the recurrence, one position after the other."""
    pairs = []
    for excerpt in (each.exact() for each in excerpts[:1]):
        short = excerpt.shortened(min(STEPWISE, len(excerpt.ids)))
        tiled = replace(short, tile_length=max(len(short.ids) // 3, 1))
        pairs.append((tiled.adjoint().gradient, by_autograd(short)))
    return Check.of(
        "autograd",
        AUTOGRAD,
        largest_difference(pairs),
        f"gradient of {STEPWISE} bases in tiles against autograd through the equations, float64, "
        "largest difference of the largest entry",
    )


def by_autograd(excerpt: Excerpt) -> np.ndarray:
    """dF/dX by autograd through the equations in one piece, (L, V): no kernel, tile or replay."""
    model, x = excerpt.model, excerpt.one_hot()[None]
    with only_equations():
        if isinstance(model, BidirectionalMamba):
            return _of_window(model, x, excerpt)
        return _of_stream(require_causal(model, "the sweep"), x, excerpt)


def _of_stream(model: CausalMamba, x: Tensor, excerpt: Excerpt) -> np.ndarray:
    plan, blank = Plan(x.shape[1], x.shape[1]), model.initial_state(1)
    (tile,) = adjoint_by_equations(
        model, lambda start, stop: x[:, start:stop], plan, [excerpt.objective], [blank], blank
    )
    return tile.gradient[0].cpu().numpy()


def _of_window(model: BidirectionalMamba, x: Tensor, excerpt: Excerpt) -> np.ndarray:
    x = x.requires_grad_()
    with torch.enable_grad():
        (tile,) = windows.by_definition(model, x, [0])
        (gradient,) = torch.autograd.grad(excerpt.objective(tile), x, materialize_grads=True)
    return gradient[0].cpu().numpy()


def rounding(excerpts: Sequence[Excerpt]) -> Check:
    """The sweeps in the run's precision, in short tiles, against float64 in one tile."""
    precision = excerpts[0].model.precision
    pairs = []
    for excerpt in excerpts:
        exact = replace(excerpt.exact(), tile_length=len(excerpt.ids))
        pairs.append((excerpt.adjoint().gradient.astype(float), exact.adjoint().gradient))
    return Check.of(
        "precision",
        ROUNDING[precision],
        largest_difference(pairs),
        f"gradient in {str(precision).removeprefix('torch.')} in tiles against float64 in one, "
        f"{len(excerpts)} stretches, largest difference of the largest entry",
    )
