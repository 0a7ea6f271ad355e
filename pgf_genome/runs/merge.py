"""Join finished runs over different contigs of one genome into the files of one run over all.

``attribute`` may run on several machines, on some of the contigs each. Values are read from the
bigWig files, which hold every float32 exactly, and pass through the writers of `pgf_genome.tracks`;
so the tracks are, byte for byte, those of a run over all the contigs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.files import atomic_write_text, require_folder, sha256_of
from pgf_genome.intervals import Interval
from pgf_genome.runs.joining import DifferenceError, joined
from pgf_genome.runs.record import Part, Record
from pgf_genome.runs.run import APART, PEAKS, Run, open_run
from pgf_genome.runs.storing import published, record_path, write_record
from pgf_genome.sequence import digest_of
from pgf_genome.tracks import (
    BlockConsumer,
    Strongest,
    TrackFormat,
    TrackSummary,
    write_chrom_sizes,
)
from pgf_genome.tracks.formats import FORMATS, track_file
from pgf_genome.tracks.reading import Piece, read_track
from pgf_genome.workspace import claimed


def merge(
    prefixes: Sequence[str | os.PathLike[str]],
    out_prefix: str | os.PathLike[str],
    chrom_sizes: str | os.PathLike[str] | None = None,
    formats: Sequence[str] = FORMATS,
    compress: bool = True,
) -> Run:
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
    Run
        The joined run. Its file ``statistics`` is JSON with the count, extremes, mean and peaks
        (0-based) of every track.

    Raises
    ------
    UsageError
        If the runs differ in model, sequence, objective or an option, a contig is in two of them,
        or one has no bigWig files.
    SequenceError
        If ``chrom_sizes`` cannot be read or does not have the contigs.
    IntegrityError
        If there is no finished run under a prefix, or a file of it is damaged or not its own.
    ResourceError
        If the outputs cannot be written.

    Notes
    -----
    Memory does not depend on the number or length of the contigs, except for the few dozen bytes
    per 8,192 positions that the writers keep.
    """
    prefix, form = Path(out_prefix), TrackFormat(formats, compress)
    runs = [open_run(each) for each in prefixes]
    _check(runs, prefix)
    owners = _owners(runs)
    order = list(owners) if chrom_sizes is None else _ordered(owners, chrom_sizes)
    record = _joined(runs, order)
    require_folder(prefix.parent, "out_prefix")
    for run in runs:
        run.require_intact(kind for kind in run.files if kind.endswith(".bigwig"))
    with claimed(prefix), published(prefix, list(record.tracks)) as new:
        whole = _write(owners, record, new, form)
        for run in runs:
            run.require_unchanged()
    return Run(prefix, whole)


def _write(owners: Mapping[str, Run], record: Record, prefix: Path, form: TrackFormat) -> Record:
    """Write the tracks of all runs as one, and its record."""
    files: dict[str, Path] = {}
    statistics: dict[str, Any] = {}
    for track, described in record.tracks.items():
        with ExitStack() as stack:
            opened, takers = form.open(stack, prefix, track, record.sizes, described.meaning)
            statistics[track] = _copy(track, owners, record.sizes, takers)
        files |= opened
    checksums = {kind: sha256_of(path) for kind, path in files.items()}
    files |= {
        "chrom.sizes": Path(f"{prefix}.chrom.sizes"),
        "statistics": Path(f"{prefix}.statistics.json"),
        "run": record_path(prefix),
    }
    write_chrom_sizes(files["chrom.sizes"], record.sizes)
    atomic_write_text(files["statistics"], json.dumps(statistics, indent=2) + "\n")
    written = {"formats": list(dict.fromkeys(form.formats)), "compress": form.compress}
    names = {kind: path.name for kind, path in files.items()}
    whole = replace(
        record,
        arguments={**record.arguments, **written},
        files=names,
        checksums=checksums,
    )
    write_record(prefix, whole)
    return whole


def _check(runs: Sequence[Run], prefix: Path) -> None:
    """Raise UsageError if there is nothing to merge, or the output is one of the runs."""
    if not runs:
        raise UsageError("there is nothing to merge; give prefixes of finished runs")
    if any(prefix.resolve() == run.prefix.resolve() for run in runs):
        raise UsageError(f"`out_prefix` {prefix}: it is one of the runs to merge; choose another")


def _owners(runs: Sequence[Run]) -> dict[str, Run]:
    """Find the run that has each contig; raises UsageError if two have it."""
    owners: dict[str, Run] = {}
    for run in runs:
        for contig in run.sizes:
            if contig in owners:
                raise UsageError(
                    f"{record_path(run.prefix)}: contig {contig} is in "
                    f"{record_path(owners[contig].prefix)} as well; merge runs over different "
                    "contigs"
                )
            owners[contig] = run
    return owners


