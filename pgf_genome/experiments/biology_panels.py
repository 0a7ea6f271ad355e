"""The rows of ``experiment biology``: a panel per question, an estimate per row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np

from pgf_genome.experiments.gene_snvs import (
    KINDS,
    MISSENSE,
    STOP_GAINED,
    SYNONYMOUS,
    Snvs,
    substitutions,
)
from pgf_genome.experiments.genes import Annotation, Gene, is_whole
from pgf_genome.experiments.resampling import (
    Estimate,
    Sample,
    auroc,
    cohens_d,
    correlation,
    difference,
    mean,
    weights_of,
)
from pgf_genome.intervals import Interval
from pgf_genome.sequence import BASES

NATS, BITS, NONE = "nats", "bits", ""
UNITS = {"contribution": NATS, "sensitivity": NATS, "surprisal": BITS}
FLANK = 50
# Offsets from the first base of the start codon (Shine and Dalgarno 1974, PNAS 71:1342).
SITES = {"Shine-Dalgarno": range(-12, -5), "start codon": range(3)}
FLANKS = (*range(-FLANK, -20), *range(12, FLANK + 1))
QUANTILES = {"5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95}
FIRST_ORDER, EXACT = "first order", "exact"
COMPARED = {"stop-gained": STOP_GAINED, "missense": MISSENSE}


class Sizes(NamedTuple):
    """Size of the uniform part of the sample, number of resamples of the genes, and seed."""

    uniform: int
    resamples: int
    seed: int


@dataclass(frozen=True, eq=False)
class Scored:
    """A stretch of a contig with its tracks and genes; positions count from its start.

    Attributes
    ----------
    interval : Interval
    codes : ndarray of uint8, (L,)
    tracks : mapping of str to ndarray, (L,)
    genes : tuple of Gene
        Those that lie wholly inside and read from start to stop codon.
    owner : ndarray of int, (L,)
        Gene of every base that is in one CDS of the annotation and no other, else -1.
    genic : ndarray of bool, (L,)
        Whether any gene, RNA genes included, is annotated there.
    """

    interval: Interval
    codes: np.ndarray
    tracks: Mapping[str, np.ndarray]
    genes: tuple[Gene, ...]
    owner: np.ndarray
    genic: np.ndarray

    @classmethod
    def of(
        cls,
        interval: Interval,
        codes: np.ndarray,
        tracks: Mapping[str, np.ndarray],
        annotation: Annotation,
    ) -> Self:
        """Find the genes of an annotation that lie in a stretch."""
        length = len(codes)
        genes: list[Gene] = []
        covered, owner = np.zeros(length, np.int64), np.full(length, -1)
        genic = np.zeros(length, bool)
        for other in (each for each in annotation.genic if each.contig == interval.contig):
            genic[max(other.start - interval.start, 0) : max(other.stop - interval.start, 0)] = True
        for gene in (each for each in annotation.genes if each.contig == interval.contig):
            here = gene.positions - interval.start
            inside = (here >= 0) & (here < length)
            np.add.at(covered, here[inside], 1)
            shifted = replace(gene, positions=here)
            if inside.all() and is_whole(shifted, codes):
                owner[here] = len(genes)
                genes.append(shifted)
        owner[covered != 1] = -1
        return cls(interval, codes, tracks, tuple(genes), owner, genic)

    @cached_property
    def place(self) -> np.ndarray:
        """Place of every base in its codon, (L,): 0, 1 or 2; -1 outside genes."""
        place = np.full(len(self.codes), -1)
        for gene in self.genes:
            place[gene.positions] = np.arange(len(gene.positions)) % 3
        return np.where(self.owner >= 0, place, -1)

    def substitutions(self) -> Snvs:
        """Return all substitutions of bases that are in one gene only."""
        parts = [substitutions(gene, self.codes, i) for i, gene in enumerate(self.genes)]
        joined = Snvs.joined(parts)
        return joined.at(self.owner[joined.position] >= 0)

    def first_order(self, snvs: Snvs) -> np.ndarray:
        """Compute the effects on F by the gradient, (n,)."""
        tism = np.stack([self.tracks[f"tism.{base}"] for base in BASES])
        return tism[snvs.alt, snvs.position].astype(np.float64)

    def bases(self, track: str, position: np.ndarray, gene: np.ndarray) -> Sample:
        """Return values of a track, each with the gene it counts for."""
        return Sample(self.tracks[track][position], gene)


def panels(
    scored: Scored,
    snvs: Snvs,
    chosen: np.ndarray,
    effects: Mapping[str, np.ndarray],
    sizes: Sizes,
) -> Iterator[dict[str, Any]]:
    """Yield every row of the table, panel by panel.

    Parameters
    ----------
    snvs : Snvs
        All substitutions.
    chosen : ndarray of int, (n,)
        Indices of the substitutions that were run; the first ``sizes.uniform`` were drawn
        uniformly.
    effects : mapping of str to ndarray, (n,)
        Their effects, in every way in which they were computed, `EXACT` among them.
    """
    rng = np.random.default_rng(sizes.seed)
    weights = weights_of(len(scored.genes), sizes.resamples, rng)
    yield from codon_rows(scored, weights)
    yield from start_rows(scored, weights)
    yield from between_rows(scored, weights, rng)
    first = scored.first_order(snvs)
    yield from kind_rows("first order", FIRST_ORDER, first, snvs, weights)
    third = scored.place[snvs.position] == 2
    yield from kind_rows("third positions", FIRST_ORDER, first[third], snvs.at(third), weights)
    yield from exact_rows(snvs.at(chosen), first[chosen], effects, weights, sizes.uniform)
    yield from single_rows(scored, snvs.at(chosen), first[chosen], effects)


def _row(
    panel: str, group: str, quantity: str, statistic: str, estimate: Estimate, unit: str,
    position: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "panel": panel,
        "group": group,
        "position": position,
        "quantity": quantity,
        "statistic": statistic,
        **estimate._asdict(),
        "unit": unit,
    }


def codon_rows(scored: Scored, weights: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yield means by codon position, and each position against the two others."""
    at = [np.flatnonzero(scored.place == k) for k in range(3)]
    for track, unit in UNITS.items():
        for k in range(3):
            elsewhere = np.concatenate([at[other] for other in range(3) if other != k])
            here, others = (
                scored.bases(track, which, scored.owner[which]) for which in (at[k], elsewhere)
            )
            name = f"position {k + 1}"
            yield _row("codon", name, track, "mean", mean(here, weights), unit, k + 1)
            d = cohens_d(here, others, weights)
            yield _row("codon", name, track, "Cohen's d, others", d, NONE, k + 1)


