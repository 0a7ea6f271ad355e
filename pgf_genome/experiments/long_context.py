"""Sensitivities of a real sequence, window by window against the whole (paper, App. H)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pgf_genome.checkpoints.choices import DEFAULT_MODEL
from pgf_genome.checkpoints.load import load_model, resolve_device
from pgf_genome.engine.arrays import adjoint
from pgf_genome.engine.plan import TILE_LENGTH
from pgf_genome.engine.running import require_causal
from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.experiments import machine
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.sequence import decode_fasta

WHOLE, EDGES = "whole", ("left", "right")
# Relative error from which on a position counts as wrong.
OFF = 0.01
QUICK: Mapping[str, Any] = {"length": 4096, "windows": (256, 1024)}

log = logging.getLogger("pgf_genome")


@dataclass(frozen=True)
class Settings:
    """Options of the experiment.

    Attributes
    ----------
    fasta : str
        Genome; the plus strand of the middle of its first contig is analysed.
    model : str
        Bundled name, checkpoint directory or hub id of a causal model.
    length : int
        Bases to analyse; the whole contig if it is shorter.
    windows : tuple of int
        Lengths of the windows that the sequence is cut into.
    threads, device, seed
        As in the other experiments; nothing is drawn.
    """

    fasta: str
    model: str = DEFAULT_MODEL
    length: int = 262_144
    windows: Sequence[int] = (1024, 4096, 16384, 65536, 131072)
    threads: int = 0
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", str(resolve_device(self.device)))
        if self.length < 4 or not self.windows or min(self.windows) < 2:
            raise UsageError("a sequence of at least 4 bases in windows of at least 2 is needed")


def rows(settings: Settings, scratch: Path) -> Iterator[dict[str, Any]]:
    """Compare windows of every length with the whole sequence."""
    model = require_causal(load_model(settings.model, settings.device), "long-context")
    where, ids = _stretch(settings, model, scratch)
    facts = {
        "sequence": where,
        "length": len(ids),
        "model": model.name,
        "machine": machine.describe(settings.device, ("torch", "numba")),
    }
    yield from (facts | row for row in _rows(model, ids, settings.windows))


def _stretch(settings: Settings, model: CausalMamba, scratch: Path) -> tuple[str, Tensor]:
    """Read the middle of the first contig: its region, 1-based, and token ids."""
    with decode_fasta(settings.fasta, scratch / "codes") as genome:
        contig = genome.contigs[0]
        length = min(settings.length, contig.length)
        if length <= min(settings.windows):
            raise SequenceError(
                f"{settings.fasta}: {contig.name} has {contig.length} bases, no more than the "
                f"shortest window of {min(settings.windows)}"
            )
        start = (contig.length - length) // 2
        codes = genome.codes(contig.name, start, start + length)
        return f"{contig.name}:{start + 1}-{start + length}", model.vocabulary.encode(codes)


def _rows(model: CausalMamba, ids: Tensor, windows: Sequence[int]) -> Iterator[dict[str, Any]]:
    exact = corrected_gradient(model, ids)
    for window in windows:
        if window >= len(ids):
            continue
        parts = [corrected_gradient(model, part) for part in ids.split(window)]
        off = relative_error(np.concatenate(parts), exact)
        log.info("windows of %s: median error %.1e", f"{window:,}", np.median(off))
        yield {"window": window, "edge": WHOLE, **_summary(off)}
        place = np.arange(len(ids)) % window
        stops = np.minimum((np.arange(len(ids)) // window + 1) * window, len(ids))
        distances = (place, stops - 1 - np.arange(len(ids)))
        for edge, distance in zip(EDGES, distances, strict=True):
            # The ends of the sequence itself are not edges that a cut has made.
            cut = slice(window, None) if edge == EDGES[0] else slice(None, len(ids) - window)
            yield from _by_distance(off[cut], distance[cut], window, edge)


def _by_distance(
    off: np.ndarray, distance: np.ndarray, window: int, edge: str
) -> Iterator[dict[str, Any]]:
    """Yield errors in octaves of the distance to an edge: 0, 1, 2-3, 4-7, .."""
    octave = np.ceil(np.log2(distance + 1)).astype(int)
    for k in np.unique(octave):
        middle = float(distance[octave == k].mean())
        yield {"window": window, "edge": edge, "distance": middle, **_summary(off[octave == k])}


def _summary(off: np.ndarray) -> dict[str, float]:
    return {
        "positions": len(off),
        "median": float(np.median(off)),
        "upper": float(np.quantile(off, 0.99)),
        "off": float((off > OFF).mean()),
    }


def corrected_gradient(model: CausalMamba, ids: Tensor) -> np.ndarray:
    """Compute the simplex-corrected gradient (L, 4) of a sequence's likelihood by itself."""
    gradient = adjoint(model, ids, tile_length=TILE_LENGTH).gradient[:, model.vocabulary.base_ids]
    return gradient - gradient.mean(axis=1, keepdims=True)


def relative_error(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Return the error of each position's gradient relative to its own size, (L,)."""
    size = np.linalg.norm(exact, axis=1)
    return np.linalg.norm(found - exact, axis=1) / np.maximum(size, 1e-12)
