"""A few contigs of a FASTA that has a samtools index, plain or bgzip, read by position."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pgf_genome.errors import SequenceError
from pgf_genome.files import quiet_htslib
from pgf_genome.intervals import unknown_contig
from pgf_genome.sequence.codes import Decoded, InvalidLetterError, decode_letters

if TYPE_CHECKING:
    import pysam

# (position, number of bytes) -> the bytes; fewer at the end of the file
Reader = Callable[[int, int], bytes]
# bytes that are looked at around a record
_WINDOW = 1 << 14
_BOM = b"\xef\xbb\xbf"


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
            lacking = sorted(set(wanted).difference(fasta.references))
            _require_fit(path, fasta.references if lacking else wanted, whole=bool(lacking))
            for name in lacking:
                raise unknown_contig(name, fasta.references, str(path))
            for name in filter(set(wanted).__contains__, fasta.references):
                for decoded in _contig_pieces(fasta, path, name, block):
                    yield name, decoded
    except (OSError, OverflowError, TypeError, ValueError) as error:
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


class _Entry(NamedTuple):
    """A line of a .fai: where the bases of a record begin, and how long its lines are."""

    length: int
    offset: int
    bases: int
    width: int

    @property
    def end(self) -> int:
        """The byte after the last base."""
        lines, rest = divmod(self.length - 1, self.bases)
        return self.offset + lines * self.width + rest + 1


def _require_fit(path: Path, names: Collection[str], whole: bool) -> None:
    """Raise SequenceError unless the records of an index begin and end where it says.

    Its date is no proof: a FASTA can be replaced by an older one. If ``whole``, the index has to
    list every record, one after the other.
    """
    text = Path(f"{path}.fai").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.split("\n") if line]
    entries = {row[0]: _Entry(*map(int, row[1:5])) for row in rows}
    with _opened(path) as read:
        if not set(names) <= set(entries) or len(entries) < len(rows):
            raise ValueError("it cannot be read")
        chosen = [(entries[name], name) for name in set(names) if entries[name].length]
        chosen.sort(key=lambda each: each[0].offset)
        if not all(_is_record(read, entry, name) for entry, name in chosen):
            raise ValueError("it is that of another file")
        ends = [0, *(entry.end for entry, _ in chosen)]
        heads = [*(name.encode() for _, name in chosen), b""]
        if whole and not all(_follows(read, *each) for each in zip(ends, heads, strict=True)):
            raise ValueError("it does not list every record")


def _is_record(read: Reader, entry: _Entry, name: str) -> bool:
    """Whether bases begin below the header of that name, in such lines, and end where it says."""
    if entry.offset < 1 or entry.bases < 1 or not 0 <= entry.width - entry.bases < _WINDOW:
        return False
    before = read(max(entry.offset - _WINDOW, 0), min(_WINDOW, entry.offset)).splitlines()
    header = next((line for line in reversed(before) if line.strip()), b"")
    first = read(entry.offset, min(entry.bases, entry.length, _WINDOW))
    break_ = read(entry.offset + entry.bases, entry.width - entry.bases)
    return (
        header[:1] == b">"
        and header[1:].split()[:1] == [name.encode()]
        and len(first.split()) == 1
        and (entry.length <= entry.bases or (bool(break_) and not break_.strip()))
        and read(entry.end, _WINDOW).lstrip()[:1] in (b"", b">")
    )


def _follows(read: Reader, at: int, name: bytes) -> bool:
    """Whether the header of that name follows, or the end of the file for b""."""
    rest = read(at, _WINDOW).removeprefix(_BOM).lstrip()
    return rest.split()[:1] == [b">" + name] if name else not rest


@contextmanager
def _opened(path: Path) -> Iterator[Reader]:
    """A reader of bytes by position, also within bgzip."""
    from Bio import bgzf

    with path.open("rb") as file:
        zipped = file.peek(2)[:2] == b"\x1f\x8b"
        blocks = np.zeros((1, 2), "<u8")
        if zipped:
            content = Path(f"{path}.gzi").read_bytes()[8:]
            blocks = np.concatenate([blocks, np.frombuffer(content, "<u8").reshape(-1, 2)])
        stream: Any = bgzf.BgzfReader(fileobj=file, mode="rb") if zipped else file

        def read(at: int, count: int) -> bytes:
            if zipped:
                packed, plain = blocks[np.searchsorted(blocks[:, 1], at, "right") - 1].tolist()
                stream.seek(bgzf.make_virtual_offset(packed, 0))
                stream.read(at - plain)
            else:
                stream.seek(at)
            return stream.read(count)

        yield read


def _remake(path: Path) -> str:
    return f"remake it with: samtools faidx {path}"