def start_rows(scored: Scored, weights: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yield profiles around start codons, and their sites against the flanks."""
    around = np.arange(-FLANK, FLANK + 1)
    sign = np.array([1 if gene.strand == "+" else -1 for gene in scored.genes])
    first = np.array([gene.positions[0] for gene in scored.genes])
    position = first[:, None] + sign[:, None] * around  # (genes, offsets)
    inside = ((position >= 0) & (position < len(scored.codes))).all(axis=1)
    unit_of = np.flatnonzero(inside)

    def at(track: str, offsets: Any) -> Sample:
        chosen = position[inside][:, np.array(offsets) + FLANK]
        return scored.bases(track, chosen.ravel(), np.repeat(unit_of, chosen.shape[1]))

    for track, unit in UNITS.items():
        for offset in around.tolist():
            estimate = mean(at(track, [offset]), weights)
            yield _row("start", "profile", track, "mean", estimate, unit, offset)
        flanks = at(track, FLANKS)
        yield _row("start", "flanks", track, "mean", mean(flanks, weights), unit)
        for name, offsets in SITES.items():
            site = at(track, list(offsets))
            yield _row("start", name, track, "mean", mean(site, weights), unit)
            d = cohens_d(site, flanks, weights)
            yield _row("start", name, track, "Cohen's d, flanks", d, NONE)


def between_rows(
    scored: Scored, weights: np.ndarray, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """Yield the surprisal in genes and between them; stretches between are resampled like genes."""
    free = ~scored.genic
    run = np.cumsum(np.diff(free, prepend=False) & free) - 1
    runs, genes = int(run.max(initial=-1)) + 1, weights.shape[1]
    if runs == 0:
        return
    both = np.concatenate([weights, weights_of(runs, len(weights) - 1, rng)], axis=1)
    inside, outside = np.flatnonzero(scored.owner >= 0), np.flatnonzero(free)
    groups = {
        "in genes": scored.bases("surprisal", inside, scored.owner[inside]),
        "between genes": scored.bases("surprisal", outside, genes + run[outside]),
    }
    for name, sample in groups.items():
        yield _row("between", name, "surprisal", "mean", mean(sample, both), BITS)
        count, total, _ = sample.moments(np.eye(genes + runs)).T
        yield from _quantiles("between", name, "surprisal", total[count > 0] / count[count > 0])
    in_genes, between = groups.values()
    d = cohens_d(in_genes, between, both)
    yield _row("between", "in genes", "surprisal", "Cohen's d, between genes", d, NONE)
    less = difference(in_genes, between, both)
    yield _row("between", "in genes", "surprisal", "difference, between genes", less, BITS)


def kind_rows(
    panel: str, quantity: str, effect: np.ndarray, snvs: Snvs, weights: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Yield effects by kind, and how well they distinguish two kinds from synonymous ones."""
    samples = [Sample(effect[snvs.kind == k], snvs.gene[snvs.kind == k]) for k in range(len(KINDS))]
    for name, sample in zip(KINDS, samples, strict=True):
        if len(sample.values):
            yield _row(panel, name, quantity, "mean", mean(sample, weights), NATS)
            yield from _quantiles(panel, name, quantity, sample.values)
    for name, kind in COMPARED.items():
        if len(samples[kind].values) and len(samples[SYNONYMOUS].values):
            pair = samples[kind], samples[SYNONYMOUS]
            area, d = auroc(*pair, weights), cohens_d(*pair, weights)
            yield _row(panel, name, quantity, "AUROC, synonymous", area, NONE)
            yield _row(panel, name, quantity, "Cohen's d, synonymous", d, NONE)


def exact_rows(
    snvs: Snvs,
    first: np.ndarray,
    effects: Mapping[str, np.ndarray],
    weights: np.ndarray,
    uniform: int,
) -> Iterator[dict[str, Any]]:
    """Yield effects of the drawn substitutions, and how well others follow the exact ones."""
    for quantity, effect in {**effects, FIRST_ORDER: first}.items():
        yield from kind_rows("exact", quantity, effect, snvs, weights)
    drawn = np.arange(len(snvs)) < uniform
    groups = {"all": drawn} | {KINDS[k]: snvs.kind == k for k in (SYNONYMOUS, *COMPARED.values())}
    for group, mask in groups.items():
        if mask.sum() < 3:
            continue
        exact, unit = effects[EXACT][mask], snvs.gene[mask]
        stand_ins = {name: effect for name, effect in effects.items() if name != EXACT}
        for quantity, effect in {FIRST_ORDER: first, **stand_ins}.items():
            for method in ("pearson", "spearman"):
                r = correlation(effect[mask], exact, unit, weights, method)
                yield _row("exact", group, quantity, method.capitalize(), r, NONE)


def single_rows(
    scored: Scored, snvs: Snvs, first: np.ndarray, effects: Mapping[str, np.ndarray]
) -> Iterator[dict[str, Any]]:
    """Yield the drawn substitutions one by one; their positions are 1-based, as in VCF."""
    for i in range(len(snvs)):
        position = int(snvs.position[i])
        change = f"{BASES[scored.codes[position]]}>{BASES[snvs.alt[i]]}"
        for quantity, value in ((FIRST_ORDER, first[i]), (EXACT, effects[EXACT][i])):
            estimate = Estimate(float(value), np.nan, np.nan, 1)
            at = scored.interval.start + position + 1
            yield _row("single", KINDS[snvs.kind[i]], quantity, change, estimate, NATS, at)


def _quantiles(
    panel: str, group: str, quantity: str, values: np.ndarray
) -> Iterator[dict[str, Any]]:
    unit = UNITS.get(quantity, NATS)
    for name, q in QUANTILES.items():
        estimate = Estimate(float(np.quantile(values, q)), np.nan, np.nan, len(values))
        yield _row(panel, group, quantity, name, estimate, unit)
