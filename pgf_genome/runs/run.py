"""A finished run: its record, and its values read back."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pgf_genome.errors import IntegrityError, SequenceError, UsageError
from pgf_genome.files import sha256_of
from pgf_genome.intervals import Interval, parse_region
from pgf_genome.runs.logo import logo_figure
from pgf_genome.runs.record import Record
from pgf_genome.runs.schema import encoded
from pgf_genome.runs.sites import read_summits
from pgf_genome.runs.storing import read_record, record_path
from pgf_genome.sequence import BASES, Genome, counterparts, decode_fasta
from pgf_genome.sequence.annotation import Annotation, read_annotation
from pgf_genome.tracks import Peak, Strongest
from pgf_genome.tracks.cutting import cut
from pgf_genome.tracks.reading import Piece, read_track, track_path

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

# The strongest positions of a run: how many, and how many bases lie between two of them at least.
PEAKS = 40
APART = 128
# Tracks whose values are signed heights of the letters of the sequence.
SIGNED = ("contribution", "importance", "ig")
# The first of these tracks that was written, or else the first track, ranks the peaks.
LEADING = ("sensitivity", *SIGNED)


def leading(tracks: Iterable[str]) -> str:
    """The track that ranks the strongest positions."""
    return first_of(LEADING, tracks)


def shown(tracks: Iterable[str]) -> list[str]:
    """Tracks with a column of a table: without those of each base, which would fill the page."""
    known = list(tracks)
    return [track for track in known if track == leading(known) or "." not in track]


def first_of(names: Iterable[str], tracks: Iterable[str]) -> str:
    """The first of some names that is a track, or else the first track."""
    known = list(tracks)
    return next((name for name in names if name in known), known[0])


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes
    ----------
    prefix : Path
        Prefix of its files. They may have been moved or renamed together since they were written.
    record : Record
        The content of ``run.json``.
    """

    prefix: Path
    record: Record

    @property
    def run(self) -> dict[str, Any]:
        """The content of ``run.json`` in plain values."""
        return encoded(self.record)

    @property
    def files(self) -> dict[str, Path]:
        """Outputs by kind: ``sensitivity.bedgraph``, ``sensitivity.bigwig``, ``run``, .."""
        written = self.record.files
        before = written.get("run", f"{self.prefix.name}.run.json").removesuffix(".run.json")
        return {
            kind: Path(f"{self.prefix}{name.removeprefix(before)}")
            for kind, name in written.items()
        }

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Length of every contig in bases, in the order of the tracks."""
        return self.record.sizes

    @property
    def tracks(self) -> tuple[str, ...]:
        """Names of the tracks."""
        return tuple(self.record.tracks)

    def pieces(self, track: str, windows: Sequence[Interval] | None = None) -> Iterator[Piece]:
        """Read a track in successive pieces; see `pgf_genome.tracks.reading.read_track`.

        Raises
        ------
        UsageError
            If the run has no such track.
        ResourceError
            If the track has no file.
        IntegrityError
            If the file is damaged, or is that of another run.
        """
        if track not in self.record.tracks:
            raise UsageError(
                f"{self.prefix}: the run has no track {track}; choose from {', '.join(self.tracks)}"
            )
        return read_track(track_path(self.prefix, track), self.sizes, windows)

    def require_intact(self, kinds: Iterable[str] | None = None) -> None:
        """Compare files of tracks with the checksums in the record, from end to end.

        Parameters
        ----------
        kinds : iterable of str, optional
            Files by kind; all that are there if None.

        Raises
        ------
        IntegrityError
            If one is not what the run has written.
        """
        files = self.files
        for kind in files if kinds is None else kinds:
            known, path = self.record.checksums.get(kind), files.get(kind)
            if known is None or path is None or not path.is_file():
                continue
            try:
                found = sha256_of(path)
            except OSError as error:
                found = error.strerror or ""
            if found != known:
                raise IntegrityError(
                    f"{path}: not what the run has written, by the checksum in its run.json; run "
                    "the command again that wrote it"
                )

    def require_unchanged(self) -> None:
        """Raise IntegrityError if another run has taken this one's place since it was opened."""
        if read_record(self.prefix) != self.record:
            raise IntegrityError(
                f"{record_path(self.prefix)}: another run took its place while it was read; run "
                "the command again"
            )

    def values_in(self, windows: Sequence[Interval], track: str) -> list[np.ndarray]:
        """Read a track in windows without overlap: float32, (length,) each, NaN where no row is."""
        pieces = (
            (name, start, values[None]) for name, start, values in self.pieces(track, windows)
        )
        return [rows[0] for rows in cut(windows, pieces, 1)]

    def values(self, track: str, region: str) -> np.ndarray:
        """Read the values of a track in a region.

        Parameters
        ----------
        track : str
        region : str
            1-based inclusive as in samtools: ``chr1``, ``chr1:1,001-2,000``.

        Returns
        -------
        ndarray of float32, (n,)
            NaN where a base has no row.

        Raises
        ------
        PgfError
            If the run has no such track or region, or its file is missing or damaged.
        """
        return self.values_in([parse_region(region, self.sizes)], track)[0]

    def peaks(self) -> pd.DataFrame:
        """Find the strongest positions: at most `PEAKS`, at least `APART` bases apart.

        They are those of the run's file ``peaks``, if it has one: without positions beside an N or
        an end of a contig, unless these were asked for.

        Returns
        -------
        DataFrame
            ``contig``, ``start`` and ``end`` of one base each (0-based half-open), and the value of
            every track there; strongest first.

        Raises
        ------
        PgfError
            If a track's file is missing or damaged.

        Notes
        -----
        Without that file, one track is read from end to end, in constant memory.
        """
        import pandas as pd

        rows = [Interval(p.contig, p.position, p.position + 1) for p in self._summits()]
        columns: dict[str, list[Any]] = {
            "contig": [row.contig for row in rows],
            "start": [row.start for row in rows],
            "end": [row.stop for row in rows],
        }
        for track in self.tracks:
            columns[track] = [float(each[0]) for each in self.values_in(rows, track)]
        return pd.DataFrame(columns)

    def _summits(self) -> Sequence[Peak]:
        file = self.files.get("peaks")
        if file is not None and file.is_file():
            return read_summits(file)[:PEAKS]
        strongest = Strongest(self.sizes, PEAKS, APART)
        for piece in self.pieces(leading(self.tracks)):
            strongest.add(*piece)
        return strongest.result()

    def logo(
        self,
        region: str,
        track: str | None = None,
        fasta: str | os.PathLike[str] | None = None,
    ) -> go.Figure:
        """Draw the sequence of a region, each letter as tall as a track's value at that base.

        Parameters
        ----------
        region : str
            1-based inclusive as in samtools, a few thousand bases at most.
        track : str, optional
            Default: contribution or importance.
        fasta : path-like, optional
            The run's sequence; default: the path at which the run read it.

        Raises
        ------
        PgfError
            If the run has no such track or region, a file is missing or damaged, or the FASTA is
            not the run's.
        """
        window, track = parse_region(region, self.sizes), track or first_of(SIGNED, self.tracks)
        (values,) = self.values_in([window], track)
        with self.sequence([window.contig], fasta) as genome:
            codes = genome.codes(window.contig, window.start, window.stop)
        letters = "".join((BASES + "N")[code] for code in codes)
        return logo_figure(window, letters, values, self.record.tracks[track])

    @contextmanager
    def sequence(
        self, contigs: Sequence[str] | None = None, fasta: str | os.PathLike[str] | None = None
    ) -> Iterator[Genome]:
        """Decode the run's sequence, under the run's names, for as long as the context lasts.

        Parameters
        ----------
        contigs : sequence of str, optional
            The contigs to decode; all if None.
        fasta : path-like, optional
            The FASTA; default: the path at which the run read it.

        Raises
        ------
        SequenceError
            If the FASTA is not known, cannot be read, or is not the run's.
        """
        source = fasta or self.record.fasta.path
        if source is None:
            raise SequenceError("run.json does not say where the FASTA is")
        names = self.record.fasta_names
        if contigs is not None:
            names = {old: new for old, new in names.items() if new in set(contigs)}
        with (
            tempfile.TemporaryDirectory(prefix="pgf-") as folder,
            decode_fasta(source, Path(folder) / "codes", list(names)) as whole,
        ):
            genome = whole.only(names).renamed(names)
            self._require_same(genome, names.values(), source)
            yield genome

    def annotation(
        self, gff: str | os.PathLike[str], chrom_alias: str | os.PathLike[str] | None = None
    ) -> Annotation:
        """Read genes and other features, with all parts, under the run's names of contigs.

        Parameters
        ----------
        gff : path-like
            A GFF3 or GTF file.
        chrom_alias : path-like, optional
            Table by which its contigs are those of the run; default: that of the run.

        Raises
        ------
        SequenceError
            If a file cannot be read, or none of its contigs is one of the run.
        """
        alias = chrom_alias or self.record.arguments.get("chrom_alias")
        names = {} if alias is None else counterparts(alias, self.sizes)
        names |= self.record.fasta_names | {name: name for name in self.sizes}
        return read_annotation(Path(gff), self.sizes, names.get, parts=True)

    def _require_same(
        self, genome: Genome, names: Iterable[str], fasta: str | os.PathLike[str]
    ) -> None:
        known = {each.contig: each for each in self.record.contigs}
        for name in names:
            ours, theirs = known[name], genome.contig(name)
            if ours.length != theirs.length or ours.sha256 not in (None, theirs.digest):
                raise SequenceError(
                    f"{os.fspath(fasta)}: not the sequence of the run, for contig {name} differs; "
                    "give that one"
                )

    def _repr_html_(self) -> str:
        """The run as a notebook shows it: what was computed, and the tracks."""
        record = self.record
        said = {
            "Model": record.model.get("name"), "Objective": record.objective,
            "Strand": record.strand, "Bases written": f"{record.bases.written:,}",
            "Contigs": f"{len(record.contigs):,}", "Files": f"{self.prefix}.*",
        }  # fmt: skip
        facts = "".join(_row(name, str(text)) for name, text in said.items())
        tracks = "".join(_row(t.title, t.unit, t.meaning) for t in record.tracks.values())
        return (
            f"<b>{escape(record.title)}</b><table>{facts}</table>"
            f"<table><tr><th>Track</th><th>Unit</th><th>Meaning</th></tr>{tracks}</table>"
        )


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def open_run(prefix: str | os.PathLike[str]) -> Run:
    """Open a finished run.

    Parameters
    ----------
    prefix : path-like
        Prefix of its files, such as ``out/chr1`` where ``out/chr1.run.json`` lies.

    Raises
    ------
    IntegrityError
        If there is no run.json, or it is damaged.
    """
    return Run(Path(prefix), read_record(prefix))