def _joined(runs: Sequence[Run], order: Sequence[str]) -> Record:
    """Join the records by the rules of their fields, with the contigs in an order.

    Raises
    ------
    UsageError
        If the runs differ in model, sequence, objective or an option.
    """
    try:
        whole = joined([_as_part(run) for run in runs])
    except DifferenceError as error:
        paths = [record_path(run.prefix) for run in runs]
        raise UsageError(
            f"{paths[error.which]}: {error.name} is {error.theirs} where {paths[0]} has "
            f"{error.first}; merge runs of one model, FASTA and set of options"
        ) from error
    rank = {contig: place for place, contig in enumerate(order)}
    contigs = tuple(sorted(whole.contigs, key=lambda each: rank[each.contig]))
    halo = whole.halo
    if halo is not None:
        # A hostile record may name a contig that is not there.
        loci = sorted(halo.loci, key=lambda locus: rank.get(locus.contig, len(rank)))
        halo = replace(halo, loci=tuple(loci))
    digests = [(each.contig, each.length, each.sha256) for each in contigs]
    known = [(name, length, digest) for name, length, digest in digests if digest is not None]
    digest = digest_of(known) if len(known) == len(digests) else None
    fasta = replace(whole.fasta, sha256_of_bases=digest)
    return replace(whole, contigs=contigs, halo=halo, fasta=fasta)


def _as_part(run: Run) -> Record:
    """The record without the arguments that may differ, and with the run as a part of the whole."""
    record = run.record
    own = Part(
        run=record_path(run.prefix).name,
        contigs=len(record.contigs),
        sha256_of_bases=record.fasta.sha256_of_bases,
        performance=record.performance,
        bases=record.bases,
    )
    kept = {key: value for key, value in record.arguments.items() if key not in record.varying}
    return replace(record, arguments=kept, parts=record.parts or (own,))


def _ordered(owners: Mapping[str, Run], path: str | os.PathLike[str]) -> list[str]:
    """Put the contigs in the order of a table of lengths, which has to have them all."""
    lengths = read_lengths(path)
    for contig, run in owners.items():
        if lengths.get(contig) != run.sizes[contig]:
            theirs = f"{lengths[contig]:,} bases" if contig in lengths else "no such contig"
            raise SequenceError(
                f"{os.fspath(path)}: {theirs} where {record_path(run.prefix)} has contig {contig} "
                f"with {run.sizes[contig]:,} bases; give the table of the same FASTA"
            )
    return [contig for contig in lengths if contig in owners]


def _copy(
    track: str, owners: Mapping[str, Run], sizes: Mapping[str, int], takers: Sequence[BlockConsumer]
) -> dict[str, Any]:
    """Pass a track of all runs to the writers, one contig after the other.

    Returns
    -------
    dict
        The entry of the track in ``statistics.json``.
    """
    summary, strongest = TrackSummary(sizes), Strongest(sizes, PEAKS, APART)
    for run, contigs in groupby(sizes, key=owners.__getitem__):
        whole = [Interval(contig, 0, sizes[contig]) for contig in contigs]
        for piece in _bigwig(run, track, whole):
            for taker in (summary, strongest, *takers):
                taker.add(*piece)
    found = asdict(summary.result())
    kept = {key: found[key] for key in ("scored", "minimum", "maximum", "mean")}
    return kept | {"peaks": [asdict(peak) for peak in strongest.result()]}


def _bigwig(run: Run, track: str, windows: Sequence[Interval]) -> Iterator[Piece]:
    """Read a track from its bigWig; bedGraph cannot be read contig by contig in any order."""
    path = track_file(run.prefix, track, "bigwig")
    if not path.is_file():
        raise UsageError(
            f"{path}: there is no such file; runs are merged from their bigWig files, "
            "so run attribute with --format bigwig"
        )
    return read_track(path, run.sizes, windows)


def read_lengths(path: str | os.PathLike[str]) -> dict[str, int]:
    """Read the length of every contig from a ``.chrom.sizes`` or ``.fai`` file, in its order.

    Raises
    ------
    SequenceError
        If the file cannot be read, or a line does not begin with a name and a number.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SequenceError(
            f"{os.fspath(path)}: cannot be read ({reason}); give a .chrom.sizes or .fai file"
        ) from error
    lengths: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name, _, rest = line.partition("\t")
        length = rest.partition("\t")[0]
        if not name or not (length.isascii() and length.isdecimal()):
            raise SequenceError(
                f"{os.fspath(path)}, line {number}: not a name and a length; give a .chrom.sizes "
                "or .fai file"
            )
        lengths[name] = int(length)
    return lengths
