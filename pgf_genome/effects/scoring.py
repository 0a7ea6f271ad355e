"""The effects of the records of a VCF, from files to files."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from pgf_genome import __version__
from pgf_genome.effects.annotate import Progress, Scorer, Summary, annotate
from pgf_genome.effects.consequence import Consequences, code_of
from pgf_genome.effects.reference import Reference
from pgf_genome.effects.settings import Files
from pgf_genome.effects.writing import Meaning
from pgf_genome.errors import UsageError
from pgf_genome.files import atomic_write_text
from pgf_genome.process import peak_memory
from pgf_genome.sequence import counterparts, decode_fasta
from pgf_genome.sequence.annotation import read_annotation
from pgf_genome.sequence.genome import Genome
from pgf_genome.workspace import claimed, runs_in, workspace

log = logging.getLogger("pgf_genome")


def score_vcf(
    fasta: str | os.PathLike[str],
    files: Files,
    scorer: Callable[[Genome, Path], Scorer],
    meaning: Meaning,
    progress: Progress = lambda done, total: None,
) -> Summary:
    """Write a VCF again with the effect of every record that can be scored, and a summary.

    Parameters
    ----------
    fasta : path-like
        The sequence to which the records refer, plain, gzip or bgzip; ``"-"`` is standard input.
    files : Files
    scorer : callable
        Gives the scorer of a genome, see `annotate`, which may keep what it is done with in a
        folder, made if it is needed, for a run that goes on where this one was stopped.
    meaning : Meaning
        What the effects are.
    progress : callable, optional
        Called with the variants done since its last call, and with all of them.

    Raises
    ------
    PgfError
        For anything wrong with input, options or machine.
    """
    started = time.monotonic()
    code_of(files.genetic_code)
    if str(fasta) == "-" == files.vcf:
        raise UsageError("FASTA and VCF cannot both be standard input; give one of them as a file")
    for name, path in files.written.items():
        files.require_other(name, path, fasta)
    files.require_folders()
    others = [path for path in (files.tsv, files.summary) if path is not None]
    with (
        _scratch(files) as scratch,
        claimed(*others),
        decode_fasta(fasta, scratch / "codes") as genome,
    ):
        aliases = counterparts(files.chrom_alias, genome.lengths) if files.chrom_alias else {}
        reference, consequences = Reference(genome), None
        if files.gff is not None:
            names = {**aliases, **{name: name for name in genome.lengths}}
            annotation = read_annotation(files.gff, genome.lengths, names.get)
            consequences = Consequences(annotation, reference, files.genetic_code)
        summary = annotate(
            files.vcf,
            reference,
            scorer(genome, scratch / "effects"),
            meaning,
            files.outputs,
            scratch,
            consequences,
            aliases,
            progress,
        )
        if files.summary is not None:
            facts = {
                "version": __version__,
                "fasta": {"name": os.path.basename(fasta), "sha256_of_bases": genome.digest},
                "files": asdict(files),
                "effects": asdict(meaning) | {"method": meaning.method},
                **summary.facts(),
                "performance": {
                    "seconds": round(time.monotonic() - started, 3),
                    "peak_memory_bytes": peak_memory(),
                },
            }
            atomic_write_text(files.summary, json.dumps(facts, indent=2) + "\n")
    return summary


@contextmanager
def _scratch(files: Files) -> Iterator[Path]:
    """The folder of temporary files: one that a stopped run is resumed from, or a passing one."""
    folder = None if files.scratch_dir is None else Path(files.scratch_dir)
    if files.output == "-":
        with tempfile.TemporaryDirectory(prefix="pgf-", dir=folder or ".") as passing:
            yield Path(passing)
        return
    with workspace(Path(files.output), folder) as scratch:
        if runs_in(scratch):
            log.info("going on with the stopped run in %s", scratch)
        yield scratch
