"""A whole measurement: a FASTA and a model in, memory functions and influence profiles out."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from pgf_genome.engine.plan import DEFAULT_WINDOW
from pgf_genome.engine.running import running_of
from pgf_genome.errors import UsageError
from pgf_genome.intervals import Interval
from pgf_genome.mamba.model import CausalMamba, LanguageModel
from pgf_genome.memory import drives
from pgf_genome.memory.estimator import log_lags
from pgf_genome.memory.influence import Influence, influence
from pgf_genome.memory.layers import LayerMemory, LayerSums
from pgf_genome.memory.settings import DRIVES, MEASURES, Settings
from pgf_genome.sequence import Genome, decode_fasta

log = logging.getLogger("pgf_genome")


@dataclass(frozen=True)
class Memory:
    """Results of `measure`.

    Attributes
    ----------
    model : dict
        ``name`` and ``sha256``.
    settings : Settings
    stretches : tuple of Interval
        Stretches of the FASTA on which the layers were measured; empty if they were not.
    layers : tuple of LayerMemory
        All layers, drive by drive.
    influences : tuple of Influence
        One per drive.
    """

    model: dict[str, str]
    settings: Settings
    stretches: tuple[Interval, ...] = ()
    layers: tuple[LayerMemory, ...] = ()
    influences: tuple[Influence, ...] = ()

    @property
    def halo(self) -> int | None:
        """Bases on each side that hold all but the part ``settings.halo`` of the influence.

        The number is that of the real sequence if it was measured, else the largest of the drives.
        """
        if self.settings.halo is None:
            return None
        real = [each for each in self.influences if each.drive == "real"]
        return max(each.reach(1 - self.settings.halo) for each in real or self.influences)


def measure(
    fasta: str | Path,
    model: LanguageModel,
    settings: Settings | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Memory:
    """Measure how much of the past a model holds, and how much of that it uses.

    Parameters
    ----------
    fasta : path
        FASTA, plain, gzip or bgzip; ``"-"`` is standard input.
    model : LanguageModel
        A bidirectional model has an influence profile only.
    settings : Settings, optional
    progress : callable
        Called with the bases done since the last call, and the bases in all.

    Raises
    ------
    UsageError
        If the memory function of a bidirectional model is asked for.
    SequenceError
        If the FASTA cannot be read, or has no stretch long enough.

    Notes
    -----
    Time and memory are bounded by the settings, whatever the FASTA. Disk: one byte per base of
    the FASTA, and the boundary states of a few probes. Equal arguments give equal results.
    """
    settings = Settings() if settings is None else settings
    running = running_of(model)
    if "influence" in settings.measure:
        rest = "ask for `measure` layers" if running.streams else "measure a model that has one"
        running.require_head(f"there is no influence on predictions; {rest}")
    if "layers" in settings.measure and not running.streams:
        raise UsageError(
            f"{model.name} reads in both directions: memory functions are of causal models; ask "
            "for `measure` influence"
        )
    with (
        tempfile.TemporaryDirectory(prefix="pgf-") as scratch,
        decode_fasta(fasta, Path(scratch) / "codes") as genome,
    ):
        return _measure(genome, model, settings, progress)


def _measure(
    genome: Genome,
    model: LanguageModel,
    settings: Settings,
    progress: Callable[[int, int], object],
) -> Memory:
    pieces = drives.usable_segments(genome, settings.gap_length)
    longest = max(piece.length for piece in pieces)
    lags = log_lags(min(settings.max_lag, longest // 4))
    chosen = drives.stretches(pieces, settings.bases, 2 * int(lags[-1]))
    real = [genome.codes(s.contig, s.start, s.stop) for s in chosen]
    with_layers, probed = (part in settings.measure for part in MEASURES)
    contexts = _contexts(genome, pieces, model, settings) if probed else np.empty((0, 0), np.uint8)
    total = len(settings.drives) * (contexts.size + with_layers * sum(map(len, real)))

    def done(bases: int) -> None:
        progress(bases, total)

    log.debug(
        "layers are measured on %s; %d probes of %d bases per drive",
        ", ".join(map(str, chosen)) if with_layers else "nothing",
        *contexts.shape,
    )
    source = _Source(drives.markov_table(real), settings.seed)
    layers, influences = [], []
    if with_layers:
        causal = cast(CausalMamba, model)  # checked in `measure`
        sums = LayerSums(causal, settings.drives, lags, settings.channels, settings.tile)
        for i, codes in enumerate(real):
            batch = [source.like(codes[None], drive, 0, i)[0] for drive in settings.drives]
            sums.add(np.stack(batch), done)
        layers = sums.result()
    if probed:
        for drive in settings.drives:
            driven = source.like(contexts, drive, 1)
            influences.append(influence(model, drive, driven, settings.tile, done))
            _log_tail(influences[-1])
    name = {"name": model.name, "sha256": model.digest}
    measured = tuple(chosen) if layers else ()
    return Memory(name, settings, measured, tuple(layers), tuple(influences))


def _log_tail(measured: Influence) -> None:
    if measured.tail > 0.01:
        log.info(
            "%s sequence: %.1f %% of the influence lies beyond %s bases, in the farther half of "
            "what was looked at; a longer span will find more",
            *(measured.drive, 100 * measured.tail, f"{measured.energy.shape[1] // 2:,}"),
        )


def _contexts(
    genome: Genome, pieces: Sequence[Interval], model: LanguageModel, settings: Settings
) -> np.ndarray:
    """Read the codes around probed positions of the real sequence, as long as it allows."""
    longest = max(piece.length for piece in pieces)
    if running_of(model).streams:
        before, after = min(settings.span, longest // 2) - 1, 0
    else:
        window = min(model.trained_length or DEFAULT_WINDOW, settings.span, longest)
        before, after = window // 2, (window - 1) // 2
    return drives.probe_contexts(genome, pieces, settings.probes, before, after)


@dataclass(frozen=True)
class _Source:
    """Source of the drives' sequences: a Markov chain and a seed."""

    table: np.ndarray
    seed: int

    def like(self, codes: np.ndarray, drive: str, *which: int) -> np.ndarray:
        """Draw sequences (n, L) of a drive, as many and as long as the real ones."""
        if drive == "real":
            return codes
        rng = np.random.default_rng([self.seed, DRIVES.index(drive), *which])
        if drive == "uniform":
            return drives.uniform(codes.shape, rng)
        return np.stack([drives.markov(self.table, codes.shape[1], rng) for _ in codes])
