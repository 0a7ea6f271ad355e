"""Initialisations and frozen poles, trained alike on a genome (after arXiv 2510.00563)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import softplus

from pgf_genome.checkpoints.load import resolve_device
from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.experiments import machine
from pgf_genome.intervals import Interval
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.memory.measurement import measure
from pgf_genome.memory.settings import Settings as MemorySettings
from pgf_genome.pretrain.evaluation import bits_per_base
from pgf_genome.pretrain.initial import new_model
from pgf_genome.pretrain.settings import Training
from pgf_genome.pretrain.training import train
from pgf_genome.sequence import Genome, decode_fasta

HELD_OUT = 0.1  # part of the first contig, at its end
QUICK: Mapping[str, Any] = {
    "bases": 30_000,
    "width": 8,
    "layers": 1,
    "tile": 64,
    "span": 512,
    "probes": 4,
    "held_out": 5_000,
}

log = logging.getLogger("pgf_genome")


@dataclass(frozen=True)
class Settings:
    """Options of the experiment.

    Attributes
    ----------
    fasta : str
        Genome to train on, without the last tenth of its first contig.
    inits : tuple of str
        Initialisations of `pretrain.Training`, each with free and with frozen poles.
    layers, width, bases, tile : int
        Sizes of the models, bases that each is trained on, positions per step and stream.
    target_length : int
        Bases that the initialisation ``"long"`` spans.
    span, probes : int
        Largest distance at which influence is measured, and number of predictions.
    held_out : int
        Largest number of held-out bases to score.
    threads, device, seed
        As in the other experiments.
    """

    fasta: str
    inits: Sequence[str] = ("mamba", "long")
    layers: int = 2
    width: int = 32
    bases: int = 1_000_000
    tile: int = 512
    target_length: int = 131_072
    span: int = 16_384
    probes: int = 8
    held_out: int = 200_000
    threads: int = 0
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", str(resolve_device(self.device)))
        if not self.inits:
            raise UsageError("initialisation needs at least one of the initialisations")
        for init in self.inits:
            self.training(init, False)

    def training(self, init: str, frozen: bool) -> Training:
        """Return the training options, equal for all but what is compared."""
        return Training(
            d_model=self.width,
            n_layer=self.layers,
            streams=8,
            tile_length=self.tile,
            bases=self.bases,
            init=init,
            target_length=self.target_length,
            freeze_recurrent=frozen,
            seed=self.seed,
        )


def rows(settings: Settings, scratch: Path) -> Iterator[dict[str, Any]]:
    """Train and measure every variant."""
    facts = {
        "fasta": Path(settings.fasta).name,
        "bases": settings.bases,
        "layers": settings.layers,
        "width": settings.width,
        "span": settings.span,
        "machine": machine.describe(settings.device, ("torch", "numba")),
    }
    with decode_fasta(settings.fasta, scratch / "codes") as genome:
        yield from (row | facts for row in _rows(settings, genome))


def _rows(settings: Settings, genome: Genome) -> Iterator[dict[str, Any]]:
    contig = genome.contigs[0]
    start = int(contig.length * (1 - HELD_OUT))
    if contig.length - start < 2 or contig.length <= settings.span:
        raise SequenceError(
            f"{settings.fasta}: {contig.name} has {contig.length} bases, too few for probes that "
            f"look back over {settings.span}"
        )
    hole = Interval(contig.name, start, contig.length)
    scored = Interval(contig.name, start, min(contig.length, start + settings.held_out))
    for init in settings.inits:
        for frozen in (False, True):
            training = settings.training(init, frozen)
            before = new_model(training).to(settings.device).requires_grad_(False)
            after = train({genome: 1.0}, {genome: [hole]}, training, device=settings.device)
            for when, model in (("before", before), ("after", after)):
                bits = sum(bits_per_base(model, genome, scored)) / 2
                yield {
                    "init": init,
                    "frozen": frozen,
                    "when": when,
                    "bits_per_base": bits,
                    **_time_constants(model),
                    **_context(settings, model),
                }
            log.info("%s, frozen %s: %.4f bits per base", init, frozen, bits)


def _time_constants(model: CausalMamba) -> dict[str, float]:
    """Bases in which the slowest state of a channel falls to 1/e, at the step size of its bias."""
    slowest = torch.cat(
        [
            1 / (softplus(m.dt_proj.bias) * m.A_log.exp().min(dim=1).values)
            for m in (block.mixer for block in model.layers)
        ]
    )
    return {"tau_median": slowest.median().item(), "tau_max": slowest.max().item()}


def _context(settings: Settings, model: CausalMamba) -> dict[str, float]:
    """Measure how far back predictions on the sequence look."""
    options = MemorySettings(
        measure=("influence",),
        drives=("real",),
        span=settings.span,
        probes=settings.probes,
        seed=settings.seed,
    )
    (influence,) = measure(settings.fasta, model, options).influences
    return {
        "ecl_0.5": influence.reach(0.5),
        "ecl_0.9": influence.reach(0.9),
        "mean_distance": influence.mean_distance,
    }
