"""A whole measurement: a FASTA and a model in, memory functions and influence profiles out."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pgf_genome.engine.plan import DEFAULT_WINDOW
from pgf_genome.engine.running import running_of
from pgf_genome.errors import UsageError
from pgf_genome.intervals import Interval
from pgf_genome.mamba.model import LanguageModel
from pgf_genome.memory import drives
from pgf_genome.memory.estimator import log_lags
from pgf_genome.memory.influence import Influence, influence
from pgf_genome.memory.layers import LayerMemory, LayerSums
from pgf_genome.sequence import Genome, decode_fasta

log = logging.getLogger("pgf_genome")

MEASURES = ("layers", "influence")


@dataclass(frozen=True)
class Settings:
    """How a model's memory is measured; the command line's options under their own names.

    Attributes
    ----------
    measure : sequence of str
        "layers": memory functions and time constants; "influence": adjoint probes.
    drives : sequence of str
        Any of "uniform", "markov" and "real".
    bases : int
        Of the FASTA that the layers are measured on, and as many of every other drive.
    probes : int
        Positions whose prediction is differentiated, of every drive.
    channels : int
        Of every layer whose states are measured.
    max_lag : int
        Longest lag of the memory functions.
    span : int
        How far back a probe looks at most, of a bidirectional model the window.
    tile : int
    gap_length : int
        Runs of N at least so long are not measured across.
    seed : int
        Of the random drives.
    halo : float, optional
        The part of the influence that may lie beyond a halo.
    """

    measure: Sequence[str] = MEASURES
    drives: Sequence[str] = drives.DRIVES
    bases: int = 200_000
    probes: int = 16
    channels: int = 16
    max_lag: int = 4000
    span: int = 8192
    tile: int = 1024
    gap_length: int = 10_000
    seed: int = 0
    halo: float | None = None

    def __post_init__(self) -> None:
        for option, known in (("measure", MEASURES), ("drives", drives.DRIVES)):
            chosen = getattr(self, option)
            name = option.removesuffix("s")
            wrong = [value for value in chosen if value not in known]
            if wrong or not chosen:
                what = f"--{name} {wrong[0]}" if wrong else f"--{name} names none"
                raise UsageError(f"{what}: choose from {', '.join(known)}")
            object.__setattr__(self, option, tuple(v for v in known if v in chosen))
        if self.halo is not None and not 0 < self.halo < 1:
            raise UsageError(f"--halo must lie between 0 and 1, not {self.halo}")
        if self.halo is not None and "influence" not in self.measure:
            raise UsageError("--halo needs --measure influence")
        least = {"span": 2, "seed": 0}
        for option, value in asdict(self).items():
            if type(value) is int and value < least.get(option, 1):
                name = option.replace("_", "-")
                raise UsageError(f"--{name} must be at least {least.get(option, 1)}, not {value}")


@dataclass(frozen=True)
class Memory:
    """What `measure` found.

    Attributes
    ----------
    model : dict
        ``name`` and ``sha256``.
    settings : Settings
    stretches : tuple of Interval
        What of the FASTA the layers were measured on; empty if they were not.
    layers : tuple of LayerMemory
        Drive by drive.
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
        """Bases on either side that hold all but the part ``settings.halo`` of the influence.

        On the real sequence if it was measured, else the most of the drives that were.
        """
        if self.settings.halo is None:
            return None
        real = [each for each in self.influences if each.drive == "real"]
        return max(each.reach(1 - self.settings.halo) for each in real or self.influences)

    @property
    def curve(self) -> dict[str, Any]:
        """Influence by distance as a report of a run takes it: label, distances, mean."""
        shown = self.influences[-1]
        return {"label": f"influence, {shown.drive} sequence", **shown.binned()}


def measure(
    fasta: str | Path,
    model: LanguageModel,
    settings: Settings | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Memory:
    """Measure how much of the past a model holds, and how much of it it uses.

    Parameters
    ----------
    fasta
        Plain, gzip or bgzip, or ``"-"`` for standard input.
    model
        Bidirectional models have an influence profile only.
    progress
        Called with bases done since the last call, and bases in all.

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
    if "influence" in settings.measure:
        running_of(model).require_head()
    if "layers" in settings.measure and not running_of(model).streams:
        raise UsageError(
            f"{model.name} reads in both directions: memory functions are of causal models; ask "
            "for --measure influence"
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

    source = _Source(drives.markov_table(real), settings.seed)
    layers, influences = [], []
    if with_layers:
        sums = LayerSums(model, settings.drives, lags, settings.channels, settings.tile)
        for i, codes in enumerate(real):
            batch = [source.like(codes[None], drive, 0, i)[0] for drive in settings.drives]
            sums.add(np.stack(batch), done)
        layers = sums.result()
    if probed:
        for drive in settings.drives:
            driven = source.like(contexts, drive, 1)
            found = influence(model, drive, driven, settings.tile, done)
            _tell_of_more(found)
            influences.append(found)
    name = {"name": model.name, "sha256": model.digest}
    measured = tuple(chosen) if layers else ()
    return Memory(name, settings, measured, tuple(layers), tuple(influences))


def _tell_of_more(found: Influence) -> None:
    if found.tail > 0.01:
        log.info(
            "%s sequence: %.1f %% of the influence lies beyond %s bases, in the farther half of "
            "what was looked at; a longer --span will find more",
            *(found.drive, 100 * found.tail, f"{found.energy.shape[1] // 2:,}"),
        )


def _contexts(
    genome: Genome, pieces: Sequence[Interval], model: LanguageModel, settings: Settings
) -> np.ndarray:
    """Codes around probed positions of the real sequence, as long as the sequence allows."""
    longest = max(piece.length for piece in pieces)
    if running_of(model).streams:
        before, after = min(settings.span, longest // 2) - 1, 0
    else:
        window = min(model.trained_length or DEFAULT_WINDOW, settings.span, longest)
        before, after = window // 2, (window - 1) // 2
    return drives.probe_contexts(genome, pieces, settings.probes, before, after)


@dataclass(frozen=True)
class _Source:
    """Where the sequences of the drives come from."""

    table: np.ndarray
    seed: int

    def like(self, codes: np.ndarray, drive: str, *which: int) -> np.ndarray:
        """Sequences (n, L) of a drive, as many and as long as the real ones."""
        if drive == "real":
            return codes
        rng = np.random.default_rng([self.seed, drives.DRIVES.index(drive), *which])
        if drive == "uniform":
            return drives.uniform(codes.shape, rng)
        return np.stack([drives.markov(self.table, codes.shape[1], rng) for _ in codes])
