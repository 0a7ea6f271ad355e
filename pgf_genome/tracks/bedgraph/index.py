"""Whether the index of a bgzip-compressed bedGraph is that of this file."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from pgf_genome.tracks.bedgraph.bgzf import HEADER

_INSIDE = 0xFFFF  # of a virtual offset: the place in the block


def index_fault(path: Path) -> str | None:
    """What shows that an index is missing, damaged or of another file; None if nothing does.

    Every offset of the index has to be within a block of the file, and the last row that it knows
    has to end where the text of the file ends.
    """
    index = next((p for end in (".tbi", ".csi") if (p := Path(f"{path}{end}")).is_file()), None)
    if index is None:
        return f"{path.name} has no index"
    try:
        blocks = dict(_blocks(path))
        chunks = [*_chunks(gzip.decompress(index.read_bytes()))]
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        return f"{index.name} cannot be read ({error})"
    for offset in (each for chunk in chunks for each in chunk):
        if blocks.get(offset >> 16, -1) < offset & _INSIDE:
            return f"{index.name} points to a place that {path.name} does not have"
    last = max((end for _, end in chunks), default=0)
    after = [size for start, size in blocks.items() if start > last >> 16]
    if blocks and blocks[last >> 16] - (last & _INSIDE) + sum(after):
        return f"{index.name} does not reach the last row of {path.name}"
    return None


def _blocks(path: Path) -> Iterator[tuple[int, int]]:
    """Start of every block, and bytes of text in it."""
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        at = 0
        while at < length:
            file.seek(at)
            head = HEADER.unpack(file.read(HEADER.size))
            if head[:4] != (31, 139, 8, 4):
                raise ValueError(f"no block of bgzip begins at byte {at}")
            end = at + head[-1] + 1
            file.seek(end - 4)
            yield at, struct.unpack("<I", file.read(4))[0]
            at = end


def _chunks(content: bytes) -> Iterator[tuple[int, int]]:
    """First and last virtual offset of every chunk of a .tbi or .csi."""
    kind, at = content[:4], 4
    if kind not in (b"TBI\1", b"CSI\1"):
        raise ValueError("it is no index of tabix")
    plain = kind == b"TBI\1"
    if plain:
        (contigs,) = struct.unpack_from("<i", content, at)
        (names,) = struct.unpack_from("<i", content, at + 28)
        at += 32 + names
    else:
        (auxiliary,) = struct.unpack_from("<i", content, at + 8)
        (contigs,) = struct.unpack_from("<i", content, at + 12 + auxiliary)
        at += 16 + auxiliary
    for _ in range(contigs):
        (bins,) = struct.unpack_from("<i", content, at)
        at += 4
        for _ in range(bins):
            at += 4 if plain else 12
            (chunks,) = struct.unpack_from("<i", content, at)
            yield from struct.iter_unpack("<2Q", content[at + 4 : at + 4 + 16 * chunks])
            at += 4 + 16 * chunks
        if plain:
            (windows,) = struct.unpack_from("<i", content, at)
            at += 4 + 8 * windows
