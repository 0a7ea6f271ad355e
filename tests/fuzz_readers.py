"""Slow readers of text formats, written from their descriptions and not from the program.

Each returns None for what it takes to be wrong; the program may refuse more, but what it accepts
it must read as they do.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Mapping

BLANKS = b" \t\r\n\v\f"
DIGITS = set("0123456789")


def unpacked(data: bytes) -> bytes | None:
    """What gzip data holds; other data is what it is."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return None


def fasta(data: bytes) -> list[tuple[str, bytes]] | None:
    """Names and sequences: capitals, U as T, and N for every other code of several bases."""
    text = unpacked(data)
    if text is None:
        return None
    records: list[tuple[str, bytearray]] = []
    for line in text.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n").split(b"\n"):
        if line.startswith(b">"):
            words = line[1:].decode("utf-8", "replace").split()
            if not words:
                return None
            records.append((words[0], bytearray()))
        elif line.strip(BLANKS):
            if not records or set(line.upper()) - set(b"ACGTUNRYKMSWBDHV" + BLANKS):
                return None
            letters = bytes(b for b in line.upper() if b not in BLANKS).replace(b"U", b"T")
            records[-1][1].extend(b if b in b"ACGT" else ord("N") for b in letters)
    names = [name for name, _ in records]
    whole = records and len(set(names)) == len(names) and all(bases for _, bases in records)
    return [(name, bytes(bases)) for name, bases in records] if whole else None


def number(text: str) -> int | None:
    """A whole number in ASCII digits."""
    digits = text.removeprefix("-")
    return int(text) if digits and set(digits) <= DIGITS and len(digits) < 4000 else None


def bed(data: bytes, lengths: Mapping[str, int]) -> list[tuple[str, int, int, str]] | None:
    """Contig, start, stop and strand of every line."""
    text = unpacked(data)
    if text is None:
        return None
    rows = []
    for line in io.StringIO(text.decode("utf-8-sig", "replace"), newline=None):
        words = line.split()
        if not words or line.startswith("#") or words[0] in ("track", "browser"):
            continue
        fields = line.rstrip().split("\t") if "\t" in line.rstrip() else words
        if len(fields) < 3 or fields[0] not in lengths:
            return None
        start, stop = number(fields[1]), number(fields[2])
        if start is None or stop is None or not 0 <= start < stop <= lengths[fields[0]]:
            return None
        rows.append((fields[0], start, stop, "-" if fields[5:6] == ["-"] else "+"))
    return rows or None


def region(text: str, lengths: Mapping[str, int]) -> tuple[str, int, int] | None:
    """Contig, and 0-based start and stop."""
    if text in lengths:
        return text, 0, lengths[text]
    if text.startswith("{") and "}" in text:
        name, _, rest = text[1:].rpartition("}")
        if rest[:1] not in ("", ":"):
            return None
        extent = rest[1:] if rest else None
    else:
        name, _, extent = text.rpartition(":")
    if name not in lengths:
        return None
    if extent is None:
        return name, 0, lengths[name]
    first, dash, last = extent.partition("-")
    start = number(first.replace(",", ""))
    stop = number(last.replace(",", "")) if last else lengths[name]
    if start is None or stop is None or (dash and set(first + last) - DIGITS - {","}):
        return None
    return (name, start - 1, stop) if 1 <= start <= stop <= lengths[name] else None


def vcf(data: bytes) -> tuple[bytes, list[tuple[bytes, ...]]] | None:
    """The text, and the first eight columns of every record."""
    text = unpacked(data)
    if text is None:
        return None
    lines = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    rows = [
        tuple(line.rstrip(b"\r").split(b"\t")[:8])
        for line in lines
        if line.strip() and not line.startswith(b"#")
    ]
    return text, rows


def bedgraph(data: bytes) -> list[tuple[str, int, int, float]]:
    """The rows of a bedGraph that the program accepts."""
    text = (unpacked(data) or b"").removeprefix(b"\xef\xbb\xbf")
    if text.startswith(b"track "):
        text = text.partition(b"\n")[2]
    rows = []
    for line in text.replace(b"\r", b"\n").split(b"\n"):
        if line.strip():
            contig, start, stop, value = line.decode().split("\t")
            rows.append((contig, int(start), int(stop), float(value)))
    return rows
