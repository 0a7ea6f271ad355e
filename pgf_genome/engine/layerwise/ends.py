"""The steps at both ends of the stack, tile by tile: from h_n to F, and from h_0 to dF / dX."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pgf_genome.engine.layerwise.context import Layers, require
from pgf_genome.engine.objective import Tile

# Called with the tiles of each sequence, and with F of them (batch,) if there is one.
Seen = Callable[[int, list[Tile], Tensor | None], None]
# Called with dF / dX of a tile, (batch, T, V).
Found = Callable[[int, Tensor], None]


def head(layers: Layers, seen: Seen) -> None:
    """Show h_n to the objectives; its cotangent, and that of X which F sees beside it."""
    n = len(layers.model.layers)
    observed = layers.table("observed")
    for k in range(_done(layers, "observed"), layers.plan.tiles):
        rows = [layers.hidden(n, lane, k) for lane in layers.lanes]
        inputs = [layers.read(*layers.plan.bounds(k)), *(each() for each in rows)]
        if layers.objectives is None:
            with torch.no_grad():
                seen(k, _tiles(layers, k, *inputs), None)
            observed.put(k, _mark(layers))
            continue
        inputs = [t.detach().requires_grad_() for t in inputs]
        with torch.enable_grad():
            tiles = _tiles(layers, k, *inputs)
            pairs = zip(layers.objectives, tiles, strict=True)
            values = torch.stack([objective(tile) for objective, tile in pairs])
        direct, *bars = torch.autograd.grad(
            values.sum(), inputs, materialize_grads=True, allow_unused=True
        )
        seen(k, [tile.map(torch.Tensor.detach) for tile in tiles], values.detach())
        for lane, bar in zip(layers.lanes, bars, strict=True):
            layers.put_rows(f"bar{n}", lane, k, bar)
        layers.table("direct").put(k, [direct])
        observed.put(k, [values.detach().double().cpu()])


def values(layers: Layers) -> Tensor:
    """F, (batch,) float64, which `head` has found."""
    pending = [layers.table("observed").get(k, _mark(layers)) for k in range(layers.plan.tiles)]
    return torch.stack([require(each(), "observed", k)[0] for k, each in enumerate(pending)]).sum(0)


def inputs(layers: Layers, found: Found) -> None:
    """From the cotangent of h_0 to dF / dX."""
    for k in range(_done(layers, "found"), layers.plan.tiles):
        pending = [layers.rows("bar0", lane, k) for lane in layers.lanes]
        x = layers.read(*layers.plan.bounds(k)).detach().requires_grad_()
        direct = layers.table("direct").get(k, [x])
        bars = [require(each(), "bar0", k)[0] for each in pending]
        with torch.enable_grad():
            embedded = [layers.embedded(x, lane) for lane in layers.lanes]
        (gradient,) = torch.autograd.grad(embedded, x, bars)
        found(k, gradient + require(direct(), "direct", k)[0])
        layers.table("found").put(k, _mark(layers))


def _tiles(layers: Layers, k: int, x: Tensor, *rows: Tensor) -> list[Tile]:
    """A tile of every sequence, as an objective sees it."""
    model, batch = layers.model, layers.batch
    normalised = torch.cat([model.norm_f(h) for h in rows]).split(batch)
    hidden = torch.cat(normalised, dim=-1)  # a model of both strands has twice the width
    logits = model.logits(hidden)
    log_p = torch.log_softmax(logits, dim=-1)
    start, _ = layers.plan.bounds(k)
    starts = [origin + start for origin in layers.starts]
    parts = zip(starts, x, log_p, logits, hidden, strict=True)
    return [Tile(*part, model.vocabulary.base_ids, ahead=0) for part in parts]


def _mark(layers: Layers) -> list[Tensor]:
    return [layers.mark.expand(layers.batch)]


def _done(layers: Layers, name: str) -> int:
    """Tiles that a killed run has done."""
    table, tiles = layers.table(name), layers.plan.tiles
    return next((k for k in range(tiles) if table.get(k, _mark(layers))() is None), tiles)
