"""VCF as lines of bytes: what is not ours passes through as it is.

Format: "The Variant Call Format Specification", VCFv4.5 (samtools/hts-specs). Positions are
1-based in the file and 0-based here.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import stat
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pgf_genome.errors import SequenceError
from pgf_genome.files import naming, quiet_htslib
from pgf_genome.tracks.bedgraph.bgzf import END_OF_FILE

COLUMNS = 8  # that every record has
TEXT = (
    "utf-8",
    "surrogateescape",
)  # as which words are decoded, so that other bytes stay as they are
_GZIP_MAGIC, _BGZF_FIELD = b"\x1f\x8b", b"BC\x02\x00"
_BLOCK, _BCF = 1 << 20, b"BCF\x02"
_BOM = b"\xef\xbb\xbf"
# Bytes of a line, and alternative alleles of a record, at most: a small gzip file can hold any
# number, and they are held in memory.
LONGEST, MOST_ALTS = 1 << 28, 1_000_000
_POSITION = re.compile(rb"-?\d{1,30}")
_FIRST_LINE, _LAST_LINE = b"##fileformat=VCF", b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
_OTHER_FORMATS = {
    b"BCF\x04": "BCF of samtools 0.1; convert it with the bcftools of that time",
    b">": "FASTA; the order is FASTA, VCF",
    b"BZh": "bzip2; decompress it first",
    b"\xfd7zXZ": "xz; decompress it first",
    b"\x28\xb5\x2f\xfd": "zstd; decompress it first",
    b"PK\x03\x04": "zip; decompress it first",
}


class Flag(IntEnum):
    """Why an alternative allele has no effect; a name in lower case is what the file says."""

    SCORED = 0
    NO_ALT = 1
    SYMBOLIC = 2
    SPANNING_DELETION = 3
    BREAKEND = 4
    EMPTY_ALLELE = 5
    NOT_ACGT = 6
    UNKNOWN_CONTIG = 7
    OUTSIDE_CONTIG = 8
    REF_DIFFERS = 9
    NOT_SNV = 10

    def __str__(self) -> str:
        return self.name.lower()


MEANINGS = {
    Flag.NO_ALT: "ALT is ., there is no variant",
    Flag.SYMBOLIC: "ALT is symbolic, such as <DEL>",
    Flag.SPANNING_DELETION: "ALT is *, deleted by another record",
    Flag.BREAKEND: "ALT is a breakend",
    Flag.EMPTY_ALLELE: "REF or ALT is empty",
    Flag.NOT_ACGT: "REF or ALT has letters other than A C G T",
    Flag.UNKNOWN_CONTIG: "CHROM is not in the FASTA",
    Flag.OUTSIDE_CONTIG: "POS is 0 or REF reaches past the end of the contig",
    Flag.REF_DIFFERS: "REF differs from the FASTA",
    Flag.NOT_SNV: "only SNVs have a masked score",
}


# The INFO fields that are ours, whichever of them a run writes.
EFFECT, MASKED_SCORE, FLAG, GENE, CONSEQUENCE = KEYS = (
    "PGF_EFFECT",
    "PGF_MASKED_SCORE",
    "PGF_FLAG",
    "PGF_GENE",
    "PGF_CONSEQUENCE",
)
_OURS = tuple(key.encode() for key in KEYS)


class Record(NamedTuple):
    """A line of a VCF, and what of it says where a change is.

    A line that is none, blank or a comment between records, has ``alts`` ``()``.
    """

    line: bytes
    contig: str = ""
    position: int = 0
    ref: str = ""
    alts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """An INFO field that is added.

    Attributes
    ----------
    key : str
    number, kind : str
        As in the header of a VCF.
    description : str
    """

    key: str
    number: str
    kind: str
    description: str

    def line(self, version: str) -> bytes:
        """The header line, without its end."""
        said = self.description.replace("\\", "\\\\").replace('"', '\\"')
        return (
            f"##INFO=<ID={self.key},Number={self.number},Type={self.kind},"
            f'Description="{said}",Source="pgf-genome",Version="{version}">'
        ).encode()


class Vcf:
    """A VCF that is read from its beginning: first the header, then the records.

    Attributes
    ----------
    where : str
        Its name for errors.
    header : list of bytes
        Lines with their ends; the last one names the columns.
    """

    def __init__(self, lines: Iterator[bytes], where: str) -> None:
        self._lines, self.where = lines, where
        self.header: list[bytes] = []
        for line in lines:
            line = line if self.header else line.removeprefix(_BOM)
            if not (line.startswith(b"##") if self.header else line.startswith(_FIRST_LINE)):
                break
            self.header.append(line)
        else:
            line = b""
        if not self.header:
            raise SequenceError(f"{where}: {_not_a_vcf(line)}")
        if not line.startswith(_LAST_LINE):
            raise SequenceError(
                f"{where}: line {len(self.header) + 1}: the header ends without the line "
                "#CHROM POS ID REF ALT QUAL FILTER INFO, separated by tabs"
            )
        self.header.append(line)

    def header_with(self, fields: Sequence[Field], version: str) -> Iterator[bytes]:
        """The header with lines for our fields, in the place of older ones."""
        end = b"\r\n" if self.header[-1].endswith(b"\r\n") else b"\n"
        ours = tuple(f"##INFO=<ID={key},".encode() for key in KEYS)
        yield from (line for line in self.header[:-1] if not line.startswith(ours))
        yield from (field.line(version) + end for field in fields)
        yield self.header[-1]

    def __iter__(self) -> Iterator[Record]:
        """The records, in order.

        Raises
        ------
        SequenceError
            If a line has fewer than eight columns, or a position is no number.
        """
        for number, line in enumerate(self._lines, len(self.header) + 1):
            if line.startswith(b"#") or not line.strip():
                yield Record(line)
                continue
            fields = line.split(b"\t", COLUMNS)
            if fault := _fault(line, fields):
                raise SequenceError(f"{self.where}: line {number}: {fault}; correct the line")
            chrom, position, _, reference, alternatives = fields[:5]
            words = (chrom, reference, alternatives)
            contig, ref, alts = (word.decode(*TEXT) for word in words)
            yield Record(line, contig, int(position) - 1, ref, tuple(alts.split(",")))


def _fault(line: bytes, fields: Sequence[bytes]) -> str:
    """What is wrong with a line; "" if nothing is."""
    if len(fields) < COLUMNS:
        return f"{len(fields)} columns, separated by tabs, where a VCF has at least {COLUMNS}"
    if not _POSITION.fullmatch(fields[1]):
        return f"POS is {fields[1][:40].decode('latin-1')!r}, which is not a whole number"
    if b"\r" in line and b"\r" in line.removesuffix(b"\n").removesuffix(b"\r"):
        return "a carriage return in the line, as of another line end"
    if (alts := fields[4].count(b",") + 1) > MOST_ALTS:
        return f"{alts:,} alternative alleles, where {MOST_ALTS:,} are read at most"
    return ""


def _not_a_vcf(line: bytes) -> str:
    for magic, name in _OTHER_FORMATS.items():
        if line.startswith(magic):
            return f"not a VCF but {name}"
    if not line:
        return "the VCF is empty; fetch or write it again"
    start = line[:20].decode("latin-1").rstrip()
    return f"not a VCF with its header: it starts with {start!r}, not with ##fileformat=VCF"


@dataclass(frozen=True)
class Source:
    """A VCF, plain, gzip or bgzip by its content, or BCF, that can be read more than once.

    Attributes
    ----------
    path : Path
    where : str
        Its name for errors.
    """

    path: Path
    where: str

    @classmethod
    def of(cls, given: str | os.PathLike[str], scratch: Path) -> Source:
        """The file itself, or a copy in ``scratch`` of a pipe or of standard input (``"-"``).

        Of BCF it is a copy as text.

        Raises
        ------
        SequenceError
            If it cannot be read.
        ResourceError
            If there is no room for the copy.
        """
        copy = scratch / "input.vcf"
        if str(given) == "-":
            if sys.stdin is None:
                raise SequenceError("standard input is closed; give a VCF file or pipe one in")
            path, where = _copied(sys.stdin.buffer, copy), "standard input"
        else:
            path, where = Path(given), os.fspath(given)
            try:
                with path.open("rb") as file:
                    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                        path = _copied(file, copy)
            except OSError as error:
                raise _unreadable(where, error) from error
        return cls(_as_text(path, where, scratch) if _is_bcf(path) else path, where)

    @contextmanager
    def opened(self) -> Iterator[Vcf]:
        """Read it from its beginning.

        Raises
        ------
        SequenceError
            If it cannot be read, is truncated or damaged, or is no VCF.
        """
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise _unreadable(self.where, error) from error
        with file:
            yield Vcf(self._lines(file), self.where)

    def _lines(self, file: BinaryIO) -> Iterator[bytes]:
        try:
            head = file.read(18)
            file.seek(0)
            zipped = head.startswith(_GZIP_MAGIC)
            if zipped and head[12:16] == _BGZF_FIELD and not self._ends_whole():
                raise EOFError
            stream = io.BufferedReader(gzip.GzipFile(fileobj=file), _BLOCK) if zipped else file
            for number, line in enumerate(iter(lambda: stream.readline(LONGEST), b""), 1):
                if len(line) == LONGEST:
                    raise SequenceError(
                        f"{self.where}: line {number} has more than {LONGEST >> 20} MB; is "
                        "it a VCF?"
                    )
                yield line
        except EOFError as error:
            raise SequenceError(
                f"{self.where}: the gzip data is truncated; fetch the file again"
            ) from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise SequenceError(
                f"{self.where}: the gzip data is damaged ({error}); fetch the file again"
            ) from error
        except OSError as error:
            raise _unreadable(self.where, error) from error

    def _ends_whole(self) -> bool:
        """Whether bgzip data ends as such: what is cut between two blocks is gzip all the same."""
        with self.path.open("rb") as file:
            file.seek(-min(len(END_OF_FILE), self.path.stat().st_size), os.SEEK_END)
            return file.read() == END_OF_FILE


def _copied(stream: BinaryIO, path: Path) -> Path:
    with naming(path), path.open("wb") as file:
        shutil.copyfileobj(stream, file)
    return path


def _is_bcf(path: Path) -> bool:
    with path.open("rb") as file:
        zipped = file.peek(2)[:2] == _GZIP_MAGIC
        try:
            return (gzip.GzipFile(fileobj=file) if zipped else file).read(4) == _BCF
        except (OSError, EOFError, zlib.error):
            return False  # what is wrong is told where the lines are read


def _as_text(path: Path, where: str, scratch: Path) -> Path:
    """A copy of BCF as VCF."""
    import pysam

    copy = scratch / "bcf.vcf"
    with naming(copy), copy.open("w", encoding="utf-8") as file, quiet_htslib():
        try:
            with pysam.VariantFile(str(path)) as read:
                file.write(str(read.header))
                file.writelines(map(str, read))
        except (OSError, ValueError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno:
                raise  # of the copy
            raise SequenceError(
                f"{where}: the BCF is truncated or damaged; fetch the file again"
            ) from error
    return copy


def _unreadable(where: str, error: OSError) -> SequenceError:
    return SequenceError(
        f"cannot read the VCF {where}: {error.strerror}; give a file, or - for standard input"
    )


def flag_of_allele(ref: str, alt: str) -> Flag:
    """Tell whether two alleles are sequences, whatever the reference."""
    if alt == ".":
        return Flag.NO_ALT
    if alt == "*":
        return Flag.SPANNING_DELETION
    if "[" in alt or "]" in alt or (len(alt) > 1 and "." in (alt[0], alt[-1])):
        return Flag.BREAKEND
    if alt.startswith("<"):
        return Flag.SYMBOLIC
    if not ref or not alt:
        return Flag.EMPTY_ALLELE
    # strip is much faster than a loop, and letters inside remain if any other is there
    if ref.strip("ACGTacgt") or alt.strip("ACGTacgt"):
        return Flag.NOT_ACGT
    return Flag.SCORED


def is_snv(ref: str, alt: str) -> bool:
    """Whether two sequences differ in one base at most, and in nothing else."""
    changed = sum(a != b for a, b in zip(ref.upper(), alt.upper(), strict=False))
    return len(ref) == len(alt) and changed <= 1


def with_info(line: bytes, values: Iterable[tuple[str, str]]) -> bytes:
    """Add INFO fields to the line of a record, in the place of older ones of ours."""
    body = line.rstrip(b"\r\n")
    fields = body.split(b"\t", COLUMNS)
    kept = without_ours(fields[COLUMNS - 1])
    ours = [f"{key}={value}".encode() for key, value in values]
    fields[COLUMNS - 1] = b";".join([kept, *ours] if kept != b"." else ours)
    return b"\t".join(fields) + line[len(body) :]


def without_ours(info: bytes) -> bytes:
    """INFO without our fields; ``.`` if nothing is left."""
    if b"PGF_" in info:
        info = b";".join(f for f in info.split(b";") if f.partition(b"=")[0] not in _OURS)
    return info or b"."
