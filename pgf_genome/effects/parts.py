"""A VCF in parts by contig, for jobs that run side by side, and joined to one again.

A part holds the records of some contigs, in their order, with the whole header. So what becomes of
a record does not depend on the parts, and what is joined is what one run would have written.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from pgf_genome.effects.annotate import Summary, index_sorted
from pgf_genome.effects.vcf import Source
from pgf_genome.effects.writing import text_file, withdraw
from pgf_genome.errors import IntegrityError

# Which contigs each part holds, beside the parts.
GROUPS = "groups.json"


def part_path(folder: Path, number: int) -> Path:
    """The file of a part."""
    return folder / f"{number:04d}.vcf.gz"


def split(
    vcf: str | os.PathLike[str], lengths: Mapping[str, int], bases: int, folder: Path
) -> list[list[str]]:
    """Write the parts of a VCF, and what is in them, to a folder that is there.

    Parameters
    ----------
    lengths : mapping of str to int
        Lengths of the contigs of the FASTA, in its order.
    bases : int
        Contigs that follow each other share a part as long as they have no more bases together.

    Returns
    -------
    list of list of str
        The contigs of each part. Records on contigs that ``lengths`` has not are in the first.

    Raises
    ------
    SequenceError
        If the VCF cannot be read.
    ResourceError
        If a part cannot be written.
    """
    with TemporaryDirectory(dir=folder, prefix="pgf-") as scratch:
        source = Source.of(vcf, Path(scratch))
        with source.opened() as read:
            named = dict.fromkeys(record.contig for record in read if record.alts)
        groups = list(_dealt({n: b for n, b in lengths.items() if n in named}, bases)) or [[]]
        part_of = {contig: i for i, group in enumerate(groups) for contig in group}
        with ExitStack() as stack:
            read = stack.enter_context(source.opened())
            paths = [str(part_path(folder, i)) for i in range(len(groups))]
            parts = [stack.enter_context(text_file(path)) for path in paths]
            for write in parts:
                write(b"".join(read.header))
            for record in read:
                if record.alts:
                    line = record.line.rstrip(b"\r\n") + b"\n"
                    parts[part_of.get(record.contig, 0)](line)
    (folder / GROUPS).write_text(json.dumps(groups))
    return groups


def _dealt(lengths: Mapping[str, int], bases: int) -> Iterator[list[str]]:
    group: list[str] = []
    together = 0
    for contig, length in lengths.items():
        if group and together + length > bases:
            yield group
            group, together = [], 0
        group.append(contig)
        together += length
    if group:
        yield group


def join(
    vcf: str | os.PathLike[str],
    groups: Sequence[Sequence[str]],
    parts: Sequence[str | os.PathLike[str]],
    output: str,
) -> None:
    """Write the scored parts of a VCF as one, in the order of the VCF.

    Parameters
    ----------
    vcf : path-like
        The VCF that was split.
    groups : sequence of sequence of str
        What `split` returned.
    parts : sequence of path-like
        The scored parts, in its order.
    output : str
        As of the command ``variants``: a ``.vcf``, or a ``.vcf.gz`` with its index.

    Raises
    ------
    IntegrityError
        If the parts are not those of this VCF.
    """
    part_of = {contig: i for i, group in enumerate(groups) for contig in group}
    summary = Summary()
    with TemporaryDirectory(prefix="pgf-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        read = stack.enter_context(Source.of(vcf, folder).opened())
        scored = [stack.enter_context(Source.of(part, folder).opened()) for part in parts]
        records = [(record for record in part if record.alts) for part in scored]
        withdraw(output)
        with text_file(output) as write:
            write(b"".join(scored[0].header))
            for record in read:
                if not record.alts:
                    write(record.line)
                    continue
                new = next(records[part_of.get(record.contig, 0)], None)
                if new is None or new[1:] != record[1:]:
                    raise IntegrityError(
                        f"{read.where}: {record.contig}:{record.position + 1} is not the next "
                        "record of its part; score the parts of this VCF again"
                    )
                end = record.line[len(record.line.rstrip(b"\r\n")) :]
                write(new.line.rstrip(b"\r\n") + end)
                summary.note(record, ())
            if any(next(rest, None) for rest in records):
                raise IntegrityError(f"{read.where}: its parts have more records; score them again")
    index_sorted(output, summary)
