"""The files of a finished run: tracks, sizes, report and ``run.json``."""

from __future__ import annotations

import json
import os
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from pgf_genome import __version__
from pgf_genome.attribution.methods import strands_in_words
from pgf_genome.attribution.prepare import Prepared
from pgf_genome.attribution.replacing import remove_left_over, withdraw
from pgf_genome.attribution.segment import Result
from pgf_genome.attribution.selection import objective_name, objective_text
from pgf_genome.files import atomic_write_text
from pgf_genome.report import Gathered, Gathering, cut, write_report
from pgf_genome.tracks import TrackFormat, write_chrom_sizes


@dataclass(frozen=True)
class Attribution:
    """Outputs of a run.

    Attributes
    ----------
    files : dict of str to Path
        Outputs by kind: ``sensitivity.bedgraph``, ``sensitivity.bigwig``, ``run``, ..
    run : dict
        Content of ``run.json``.
    """

    files: dict[str, Path]
    run: dict[str, Any]


def write_outputs(
    plan: Prepared,
    results: list[Result],
    prefix: Path,
    fasta: str,
    started: float,
) -> Attribution:
    """Write all outputs of a run; no file appears under its name before it is whole.

    The run.json of an earlier run of the same prefix is removed first and ours is written last, so
    that no run.json ever lies beside files of another run. Files of the earlier run that this one
    does not replace are removed.
    """
    withdraw(prefix)
    files, gathered = _write_tracks(plan, results, prefix)
    files["chrom.sizes"] = Path(f"{prefix}.chrom.sizes")
    write_chrom_sizes(files["chrom.sizes"], plan.genome.lengths)
    run = _facts(plan, results, fasta)
    if plan.options.report:
        files["report"] = Path(f"{prefix}.report.html")
        tracks = len(plan.options.tracks)
        write_report(
            files["report"],
            run,
            gathered,
            lambda windows: cut(windows, _pieces(results), tracks),
            plan.genome.codes,
        )
    files["run"] = Path(f"{prefix}.run.json")
    run["fasta"]["path"] = None if fasta == "-" else os.path.abspath(fasta)
    run |= {"performance": _performance(plan, started)}
    run |= {"files": {kind: path.name for kind, path in files.items()}}
    remove_left_over(prefix, files.values())
    atomic_write_text(files["run"], json.dumps(run, indent=2) + "\n")
    return Attribution(files, run)


def _write_tracks(
    plan: Prepared, results: list[Result], prefix: Path
) -> tuple[dict[str, Path], Gathered]:
    """Stream the values of all segments once, into every writer and the report."""
    options, tracks = plan.options, plan.options.tracks
    files: dict[str, Path] = {}
    form = TrackFormat(options.formats, options.compress, options.track_line, options.bins)
    gathering = Gathering(plan.genome.lengths, tracks, plan.targets)
    with ExitStack() as stack:
        takers = []
        for track in tracks:
            about = plan.descriptions[track].meaning
            opened, writers = form.open(stack, prefix, track, plan.genome.lengths, about)
            files |= opened
            takers.append([*gathering.takers(track), *writers])
        for contig, start, table in _pieces(results):
            for row, consumers in zip(table, takers, strict=True):
                for consumer in consumers:
                    consumer.add(contig, start, row)
    return files, gathering.result()


def _pieces(results: list[Result]) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yield contig, start and values (tracks, n) of all scored bases, in FASTA order."""
    for result in results:
        for start, table in result.tracks():
            yield result.task.segment.contig, start, table


def _performance(plan: Prepared, started: float) -> dict[str, Any]:
    seconds = time.monotonic() - started
    bases = plan.bases * len(plan.strands)
    return {
        "seconds": round(seconds, 3),
        "bases_per_second": round(bases / seconds, 1),
        "peak_memory_bytes": peak_memory(),
        "threads": plan.threads,
        "device": str(plan.model.device),
    }


def _facts(plan: Prepared, results: list[Result], fasta: str) -> dict[str, Any]:
    """The content of ``run.json``, without performance and files."""
    options, model = plan.options, plan.model
    segments = Counter(segment.contig for segment in plan.segments)
    values: dict[str, float] = {}
    for result in results:
        contig = result.task.segment.contig
        values[contig] = values.get(contig, 0.0) + result.value
    arguments = {
        f.name: _plain(getattr(options, f.name))
        for f in fields(options)
        if f.name not in ("resume", "scratch_dir", "threads")
    }
    return {
        "title": f"Sensitivity of {Path(fasta).name}",
        "version": __version__,
        "model": {
            "name": model.name,
            "sha256": model.digest,
            **model.origin,
            "parameters": sum(p.numel() for p in model.parameters()),
            "tokens": str(model.vocabulary),
            "dtype": str(model.precision).removeprefix("torch."),
        },
        "fasta": {"name": Path(fasta).name, "sha256_of_bases": plan.genome.digest},
        "objective": objective_name(options.objective, model),
        "strand": options.strand,
        **plan.layout.facts(_halo_loci(results)),
        "bases": {"written": plan.written, "read": plan.bases},
        "context": plan.context,
        "conventions": {
            "coordinates": "0-based half-open in bedGraph and bigWig",
            "not_scored": "N, gaps and what nothing predicts have no row",
            "strands": strands_in_words(plan.strands, model),
            **{track: str(text) for track, text in plan.descriptions.items()},
        },
        "tracks": {track: asdict(text) for track, text in plan.descriptions.items()},
        "arguments": arguments,
        "contigs": [
            {
                "contig": contig.name,
                **plan.old_name(contig.name),
                "length": contig.length,
                "sha256": contig.digest,
                "segments": segments[contig.name],
                "objective": values.get(contig.name),
                **({} if plan.targets is None else {"targets": plan.targets.get(contig.name, ())}),
            }
            for contig in plan.genome.contigs
        ],
    }


def _halo_loci(results: list[Result]) -> list[dict[str, Any]]:
    """The places at which the halo was doubled, and how much that changed."""
    return [
        {"contig": result.task.segment.contig, **error._asdict()}
        for result in results
        for error in result.halo_errors
    ]


def _plain(value: Any) -> Any:
    """Turn a value into one that JSON can hold."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if callable(value):
        return objective_text(value)
    return value if isinstance(value, int | str | None) else str(value)


def peak_memory() -> int:
    """Return the largest resident memory of this program so far, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss on Linux begins with the memory of the parent before exec, so read VmHWM.
        high_water = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        if high_water:
            return int(high_water[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
