"""A few contigs of a FASTA that has a samtools index, plain or bgzip, read by position."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pgf_genome.errors import SequenceError
from pgf_genome.files import quiet_htslib
from pgf_genome.intervals import unknown_contig
from pgf_genome.sequence.codes import Decoded, InvalidLetterError, decode_letters

if TYPE_CHECKING:
    import pysam


def has_index(path: Path) -> bool:
    """Return whether a FASTA has samtools indexes that fit its compression and are up to date."""
    try:
        fai, gzi = (Path(f"{path}{suffix}") for suffix in (".fai", ".gzi"))
        changed = path.stat().st_mtime
        # The index is checked before the FASTA is opened: a pipe has none, and is read only once.
        if fai.stat().st_mtime < changed:
            return False
        with path.open("rb") as file:
            head = file.read(18)
        if not head.startswith(b"\x1f\x8b"):
            return True
        # The BGZF extra field, SAM specification section 4.1.
        return head[12:16] == b"BC\x02\x00" and gzi.stat().st_mtime >= changed
    except OSError:
        return False


def indexed_lengths(source: str | os.PathLike[str]) -> dict[str, int] | None:
    """Read the length of every contig from the index of a FASTA.

    Returns
    -------
    dict of str to int, or None
        Lengths in bases, in the order of the FASTA; None without an index, or for ``"-"``.
    """
    if str(source) == "-" or not has_index(Path(source)):
        return None
    import pysam

    try:
        with quiet_htslib(), pysam.FastaFile(str(source)) as fasta:
            return dict(zip(fasta.references, fasta.lengths, strict=True))
    except (OSError, ValueError):
        return None  # decoding the FASTA will say what is wrong


def indexed_pieces(
    path: Path, wanted: Collection[str], block: int
) -> Iterator[tuple[str, Decoded]]:
    """Decode the wanted contigs piece by piece, in the order of the FASTA.

    Parameters
    ----------
    path : Path
        A FASTA for which `has_index` holds. Nothing is written beside it.
    wanted : collection of str
        Names of contigs.
    block : int
        Longest piece, in bases.

    Yields
    ------
    (str, Decoded)
        Name of a contig and its next piece.

    Raises
    ------
    SequenceError
        If a name is unknown, a contig is empty or no nucleotide sequence, or the index does
        not fit the file.
    """
    # Not pyfaidx: at the start of a bgzip block of 65,536 bases it computes an impossible offset.
    import pysam

    try:
        with quiet_htslib(), pysam.FastaFile(str(path)) as fasta:
            for name in sorted(set(wanted).difference(fasta.references)):
                raise unknown_contig(name, fasta.references, str(path))
            for name in filter(set(wanted).__contains__, fasta.references):
                for decoded in _contig_pieces(fasta, path, name, block):
                    yield name, decoded
    except (OSError, ValueError) as error:
        raise SequenceError(f"{path}: its index is of no use ({error}); {_remake(path)}") from error


def _contig_pieces(fasta: pysam.FastaFile, path: Path, name: str, block: int) -> Iterator[Decoded]:
    length = fasta.get_reference_length(name)
    if length == 0:
        raise SequenceError(
            f"{path}: record {name!r} has no sequence; remove it or complete the file"
        )
    for start in range(0, length, block):
        stop = min(start + block, length)
        try:
            decoded = decode_letters(fasta.fetch(name, start, stop).encode())
        except InvalidLetterError as error:
            raise SequenceError(
                f"{path}: record {name!r}, base {start + error.offset + 1}: {error} "
                f"(if the FASTA has changed since it was indexed, {_remake(path)})"
            ) from None
        if len(decoded.codes) != stop - start:
            raise SequenceError(f"{path}: the index does not fit record {name!r}; {_remake(path)}")
        yield decoded


def _remake(path: Path) -> str:
    return f"remake it with: samtools faidx {path}"
