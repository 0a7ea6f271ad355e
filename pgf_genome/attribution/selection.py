"""The bases to write, the sequence that the model sees around them, and the objective."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgf_genome.attribution.options import OBJECTIVES
from pgf_genome.attribution.task import Segment
from pgf_genome.engine.objective import (
    Entropy,
    Logit,
    Objective,
    PseudoLikelihood,
    Span,
    SquaredNorm,
)
from pgf_genome.engine.running import running_of
from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.intervals import (
    Interval,
    Stranded,
    merge,
    overlaps,
    parse_region,
    read_bed,
    read_stranded_bed,
    unknown_contig,
)
from pgf_genome.mamba.model import LanguageModel
from pgf_genome.sequence import BASES, Genome, segments


def _by_contig(intervals: Iterable[Interval]) -> dict[str, tuple[Span, ...]]:
    """Merged spans by contig."""
    spans: dict[str, list[Span]] = {}
    for interval in merge(intervals):
        spans.setdefault(interval.contig, []).append((interval.start, interval.stop))
    return {contig: tuple(sorted(pairs)) for contig, pairs in spans.items()}


@dataclass(frozen=True)
class Selection:
    """The parts of a genome that are asked for; spans are merged, 0-based half-open, by contig.

    Attributes
    ----------
    write : dict
        Spans that get rows, on the contigs that are read.
    targets : dict or None
        Spans that count in the objective; None if every base does.
    regions : tuple of Stranded
        Regions and intervals of BED files as they were given, in their order.
    """

    write: dict[str, tuple[Span, ...]]
    targets: dict[str, tuple[Span, ...]] | None
    regions: tuple[Stranded, ...] = ()


def select(
    lengths: Mapping[str, int],
    regions: Sequence[str] = (),
    beds: Sequence[str | Path] = (),
    contigs: Sequence[str] = (),
    targets: Sequence[str | Path] = (),
) -> Selection:
    """Resolve regions (samtools style), BED files, contig names and targets (region or BED).

    With targets, only the contigs that hold one are read.

    Raises
    ------
    SequenceError
        If a name, region or interval does not fit the contigs.
    UsageError
        If no target lies on a contig to be written.
    """
    for name in contigs:
        if name not in lengths:
            raise unknown_contig(name, lengths, "`contig`")
    everything = () if regions or beds or contigs else lengths
    given = [Stranded(parse_region(text, lengths)) for text in regions]
    for bed in beds:
        given += read_stranded_bed(bed, lengths)
    whole = [Interval(name, 0, lengths[name]) for name in (*contigs, *everything)]
    write = _by_contig([*whole, *(each.interval for each in given)])
    if not targets:
        return Selection(write, None, tuple(given))
    aims = _by_contig(interval for aim in targets for interval in _target(aim, lengths))
    write = {name: spans for name, spans in write.items() if name in aims}
    if not write:
        raise UsageError("no `target` lies on a contig that is to be written")
    return Selection(write, aims, tuple(given))


def _target(aim: str | Path, lengths: Mapping[str, int]) -> list[Interval]:
    """Read a target: a BED file that exists, or a region."""
    text = os.fspath(aim)
    if text not in lengths and Path(text).is_file():
        return read_bed(text, lengths)
    try:
        return [parse_region(text, lengths)]
    except SequenceError as error:
        raise SequenceError(f"`target`: {text!r} is no BED file, and as a {error}") from None


def segments_to_run(
    genome: Genome, spans: dict[str, tuple[Span, ...]], gap_length: int, context: int | None
) -> list[Segment]:
    """Cut the contigs into the segments to compute, in FASTA order.

    Parameters
    ----------
    gap_length : int
        A run of N of at least this length ends a segment.
    context : int, optional
        Bases that the model sees on each side of a span; the whole segment if None.
    """
    found = []
    for contig in genome.contigs:
        wanted = spans.get(contig.name, ())
        pieces = segments(genome, contig.name, gap_length) if wanted else []
        for start, stop in pieces:
            inside = tuple(overlaps(wanted, start, stop))
            if context is None and inside:
                found.append(Segment(contig.name, start, stop, inside))
            elif context is not None:
                found += [
                    Segment(
                        contig.name, *_overlap((a - context, b + context), start, stop), ((a, b),)
                    )
                    for a, b in inside
                ]
    return found


def _overlap(span: Span, start: int, stop: int) -> Span:
    return max(span[0], start), min(span[1], stop)


def objective_of(
    spec: str | Objective, positions: tuple[Span, ...] | None, model: LanguageModel
) -> Objective:
    """Return the objective that an ``--objective`` value names; a callable is returned as it is.

    Raises
    ------
    UsageError
        For an unknown name or base, positions for a callable, or an objective that does not suit
        this kind of model.
    """
    running = running_of(model)
    if not isinstance(spec, str):
        if positions is not None:
            raise UsageError("targets go into the objective itself when it is a Python object")
        running.check(spec)
        return spec
    name, _, base = spec.partition(":")
    kinds = {
        "likelihood": running.likelihood,
        "pseudo-likelihood": PseudoLikelihood,
        "entropy": Entropy,
        "norm": SquaredNorm,
    }
    if name == "logit" and base in tuple(BASES):
        row = model.vocabulary.base_ids[BASES.index(base)]
        objective: Objective = Logit(row, positions=positions)
    elif base or name not in kinds:
        raise UsageError(f"`objective` {spec}: choose from {', '.join(OBJECTIVES)}")
    else:
        objective = kinds[name](positions=positions)
    running.check(objective)
    return objective


def identity_of(objective: Objective) -> str | None:
    """The text that tells an objective from every other one, if it has one."""
    return getattr(objective, "identity", None)


def objective_text(objective: Objective) -> str:
    """Name a callable: its identity if it has one, else the name of its kind."""
    kind = getattr(objective, "__qualname__", type(objective).__qualname__)
    return str(identity_of(objective) or kind)


def objective_name(spec: str | Objective, model: LanguageModel) -> str:
    """Return the name of an objective in outputs."""
    if not isinstance(spec, str):
        return objective_text(spec)
    return running_of(model).likelihood_name if spec == "likelihood" else spec


def on_strands(objective: Objective, strands: str, length: int) -> tuple[Objective, ...]:
    """Return the objective in the coordinates of each strand; a plain callable is not mirrored."""
    mirror = getattr(objective, "on_minus_strand", lambda _: objective)
    return tuple(objective if strand == "+" else mirror(length) for strand in strands)
