"""The outputs of ``impulse``: tracks, the table of the furthest responses, page and summary."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pgf_genome import __version__
from pgf_genome.effects.pulses.page import page
from pgf_genome.effects.pulses.result import SIDES, Impulses
from pgf_genome.effects.pulses.trace import TRACKS, Trace
from pgf_genome.files import atomic_write_text
from pgf_genome.process import peak_memory
from pgf_genome.tracks import TrackFormat
from pgf_genome.tracks.formats import FILES

# ends of the names of all that a run may write
OUTPUTS = rf"(?:{'|'.join(TRACKS)})\..+-\d+-[ACGT]-[ACGT]{FILES}"


def write_outputs(result: Impulses, prefix: Path, started: float) -> None:
    """Write everything under a prefix.

    Parameters
    ----------
    started : float
        Of ``time.monotonic``.
    """
    files = _write_tracks(result, prefix)
    table, drawn = Path(f"{prefix}.impulse.tsv"), Path(f"{prefix}.impulse.html")
    atomic_write_text(table, "".join("\t".join(row) + "\n" for row in result.rows()))
    atomic_write_text(drawn, page(result))
    files |= {"furthest": table, "page": drawn}
    performance = {
        "seconds": round(time.monotonic() - started, 3),
        "peak_memory_bytes": peak_memory(),
        "device": str(result.model.device),
    }
    found = facts(result) | {
        "files": {name: path.name for name, path in files.items()},
        "performance": performance,
    }
    atomic_write_text(Path(f"{prefix}.impulse.json"), json.dumps(found, indent=2) + "\n")


def _write_tracks(result: Impulses, prefix: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    form = TrackFormat(result.options.formats, result.options.compress)
    for change in dict.fromkeys(trace.change for trace in result.traces):
        traces = [trace for trace in result.traces if trace.change == change]
        for track in TRACKS:
            with ExitStack() as stack:
                name = f"{track}.{change.name}"
                opened, writers = form.open(stack, prefix, name, result.genome.lengths)
                files |= opened
                for trace in traces:
                    for start, values in trace.pieces(track):
                        for writer in writers:
                            writer.add(change.site.contig, start, values)
    return files


def facts(result: Impulses) -> dict[str, Any]:
    """Collect everything that was found in plain values for JSON."""
    options = {k: v for k, v in asdict(result.options).items() if k != "scratch_dir"}
    return {
        "version": __version__,
        "fasta": {"name": result.fasta, "sha256_of_bases": result.genome.digest},
        "model": {
            "name": result.model.name,
            "sha256": result.model.digest,
            "dtype": result.rounding.dtype,
        },
        "arguments": options,
        "conventions": {
            "sites": "1-based",
            "impulse": f"norm of the change of log p over A, C, G, T, in {result.unit}",
            "change": f"change of log p of the observed base, in {result.unit}",
            "not_scored": "N, the site itself and what does not respond have no row",
            "strands": "+ responds downstream of a site, - upstream; both in plus coordinates",
        },
        "noise": {
            **asdict(result.rounding),
            "floor": result.rounding.floor,
            "meaning": "errors of predictions against float64, nats; the floor is twice the "
            "largest, the most by which rounding alone sets two predictions apart",
        },
        "impulses": [_trace_facts(trace) for trace in result.traces],
    }


def _trace_facts(trace: Trace) -> dict[str, Any]:
    profile = trace.profile
    return {
        "site": str(trace.change.site),
        "strand": trace.strand.sign,
        "side": SIDES[trace.strand.sign],
        "segment": f"{trace.strand.contig}:{trace.strand.start + 1}-{trace.strand.stop}",
        "above_floor": profile.above,
        "furthest_above_floor": profile.furthest and profile.furthest._asdict(),
        "bins": [each._asdict() | {"largest": each.largest._asdict()} for each in profile.bins],
    }
