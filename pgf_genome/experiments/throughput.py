"""Speed and memory of one gradient by our adjoint sweep and by its peers (paper, Fig. 3)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pgf_genome.engine.plan import DEFAULT_MEMORY, TILE_LENGTH, Cost
from pgf_genome.experiments import machine
from pgf_genome.experiments.measure import OK, Measurement, Request, measure_apart
from pgf_genome.experiments.peers import METHODS, OURS
from pgf_genome.experiments.process import OUT_OF_MEMORY, OUT_OF_TIME, Limits
from pgf_genome.experiments.throughput_settings import Settings
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.pretrain.initial import new_model
from pgf_genome.pretrain.saving import save_model
from pgf_genome.pretrain.settings import Training

NOT_INSTALLED, NOT_TRIED = "not installed", "not tried"
PACKAGES = ("torch", "numba", "transformers", "mambapy", "mamba_ssm")
QUICK: Mapping[str, Any] = {
    "lengths": (128, 512),
    "methods": (OURS, "mambapy", "segments"),
    "layers": 2,
    "width": 32,
    "segments": (64,),
    "repeat": 1,
}

log = logging.getLogger("pgf_genome")


@dataclass
class Bench:
    """The model and the folder that all measurements share, and the methods that gave up."""

    settings: Settings
    folder: Path
    model: CausalMamba
    gave_up: dict[str, str] = field(default_factory=dict)

    def reference(self, length: int) -> np.ndarray | None:
        """Compute the gradient in float64, (L, V); None if that fails."""
        setting = {"tile_length": TILE_LENGTH, "dtype": "float64"}
        measured = self._measure(OURS, length, setting, "reference.npy", runs=0)
        if measured.status != OK:
            log.warning("L = %s: no float64 reference (%s)", f"{length:,}", measured.status)
            return None
        return np.load(self.folder / "reference.npy")

    def row(self, name: str, length: int, reference: np.ndarray | None) -> dict[str, Any]:
        """Measure a method at a length with each of its settings; return the fastest's figures."""
        lacks = METHODS[name].lacks(self.settings.device)
        if lacks:
            return _row(length, name, {}, Measurement(NOT_INSTALLED, lacks))
        if name in self.gave_up:
            return _row(length, name, {}, Measurement(NOT_TRIED, self.gave_up[name]))
        tried = []
        for setting in self._settings_of(name, length):
            measured = self._measure(name, length, setting, "gradient.npy", self.settings.repeat)
            error = None
            if measured.status == OK and reference is not None:
                error = _difference(np.load(self.folder / "gradient.npy"), reference)
            tried.append(_row(length, name, setting, measured, error))
        best = min(tried, key=lambda row: row["seconds"] or np.inf)
        if best["status"] in (OUT_OF_MEMORY, OUT_OF_TIME):
            self.gave_up[name] = f"{best['status']} at {length:,}"
        return best

    def _settings_of(self, name: str, length: int) -> list[dict[str, int]]:
        if name == "segments":
            shortest = min(self.settings.segments)
            return [{"segment": s} for s in self.settings.segments if s <= max(length, shortest)]
        if name == OURS:
            parameters = sum(p.numel() for p in self.model.parameters())
            cost = Cost.of(self.model.config, parameters, batch=1, itemsize=4)
            lengths = self.settings.tiles or (TILE_LENGTH, cost.longest_tile(DEFAULT_MEMORY))
            plans = {
                (tile, min(kept, -(-length // tile)))
                for tile in (min(length, tile) for tile in lengths)
                for kept in self.settings.kept
            }
            return [{"tile_length": tile, "kept": kept} for tile, kept in sorted(plans)]
        return [{}]

    def _measure(
        self, name: str, length: int, setting: Mapping[str, Any], result: str, runs: int
    ) -> Measurement:
        settings, limits = self.settings, _limits(self.settings)
        request = Request(
            method=name,
            weights=str(self.folder / "model"),
            ids=str(self._ids(length)),
            gradient=str(self.folder / result),
            device=settings.device,
            threads=settings.threads or machine.usable_cores(),
            runs=runs,
            seconds=0.8 * limits.seconds,
            setting=setting,
        )
        return measure_apart(request, limits, METHODS[name].environment)

    def _ids(self, length: int) -> Path:
        """Return the file of a random sequence, the same for every method."""
        path = self.folder / f"{length}.npy"
        if not path.exists():
            bases = np.array(self.model.vocabulary.base_ids)
            np.save(path, np.random.default_rng(self.settings.seed).choice(bases, length))
        return path


def _limits(settings: Settings) -> Limits:
    memory = settings.max_memory or int(0.8 * machine.memory_bytes())
    return Limits(settings.timeout, memory)


def rows(settings: Settings, scratch: Path) -> Iterator[dict[str, Any]]:
    """Measure every method at every length, and compare it with ours; failures are rows too."""
    sizes = ("layers", "width", "states", "device", "seed")
    shared = {name: getattr(settings, name) for name in sizes}
    shared["threads"] = settings.threads or machine.usable_cores()
    shared["machine"] = machine.describe(settings.device, PACKAGES)
    yield from (row | shared for row in _with_ratios(list(_rows(settings, scratch))))


def _rows(settings: Settings, folder: Path) -> Iterator[dict[str, Any]]:
    """Measure length by length, and at each length the methods in turn."""
    model = new_model(
        Training(
            d_model=settings.width,
            n_layer=settings.layers,
            d_state=settings.states,
            seed=settings.seed,
        )
    )
    save_model(model, folder / "model", "Random weights of a measurement.\n")
    bench = Bench(settings, folder, model)
    for length in settings.lengths:
        reference = bench.reference(length)
        for name in settings.methods:
            row = bench.row(name, length, reference)
            log.info("%s", one_line(row))
            yield row


def one_line(row: Mapping[str, Any]) -> str:
    """Summarise a measurement for the log."""
    head = f"L = {row['length']:,}, {row['method']}"
    if row["status"] != OK:
        return f"{head}: {row['status']}" + (row["note"] and f" ({row['note']})")
    speed, memory = row["bases_per_second"] / 1e3, row["peak_bytes"] / 2**20
    return f"{head}: {speed:.3g} kbp/s, peak memory {memory:,.0f} MiB"


def _row(
    length: int,
    name: str,
    setting: Mapping[str, int],
    measured: Measurement,
    error: float | None = None,
) -> dict[str, Any]:
    rate = length / measured.seconds if measured.seconds else None
    return {
        "length": length,
        "method": name,
        "setting": " ".join(f"{key}={value}" for key, value in setting.items()),
        "status": measured.status,
        "note": measured.note,
        "bases_per_second": rate,
        "seconds": measured.seconds,
        "first_seconds": measured.first_seconds,
        "runs": measured.runs,
        "peak_bytes": measured.peak_bytes,
        "baseline_bytes": measured.baseline_bytes,
        "error": error,
    }


def _difference(gradient: np.ndarray, reference: np.ndarray) -> float:
    """Return the largest difference, relative to the largest entry of the reference."""
    return float(np.abs(gradient - reference).max() / np.abs(reference).max())


def _with_ratios(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Add our speed over each method's, and our share of its peak memory, at the same length."""
    ours = {row["length"]: row for row in rows if row["method"] == OURS and row["status"] == OK}
    for row in rows:
        mine, ratios = ours.get(row["length"]), (None, None)
        if mine is not None and row["status"] == OK and row["method"] != OURS:
            ratios = (
                mine["bases_per_second"] / row["bases_per_second"],
                mine["peak_bytes"] / row["peak_bytes"],
            )
        yield {**row, **dict(zip(("times_faster", "memory_share"), ratios, strict=True))}
