"""What values are on shuffled sequence: the yardstick for those of a run.

A few stretches of the sequence are shuffled so that every dinucleotide stays as frequent as it is,
and are run with the settings of the run. Composition is the same; genes, motifs and repeats are
not there. The stretches are drawn by a generator seeded with the digest of the sequence.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from pgf_genome.attribution.options import FORMATS
from pgf_genome.attribution.prepare import Prepared, planned
from pgf_genome.attribution.segment import run_segments
from pgf_genome.attribution.selection import select
from pgf_genome.report.quantiles import Spread
from pgf_genome.runs.record import Quantiles
from pgf_genome.sequence import N_CODE, store_codes
from pgf_genome.sequence.shuffle import dinucleotide_shuffle

log = logging.getLogger("pgf_genome")

# Part of the written bases that is shuffled by default, most of them and least, and bases of one
# stretch at least where there are several.
SHARE, MOST, LEAST, STRETCH = 0.02, 131_072, 512, 8192
STRETCHES = 4
# Bases at either end of a stretch that have too little context to count, at most.
TRIMMED = 128


def bases_to_shuffle(plan: Prepared) -> int:
    """How many bases are shuffled; 0 where the objective is not that of any sequence."""
    if plan.targets is not None or not isinstance(plan.options.objective, str):
        return 0
    if plan.options.shuffled is not None:
        return plan.options.shuffled
    bases = min(int(SHARE * plan.written), MOST)
    return bases if bases >= LEAST else 0


def shuffled_quantiles(plan: Prepared, folder: Path) -> dict[str, Quantiles]:
    """Find the quantiles of every track on shuffled sequence; none if nothing is shuffled.

    Parameters
    ----------
    plan : Prepared
    folder : Path
        That of the run, where this is kept too: a killed run goes on with it.

    Notes
    -----
    Time is that of as many bases of the run.
    """
    drawn = _stretches(plan)
    if drawn:
        log.info(
            "running %s bases of shuffled sequence, to compare with", f"{sum(map(len, drawn)):,}"
        )
    sizes = {f"shuffled{i}": len(codes) for i, codes in enumerate(drawn)}
    spreads = {track: Spread(sizes) for track in plan.options.track_names}
    options = replace(
        plan.options,
        region=(),
        bed=(),
        contig=(),
        context=None,
        formats=FORMATS,
        threads=plan.threads,
    )
    for name, codes in zip(sizes, drawn, strict=True):
        with store_codes(codes, folder / name, name) as genome:
            chosen = select(genome.lengths)
            each = planned(plan.model, genome, options, plan.layout, chosen, {})
            place = folder / each.identity[:24]
            place.mkdir(exist_ok=True)
            edge = min(TRIMMED, len(codes) // 4)
            for result in run_segments(each, place, lambda bases: None):
                for start, table in result.tracks():
                    at = start + np.arange(table.shape[1])
                    table[:, (at < edge) | (at >= len(codes) - edge)] = np.nan
                    for spread, row in zip(spreads.values(), table, strict=True):
                        spread.add(name, start, row)
    found = {track: spread.result() for track, spread in spreads.items()}
    return {track: groups["all"] for track, groups in found.items() if groups}


def _stretches(plan: Prepared) -> list[np.ndarray]:
    """Draw stretches and shuffle them; N is left out."""
    bases = bases_to_shuffle(plan)
    count = min(max(bases // STRETCH, 1), STRETCHES)
    random = np.random.default_rng(int(plan.genome.digest[:16], 16))
    weights = np.array([segment.length for segment in plan.segments], np.float64)
    drawn = []
    for _ in range(count if bases and len(weights) else 0):
        segment = plan.segments[int(random.choice(len(weights), p=weights / weights.sum()))]
        length = min(bases // count, segment.length)
        start = segment.start + int(random.integers(segment.length - length + 1))
        codes = plan.genome.codes(segment.contig, start, start + length)
        if len(codes := codes[codes != N_CODE]) > 1:
            drawn.append(dinucleotide_shuffle(codes, random))
    return drawn
