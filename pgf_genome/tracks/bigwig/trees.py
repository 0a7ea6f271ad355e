"""The two search trees of a bigWig file, built from their leaves.

Kent et al., Bioinformatics 26:2204 (2010), supplement: table 9 and 10 (B+ tree over contig names),
tables 14 to 17 (R tree over data sections). Ranks are places in the list of contigs.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Mapping

import numpy as np

FANOUT = 256
CHROM_TREE_MAGIC = 0x78CA8C91
INDEX_MAGIC = 0x2468ACE0

EXTENT = np.dtype([("first_rank", "<u4"), ("start", "<u4"), ("last_rank", "<u4"), ("stop", "<u4")])
SECTION = np.dtype([*EXTENT.descr, ("offset", "<u8"), ("size", "<u8")])


def chrom_tree(sizes: Mapping[str, int], at: int) -> bytes:
    """The B+ tree from contig name to rank and length, to be placed at file offset ``at``."""
    names = [name.encode() for name in sizes]
    key_bytes = max((len(name) for name in names), default=1)
    leaves = np.zeros(len(names), [("key", f"S{key_bytes}"), ("rank", "<u4"), ("length", "<u4")])
    leaves["key"] = names
    leaves["rank"] = np.arange(len(names))
    leaves["length"] = list(sizes.values())
    leaves.sort(order="key")
    header = struct.pack("<4I2Q", CHROM_TREE_MAGIC, FANOUT, key_bytes, 8, len(leaves), 0)
    parent = np.dtype([("key", f"S{key_bytes}"), ("offset", "<u8")])

    def above(first: np.ndarray, _last: np.ndarray) -> np.ndarray:
        nodes = np.zeros(len(first), parent)
        nodes["key"] = first["key"]
        return nodes

    return header + _nodes(leaves, above, at + len(header))


def section_index(sections: np.ndarray, at: int) -> bytes:
    """The R tree over ``sections`` (dtype `SECTION`, ascending), to be placed at offset ``at``."""
    extent = np.zeros(1, EXTENT)
    if len(sections):
        extent = _extent(sections[:1], sections[-1:], EXTENT)
    header = struct.pack("<2IQ", INDEX_MAGIC, FANOUT, len(sections))
    header += extent.tobytes() + struct.pack("<Q2I", at, 1, 0)
    parent = np.dtype([*EXTENT.descr, ("offset", "<u8")])
    return header + _nodes(
        sections, lambda first, last: _extent(first, last, parent), at + len(header)
    )


def _extent(first: np.ndarray, last: np.ndarray, dtype: np.dtype) -> np.ndarray:
    # sections ascend without overlap, so the box starts with the first and stops with the last
    nodes = np.zeros(len(first), dtype)
    for field in ("first_rank", "start"):
        nodes[field] = first[field]
    for field in ("last_rank", "stop"):
        nodes[field] = last[field]
    return nodes


def _nodes(
    leaves: np.ndarray, above: Callable[[np.ndarray, np.ndarray], np.ndarray], at: int
) -> bytes:
    """Write all nodes, root first; ``above`` makes parents from their first and last children."""
    levels = [leaves]
    while len(levels[0]) > FANOUT:
        below = levels[0]
        first = np.arange(0, len(below), FANOUT)
        last = np.minimum(first + FANOUT, len(below)) - 1
        levels.insert(0, above(below[first], below[last]))
    for upper, lower in itertools.pairwise(levels):
        at += _level_bytes(upper)
        node_bytes = 4 + FANOUT * lower.itemsize
        upper["offset"] = at + node_bytes * np.arange(len(upper))
    return b"".join(
        struct.pack("<2BH", level is leaves, 0, len(items)) + items.tobytes()
        for level in levels
        for items in _split(level)
    )


def _split(level: np.ndarray) -> list[np.ndarray]:
    return [level[i : i + FANOUT] for i in range(0, max(len(level), 1), FANOUT)]


def _level_bytes(level: np.ndarray) -> int:
    return 4 * len(_split(level)) + level.nbytes
