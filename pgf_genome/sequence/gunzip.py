"""Gzip data of a stream, member after member, with what may follow the last one (RFC 1952)."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from typing import BinaryIO

log = logging.getLogger("pgf_genome")

MAGIC = b"\x1f\x8b"
GZIP = 16 + zlib.MAX_WBITS  # a header and a checksum, as zlib calls them
# What follows complete members is left out if it is at most so long, or a hundredth of them: some
# published genomes end so. More of it may be a damaged member.
REST, SHARE = 64, 100


def gunzipped(file: BinaryIO, where: str, block: int) -> Iterator[bytes]:
    """Decompress in pieces of 1 to ``block`` bytes.

    Raises
    ------
    EOFError
        If the last member is cut.
    zlib.error
        If a member is damaged.
    """
    member, data, read = zlib.decompressobj(GZIP), file.read(block), 0
    while data:
        before = len(data)
        if piece := member.decompress(data, block):
            yield piece
        if not member.eof:
            data = member.unconsumed_tail
            read += before - len(data)
            data = data or file.read(block)
            continue
        data = member.unused_data
        read += before - len(data)
        while len(data) < len(MAGIC) and (more := file.read(block)):
            data += more
        if data.strip(b"\0") and not data.startswith(MAGIC):
            most = max(REST, read // SHARE)
            if len(data + file.read(most)) > most:
                raise zlib.error("what follows a member is none")
            log.warning("%s: what follows the gzip data, which is complete, is left out", where)
            return
        data = data if data.startswith(MAGIC) else b""
        if data:
            member = zlib.decompressobj(GZIP)
    if not member.eof:
        raise EOFError
