"""The FASTA that browsers read by position: plain or bgzip, with a samtools index."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.files import atomic, quiet_htslib
from pgf_genome.sequence.indexed import has_index

# gzip, and the extra field that makes it BGZF: SAM specification, section 4.1
GZIP_MAGIC, BGZF_FIELD = b"\x1f\x8b", b"BC\x02\x00"


@dataclass(frozen=True)
class Reference:
    """An indexed FASTA.

    Attributes
    ----------
    fasta
        Plain or bgzip.
    fai, gzi
        Its indexes; `gzi` is None for a plain one.
    """

    fasta: Path
    fai: Path
    gzi: Path | None


def open_reference(
    fasta: str | os.PathLike[str] | None, sizes: Mapping[str, int], prefix: Path
) -> Reference:
    """The indexed FASTA of a run.

    Parameters
    ----------
    fasta
        Path; None if it is not known.
    sizes
        Length in bases of the contigs that it must have.
    prefix
        Where indexes go if there are none beside the FASTA: ``PREFIX.fasta.fai`` and ``.gzi``.

    Raises
    ------
    UsageError
        If there is no path.
    SequenceError
        If the file is missing, is plain gzip, cannot be indexed, or has other contigs.
    ResourceError
        If an index cannot be written.
    """
    if fasta is None:
        raise UsageError(
            f"{prefix}.run.json does not say where the FASTA is; give --fasta, or --genome with "
            "the assembly's name at UCSC"
        )
    path = Path(fasta)
    bgzip = _is_bgzip(path)
    if has_index(path):
        reference = _indexed(path, str(path), bgzip)
    else:
        reference = _indexed(path, f"{prefix}.fasta", bgzip)
        _make_index(reference)
    _check(reference, sizes)
    return reference


def _is_bgzip(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(18)
    except OSError as error:
        raise SequenceError(
            f"{path}: cannot be read ({error.strerror}); give the run's sequence with --fasta"
        ) from error
    if head.startswith(GZIP_MAGIC) and head[12:16] != BGZF_FIELD:
        raise SequenceError(
            f"{path}: plain gzip cannot be read by position; recompress it (gunzip -c | bgzip) "
            "or decompress it, and give that with --fasta"
        )
    return head.startswith(GZIP_MAGIC)


def _indexed(path: Path, stem: str, bgzip: bool) -> Reference:
    return Reference(path, Path(f"{stem}.fai"), Path(f"{stem}.gzi") if bgzip else None)


def _make_index(reference: Reference) -> None:
    import pysam

    with atomic(reference.fai) as fai:
        arguments = [str(reference.fasta), "--fai-idx", str(fai)]
        try:
            with quiet_htslib():
                if reference.gzi is None:
                    pysam.faidx(*arguments)
                else:
                    with atomic(reference.gzi) as gzi:
                        pysam.faidx(*arguments, "--gzi-idx", str(gzi))
        except pysam.SamtoolsError as error:
            reason = " ".join(str(error.value).split()) or "samtools faidx failed"
            raise SequenceError(f"{reference.fasta}: cannot be indexed ({reason})") from error


def _check(reference: Reference, sizes: Mapping[str, int]) -> None:
    rows = (line.split("\t") for line in reference.fai.read_text(encoding="utf-8").splitlines())
    lengths = {row[0]: int(row[1]) for row in rows}
    for contig, length in sizes.items():
        if lengths.get(contig) != length:
            theirs = f"{lengths[contig]:,} bases" if contig in lengths else "no such contig"
            raise SequenceError(
                f"{reference.fasta}: {theirs} where the run has contig {contig} with {length:,} "
                "bases; give the run's sequence with --fasta"
            )
