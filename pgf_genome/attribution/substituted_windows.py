"""Scores of a segment under a bidirectional model by changed sequences, each in its own window."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor

from pgf_genome.attribution.place import Place
from pgf_genome.attribution.task import Progress, Task
from pgf_genome.effects.changes import Tokens
from pgf_genome.effects.windowed import of_bases
from pgf_genome.engine.objective import counted_from
from pgf_genome.engine.spool import RecordFile
from pgf_genome.engine.threads import side_by_side
from pgf_genome.intervals import overlaps
from pgf_genome.mamba.bidirectional import BidirectionalMamba

# Windows that are run for a base: the sequence itself, and three with another base.
WINDOWS = 4


def fill(task: Task, scores: RecordFile, place: Place, progress: Progress) -> Tensor:
    """Fill ``scores`` with effects; a killed run keeps the pieces that were done.

    Returns
    -------
    Tensor, (strands,) float64
        NaN: windows overlap, so that there is no F of the segment.
    """
    for k in task.pieces:
        side_by_side(partial(_piece, task, scores, k), range(len(task.strands)), task.threads)
        progress(task.work_on(k))
    return torch.full((len(task.objectives),), torch.nan, dtype=torch.float64)


def _piece(task: Task, scores: RecordFile, k: int, b: int) -> None:
    """Effects at the bases of a piece that are to be written, on one strand."""
    by_base, log_p = task.blank_scores(k)
    if scores.read(task.record(b, k), [by_base, log_p]) is not None:
        return
    model, strand = cast(BidirectionalMamba, task.model), task.strands[b]
    tokens = Tokens(
        lambda start, stop: model.vocabulary.encode(strand.codes(start, stop)),
        task.segment.length,
        model.vocabulary,
    )
    objective = counted_from(task.objectives[b], strand.origin)
    start, stop = task.plan.bounds(k)
    by_base[:], log_p[:] = torch.nan, torch.nan
    for span in overlaps(sorted(map(strand.of_contig, task.segment.write)), start, stop):
        values = of_bases(model, objective, task.layout.at_once, tokens, span)
        by_base[span[0] - start : span[1] - start] = torch.from_numpy(values)
    scores.write(task.record(b, k), [by_base, log_p])
