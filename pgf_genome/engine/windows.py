"""Bidirectional models: exact inside a window, windows laid over a sequence of any length.

Every layer of such a model needs the whole of the layer before, so nothing streams through the
stack. Inside a window each *mixer* is streamed instead: it is a causal recurrence in its own
direction of reading, and its adjoint is the sweep of ``sweep.py`` over the tiles of one layer,

    forward    y_k, s_{k+1} = M(norm(h_k), s_k)                       keep h and every s_k
    backward   for k = last .. 0: replay tile k from s_k with a tape;
               (g_k, l_k) = vjp with cotangents (y_bar_k, l_{k+1})

so that a window of L positions keeps (layers x L x D) numbers, the tape of one tile per thread,
and nothing of size L x Di x N.

Of each window only the core counts: what lies in its halo, on either side, is seen and dropped.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from pgf_genome.engine.equations import Reader
from pgf_genome.engine.objective import Objective, Tile
from pgf_genome.engine.pipeline import lanes_of
from pgf_genome.engine.plan import BATCH_POSITIONS, LAYER_TILE, Plan
from pgf_genome.engine.threads import side_by_side
from pgf_genome.errors import UsageError
from pgf_genome.intervals import Span
from pgf_genome.mamba.bidirectional import BidirectionalMamba, Directions
from pgf_genome.mamba.model import Block
from pgf_genome.mamba.state import LayerState


class Reading(NamedTuple):
    """Some sequences of a batch, read in one direction."""

    sequences: slice
    reverse: bool

    def tile(self, h: Tensor, plan: Plan, k: int) -> Tensor:
        """Tile k of (batch, L, D) in the order of reading, a view or a copy."""
        start, stop = plan.bounds(k)
        if self.reverse:
            return h[self.sequences, plan.length - stop : plan.length - start].flip(1)
        return h[self.sequences, start:stop]

    def put(self, tile: Tensor, h: Tensor, plan: Plan, k: int) -> None:
        """Inverse of ``tile``."""
        start, stop = plan.bounds(k)
        if self.reverse:
            h[self.sequences, plan.length - stop : plan.length - start] = tile.flip(1)
        else:
            h[self.sequences, start:stop] = tile


def _mixer(block: Block, reading: Reading) -> Any:
    return block.mixer.mamba_rev if reading.reverse else block.mixer.mamba_fwd


def _stream(
    block: Block, h: Tensor, plan: Plan, outs: list[Tensor], reading: Reading
) -> LayerState:
    """Run one mixer over its tiles; the states before each of them, (tiles, batch, ..)."""
    mixer = _mixer(block, reading)
    state = mixer.blank_state(len(h[reading.sequences]))
    # in one piece: small tensors that outlive large ones would leave holes in the heap
    states = type(state)(*(t.new_empty(plan.tiles, *t.shape) for t in state))
    with torch.no_grad():
        for k in range(plan.tiles):
            for kept, current in zip(states, state, strict=True):
                kept[k] = current
            y, state = mixer(block.norm(reading.tile(h, plan, k)), state)
            reading.put(y, outs[reading.reverse], plan, k)
    return states


def _pull_back(
    block: Block,
    h: Tensor,
    plan: Plan,
    bars: Sequence[Tensor],
    gradients: list[Tensor],
    read: tuple[Reading, LayerState],
) -> None:
    """The adjoint sweep of one mixer: from dF / d(outputs) to dF / dh."""
    reading, states = read
    mixer = _mixer(block, reading)
    cotangent = [torch.zeros_like(t[0]) for t in states]
    for k in reversed(range(plan.tiles)):
        bar, before = reading.tile(bars[reading.reverse], plan, k), [t[k] for t in states]
        inputs = [t.detach().requires_grad_() for t in (reading.tile(h, plan, k), *before)]
        with torch.enable_grad():
            y, end = mixer(block.norm(inputs[0]), type(states)(*inputs[1:]))
            carried = zip(end, cotangent, strict=True)
            total = (y * bar).sum() + sum((s * s_bar).sum() for s, s_bar in carried)
        gradient, *cotangent = torch.autograd.grad(total, inputs)
        reading.put(gradient, gradients[reading.reverse], plan, k)


class _LayerSweep(Function):
    """Outputs of both mixers of a block, (batch, L, D) each; keeps h and the boundary states."""

    @staticmethod
    def forward(ctx, h: Tensor, block: Block, tile_length: int, threads: int | None):
        plan = Plan(h.shape[1], tile_length)
        readings = [Reading(part, reverse) for part in lanes_of(h) for reverse in (False, True)]
        outs = [torch.empty_like(h) for _ in range(2)]
        states = side_by_side(partial(_stream, block, h, plan, outs), readings, threads)
        ctx.save_for_backward(h)
        ctx.block, ctx.plan, ctx.threads = block, plan, threads
        ctx.states = list(zip(readings, states, strict=True))
        return tuple(outs)

    @staticmethod
    @once_differentiable
    def backward(ctx, *bars):
        (h,) = ctx.saved_tensors
        gradients = [torch.empty_like(h) for _ in range(2)]
        pull_back = partial(_pull_back, ctx.block, h, ctx.plan, bars, gradients)
        side_by_side(pull_back, ctx.states, ctx.threads)
        return gradients[0].add_(gradients[1]), None, None, None


def streamed(
    block: Block, h: Tensor, tile_length: int = LAYER_TILE, threads: int | None = None
) -> tuple[Tensor, Tensor]:
    """Do what `bidirectional.whole_window` does tile by tile, in memory of one tile besides h."""
    return _LayerSweep.apply(h, block, tile_length, threads)


@dataclass(frozen=True)
class Windows:
    """A sequence laid out in windows.

    Attributes
    ----------
    length : int
        Length of the sequence. One no longer than a window is a single window, all core.
    window, halo : int
        Positions that the model sees at once, and how many of them are dropped on either side.
    batch : int
        Positions of short windows that are run at a time.
    layer_tile : int
        Positions of one tile of a layer inside a window.
    """

    length: int
    window: int
    halo: int
    batch: int = BATCH_POSITIONS
    layer_tile: int = LAYER_TILE

    def __post_init__(self) -> None:
        if self.halo < 0 or self.window <= 2 * self.halo:
            raise UsageError(
                f"a window of {self.window} bases with halos of {self.halo} has no core; choose "
                "`halo` below half of `window`"
            )

    @property
    def core(self) -> int:
        return self.length if self.length <= self.window else self.window - 2 * self.halo

    @property
    def plan(self) -> Plan:
        """Batches of windows: what is computed at a time, and kept if a run is killed."""
        return Plan(self.length, self.core * max(1, self.batch // self.window))

    def seen(self, start: int, stop: int) -> tuple[int, int]:
        """The window of a core."""
        return max(start - self.halo, 0), min(stop + self.halo, self.length)

    def in_tile(self, k: int) -> list[tuple[int, int]]:
        """The cores of tile k."""
        first, last = self.plan.bounds(k)
        return [(at, min(at + self.core, last)) for at in range(first, last, self.core)]


class WindowTile(NamedTuple):
    """Results for the cores of one tile."""

    k: int
    gradient: Tensor  # (strands, T, V): dF / dX
    log_p: Tensor  # (strands, T, V)
    values: Tensor  # (strands,) float64: the cores' share of F


class _Piece(NamedTuple):
    """The core of a window of one strand; computed with its halo, cut to itself."""

    strand: int
    start: int
    stop: int


def adjoint(
    model: BidirectionalMamba,
    read: Reader,
    windows: Windows,
    objectives: Sequence[Objective],
    k: int = 0,
    origins: Sequence[int] | None = None,
    threads: int | None = None,
) -> WindowTile:
    """Gradient of the sum of F over the strands, for the cores of tile ``k``.

    Each window is differentiated on its own, its halos counting in F like its core, and cut to
    its core: bases act on each other across cores as far as the halo reaches.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` gives the one-hot input (strands, stop - start, V).
    objectives : sequence of Objective
        One per strand.
    origins : sequence of int, optional
        What the objectives call the first position of each strand; 0 if None.
    threads : int, optional
        Threads in all; torch's count if None.
    """
    strands = range(len(objectives))
    pieces = [_Piece(b, *core) for core in windows.in_tile(k) for b in strands]
    found: dict[_Piece, tuple[Tensor, Tensor, Tensor]] = {}
    for batch in _batches(pieces, windows):
        found |= _window_batch(model, read, windows, objectives, origins, batch, threads)
    rows = [[found[piece] for piece in pieces if piece.strand == b] for b in strands]
    gradient, log_p = (
        torch.stack([torch.cat([done[i] for done in row]) for row in rows]) for i in (0, 1)
    )
    values = torch.stack([torch.stack([done[2] for done in row]).sum() for row in rows])
    return WindowTile(k, gradient, log_p, values)


def _batches(pieces: Sequence[_Piece], windows: Windows) -> Iterator[list[_Piece]]:
    """Pieces whose windows are of one length, few enough to be run at a time."""

    def length(piece: _Piece) -> int:
        start, stop = windows.seen(piece.start, piece.stop)
        return stop - start

    for size, group in groupby(sorted(pieces, key=length), key=length):
        alike, most = list(group), max(1, windows.batch // size)
        yield from (alike[i : i + most] for i in range(0, len(alike), most))


def _window_batch(
    model: BidirectionalMamba,
    read: Reader,
    windows: Windows,
    objectives: Sequence[Objective],
    origins: Sequence[int] | None,
    pieces: list[_Piece],
    threads: int | None,
) -> dict[_Piece, tuple[Tensor, Tensor, Tensor]]:
    """Gradient (n, V), log-probabilities (n, V) and value of each piece."""
    seen = [windows.seen(piece.start, piece.stop) for piece in pieces]
    inputs = [read(*span)[piece.strand] for piece, span in zip(pieces, seen, strict=True)]
    x = torch.stack(inputs).requires_grad_()
    chosen = [objectives[piece.strand] for piece in pieces]
    origins = origins or [0] * len(objectives)
    starts = [origins[p.strand] + start for p, (start, _) in zip(pieces, seen, strict=True)]
    directions = partial(streamed, tile_length=windows.layer_tile, threads=threads)
    with torch.enable_grad():
        tiles = observe(model, x, starts, directions)
        values = torch.stack([f(tile) for f, tile in zip(chosen, tiles, strict=True)])
    (gradient,) = torch.autograd.grad(values.sum(), x, materialize_grads=True)
    results = {}
    for i, (piece, (start, _)) in enumerate(zip(pieces, seen, strict=True)):
        core = slice(piece.start - start, piece.stop - start)
        kept = _cut(tiles[i], core)
        results[piece] = gradient[i, core].clone(), kept.log_p, chosen[i](kept).double()
    return results


def observe(
    model: BidirectionalMamba, x: Tensor, starts: Sequence[int], directions: Directions
) -> list[Tile]:
    """Run windows (batch, L, V) and show each to an objective."""
    hidden = model.hidden(x, directions)
    logits = model.logits(hidden)
    log_p = torch.log_softmax(logits, dim=-1)
    parts = zip(starts, x, log_p, logits, hidden, strict=True)
    return [Tile(*part, model.vocabulary.base_ids, ahead=0) for part in parts]


def _cut(tile: Tile, core: slice) -> Tile:
    x, log_p, logits, hidden = (
        t[core].detach().clone() for t in (tile.x, tile.log_p, tile.logits, tile.hidden)
    )
    return Tile(tile.start + core.start, x, log_p, logits, hidden, tile.base_ids, tile.ahead)


class HaloError(NamedTuple):
    """The change of the gradient of one core when the halo was doubled."""

    start: int
    stop: int
    max_error: float  # largest difference, of the largest entry
    relative_error: float  # norm of the difference, of the norm


def halo_error(
    model: BidirectionalMamba,
    read: Reader,
    windows: Windows,
    objectives: Sequence[Objective],
    core: tuple[int, int],
    origins: Sequence[int] | None = None,
    threads: int | None = None,
) -> HaloError:
    """Compute the gradient of one core with the halo and with twice the halo."""
    pieces = [_Piece(b, *core) for b in range(len(objectives))]
    found = []
    for halo in (windows.halo, 2 * windows.halo):
        wider = replace(windows, window=windows.core + 2 * halo, halo=halo)
        done = [
            _window_batch(model, read, wider, objectives, origins, [p], threads) for p in pieces
        ]
        found.append(torch.cat([part[p][0] for part, p in zip(done, pieces, strict=True)]).double())
    near, far = (gradient[:, list(model.vocabulary.base_ids)] for gradient in found)
    moved, scale = (near - far).abs().max(), far.abs().max()
    relative = (near - far).norm() / far.norm()
    errors = (v.nan_to_num(0.0).item() for v in (moved / scale, relative))
    return HaloError(*core, *errors)


def loci_to_check(
    windows: Windows, tiles: Sequence[int], at_most: int = 3, spans: Sequence[Span] | None = None
) -> list[Span]:
    """Cores of these tiles, evenly spaced, whose halos could be larger.

    Parameters
    ----------
    spans : sequence of (start, stop), optional
        Sorted, disjoint positions that matter: only cores that hold one are chosen. All if None.
    """
    if windows.halo == 0:
        return []  # twice nothing is nothing

    def inner() -> Iterator[Span]:
        for core in chain.from_iterable(map(windows.in_tile, tiles)):
            matters = spans is None or _overlaps(core, spans)
            if matters and windows.seen(*core) != (0, windows.length):
                yield core

    # gone through twice, because a list of them would grow with the sequence
    step = max(1, -(-sum(1 for _ in inner()) // at_most))
    return [*islice(inner(), step // 2, None, step)]


def _overlaps(core: Span, spans: Sequence[Span]) -> bool:
    i = bisect_right(spans, core[0], key=itemgetter(1))
    return i < len(spans) and spans[i][0] < core[1]
