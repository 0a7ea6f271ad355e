"""Windows laid over a sequence of any length, for bidirectional models.

Each window is differentiated on its own, layer by layer in memory (``layerwise``), exactly. Of each
only the core counts: what lies in its halo, on either side, is seen and dropped.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import NamedTuple

import torch
from torch import Tensor

from pgf_genome.engine.equations import Reader
from pgf_genome.engine.layerwise.context import Layers
from pgf_genome.engine.layerwise.run import sweep
from pgf_genome.engine.objective import Objective, Tile
from pgf_genome.engine.plan import BATCH_POSITIONS, LAYER_TILE, Plan, layer_plan
from pgf_genome.engine.store import MemoryStore
from pgf_genome.errors import UsageError
from pgf_genome.intervals import Span
from pgf_genome.mamba.bidirectional import BidirectionalMamba


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
    spans = [windows.seen(piece.start, piece.stop) for piece in pieces]
    inputs = [read(*span)[piece.strand] for piece, span in zip(pieces, spans, strict=True)]
    x = torch.stack(inputs)
    chosen = [objectives[piece.strand] for piece in pieces]
    origins = origins or [0] * len(objectives)
    starts = [origins[p.strand] + start for p, (start, _) in zip(pieces, spans, strict=True)]
    cores = [(origins[p.strand] + p.start, origins[p.strand] + p.stop) for p in pieces]
    log_p: list[list[Tensor]] = [[] for _ in pieces]
    values = torch.zeros(len(pieces), dtype=torch.float64)
    gradients: list[Tensor] = []

    def seen(k: int, tiles: list[Tile], of_tiles: Tensor | None) -> None:
        for i, (tile, core) in enumerate(zip(tiles, cores, strict=True)):
            kept = _cut(tile, core)
            log_p[i].append(kept.log_p)
            if len(kept.x):
                values[i] += chosen[i](kept).double().cpu()

    with MemoryStore() as store:
        plan = layer_plan(x.shape[1], windows.layer_tile)
        given = model, lambda start, stop: x[:, start:stop], plan, store
        layers = Layers(*given, len(pieces), chosen, starts, threads=threads)
        sweep(layers, seen, lambda k, gradient: gradients.append(gradient))
    gradient = torch.cat(gradients, dim=1)
    results = {}
    for i, (piece, (start, _)) in enumerate(zip(pieces, spans, strict=True)):
        core = slice(piece.start - start, piece.stop - start)
        results[piece] = gradient[i, core].clone(), torch.cat(log_p[i]), values[i]
    return results


def observe(
    model: BidirectionalMamba, x: Tensor, starts: Sequence[int], threads: int | None = None
) -> list[Tile]:
    """Run windows (batch, L, V) and show each to an objective."""
    parts: list[list[Tile]] = []
    with MemoryStore() as store:
        given = model, lambda start, stop: x[:, start:stop], layer_plan(x.shape[1]), store
        layers = Layers(*given, len(x), starts=starts, threads=threads)
        sweep(layers, lambda k, tiles, values: parts.append(tiles))
    return [_joined(tiles) for tiles in zip(*parts, strict=True)]


def by_definition(model: BidirectionalMamba, x: Tensor, starts: Sequence[int]) -> list[Tile]:
    """Do what `observe` does with whole layers at a time, differentiable by autograd."""
    hidden = model.hidden(x)
    logits = model.logits(hidden)
    log_p = torch.log_softmax(logits, dim=-1)
    parts = zip(starts, x, log_p, logits, hidden, strict=True)
    return [Tile(*part, model.vocabulary.base_ids, ahead=0) for part in parts]


def _joined(tiles: Sequence[Tile]) -> Tile:
    """One tile of consecutive ones."""
    first = tiles[0]
    x, log_p, logits, hidden = (
        torch.cat([getattr(tile, name) for tile in tiles])
        for name in ("x", "log_p", "logits", "hidden")
    )
    return Tile(first.start, x, log_p, logits, hidden, first.base_ids, first.ahead)


def _cut(tile: Tile, core: Span) -> Tile:
    """The part of a tile that lies in a span of the positions that the objective counts."""
    start = min(max(core[0] - tile.start, 0), len(tile.x))
    part = slice(start, max(core[1] - tile.start, start))
    return tile.map(lambda rows: rows[part].clone(), later=start)


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
