"""The files of a finished run: tracks, sizes, report and ``run.json``."""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pgf_genome import __version__
from pgf_genome.attribution.fit import FitMeter
from pgf_genome.attribution.integrated import Completeness
from pgf_genome.attribution.methods import EFFECTS, TRACKS, method_of, runs_again
from pgf_genome.attribution.options import VARYING
from pgf_genome.attribution.prepare import Prepared, strands_in_words
from pgf_genome.attribution.regions import ARRAYS, write_arrays
from pgf_genome.attribution.sampling import effect_error
from pgf_genome.attribution.segment import Result, Results
from pgf_genome.attribution.selection import objective_name, objective_text
from pgf_genome.attribution.shuffled import shuffled_quantiles
from pgf_genome.attribution.table import write_table
from pgf_genome.engine.running import running_of
from pgf_genome.files import sha256_of
from pgf_genome.intervals import Interval
from pgf_genome.process import peak_memory
from pgf_genome.report import Gathered, Gathering, write_report
from pgf_genome.report.heatmap import Substituted, write_heat_maps
from pgf_genome.report.peaks import letters
from pgf_genome.report.quantiles import SHUFFLED
from pgf_genome.report.tables import write_tables
from pgf_genome.runs.fit import UNKNOWN, Fit
from pgf_genome.runs.record import Bases, Contig, Fasta, Halo, HaloLocus, Performance, Record
from pgf_genome.runs.run import Run
from pgf_genome.runs.storing import published, record_path, write_record
from pgf_genome.sequence.parts import Places
from pgf_genome.tracks import TrackFormat, write_chrom_sizes
from pgf_genome.tracks.cutting import cut

if TYPE_CHECKING:
    from pgf_genome.attribution.options import Certifies

# Bases of a region whose effects are drawn as a heat map, at most, and regions that are.
MAPPED, MAPS = 2000, 20

log = logging.getLogger("pgf_genome")


def write_outputs(
    plan: Prepared,
    results: Results,
    prefix: Path,
    fasta: str,
    started: float,
    certify: Certifies | None = None,
) -> Run:
    """Write all outputs of a run, which take the places of those of an earlier run together.

    Files of the earlier run that this one does not replace are removed.
    """
    with published(prefix, TRACKS) as new:
        record = _write_files(plan, results, new, fasta, started, certify)
    return Run(prefix, record)


def _write_files(
    plan: Prepared,
    results: Results,
    prefix: Path,
    fasta: str,
    started: float,
    certify: Certifies | None,
) -> Record:
    """Write the outputs under a prefix, the record last."""
    files, gathered, fit = _write_tracks(plan, results, prefix)
    checksums = {kind: sha256_of(path) for kind, path in files.items()}
    files["chrom.sizes"] = Path(f"{prefix}.chrom.sizes")
    write_chrom_sizes(files["chrom.sizes"], plan.genome.lengths)
    error = effect_error(plan)
    record = replace(_record(plan, results, fasta, started), fit=fit)
    shuffled = shuffled_quantiles(plan, results.folder)
    quantiles = {
        track: {**groups, **({SHUFFLED: shuffled[track]} if track in shuffled else {})}
        for track, groups in gathered.quantiles.items()
    }
    record = replace(record, quantiles=quantiles)
    if fit is not None:
        log.info("fit of the model: %s", fit)
        if not fit.knows:
            log.warning("%s", UNKNOWN)
    if record.gap is not None:
        log.info("%s", record.gap)
    if error is not None:
        log.info("%s", error)
        record = replace(record, effect_errors=(error,))
    if plan.options.tsv:
        files["tsv"] = Path(f"{prefix}.tsv.gz")
        rows = _pieces(plan, results)
        write_table(files["tsv"], plan.options.track_names, rows, plan.genome)
    if plan.options.arrays:
        files["npz"] = Path(f"{prefix}.npz")
        hypothetical = _pieces(plan, results, hypothetical=True)
        write_arrays(files["npz"], plan.regions, hypothetical, plan.genome, results.folder)
    if certify is not None:
        record = _certified(plan, results, prefix, replace(record, files=_names(files)), certify)
    places = None if plan.annotation is None else Places(plan.annotation.parts)

    def values_in(windows: Sequence[Interval]) -> list[np.ndarray]:
        return cut(windows, _pieces(plan, results), len(plan.options.track_names))

    files |= write_tables(prefix, gathered, values_in, places)
    if plan.options.report:
        files["report"] = Path(f"{prefix}.report.html")
        write_report(
            files["report"],
            record,
            gathered,
            values_in,
            plan.genome.codes,
            places=places,
            plotly=plan.options.plotly,
        )
        files |= _heat_maps(plan, results, prefix, record)
    files["run"] = record_path(prefix)
    record = replace(
        record,
        performance=_performance(plan, started),
        files=_names(files),
        checksums=checksums,
    )
    write_record(prefix, record)
    return record


