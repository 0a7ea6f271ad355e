"""The command ``impulse``: changes of a FASTA in; tracks, table, page and summary out."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from torch import Tensor

from pgf_genome.effects.impulse import (
    Pulse,
    Response,
    require_predictions,
    responses,
    substitution,
)
from pgf_genome.effects.pulses.changes import Change, changes_of
from pgf_genome.effects.pulses.outputs import OUTPUTS, write_outputs
from pgf_genome.effects.pulses.result import Impulses
from pgf_genome.effects.pulses.rounding import Rounding, rounding
from pgf_genome.effects.pulses.settings import Options
from pgf_genome.effects.pulses.trace import Trace
from pgf_genome.engine.equations import Reader
from pgf_genome.engine.running import require_causal
from pgf_genome.errors import IntegrityError
from pgf_genome.files import require_folder
from pgf_genome.mamba.model import CausalMamba, LanguageModel
from pgf_genome.sequence import N_CODE, Genome, Strand, decode_fasta
from pgf_genome.workspace import claimed, together

log = logging.getLogger("pgf_genome")

# takes the bases done since the last call, and those in all
Progress = Callable[[int, int], object]


def run(
    fasta: str | os.PathLike[str],
    model: LanguageModel,
    prefix: str | os.PathLike[str],
    options: Options,
    threads: int | None = None,
    progress: Progress = lambda done, total: None,
) -> list[str]:
    """Write the responses to some changes, each from its position to the end of its segment.

    Parameters
    ----------
    fasta : path-like
        Plain, gzip or bgzip; ``"-"`` is standard input.
    model : CausalMamba
    prefix : path-like
        Prefix of the outputs, in a folder that is there.
    options : Options
    threads : int, optional
        Threads in all; torch's count if None.
    progress : callable

    Returns
    -------
    list of str
        What was found, in a line for each change and strand.

    Raises
    ------
    UsageError
        If the model is bidirectional or has no head.
    SequenceError
        If the FASTA cannot be read, or a site does not go with it.
    IntegrityError
        If a prediction is not finite.
    ResourceError
        If an output cannot be written.

    Notes
    -----
    Memory is that of a tile, whatever the length. Scratch disk: one byte per base of the contigs
    that are named, and for each change 8 bytes per position that responds.
    """
    started, sites = time.monotonic(), options.sites
    causal = require_causal(model, "impulse")
    require_predictions(causal)
    folder = Path(options.scratch_dir or Path(prefix).parent)
    require_folder(folder, "scratch_dir")
    with (
        claimed(prefix),
        tempfile.TemporaryDirectory(prefix="pgf-", dir=folder) as scratch,
        decode_fasta(fasta, Path(scratch) / "codes", {site.contig for site in sites}) as genome,
        ExitStack() as stack,
    ):
        changes = changes_of(genome, sites, options.gap_length)
        noise = _noise(causal, genome, changes[0], threads)
        log.debug("noise floor %.3g nats, from %s", noise.floor, noise)
        traces = [
            Trace(change, _strand(genome, change, sign), noise.floor, Path(scratch), stack)
            for change in changes
            for sign in options.signs
        ]
        _Sweeps(causal, options, threads, progress).run(traces)
        result = Impulses(os.path.basename(fasta), genome, causal, options, noise, traces)
        with together(Path(prefix), "impulse.json", OUTPUTS) as new:
            write_outputs(result, new, started)
    return list(result.lines())


def _strand(genome: Genome, change: Change, sign: str) -> Strand:
    return Strand(genome, change.site.contig, *change.segment, sign)


def _noise(model: CausalMamba, genome: Genome, change: Change, threads: int | None) -> Rounding:
    """Measure the floor around the first change, on the plus strand."""
    strand = _strand(genome, change, "+")
    length, position = strand.stop - strand.start, change.site.position - strand.start
    return rounding(model, _reader(model, strand), length, position, threads)


def _reader(
    model: CausalMamba, strand: Strand, seen: Callable[[int], object] = lambda bases: None
) -> Reader:
    """Make a reader of a strand, which tells how many bases it reads."""

    def read(start: int, stop: int) -> Tensor:
        seen(stop - start)
        return model.one_hot(model.vocabulary.encode(strand.codes(start, stop)[None]))

    return read


@dataclass(frozen=True)
class _Sweeps:
    """Fills traces, those of one strand of one segment in one sweep."""

    model: CausalMamba
    options: Options
    threads: int | None
    progress: Progress

    def run(self, traces: Iterable[Trace]) -> None:
        def strand_of(trace: Trace) -> tuple:
            return trace.strand.contig, trace.strand.start, trace.strand.sign

        groups = [list(group) for _, group in groupby(sorted(traces, key=strand_of), strand_of)]
        total = sum(group[0].strand.stop - group[0].strand.start for group in groups)
        for group in groups:
            self._fill(group, total)

    def _fill(self, traces: Sequence[Trace], total: int) -> None:
        strand, ids = traces[0].strand, self.model.vocabulary.base_ids
        read = _reader(self.model, strand, lambda bases: self.progress(bases, total))
        length = strand.stop - strand.start
        pulses = [
            Pulse(trace.position, substitution(self.model, *(ids[code] for code in trace.codes)))
            for trace in traces
        ]
        tiles = responses(
            self.model, read, length, pulses, self.options.kind, self.options.tile, self.threads
        )
        for tile in tiles:
            first, last = tile.start + 1, min(tile.start + 1 + len(tile.log_probs), length)
            values = _values(tile, ids, strand, (first, last))
            for trace, rows in zip(traces, values, strict=True):
                trace.add(first, rows)


def _values(
    tile: Response, columns: Sequence[int], strand: Strand, span: tuple[int, int]
) -> np.ndarray:
    """Compute the tracks (pulses, tracks, n) at some positions; NaN where the base is N."""
    changes = tile.changes[:, : span[1] - span[0], list(columns)].double().cpu().numpy()
    if not np.isfinite(changes).all():
        place = strand.in_contig(span)
        raise IntegrityError(
            f"{strand.contig}:{place[0] + 1}-{place[1]}: a prediction is not finite; the model "
            "overflows here, try float64"
        )
    codes = strand.codes(*span)
    observed = np.minimum(codes, N_CODE - 1)[None, :, None]
    at_base = np.take_along_axis(changes, observed.astype(np.int64), axis=2)[..., 0]
    values = np.stack([np.linalg.norm(changes, axis=2), at_base], axis=1)
    values[:, :, codes == N_CODE] = np.nan
    return values
