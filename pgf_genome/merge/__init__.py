"""Join finished runs over different contigs of one genome into the files of one run over all.

``attribute`` may run on several machines, on some of the contigs each. Values are read from the
bigWig files, which hold every float32 exactly, and pass through the writers of `pgf_genome.tracks`;
so the tracks are, byte for byte, those of a run over all the contigs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.files import atomic_write_text, naming
from pgf_genome.merge.facts import joined_facts
from pgf_genome.merge.part import Part, read_lengths
from pgf_genome.tracks import (
    BedGraphWriter,
    BigWigWriter,
    Summary,
    TrackSummary,
    TrackWriter,
    write_chrom_sizes,
)

FORMATS = ("bedgraph", "bigwig")
SUFFIXES = {"chrom.sizes": "chrom.sizes", "statistics": "statistics.json", "run": "run.json"}


def merge(
    prefixes: Sequence[str | os.PathLike[str]],
    out_prefix: str | os.PathLike[str],
    chrom_sizes: str | os.PathLike[str] | None = None,
    formats: Sequence[str] = FORMATS,
    compress: bool = True,
) -> dict[str, Path]:
    """Join finished runs over different contigs of one genome.

    Parameters
    ----------
    prefixes : sequence of path-like
        Prefixes of the runs; every run needs its ``run.json`` and its bigWig files.
    out_prefix : path-like
        Prefix of the result.
    chrom_sizes : path-like, optional
        A ``.chrom.sizes`` or ``.fai`` file, whose order is that of the contigs in the result (FASTA
        order). Without it the order is that of ``prefixes``, and within each that of its run.
    formats : sequence of str
        Any of ``bedgraph`` and ``bigwig``.
    compress : bool
        Whether bedGraph is bgzip with an index.

    Returns
    -------
    dict of str to Path
        Outputs by kind, as in `Attribution`; ``statistics`` is a JSON file with the
        count, extremes, mean and peaks (0-based) of every track.

    Raises
    ------
    UsageError
        If a run is missing, or the runs differ in model, sequence, objective or an option, or a
        contig is in two of them.
    SequenceError
        If ``chrom_sizes`` cannot be read or does not have the contigs.
    IntegrityError
        If a bigWig file is damaged or not that of its run.
    ResourceError
        If the outputs cannot be written.

    Notes
    -----
    Memory does not depend on the number or length of the contigs, except for the few dozen bytes
    per 8,192 positions that the writers keep.
    """
    prefix = Path(out_prefix)
    parts = [Part.read(each) for each in prefixes]
    _check(parts, prefix, formats)
    owners = _owners(parts)
    order = list(owners) if chrom_sizes is None else _ordered(owners, chrom_sizes)
    facts = joined_facts(parts, order)
    sizes = {name: owners[name].lengths[name] for name in order}
    with naming(prefix.parent):
        prefix.parent.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    statistics: dict[str, Any] = {}
    for track in parts[0].tracks:
        kinds = {kind: _path(prefix, track, kind, compress) for kind in formats}
        with ExitStack() as stack:
            writers = [
                stack.enter_context(_writer(kind, path, sizes, compress))
                for kind, path in kinds.items()
            ]
            statistics[track] = _short(_copy(track, owners, sizes, writers))
        files |= {f"{track}.{kind}": path for kind, path in kinds.items()}
    files |= {kind: Path(f"{prefix}.{suffix}") for kind, suffix in SUFFIXES.items()}
    write_chrom_sizes(files["chrom.sizes"], sizes)
    _write_json(files["statistics"], statistics)
    facts["arguments"] |= {"formats": list(dict.fromkeys(formats)), "compress": compress}
    _write_json(files["run"], facts | {"files": {kind: path.name for kind, path in files.items()}})
    return files


def _check(parts: Sequence[Part], prefix: Path, formats: Sequence[str]) -> None:
    """Raise UsageError if there is nothing to merge, or a format or the output is not valid."""
    unknown = [kind for kind in formats if kind not in FORMATS]
    if unknown or not formats:
        named = f"unknown format {', '.join(unknown)}" if unknown else "no format"
        raise UsageError(f"{named}: choose from {', '.join(FORMATS)}")
    if not parts:
        raise UsageError("there is nothing to merge; give prefixes of finished runs")
    if any(prefix.resolve() == part.prefix.resolve() for part in parts):
        raise UsageError(f"`out_prefix` {prefix}: it is one of the runs to merge; choose another")


def _owners(parts: Sequence[Part]) -> dict[str, Part]:
    """Find the run that has each contig; raises UsageError if two have it."""
    owners: dict[str, Part] = {}
    for part in parts:
        for contig in part.lengths:
            if contig in owners:
                raise UsageError(
                    f"{part.name}: contig {contig} is in {owners[contig].name} as well; merge "
                    "runs over different contigs"
                )
            owners[contig] = part
    return owners


def _ordered(owners: Mapping[str, Part], path: str | os.PathLike[str]) -> list[str]:
    """Put the contigs in the order of a table of lengths, which has to have them all."""
    lengths = read_lengths(path)
    for contig, part in owners.items():
        if lengths.get(contig) != part.lengths[contig]:
            theirs = f"{lengths[contig]:,} bases" if contig in lengths else "no such contig"
            raise SequenceError(
                f"{os.fspath(path)}: {theirs} where {part.name} has contig {contig} with "
                f"{part.lengths[contig]:,} bases; give the table of the same FASTA"
            )
    return [contig for contig in lengths if contig in owners]


def _path(prefix: Path, track: str, kind: str, compress: bool) -> Path:
    bedgraph = "bedgraph.gz" if compress else "bedgraph"
    return Path(f"{prefix}.{track}.{'bw' if kind == 'bigwig' else bedgraph}")


def _writer(kind: str, path: Path, sizes: Mapping[str, int], compress: bool) -> TrackWriter:
    if kind == "bigwig":
        return BigWigWriter(path, sizes)
    return BedGraphWriter(path, sizes, compress)


def _copy(
    track: str, owners: Mapping[str, Part], sizes: Mapping[str, int], writers: Sequence[TrackWriter]
) -> Summary:
    """Pass a track of all parts to the writers, one contig after the other, and summarise it."""
    summary = TrackSummary(sizes)
    for part, contigs in groupby(sizes, key=owners.__getitem__):
        for piece in part.values(track, contigs):
            for taker in (summary, *writers):
                taker.add(*piece)
    return summary.result()


def _short(summary: Summary) -> dict[str, Any]:
    """The entry of a track in ``statistics.json``."""
    kept = ("scored", "minimum", "maximum", "mean", "peaks")
    return {key: value for key, value in asdict(summary).items() if key in kept}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    atomic_write_text(path, json.dumps(content, indent=2) + "\n")
