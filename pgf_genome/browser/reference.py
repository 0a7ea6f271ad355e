"""The indexed FASTA, plain or bgzip, that browsers read by position."""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.files import atomic, quiet_htslib
from pgf_genome.sequence.fasta import fasta_bytes
from pgf_genome.sequence.indexed import has_index
from pgf_genome.tracks.bedgraph.bgzf import END_OF_FILE, BgzfWriter

log = logging.getLogger("pgf_genome")

# a gzip header, and the extra field that makes it BGZF: SAM specification, section 4.1
GZIP_MAGIC, BGZF_FIELD = b"\x1f\x8b", b"BC\x02\x00"
# a .gzi holds the number of entries, then the compressed and the uncompressed place of each block
GZI_COUNT, GZI_ENTRY = struct.Struct("<Q"), struct.Struct("<2Q")


@dataclass(frozen=True)
class Reference:
    """An indexed FASTA.

    Attributes
    ----------
    fasta : Path
        The sequence, plain or bgzip.
    fai : Path
        Its index by samtools.
    gzi : Path, optional
        Its index of bgzip blocks, with an entry for the end of the file; None if it is plain.
    """

    fasta: Path
    fai: Path
    gzi: Path | None


def open_reference(
    fasta: str | os.PathLike[str] | None, sizes: Mapping[str, int], prefix: Path
) -> Reference:
    """Find the FASTA of a run, check its contigs, and index it if it has no index.

    Parameters
    ----------
    fasta : path-like, optional
        Path of the FASTA; None if it is not known.
    sizes : mapping of str to int
        Length in bases of the contigs that the FASTA must have.
    prefix : Path
        Prefix of the indexes that are written: ``PREFIX.fasta.fai`` if there is none beside the
        FASTA, and for bgzip ``PREFIX.fasta.gzi``; of plain gzip a copy, ``PREFIX.fasta.gz``.

    Raises
    ------
    UsageError
        If the path is not known.
    SequenceError
        If the file is missing or damaged, cannot be indexed, or has other contigs.
    ResourceError
        If an index cannot be written.
    """
    if fasta is None:
        raise UsageError(
            f"{prefix}.run.json does not say where the FASTA is; give `fasta`, or `genome` with "
            "the assembly's name at UCSC"
        )
    path = Path(fasta)
    if _is_plain_gzip(path):
        path = _in_bgzip(path, Path(f"{prefix}.fasta.gz"))
    bgzip, indexed = _head(path).startswith(GZIP_MAGIC), has_index(path)
    fai = Path(f"{path}.fai" if indexed else f"{prefix}.fasta.fai")
    gzi = Path(f"{prefix}.fasta.gzi") if bgzip else None
    if not indexed:
        _make_index(path, fai, gzi)
    if gzi is not None:
        _write_gzi(path, Path(f"{path}.gzi") if indexed else gzi, gzi)
    _check(path, fai, sizes)
    return Reference(path, fai, gzi)


def _is_plain_gzip(path: Path) -> bool:
    """Whether a file is gzip and not bgzip: it cannot be read by position."""
    head = _head(path)
    return head.startswith(GZIP_MAGIC) and head[12:16] != BGZF_FIELD


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(18)
    except OSError as error:
        raise SequenceError(
            f"{path}: cannot be read ({error.strerror}); give the run's sequence with `fasta`"
        ) from error


def _in_bgzip(path: Path, copy: Path) -> Path:
    """Write a FASTA as bgzip, unless there is such a copy that is not older."""
    if not (copy.is_file() and copy.stat().st_mtime >= path.stat().st_mtime):
        log.info("%s is plain gzip: %s is a copy in bgzip, which browsers can read", path, copy)
        with atomic(copy) as part, part.open("wb") as file:
            writer = BgzfWriter(file)
            for block in fasta_bytes(path):
                writer.write(block)
            writer.finish()
    return copy


def _make_index(fasta: Path, fai: Path, gzi: Path | None) -> None:
    import pysam

    with ExitStack() as stack:
        arguments = [str(fasta), "--fai-idx", str(stack.enter_context(atomic(fai)))]
        if gzi is not None:
            arguments += ["--gzi-idx", str(stack.enter_context(atomic(gzi)))]
        try:
            with quiet_htslib():
                pysam.faidx(*arguments)
        except pysam.SamtoolsError as error:
            reason = " ".join(str(error.value).split()) or "samtools faidx failed"
            raise SequenceError(f"{fasta}: cannot be indexed ({reason})") from error


def _write_gzi(fasta: Path, source: Path, target: Path) -> None:
    """Copy a .gzi with one more entry, for the end of the FASTA.

    igv.js (3.8) reads a block up to the start of the next, and so does not read the last one:
    without the entry it would show no letters in the last 64 kb.
    """
    content = source.read_bytes()[GZI_COUNT.size :]
    entries = [(0, 0), *GZI_ENTRY.iter_unpack(content)]
    with fasta.open("rb") as file:
        end = file.seek(0, os.SEEK_END) - len(END_OF_FILE)
        file.seek(end)
        if file.read() != END_OF_FILE:
            end += len(END_OF_FILE)
        # a block ends with its length before compression
        file.seek(end - 4)
        last = int.from_bytes(file.read(4), "little")
    if entries[-1][0] < end:
        entries.append((end, entries[-1][1] + last))
    packed = GZI_COUNT.pack(len(entries) - 1) + b"".join(GZI_ENTRY.pack(*e) for e in entries[1:])
    with atomic(target) as part:
        part.write_bytes(packed)


def _check(fasta: Path, fai: Path, sizes: Mapping[str, int]) -> None:
    rows = (line.split("\t") for line in fai.read_text(encoding="utf-8").splitlines())
    lengths = {row[0]: int(row[1]) for row in rows}
    for contig, length in sizes.items():
        if lengths.get(contig) != length:
            theirs = f"{lengths[contig]:,} bases" if contig in lengths else "no such contig"
            raise SequenceError(
                f"{fasta}: {theirs} where the run has contig {contig} with {length:,} "
                "bases; give the run's sequence with `fasta`"
            )
