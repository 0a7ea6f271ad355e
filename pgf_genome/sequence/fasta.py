"""Decode a FASTA (plain, gzip, bgzip, standard input) to one byte per base, in constant memory.

Compression is recognised by content, never by name. Most genomes on the web are plain gzip, which
cannot be indexed: those are streamed from end to end. If only some contigs are wanted and the file
has a samtools index, only these are read.
"""

from __future__ import annotations

import codecs
import hashlib
import io
import logging
import os
import re
import sys
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from pgf_genome.errors import ResourceError, SequenceError
from pgf_genome.intervals import is_name, unknown_contig
from pgf_genome.sequence.checked import CheckedWriter
from pgf_genome.sequence.codes import Decoded, InvalidLetterError, decode_letters
from pgf_genome.sequence.genome import Contig, Genome
from pgf_genome.sequence.gunzip import gunzipped
from pgf_genome.sequence.indexed import has_index, indexed_pieces

log = logging.getLogger("pgf_genome")

_BLOCK = 1 << 20
_LONGEST_HEADER = 1 << 20
_LINE_END = re.compile(rb"[\r\n]")
_GZIP_FIRST_BYTE = b"\x1f"
_OTHER_FORMATS = {
    b"@": "FASTQ",
    b"LOCUS": "GenBank",
    b"BAM\x01": "BAM",
    b"\x43\x27\x41\x1a": "2bit",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
}


def decode_fasta(
    source: str | os.PathLike[str],
    scratch: Path,
    contigs: Collection[str] | None = None,
    progress: Callable[[int], object] | None = None,
    block: int = _BLOCK,
) -> Genome:
    """Decode a FASTA into a file of one byte per base.

    Memory does not depend on the FASTA; disk is one byte per base of the contigs kept. Any line
    length and line ending is accepted, as are blank lines, trailing blanks and a last line without
    an ending.

    Parameters
    ----------
    source : path-like
        A FASTA file, plain, gzip (also of several members) or bgzip, or ``"-"`` for standard
        input.
    scratch : Path
        The file to write; an existing one is replaced. No file is left after an error.
    contigs : collection of str, optional
        Names to keep, in any order; None keeps all. If ``source`` has an index (``.fai``, and
        ``.gzi`` for bgzip) that is not older than itself, only these are read and checked.
    progress : callable, optional
        Called repeatedly with the number of bases read since the last call.
    block : int
        Number of bytes read at a time.

    Returns
    -------
    Genome
        The contigs in the order of the FASTA, opened for reading.

    Raises
    ------
    SequenceError
        If ``source`` cannot be read, is no nucleotide FASTA or is damaged, if a record name is
        missing or occurs twice, if a record has no sequence, or if ``contigs`` names one that is
        not there.
    ResourceError
        If ``scratch`` cannot be written.
    """
    wanted = None if contigs is None else frozenset(contigs)
    with _scratch_file(Path(scratch)) as opened:
        file = CheckedWriter(opened)
        if wanted is not None and source != "-" and has_index(Path(source)):
            kept = _fetch(indexed_pieces(Path(source), wanted, block), file, progress)
        else:
            parser = _Parser("standard input" if source == "-" else os.fspath(source), file, wanted)
            for data in fasta_bytes(source, block):
                bases = parser.feed(data)
                if progress is not None:
                    progress(bases)
            kept = parser.finish()
    log.debug(
        "read %s: %d contigs, %s bases, %s of them N",
        "standard input" if source == "-" else os.fspath(source),
        len(kept),
        f"{sum(contig.length for contig in kept):,}",
        f"{sum(contig.n_count for contig in kept):,}",
    )
    return Genome(scratch, kept, file.sums)


@contextmanager
def _scratch_file(path: Path) -> Iterator[BinaryIO]:
    """Open the file of codes; it is removed if the block fails."""
    try:
        path.unlink(missing_ok=True)  # a link of another user's, too
        with path.open("xb", buffering=_BLOCK) as file, ExitStack() as undo:
            undo.callback(path.unlink, missing_ok=True)
            yield file
            file.flush()
            undo.pop_all()
    except OSError as error:
        # Readers turn their own OSErrors into SequenceErrors, so this one is the writer's.
        raise ResourceError(
            f"cannot write the decoded sequence to {path}: {error.strerror}; "
            "choose a scratch directory with one free byte per base"
        ) from error


@contextmanager
def _opened(source: str | os.PathLike[str]) -> Iterator[io.BufferedReader[Any]]:
    if source != "-":
        with Path(source).open("rb") as file:
            yield file
        return
    if sys.stdin is None:
        raise SequenceError("standard input is closed; give a FASTA file or pipe one in")
    buffer: Any = sys.stdin.buffer  # declared without readinto, which BufferedReader needs
    stdin = io.BufferedReader(buffer)
    try:
        yield stdin
    finally:
        stdin.detach()


def fasta_bytes(source: str | os.PathLike[str], block: int = _BLOCK) -> Iterator[bytes]:
    """The decompressed bytes of a source, without a byte order mark."""
    where = "standard input" if source == "-" else os.fspath(source)
    try:
        with _opened(source) as file:
            # One byte identifies gzip, and a pipe is sure to deliver no more at once.
            gzipped = file.peek(1)[:1] == _GZIP_FIRST_BYTE
            pieces = (
                gunzipped(file, where, block) if gzipped else iter(partial(file.read, block), b"")
            )
            start = b""
            while len(start) < len(codecs.BOM_UTF8) and (data := next(pieces, b"")):
                start += data
            yield start.removeprefix(codecs.BOM_UTF8)
            yield from pieces
    except EOFError as error:
        raise SequenceError(f"{where}: the gzip data is truncated; fetch the file again") from error
    except zlib.error as error:
        raise SequenceError(
            f"{where}: the gzip data is damaged ({error}); fetch the file again"
        ) from error
    except OSError as error:
        raise SequenceError(
            f"cannot read the FASTA {where}: {error.strerror}; give a file, or - for standard input"
        ) from error