def _names(files: Mapping[str, Path]) -> dict[str, str]:
    return {kind: path.name for kind, path in files.items()}


def _certified(
    plan: Prepared, results: Results, prefix: Path, record: Record, certify: Certifies
) -> Record:
    log.info("verifying the run at places drawn from it")
    certificate = certify(plan, Run(prefix, record), results.folder)
    log.info("certificate: %s", certificate)
    return replace(record, certificate=certificate)


def _heat_maps(
    plan: Prepared, results: Iterable[Result], prefix: Path, record: Record
) -> dict[str, Path]:
    """Write heat maps of short regions, if there are effects of all four bases."""
    names = plan.options.track_names
    written = [
        Interval(segment.contig, *span) for segment in plan.segments for span in segment.write
    ]
    short = [each for each in written if each.length <= MAPPED]
    if not short or not set(EFFECTS) <= set(names):
        return {}
    if len(short) > MAPS:
        log.info("heat maps are drawn of the first %d of %d short regions", MAPS, len(short))
    drawn = []
    values = cut(short[:MAPS], _pieces(plan, results), len(names))
    for window, each in zip(short[:MAPS], values, strict=True):
        sequence = letters(plan.genome.codes, window.contig, window.start, window.stop)
        effects = each[[names.index(name) for name in EFFECTS]]
        drawn.append(Substituted(window, sequence, effects, plan.genes_in(window)))
    return write_heat_maps(prefix, record, drawn)


def _write_tracks(
    plan: Prepared, results: Iterable[Result], prefix: Path
) -> tuple[dict[str, Path], Gathered, Fit | None]:
    """Stream the values of all segments once, into every writer, the report and the fit."""
    options, tracks = plan.options, plan.options.track_names
    files: dict[str, Path] = {}
    formats = options.track_formats
    # what predicts a base from its window, itself included, is not to be compared with a mixture
    meter = FitMeter(plan.genome) if running_of(plan.model).streams else None
    gathering = Gathering(
        plan.genome.lengths,
        tracks,
        plan.targets,
        plan.spans,
        plan.genome,
        options.keep_edges,
        None if plan.annotation is None else plan.annotation.parts,
    )
    with ExitStack() as stack:
        takers: list[list[Any]] = []  # consumers of every track
        for track in tracks:
            about = plan.descriptions[track].meaning
            takers.append(gathering.takers(track))
            if formats:
                form = TrackFormat(formats, options.compress, options.track_line, options.bins)
                opened, writers = form.open(stack, prefix, track, plan.genome.lengths, about)
                files |= opened
                takers[-1] += writers
            if track == "surprisal" and meter is not None:
                takers[-1].append(meter)
        for contig, start, table in _pieces(plan, results):
            for row, consumers in zip(table, takers, strict=True):
                for consumer in consumers:
                    consumer.add(contig, start, row)
    return files, gathering.result(), None if meter is None else meter.result()


