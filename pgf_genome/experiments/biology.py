"""Tests of what a model knows of genes: codons, start sites, substitutions, first order."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pgf_genome.attribution.methods import GRADIENT_TRACKS
from pgf_genome.attribution.place import Place
from pgf_genome.attribution.segment import result_of, run_segment
from pgf_genome.attribution.task import Segment, Task
from pgf_genome.attribution.task import Settings as TaskSettings
from pgf_genome.checkpoints.choices import DEFAULT_MODEL
from pgf_genome.checkpoints.load import load_model, resolve_device
from pgf_genome.effects.variants import variant_effects
from pgf_genome.engine.objective import Likelihood
from pgf_genome.engine.plan import TILE_LENGTH
from pgf_genome.engine.running import require_causal, running_of
from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.experiments import machine
from pgf_genome.experiments.biology_panels import EXACT, Scored, Sizes, panels
from pgf_genome.experiments.gene_snvs import Snvs
from pgf_genome.experiments.genes import Annotation, read_annotation
from pgf_genome.intervals import Interval, parse_region
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.sequence import Genome, decode_fasta

# The bundled model was not trained on this contig from this position on, says its model card.
HELD_OUT = ("NC_000913.3", 4_000_000)
# Effects are also computed with so many bases run again.
NEAR = (4, 16)
PACKAGES = ("torch", "numba")
QUICK: Mapping[str, Any] = {
    "bases": 12_000,
    "snvs": 20,
    "per_kind": 4,
    "horizon": 512,
    "resamples": 50,
}

log = logging.getLogger("pgf_genome")


@dataclass(frozen=True)
class Settings:
    """Options of the experiment.

    Attributes
    ----------
    fasta, gff : str
        A genome and its genes.
    model : str
        Bundled name, checkpoint directory or hub id of a causal model.
    region : str, optional
        Samtools region. If None, the part of *E. coli* K-12 that the bundled model was not trained
        on, or for other models and genomes the first contig.
    bases : int
        Largest number of bases, from the start of the region.
    snvs : int
        Substitutions, drawn uniformly, whose exact effect is computed.
    per_kind : int
        More substitutions are drawn until so many are synonymous, missense and stop-gained.
    horizon : int
        Bases that are run again for an effect that counts as exact; what little follows is
        first-order in the state.
    resamples : int
        Resamples of the genes, for the confidence intervals.
    threads : int
        0 is all cores.
    device : str
        ``"cpu"``, ``"cuda[:INDEX]"`` or ``"auto"``.
    seed : int
        Seed of all draws.
    """

    fasta: str
    gff: str
    model: str = DEFAULT_MODEL
    region: str | None = None
    bases: int = 300_000
    snvs: int = 600
    per_kind: int = 150
    horizon: int = 1024
    resamples: int = 200
    threads: int = 0
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", str(resolve_device(self.device)))
        least = {"bases": 1, "snvs": 3, "per_kind": 0, "horizon": 1, "resamples": 2, "threads": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} must be at least {bound}, not {getattr(self, name)}")

    def interval(self, lengths: Mapping[str, int]) -> Interval:
        """Return the stretch to examine, in a genome whose contigs have these lengths."""
        contig, first = HELD_OUT
        known = self.model == DEFAULT_MODEL and lengths.get(contig, 0) > first
        default = f"{{{contig}}}:{first + 1}-" if known else next(iter(lengths))
        region = parse_region(self.region or default, lengths)
        return replace(region, stop=min(region.stop, region.start + self.bases))


def rows(settings: Settings, scratch: Path) -> Iterator[dict[str, Any]]:
    """Measure what the model knows of the genes of a stretch, panel by panel.

    Raises
    ------
    UsageError, SequenceError, ModelError
        Among others if the model is not causal, or no gene lies within the stretch.
    """
    model = require_causal(load_model(settings.model, settings.device), "biology")
    with decode_fasta(settings.fasta, scratch / "codes") as genome:
        annotation = read_annotation(settings.gff, genome.lengths)
        interval = settings.interval(genome.lengths)
        scored = score(model, genome, interval, annotation, scratch)
    log.info("%s: %d whole genes", interval, len(scored.genes))
    if not scored.genes:
        raise SequenceError(
            f"{settings.gff}: no whole gene lies within {interval}; choose another region, or more "
            "of it"
        )
    snvs = scored.substitutions()
    rng = np.random.default_rng(settings.seed)
    chosen = _drawn(snvs, settings, rng)
    effects = effects_of(model, scored.codes, snvs.at(chosen), settings.horizon)
    sizes = Sizes(min(settings.snvs, len(chosen)), settings.resamples, settings.seed)
    shared = {
        "model": model.name,
        "digest": model.digest[:12],
        "contig": interval.contig,
        "start": interval.start,
        "stop": interval.stop,
        "unseen": _is_unseen(settings.model, interval),
        "genes": len(scored.genes),
        "device": settings.device,
        "threads": settings.threads or machine.usable_cores(),
        "seed": settings.seed,
        "machine": machine.describe(settings.device, PACKAGES),
    }
    yield from (row | shared for row in panels(scored, snvs, chosen, effects, sizes))


def score(
    model: CausalMamba,
    genome: Genome,
    interval: Interval,
    annotation: Annotation,
    scratch: Path,
) -> Scored:
    """Compute the tracks of a stretch by itself, mean of both strands, and find its genes."""
    span = (interval.start, interval.stop)
    segment = Segment(interval.contig, *span, write=(span,))
    layout = running_of(model).layout(batch=2, tile=TILE_LENGTH)
    settings = TaskSettings("+-", GRADIENT_TRACKS, "corrected", **layout.settings())
    task = Task(model, genome, segment, (Likelihood(), Likelihood()), settings, layout)
    log.info("gradient of both strands of %s", interval)
    place = Place(scratch, "biology")
    run_segment(task, place, lambda bases: None)
    pieces = result_of(task, place).tracks()
    values = np.concatenate([piece for _, piece in pieces], axis=1)
    codes = genome.codes(interval.contig, *span)
    return Scored.of(interval, codes, dict(zip(GRADIENT_TRACKS, values, strict=True)), annotation)


def effects_of(
    model: CausalMamba, codes: np.ndarray, snvs: Snvs, horizon: int
) -> dict[str, np.ndarray]:
    """Compute effects on the likelihood of a stretch, mean of its strands, in every way.

    Parameters
    ----------
    codes : ndarray of uint8, (L,)
        The stretch; on each strand the model starts from its blank state.

    Returns
    -------
    dict of str to ndarray, (n,)
        By name: `EXACT`, and ``near W`` for each of `NEAR`.
    """
    ids, variants = model.vocabulary.encode(codes), snvs.variants(codes)
    found = {}
    for name, near in {EXACT: horizon, **{f"near {near}": near for near in NEAR}}.items():
        log.info("effects of %s substitutions, %s", f"{len(variants):,}", name)
        found[name] = variant_effects(model, ids, variants, near)
    return found


def _is_unseen(model: str, interval: Interval) -> bool:
    """Return whether the model is known not to have been trained on a stretch."""
    contig, first = HELD_OUT
    return model == DEFAULT_MODEL and interval.contig == contig and interval.start >= first


def _drawn(snvs: Snvs, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Draw indices uniformly, and after these more until every kind has enough."""
    order = rng.permutation(len(snvs))
    chosen = order[: settings.snvs]
    for kind in range(3):
        more = order[settings.snvs :][snvs.kind[order[settings.snvs :]] == kind]
        lacking = max(settings.per_kind - int((snvs.kind[chosen] == kind).sum()), 0)
        chosen = np.concatenate([chosen, more[:lacking]])
    return chosen
