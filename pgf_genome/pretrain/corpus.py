"""Walks along strands of genomes, without the stretches that are held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pgf_genome.errors import SequenceError
from pgf_genome.intervals import Interval
from pgf_genome.pretrain.settings import Training
from pgf_genome.sequence import N_CODE, Genome, Strand


def training_intervals(genome: Genome, held_out: Sequence[Interval]) -> list[Interval]:
    """Return the intervals that are left of the contigs without the held-out ones."""
    kept = []
    for contig in genome.contigs:
        start = 0
        for hole in sorted(h for h in held_out if h.contig == contig.name):
            if min(hole.start, contig.length) > start:
                kept.append(Interval(contig.name, start, min(hole.start, contig.length)))
            start = max(start, hole.stop)
        if contig.length > start:
            kept.append(Interval(contig.name, start, contig.length))
    return kept


class Walk(NamedTuple):
    """A walk of a stream over ``tiles`` tiles of a stretch, of which ``done`` are done."""

    source: int
    start: int
    tiles: int
    reverse: bool
    done: int = 0


@dataclass
class Stream:
    """An endless sequence of walks, which depends only on the fields; a checkpoint keeps them."""

    draws: np.random.Generator
    walk: Walk | None = None

    def snapshot(self) -> dict[str, Any]:
        """Return the fields in types that JSON has."""
        return {"draws": self.draws.bit_generator.state, "walk": list(self.walk or ())}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Restore the fields from a `snapshot`."""
        self.draws.bit_generator.state = snapshot["draws"]
        self.walk = Walk(*snapshot["walk"]) if snapshot["walk"] else None


@dataclass(frozen=True)
class Corpus:
    """Stretches of genomes that are trained on.

    Parameters
    ----------
    genomes : mapping of Genome to float
        Relative share of the training bases drawn from each.
    held_out : mapping of Genome to sequence of Interval
        Stretches that are never read.
    training : Training

    Raises
    ------
    SequenceError
        If a genome has no stretch left that is longer than a tile.
    """

    genomes: Mapping[Genome, float]
    held_out: Mapping[Genome, Sequence[Interval]]
    training: Training
    sources: Sequence[tuple[Genome, Interval]] = field(init=False)
    weights: np.ndarray = field(init=False)  # probability of each source

    def __post_init__(self) -> None:
        sources, shares = [], []
        for genome, share in self.genomes.items():
            kept = training_intervals(genome, self.held_out.get(genome, ()))
            kept = [i for i in kept if i.length > self.training.tile_length]
            if not kept:
                raise SequenceError(
                    f"{genome.path}: no stretch longer than the tile of "
                    f"{self.training.tile_length} bases is left for training; shorten the tile or "
                    "the held-out intervals"
                )
            total = sum(i.length for i in kept)
            sources += [(genome, i) for i in kept]
            shares += [share * i.length / total for i in kept]
        object.__setattr__(self, "sources", tuple(sources))
        object.__setattr__(self, "weights", np.array(shares) / sum(shares))

    @property
    def steps(self) -> int:
        """Number of steps in which about ``training.bases`` bases are seen."""
        t = self.training
        tiles = 1.0
        if t.bptt == "full":
            tiles = float(self.weights @ [self._tiles(i) for _, i in self.sources])
        return max(1, int(t.bases // (t.streams * t.tile_length * tiles)))

    def streams(self) -> list[Stream]:
        """Return new streams, independent of each other."""
        seeds = (self.training.seed * 1_000_003 + i for i in range(self.training.streams))
        return [Stream(np.random.default_rng(seed)) for seed in seeds]

    def next_tile(self, stream: Stream) -> tuple[bool, np.ndarray]:
        """Read the stream's next tile.

        Returns
        -------
        jumped : bool
            Whether the tile is the first of a new walk.
        codes : ndarray of uint8, (T + 1,)
            One base more than the tile has, the last target.
        """
        if stream.walk is None or stream.walk.done == stream.walk.tiles:
            stream.walk = self._begin(stream.draws)
        walk, T = stream.walk, self.training.tile_length
        stream.walk = walk._replace(done=walk.done + 1)
        return walk.done == 0, self.codes(walk, walk.done * T, (walk.done + 1) * T + 1)

    def next_walk(self, stream: Stream) -> Walk:
        """Begin a new walk, and count all of it as done."""
        walk = self._begin(stream.draws)
        stream.walk = walk._replace(done=walk.tiles)
        return walk

    def codes(self, walk: Walk, start: int, stop: int) -> np.ndarray:
        """Read positions ``start .. stop - 1`` of a walk, in its own direction.

        The base after the last tile is the last target; positions beyond it are N.
        """
        genome, interval = self.sources[walk.source]
        length = walk.tiles * self.training.tile_length + 1
        first, last = min(start, length), min(stop, length)
        sign = "-" if walk.reverse else "+"
        strand = Strand(genome, interval.contig, walk.start, walk.start + length, sign)
        known = strand.codes(first, last)
        return np.pad(known, (0, stop - start - len(known)), constant_values=N_CODE)

    def _tiles(self, interval: Interval) -> int:
        return min(self.training.walk, (interval.length - 1) // self.training.tile_length)

    def _begin(self, draws: np.random.Generator) -> Walk:
        source = draws.choice(len(self.sources), p=self.weights)
        interval = self.sources[source][1]
        tiles = self._tiles(interval)
        start = draws.integers(interval.length - tiles * self.training.tile_length)
        return Walk(int(source), interval.start + int(start), tiles, bool(draws.integers(2)))
