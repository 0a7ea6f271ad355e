"""Stems of tRNAs in dependency maps: pairs of bases that should act on each other.

As in the benchmark of Tomaz da Silva et al. 2025 (Nature Genetics): a map is made symmetric by the
larger of both directions, its diagonal band is left out, and the values of its lower triangle are
to tell the pairs of the stems from all others. The stems are those of ``cloverleaf.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pgf_genome.alphabet import BASES
from pgf_genome.checkpoints.choices import DEFAULT_MODEL
from pgf_genome.checkpoints.load import load_model, resolve_device
from pgf_genome.effects.definitions import DEFINITIONS
from pgf_genome.effects.dependency import Approach, region_map
from pgf_genome.effects.depmap.regions import Approached
from pgf_genome.engine.running import require_causal
from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.experiments import machine
from pgf_genome.experiments.cloverleaf import Pairing, stems
from pgf_genome.experiments.resampling import Sample, auroc, average_precision, weights_of
from pgf_genome.intervals import Interval
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.sequence import Genome, complement, decode_fasta
from pgf_genome.sequence.annotation import check_within
from pgf_genome.sequence.gff import read_genic

# Pairs of bases no farther apart than this are left out.
BAND = 4
GAP_LENGTH = 10_000
KINDS = ("tRNA", "tRNA_gene")
# Hydrogen bonds of a pair; G.T counts 1.
BONDS = {"GC": 3, "CG": 3, "AT": 2, "TA": 2, "GT": 1, "TG": 1}
METHODS = {"exact": False, "first-order": True}
STATISTICS = {"AUROC": auroc, "AUPRC": average_precision}
QUICK: Mapping[str, Any] = {"genes": 4, "resamples": 20}

log = logging.getLogger("pgf_genome")


@dataclass(frozen=True)
class Settings:
    """Options of the experiment.

    Attributes
    ----------
    fasta, gff : str
        A genome and its tRNA genes.
    model : str
        Bundled name, checkpoint directory or hub id of a causal model.
    genes : int
        tRNA genes at most, from the first of the genome.
    resamples : int
        Resamples of the genes, for the confidence intervals.
    threads : int
        0 is all cores.
    device : str
        ``"cpu"``, ``"cuda[:INDEX]"`` or ``"auto"``.
    seed : int
        Seed of the resamples.
    """

    fasta: str
    gff: str
    model: str = DEFAULT_MODEL
    genes: int = 1000
    resamples: int = 200
    threads: int = 0
    device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", str(resolve_device(self.device)))
        for name, bound in {"genes": 2, "resamples": 2, "threads": 0}.items():
            if getattr(self, name) < bound:
                raise UsageError(f"--{name} must be at least {bound}, not {getattr(self, name)}")


class Trna(NamedTuple):
    """A tRNA gene.

    Attributes
    ----------
    region : Interval
    letters : str
        Its sequence on the plus strand.
    pairs : sequence of Pairing
        Pairs of its stems, by places on the plus strand.
    """

    region: Interval
    letters: str
    pairs: Sequence[Pairing]


def rows(settings: Settings, scratch: Path) -> Iterator[dict[str, Any]]:
    """Compare maps, and what needs no model, by how well they tell the pairs of the stems.

    Raises
    ------
    UsageError, SequenceError, ModelError
        Among others if the model is not causal, or the file names no tRNA.
    """
    model = require_causal(load_model(settings.model, settings.device), "trna")
    with decode_fasta(settings.fasta, scratch / "codes") as genome:
        named = list(annotated(settings.gff, genome))
        folded = [t for t in named if t.pairs][: settings.genes]
        log.info("%d tRNA genes, of which %d are used", len(named), len(folded))
        if len(folded) < 2:
            raise SequenceError(
                f"{settings.gff}: {len(named)} tRNA genes, of which {len(folded)} are "
                "cloverleaves; give the annotation of a genome with at least two"
            )
        scores = scored(model, genome, folded, scratch)
    shared = {
        "model": model.name,
        "digest": model.digest[:12],
        "annotated": len(named),
        "genes": len(folded),
        "distinct": len({t.letters for t in folded}),
        "paired": sum(len(t.pairs) for t in folded),
        "device": settings.device,
        "seed": settings.seed,
        "machine": machine.describe(settings.device, ("torch", "numba")),
    }
    rng = np.random.default_rng(settings.seed)
    weights = weights_of(len(folded), settings.resamples, rng)
    of_gene, is_pair = labels(folded)
    for (method, definition), values in scores.items():
        lower, higher = (Sample(values[is_pair == k], of_gene[is_pair == k]) for k in (0, 1))
        for statistic, estimate in STATISTICS.items():
            found = estimate(lower, higher, weights)
            yield {
                "method": method,
                "definition": definition,
                "statistic": statistic,
                "value": found.value,
                "low": found.low,
                "high": found.high,
                "chance": 0.5 if statistic == "AUROC" else float(is_pair.mean()),
                "cells": len(values),
                **shared,
            }


def annotated(gff: str, genome: Genome) -> Iterator[Trna]:
    """Read the tRNA genes of a file, in the order of the genome; those with N have no pairs."""
    found = set()
    for feature in read_genic(gff):
        if feature.kind in KINDS and feature.contig in genome.lengths:
            check_within(gff, feature, genome.lengths[feature.contig])
            found.add((feature.contig, feature.start, feature.stop, feature.strand))
    rank = {name: i for i, name in enumerate(genome.lengths)}
    for contig, start, stop, strand in sorted(found, key=lambda f: (rank[f[0]], f[1:])):
        codes = genome.codes(contig, start, stop)
        letters = _letters(codes)
        gene = letters if strand == "+" else _letters(complement(codes)[::-1])
        last = stop - start - 1
        pairs = stems(gene)
        if strand == "-":
            pairs = [Pairing(last - pair.second, last - pair.first) for pair in pairs]
        yield Trna(Interval(contig, start, stop), letters, pairs)


def _letters(codes: np.ndarray) -> str:
    return "".join(f"{BASES}N"[code] for code in codes)


def cells_of(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the cells that count, in the lower triangle."""
    return np.tril_indices(length, -BAND - 1)


