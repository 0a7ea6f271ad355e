"""A finished run on disk without a model: synthetic scores, real files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from pgf_genome.runs.record import Bases, Contig, Fasta, Performance, Record, Track
from pgf_genome.runs.storing import write_record
from pgf_genome.tracks import TrackFormat, write_chrom_sizes

LENGTHS = {"c1": 3000, "c2": 500}
FORMATS = {
    "contribution": ("bedgraph", "bigwig"),
    "sensitivity": ("bedgraph",),
    "surprisal": ("bigwig",),
}
# of the largest contribution, 0-based
PEAK = ("c1", 2000)


def record(lengths: Mapping[str, int], names: Sequence[str] = (), **changed: Any) -> Record:
    """The record of a run with tracks of some names; `changed` are fields of it."""
    fields = {
        "title": "Sensitivity of in.fa",
        "version": "1.0",
        "model": {"name": "m", "sha256": "12ab"},
        "fasta": Fasta("in.fa", sha256_of_bases="".join(lengths)),
        "objective": "likelihood",
        "strand": "both",
        "bases": Bases(sum(lengths.values()), sum(lengths.values())),
        "context": "whole segments",
        "conventions": {},
        "tracks": {name: Track(name.capitalize(), "nats", f"what {name} is") for name in names},
        "arguments": {"bed": list(lengths), "method": "corrected", "target": []},
        "varying": ("bed", "formats", "compress"),
        "contigs": tuple(Contig(name, n, 1, float(-n)) for name, n in lengths.items()),
        "performance": Performance(2.0, 100.0, 10 * len(lengths), 1, "cpu"),
    }
    return Record(**(fields | changed))


def scores(track: str, contig: str) -> np.ndarray:
    """(length,) float32, NaN at every hundredth base and over the first ten."""
    rng = np.random.default_rng([*track.encode(), *contig.encode()])
    values = rng.standard_normal(LENGTHS[contig]).astype(np.float32)
    if track != "contribution":
        values = np.abs(values)
    values[::100] = values[:10] = np.nan
    if contig == PEAK[0]:
        values[PEAK[1]] = 9
    return values


def sequence(contig: str) -> str:
    """The contig's bases."""
    rng = np.random.default_rng([*contig.encode()])
    return "".join(rng.choice(list("ACGT"), LENGTHS[contig]))


def write_fasta(path: Path, contigs: Sequence[str] = tuple(LENGTHS)) -> Path:
    """A FASTA with lines of 60 bases."""
    lines = []
    for contig in contigs:
        bases = sequence(contig)
        lines += [f">{contig} synthetic", *(bases[i : i + 60] for i in range(0, len(bases), 60))]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_run(
    folder: Path,
    name: str = "run",
    fasta: Path | None = None,
    formats: Mapping[str, Sequence[str]] = FORMATS,
    renamed: Mapping[str, str] | None = None,
    compress: bool = True,
) -> Path:
    """Write tracks, sizes and run.json; returns the prefix.

    `renamed` gives names of contigs in the tracks that differ from those in the FASTA.
    """
    prefix, files = folder / name, {}
    names = {contig: (renamed or {}).get(contig, contig) for contig in LENGTHS}
    sizes = {names[contig]: length for contig, length in LENGTHS.items()}
    for track, kinds in formats.items():
        with ExitStack() as stack:
            opened, takers = TrackFormat(kinds, compress).open(stack, prefix, track, sizes)
            for contig in LENGTHS:
                for taker in takers:
                    taker.add(names[contig], 0, scores(track, contig))
        files |= {kind: path.name for kind, path in opened.items()}
    write_chrom_sizes(f"{prefix}.chrom.sizes", sizes)
    names_in_fasta = {names[contig]: contig for contig in LENGTHS}
    facts = record(
        sizes,
        fasta=Fasta("in.fa", path=None if fasta is None else str(fasta)),
        contigs=tuple(
            Contig(name, length, 1, None, fasta_contig=names_in_fasta[name])
            for name, length in sizes.items()
        ),
        tracks={
            name: Track(name.capitalize(), "nats", "signed <letter> & height") for name in formats
        },
        files=files | {"run": f"{name}.run.json"},
    )
    write_record(prefix, facts)
    return prefix
