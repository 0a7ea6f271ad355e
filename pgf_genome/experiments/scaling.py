"""Memory and time of one derivative against the length of the sequence (paper, Fig. 1)."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from pgf_genome import process
from pgf_genome.checkpoints.load import load_model
from pgf_genome.effects.impulse import Pulse, pulse_reader, substitution
from pgf_genome.engine import sweep
from pgf_genome.engine.objective import Likelihood
from pgf_genome.engine.plan import Plan
from pgf_genome.engine.running import require_causal
from pgf_genome.experiments import growth
from pgf_genome.experiments.apart import NOT_INSTALLED, Result, Work
from pgf_genome.experiments.growth import SHORT, Growth
from pgf_genome.experiments.measure import Measurement
from pgf_genome.experiments.peers import METHODS
from pgf_genome.experiments.trial import read_bases, reader, write_random_bases
from pgf_genome.mamba.model import CausalMamba

ADJOINT, TANGENT, TAPE = "adjoint", "tangent", "tape"
LABELS = {
    ADJOINT: "adjoint sweep",
    TANGENT: "tangent sweep",
    TAPE: "autograd, our kernels",
    "mambapy": "autograd, mambapy",
    "checkpoint": "checkpointed mambapy",
}
OBJECTIVE = Likelihood(targets="fixed")
QUICK: Mapping[str, Any] = {"lengths": (512, 2048, 8192), "tile": 512, "methods": (
    ADJOINT, TANGENT, TAPE, "mambapy")}  # fmt: skip

log = logging.getLogger("pgf_genome")


@dataclass(frozen=True, kw_only=True)
class Settings(Growth):
    """Options of `Growth`; the full run goes to a million bases."""

    LABELS = LABELS

    lengths: Sequence[int] = tuple(4**k for k in range(5, 11))
    methods: Sequence[str] = tuple(LABELS)
    tile: int = 4096


def rows(settings: Settings, scratch: Path) -> Iterator[dict[str, Any]]:
    """Measure every method at every length; one that fails is a row too."""
    facts = settings.facts()
    yield from (row | facts for row in _rows(settings, scratch))


def _rows(settings: Settings, folder: Path) -> Iterator[dict[str, Any]]:
    """Measure one method after the other."""
    weights = settings.saved_model(folder / "model")
    bases = write_random_bases(folder / "bases", max(settings.lengths), settings.seed)
    files = {"weights": str(weights), "bases": str(bases)}
    for method in settings.methods:
        outcomes = _measured(settings, method, files)
        for length, (measured, result) in zip(settings.lengths, outcomes, strict=True):
            log.info("%s, L = %s: %s", LABELS[method], f"{length:,}", measured.status)
            derivative = float(result["derivative"]) if result else None
            yield {**growth.row(method, length, measured), "derivative": derivative}


def _measured(
    settings: Settings, method: str, files: Mapping[str, str]
) -> list[tuple[Measurement, Result]]:
    """Measure one method at all lengths."""
    cases = [{**files, "length": length} for length in settings.lengths]
    if method not in METHODS:
        work = "by_tangent" if method == TANGENT else "by_adjoint"
        tiles = [length if method == TAPE else settings.tile for length in settings.lengths]
        cases = [case | {"tile": tile} for case, tile in zip(cases, tiles, strict=True)]
        return settings.measured(f"{__name__}:{work}", cases)
    lacks = METHODS[method].lacks(settings.device)
    if lacks:
        return [(Measurement(NOT_INSTALLED, lacks), {})] * len(cases)
    return settings.measured(f"{__name__}:by_peer", [case | {"method": method} for case in cases])


def pulse_position(length: int) -> int:
    """Return the position of the paper's pulse, 0.8 L."""
    return 4 * length // 5


def pulse_in(model: CausalMamba, bases: str, length: int) -> Pulse:
    """Return the pulse that turns the base at 0.8 L into the next of A, C, G, T."""
    position, rows = pulse_position(length), model.vocabulary.base_ids
    base = int(read_bases(bases, position, position + 1)[0])
    other = rows[(rows.index(base) + 1) % len(rows)]
    return Pulse(position, substitution(model, base, other))


def by_adjoint(weights: str, bases: str, length: int, tile: int, device: str) -> Work:
    """Prepare the gradient with respect to all positions, whose norms are written to a file."""
    process.tune()
    model = require_causal(load_model(weights, device), "scaling")
    _gradient(model, bases, SHORT, min(tile, SHORT // 2))
    return lambda: _gradient(model, bases, length, tile)


def _gradient(model: CausalMamba, bases: str, length: int, tile: int) -> Result:
    plan, (pulse, along) = Plan(length, tile), pulse_in(model, bases, length)
    with tempfile.TemporaryFile() as track:
        for step in sweep.there_and_back(model, reader(model, bases), plan, [OBJECTIVE]):
            start, stop = plan.bounds(step.k)
            _write(track, start, step.gradient[0])
            if start <= pulse < stop:
                derivative = (step.gradient[0, pulse - start] @ along).item()
    return {"derivative": np.array(derivative)}


def by_tangent(weights: str, bases: str, length: int, tile: int, device: str) -> Work:
    """Prepare the response of all positions to a substitution; its norms are written to a file."""
    process.tune()
    model = require_causal(load_model(weights, device), "scaling")
    _response(model, bases, SHORT, SHORT // 2)
    return lambda: _response(model, bases, length, tile)


def _response(model: CausalMamba, bases: str, length: int, tile: int) -> Result:
    plan, direction = Plan(length, tile), pulse_reader([pulse_in(model, bases, length)])
    read, total = reader(model, bases), 0.0
    with tempfile.TemporaryFile() as track:
        blank = model.initial_state(1)
        for step in sweep.tangent(model, read, direction, plan, blank):
            start, stop = plan.bounds(step.k)
            change = step.tangents[0, 0]  # (T, V)
            _write(track, start, change)
            targets = read_bases(bases, start + 1, min(stop + 1, length)).to(change.device)
            total += change[: len(targets)].gather(1, targets[:, None]).sum().item()
    return {"derivative": np.array(total)}


def by_peer(method: str, weights: str, bases: str, length: int, device: str) -> Work:
    """Prepare the gradient by other software, which computes it as a whole."""
    prepare = METHODS[method].prepare
    prepare(Path(weights), read_bases(bases, 0, SHORT), device)()
    gradient = prepare(Path(weights), read_bases(bases, 0, length), device)
    pulse, along = pulse_in(require_causal(load_model(weights), "scaling"), bases, length)
    return lambda: {"derivative": (gradient()[pulse] @ along).double().numpy()}


def _write(track: BinaryIO, start: int, values: torch.Tensor) -> None:
    """Write one number per base, as to a track."""
    track.seek(4 * start)
    track.write(values.norm(dim=-1).cpu().numpy().astype(np.float32).tobytes())
