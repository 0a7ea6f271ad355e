"""Dependency maps of regions, from files to files."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pgf_genome import __version__
from pgf_genome.alphabet import BASES
from pgf_genome.effects.definitions import DEFINITIONS
from pgf_genome.effects.dependency import Map, region_map
from pgf_genome.effects.depmap.page import Page
from pgf_genome.effects.depmap.pairs import COLUMNS, line, strongest
from pgf_genome.effects.depmap.regions import Approached, Progress, regions_of
from pgf_genome.effects.depmap.settings import Files, Settings
from pgf_genome.engine.running import require_causal, running_of
from pgf_genome.files import atomic, atomic_write_text
from pgf_genome.intervals import Interval
from pgf_genome.mamba.model import CausalMamba, LanguageModel
from pgf_genome.process import peak_memory
from pgf_genome.sequence import Genome, counterparts, decode_fasta
from pgf_genome.sequence.annotation import Annotation, read_annotation
from pgf_genome.workspace import claimed, together

MEANINGS = {
    "rows": "the substituted position",
    "columns": "the position whose prediction changes",
    "downstream": "what a substitution of the first base does to the prediction of the second",
    "upstream": "what a substitution of the second base does to the prediction of the first",
    "score": "the larger of the two",
}
# ends of the names of all that a run may write
OUTPUTS = r"depmap\.(?:.+_\d+-\d+(?:\.\d+)?\.)?npz|depmap\.html"


@dataclass(frozen=True)
class Done:
    """What a run has written.

    Attributes
    ----------
    regions : int
    files : tuple of Path
    seconds : float
    """

    regions: int
    files: tuple[Path, ...]
    seconds: float


def map_regions(
    fasta: str | os.PathLike[str],
    model: LanguageModel,
    files: Files,
    settings: Settings,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Done:
    """Write the dependency maps of regions, their strongest pairs and a page.

    Parameters
    ----------
    fasta : path-like
        Plain, gzip or bgzip; ``"-"`` is standard input.
    model : CausalMamba
    files : Files
    settings : Settings
    threads : int, optional
        Threads in all; torch's count if None.
    progress : callable, optional
        Called with the work done since the last call, in forward passes of one base, and in all.

    Raises
    ------
    PgfError
        For anything wrong with input, options or machine.

    Notes
    -----
    Memory does not grow with the number of regions, nor with the contigs; it is that of the longest
    map, see `dependency_map`. Disk: two states for each region of a segment.
    """
    started = time.monotonic()
    causal = require_causal(model, "depmap")
    running_of(causal).require_head("there is nothing that depends; use a model with a head")
    folder, prefix = files.require_folders(), Path(files.out_prefix)
    with (
        claimed(prefix),
        together(prefix, "depmap.json", OUTPUTS) as new,
        tempfile.TemporaryDirectory(prefix="pgf-", dir=folder) as scratch,
        decode_fasta(fasta, Path(scratch) / "codes") as genome,
    ):
        annotation = _annotation(files, genome)
        regions = regions_of(genome, files.region, files.bed)
        came = Approached(
            *(causal, genome, regions, settings.strand, settings.gap_length, Path(scratch)),
            *(threads, progress),
        )
        described = _described(causal, settings)
        at = replace(files, out_prefix=str(new))
        writer = _Writer(at, settings, genome, annotation, regions, described)
        writer.write(_maps(causal, came, settings, threads))
        facts = {
            "version": __version__,
            "fasta": {"name": os.path.basename(fasta), "sha256_of_bases": genome.digest},
            **described,
            "files": asdict(files),
            "settings": asdict(settings),
            "meaning": MEANINGS,
            "bedpe": list(COLUMNS),
            "regions": writer.facts,
        }
        seconds = time.monotonic() - started
        facts["performance"] = {"seconds": round(seconds, 3), "peak_memory_bytes": peak_memory()}
        atomic_write_text(at.path("json"), json.dumps(facts, indent=2) + "\n")
    written = (*writer.written, at.path("json"))
    return Done(len(regions), tuple(prefix.parent / path.name for path in written), seconds)


def _maps(
    model: CausalMamba, came: Approached, settings: Settings, threads: int | None
) -> Iterator[tuple[Interval, Map]]:
    definition = DEFINITIONS[settings.definition]
    for region, strands in came:
        yield (
            region,
            region_map(
                *(model, strands, definition, settings.first_order, settings.blocks, threads),
                came.advance,
            ),
        )


def _annotation(files: Files, genome: Genome) -> Annotation | None:
    if files.gff is None:
        return None
    aliases = counterparts(files.chrom_alias, genome.lengths) if files.chrom_alias else {}
    names = {**aliases, **{name: name for name in genome.lengths}}
    return read_annotation(files.gff, genome.lengths, names.get)


def _described(model: LanguageModel, settings: Settings) -> dict[str, Any]:
    """What the numbers are."""
    definition = DEFINITIONS[settings.definition]
    return {
        "model": {"name": model.name, "sha256": model.digest, "dtype": str(model.dtype)[6:]},
        "definition": settings.definition,
        "title": definition.title,
        "unit": definition.unit,
        "method": "first-order" if settings.first_order else "exact",
        "strand": settings.strand,
    }


def _names(regions: Sequence[Interval]) -> list[str]:
    """Names of the arrays of regions: none for a single one, else the region in plain letters."""
    if len(regions) == 1:
        return ["npz"]
    found: dict[str, int] = {}
    names = []
    for each in regions:
        name = re.sub(r"[^\w.+-]", "_", each.contig) + f"_{each.start + 1}-{each.stop}"
        found[name] = found.get(name, 0) + 1
        names.append(f"{name}{'' if found[name] == 1 else f'.{found[name]}'}.npz")
    return names


class _Writer:
    """The outputs of maps as they are computed."""

    def __init__(
        self,
        files: Files,
        settings: Settings,
        genome: Genome,
        annotation: Annotation | None,
        regions: Sequence[Interval],
        described: dict[str, Any],
    ) -> None:
        self._files, self._settings, self._genome = files, settings, genome
        self._annotation, self._described = annotation, described
        self._paths = dict(zip(regions, map(files.path, _names(regions)), strict=True))
        self.facts: list[dict[str, Any]] = []
        self.written: list[Path] = []

    def write(self, maps: Iterable[tuple[Interval, Map]]) -> None:
        """Write arrays and pairs of every map, and the page of all."""
        page = Page(self._described, self._settings.min_distance)
        with ExitStack() as stack:
            part = stack.enter_context(atomic(self._files.path("bedpe")))
            bedpe = stack.enter_context(part.open("w", encoding="utf-8", newline=""))
            bedpe.write("#" + "\t".join(COLUMNS) + "\n")
            for region, found in maps:
                codes = self._genome.codes(region.contig, region.start, region.stop)
                letters = "".join(f"{BASES}N"[code] for code in codes)
                pairs = strongest(found.cells, self._settings.pairs, self._settings.min_distance)
                bedpe.writelines(line(region, letters, pair) for pair in pairs)
                self._arrays(region, letters, found)
                if self._settings.report:
                    page.add(region, letters, found.cells, pairs, self._genes(region))
        self.written.append(self._files.path("bedpe"))
        if self._settings.report:
            atomic_write_text(self._files.path("html"), page.html())
            self.written.append(self._files.path("html"))

    def _arrays(self, region: Interval, letters: str, found: Map) -> None:
        """Write the ``.npz`` of a region."""
        model = self._described["model"]
        kind = np.float64 if model["dtype"] == "float64" else np.float32
        arrays = {
            "map": found.cells.astype(kind),
            "contig": region.contig,
            "start": region.start,
            "stop": region.stop,
            "sequence": letters,
            **{name: self._described[name] for name in ("strand", "definition", "unit", "method")},
            "model": model["name"],
            "model_sha256": model["sha256"],
            "version": __version__,
        }
        if found.blocks is not None:
            arrays["blocks"] = found.blocks
        path = self._paths[region]
        with atomic(path) as part, part.open("wb") as file:
            np.savez(file, **arrays)
        self.written.append(path)
        largest = float(np.fmax.reduce(found.cells, axis=None))
        self.facts.append(
            {
                "region": str(region),
                "file": path.name,
                "bases": len(region),
                "largest": None if np.isnan(largest) else largest,
            }
        )

    def _genes(self, region: Interval) -> list[tuple[int, int, str]]:
        if self._annotation is None or region.contig not in self._annotation.genes:
            return []
        return self._annotation.genes[region.contig].of(region.start, region.stop)
