"""Draw the report of a finished run again from its files, without the model."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pgf_genome.errors import IntegrityError, PgfError, ResourceError, SequenceError
from pgf_genome.files import require_folder
from pgf_genome.intervals import Interval
from pgf_genome.report import Gathered, Gathering, Influence, cut, write_image, write_report
from pgf_genome.sequence import Genome, decode_fasta
from pgf_genome.tracks.reading import read_track, track_path

log = logging.getLogger("pgf_genome")


@dataclass(frozen=True)
class FinishedRun:
    """The files of a finished run.

    Attributes
    ----------
    facts : mapping
        The content of ``run.json``.
    sizes : mapping of str to int
        Length of every contig in bases, in FASTA order.
    tracks : mapping of str to Path
        The file of each track.
    """

    facts: Mapping[str, Any]
    sizes: Mapping[str, int]
    tracks: Mapping[str, Path]

    @classmethod
    def read(cls, prefix: str | os.PathLike[str]) -> FinishedRun:
        """Read the run of a prefix.

        Raises
        ------
        ResourceError
            If run.json or a track is missing.
        IntegrityError
            If run.json is not that of a finished run.
        """
        path = Path(f"{os.fspath(prefix)}.run.json")
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            sizes = {each["contig"]: int(each["length"]) for each in facts["contigs"]}
            names = list(map(str, facts["arguments"]["tracks"]))
        except OSError as error:
            raise ResourceError(
                f"{path}: cannot be read ({error.strerror}); give the prefix of a finished run"
            ) from error
        except (ValueError, LookupError, TypeError) as error:
            raise IntegrityError(
                f"{path}: not the run.json of a finished run ({type(error).__name__}: {error}); "
                "run attribute again"
            ) from error
        return cls(facts, sizes, {name: track_path(prefix, name) for name in names})

    @property
    def fasta_names(self) -> dict[str, str]:
        """Name of every contig in the FASTA -> its name in the run."""
        return {
            each.get("fasta_contig", each["contig"]): each["contig"]
            for each in self.facts["contigs"]
        }

    @property
    def targets(self) -> dict[str, list[tuple[int, int]]] | None:
        """Spans that the objective counts, by contig, 0-based half-open; None if it counts all."""
        spans = {
            each["contig"]: [(start, stop) for start, stop in each["targets"]]
            for each in self.facts["contigs"]
            if each.get("targets")
        }
        return spans or None

    def gathered(self) -> Gathered:
        """Read every track once and gather the data of the report."""
        gathering = Gathering(self.sizes, list(self.tracks), self.targets)
        for name, path in self.tracks.items():
            takers = gathering.takers(name)
            for piece in read_track(path, self.sizes):
                for taker in takers:
                    taker.add(*piece)
        return gathering.result()

    def values_in(self, windows: Sequence[Interval]) -> list[np.ndarray]:
        """Read the values of every window: float32, (tracks, length) each."""
        by_track = [cut(windows, self._pieces(path, windows), 1) for path in self.tracks.values()]
        return [np.concatenate(each) for each in zip(*by_track, strict=True)]

    def _pieces(
        self, path: Path, windows: Sequence[Interval]
    ) -> Iterator[tuple[str, int, np.ndarray]]:
        for contig, start, values in read_track(path, self.sizes, windows):
            yield contig, start, values[None]


def redraw(
    prefix: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    fasta: str | os.PathLike[str] | None = None,
    png: bool = False,
) -> list[Path]:
    """Draw the report of a finished run again, with its time and memory, in constant memory.

    Parameters
    ----------
    prefix : path-like
        Prefix of the run's files.
    output : path-like, optional
        The page to write; default ``PREFIX.report.html``.
    fasta : path-like, optional
        The run's sequence, for the logos; default: the path at which the run read it.
    png : bool
        Whether to write the overview as an image too, beside the page.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ResourceError
        If a file of the run is missing, an output cannot be written, or the image lacks its program
        or has nothing to show.
    SequenceError
        If ``fasta`` is given and cannot be read, or is not the run's.
    IntegrityError
        If a file of the run is damaged.
    """
    run = FinishedRun.read(prefix)
    page = Path(f"{os.fspath(prefix)}.report.html" if output is None else output)
    require_folder(page.parent, "output")
    influence = run.facts.get("influence")
    curves = () if influence is None else (Influence.from_facts(influence),)
    gathered = run.gathered()
    with ExitStack() as stack:
        genome = _genome(run, fasta, stack)
        codes_at = None if genome is None else genome.codes
        write_report(page, run.facts, gathered, run.values_in, codes_at, curves)
    if not png:
        return [page]
    image = page.with_suffix(".png")
    write_image(image, run.facts, gathered)
    return [page, image]


def _genome(
    run: FinishedRun, fasta: str | os.PathLike[str] | None, stack: ExitStack
) -> Genome | None:
    """Decode the sequence for as long as the stack is open; None if it cannot be read."""
    source = fasta or run.facts.get("fasta", {}).get("path")
    if source is None:
        log.warning("the report has no logos, for run.json does not say where the FASTA is; "
                    "give --fasta")  # fmt: skip
        return None
    try:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pgf-"))
        codes = Path(folder) / "codes"
        wanted = list(run.fasta_names)
        whole = stack.enter_context(decode_fasta(source, codes, wanted))
        return _checked(run, whole, source)
    except PgfError as error:
        if fasta is not None:
            raise
        log.warning("the report has no logos: %s; give --fasta", error)
        return None


def _checked(run: FinishedRun, whole: Genome, fasta: str | os.PathLike[str]) -> Genome:
    genome = whole.only(run.fasta_names).renamed(run.fasta_names)
    digest = run.facts["fasta"].get("sha256_of_bases")
    same = genome.lengths == dict(run.sizes) and digest in (None, genome.digest)
    if not same:
        raise SequenceError(f"{os.fspath(fasta)}: not the sequence of the run; give that one")
    return genome