def _pieces(
    plan: Prepared, results: Iterable[Result], hypothetical: bool = False
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield contig, start and values of all scored bases, in FASTA order.

    Values are those of tracks, (tracks, n), or hypothetical contributions, (4, n), kept after them.
    """
    tracks = len(plan.options.track_names)
    rows = slice(tracks, None) if hypothetical else slice(tracks)
    for result in results:
        for start, table in result.tracks():
            yield result.task.segment.contig, start, table[rows]


def _performance(plan: Prepared, started: float) -> Performance:
    seconds = time.monotonic() - started
    bases = plan.bases * len(plan.strands)
    return Performance(
        seconds=round(seconds, 3),
        bases_per_second=round(bases / seconds, 1),
        peak_memory_bytes=peak_memory(),
        threads=plan.threads,
        device=str(plan.model.device),
    )


def _record(plan: Prepared, results: Iterable[Result], fasta: str, started: float) -> Record:
    """The record of the run so far, without files."""
    options, model, name = plan.options, plan.model, Path(fasta).name
    layout = plan.layout.settings()
    has_halos = "halo" in layout and not runs_again(plan.method)
    return Record(
        title=options.title or f"{method_of(options.method).title} of {name}",
        version=__version__,
        model={
            "name": model.name,
            "sha256": model.digest,
            **model.origin,
            "parameters": sum(p.numel() for p in model.parameters()),
            "tokens": str(model.vocabulary),
            "dtype": str(model.precision).removeprefix("torch."),
        },
        fasta=Fasta(name, plan.genome.digest, None if fasta == "-" else os.path.abspath(fasta)),
        objective=objective_name(options.objective, model),
        strand=options.strand,
        tile_length=layout.get("tile_length"),
        halo=Halo(**layout, loci=_halo_loci(results)) if has_halos else None,
        bases=Bases(plan.written, plan.bases),
        context=plan.context,
        conventions={
            "coordinates": "0-based half-open in bedGraph and bigWig",
            "not_scored": "N, gaps and what nothing predicts have no row",
            "strands": strands_in_words(plan.strands, model),
            **{track: str(text) for track, text in plan.descriptions.items()},
            **({"npz": ARRAYS} if options.arrays else {}),
        },
        tracks=plan.descriptions,
        arguments={
            each.name: _plain(getattr(options, each.name))
            for each in fields(options)
            if each.name not in ("resume", "scratch_dir", "threads")
        },
        varying=VARYING,
        contigs=tuple(_contigs(plan, results)),
        performance=_performance(plan, started),
    )


def _contigs(plan: Prepared, results: Iterable[Result]) -> Iterator[Contig]:
    segments = Counter(segment.contig for segment in plan.segments)
    values: dict[str, float] = {}
    sums: dict[str, list[Completeness]] = {}
    for result in results:
        contig = result.task.segment.contig
        values[contig] = values.get(contig, 0.0) + result.value
        if result.completeness is not None:
            sums.setdefault(contig, []).append(result.completeness)
    values = {contig: value for contig, value in values.items() if not isnan(value)}
    for each in plan.genome.contigs:
        spans = plan.spans[each.name]
        yield Contig(
            contig=each.name,
            length=each.length,
            segments=segments[each.name],
            objective=values.get(each.name),
            attributed=sum(s.attributed for s in sums[each.name]) if each.name in sums else None,
            baseline=sum(s.baseline for s in sums[each.name]) if each.name in sums else None,
            sha256=each.digest,
            fasta_contig=plan.old_names.get(each.name),
            targets=None if plan.targets is None else tuple(plan.targets.get(each.name, ())),
            written=None if spans == ((0, each.length),) else spans,
        )


def _halo_loci(results: Iterable[Result]) -> tuple[HaloLocus, ...]:
    """The places at which the halo was doubled, and how much that changed."""
    return tuple(
        HaloLocus(result.task.segment.contig, **error._asdict())
        for result in results
        for error in result.halo_errors
    )


def _plain(value: Any) -> Any:
    """Turn a value into one that JSON can hold."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if callable(value):
        return objective_text(value)
    return value if isinstance(value, int | str | None) else str(value)