def labels(genes: Sequence[Trna]) -> tuple[np.ndarray, np.ndarray]:
    """Gene of every cell, and whether its bases are a pair of a stem; gene by gene."""
    of_gene, is_pair = [], []
    for k, gene in enumerate(genes):
        i, j = cells_of(len(gene.letters))
        paired = np.zeros((len(gene.letters), len(gene.letters)), np.int64)
        first, second = np.array(gene.pairs).T
        paired[second, first] = 1
        of_gene.append(np.full(len(i), k))
        is_pair.append(paired[i, j])
    return np.concatenate(of_gene), np.concatenate(is_pair)


def scored(
    model: CausalMamba, genome: Genome, genes: Sequence[Trna], scratch: Path
) -> dict[tuple[str, str], np.ndarray]:
    """Compute the value of every cell of every gene, by method and definition."""
    places = {gene.region: k for k, gene in enumerate(genes)}
    found: dict[tuple[str, str], list[np.ndarray]] = {}

    def put(method: str, definition: str, k: int, cells: np.ndarray) -> None:
        i, j = cells_of(len(cells))
        parts = found.setdefault((method, definition), [np.empty(0)] * len(genes))
        parts[k] = np.maximum(cells, cells.T)[i, j]

    regions = list(places)
    for region, came in Approached(model, genome, regions, "both", GAP_LENGTH, scratch):
        k = places[region]
        for method in METHODS:
            for definition, cells in _maps(model, came, METHODS[method]).items():
                put(method, definition, k, cells)
        log.info("maps of %s, %d of %d", region, k + 1, len(genes))
        for name, cells in _baselines(genes[k].letters).items():
            put(name, "", k, cells)
    return {key: np.concatenate(parts) for key, parts in found.items()}


def _maps(model: CausalMamba, came: Sequence[Approach], first_order: bool) -> dict[str, np.ndarray]:
    """The map of a region by every definition, from one computation."""
    odds = region_map(model, came, DEFINITIONS["logodds-max"], first_order, keep_blocks=True)
    blocks = odds.blocks
    assert blocks is not None
    others = ("jacobian-inf", "frobenius-apc")
    return {"logodds-max": odds.cells} | {
        name: DEFINITIONS[name].of_blocks(blocks) for name in others
    }


def _baselines(letters: str) -> dict[str, np.ndarray]:
    """Cells that no model has seen: bonds that two bases would have, and how near they are."""
    place = np.arange(len(letters))
    bonds = np.array([[BONDS.get(a + b, 0) for b in letters] for a in letters], np.float64)
    return {"complementarity": bonds, "nearness": -np.abs(place[:, None] - place).astype(float)}