@dataclass
class _Record:
    """A contig that is still being read."""

    name: str
    offset: int
    length: int = 0
    n_count: int = 0
    ambiguous: int = 0
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    def add(self, decoded: Decoded) -> None:
        self.length += len(decoded.codes)
        self.n_count += decoded.n_count
        self.ambiguous += decoded.ambiguous
        self._hash.update(decoded.codes)

    def contig(self) -> Contig:
        return Contig(
            self.name,
            self.length,
            self.offset,
            self.ambiguous,
            self.n_count,
            self._hash.hexdigest(),
        )


class _Parser:
    """Parser of a FASTA cut into pieces anywhere; it writes the codes of the wanted records."""

    def __init__(self, where: str, file: CheckedWriter, wanted: frozenset[str] | None) -> None:
        self._where = where
        self._file = file
        self._wanted = wanted
        self._kept: list[Contig] = []
        self._header_lines: dict[str, int] = {}
        self._header: bytearray | None = None
        self._record: _Record | None = None
        self._line = 1
        self._at_line_start = True
        self._written = 0

    def feed(self, data: bytes) -> int:
        """Parse a piece and return the number of bases in it."""
        position = bases = 0
        while position < len(data):
            if self._header is None:
                stop = data.find(b">", position)
                stop = len(data) if stop < 0 else stop
                bases += self._read_letters(data[position:stop])
                if stop < len(data):
                    self._start_header()
                position = stop + 1
            else:
                position = self._read_header(self._header, data, position)
        return bases

    def finish(self) -> list[Contig]:
        """Close the last record, check the whole and return the contigs kept."""
        if self._header is not None:
            self._open_record(self._header)
        self._close_record()
        if not self._header_lines:
            raise SequenceError(f"{self._where}: the FASTA is empty; fetch or write it again")
        for name in sorted((self._wanted or frozenset()) - self._header_lines.keys()):
            raise unknown_contig(name, self._header_lines, self._where)
        return self._kept

    def _start_header(self) -> None:
        if not self._at_line_start:
            raise SequenceError(
                f"{self._where}: line {self._line}: '>' inside a sequence line; "
                "a header must start its line"
            )
        self._close_record()
        self._header = bytearray()

    def _read_header(self, header: bytearray, data: bytes, position: int) -> int:
        end = _LINE_END.search(data, position)
        stop = end.start() if end else len(data)
        header += data[position:stop]
        if len(header) > _LONGEST_HEADER:
            raise SequenceError(f"{self._where}: line {self._line}: the header has no end")
        if end:
            self._open_record(header)
        return stop

    def _open_record(self, header: bytearray) -> None:
        words = header.decode("utf-8", "replace").split(maxsplit=1)
        self._header = None
        where = f"{self._where}: line {self._line}"
        if not words:
            raise SequenceError(f"{where}: a header without a name; write '>name'")
        name = words[0]
        if not is_name(name):
            raise SequenceError(f"{where}: the record name is not text; is this a binary file?")
        if name in self._header_lines:
            raise SequenceError(
                f"{where}: record {name!r} is already on line {self._header_lines[name]}; "
                "rename one of the two"
            )
        self._header_lines[name] = self._line
        self._record = _Record(name, self._written)

    def _close_record(self) -> None:
        record = self._record
        if record is None:
            return
        if record.length == 0:
            raise SequenceError(
                f"{self._where}: line {self._header_lines[record.name]}: record {record.name!r} "
                "has no sequence; remove it or complete the file"
            )
        if self._is_wanted(record):
            self._kept.append(record.contig())

    def _read_letters(self, letters: bytes) -> int:
        if not letters:
            return 0
        if self._record is None:
            self._refuse_before_header(letters)
            count = 0
        else:
            count = self._add(self._record, letters)
        self._line += letters.count(b"\n")
        self._at_line_start = letters[-1:] in (b"\n", b"\r")
        return count

    def _add(self, record: _Record, letters: bytes) -> int:
        try:
            decoded = decode_letters(letters)
        except InvalidLetterError as error:
            line = self._line + letters.count(b"\n", 0, error.offset)
            raise SequenceError(
                f"{self._where}: line {line}, record {record.name!r}: {error}"
            ) from None
        record.add(decoded)
        if self._is_wanted(record):
            self._file.write(decoded.stored)
            self._written += len(decoded.stored)
        return len(decoded.codes)

    def _is_wanted(self, record: _Record) -> bool:
        return self._wanted is None or record.name in self._wanted

    def _refuse_before_header(self, letters: bytes) -> None:
        text = letters.lstrip()
        if not text:
            return
        for magic, kind in _OTHER_FORMATS.items():
            if text.startswith(magic):
                raise SequenceError(
                    f"{self._where}: this looks like {kind}; give a FASTA, plain or gzip"
                )
        raise SequenceError(
            f"{self._where}: not a FASTA: no header (a line that starts with '>') at the start"
        )


def _fetch(
    pieces: Iterator[tuple[str, Decoded]],
    file: CheckedWriter,
    progress: Callable[[int], object] | None,
) -> list[Contig]:
    """Write the codes of contigs that come in pieces, one contig after the other."""
    records: dict[str, _Record] = {}
    written = 0
    for name, decoded in pieces:
        if name not in records:
            records[name] = _Record(name, written)
        records[name].add(decoded)
        file.write(decoded.stored)
        written += len(decoded.stored)
        if progress is not None:
            progress(len(decoded.codes))
    return [record.contig() for record in records.values()]
