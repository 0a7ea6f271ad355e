"""Genes and other features for the lane under the tracks, as the page holds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pgf_genome.sequence.parts import Parts, Places

# Features that a page holds at most, the longest ones: some 40 bytes each.
MOST = 20_000
# Of the parts of a gene, the first of these types that it has are its thick ones.
THICK = ("CDS", "exon")


def lanes(places: Places | None, contigs: Sequence[str]) -> list[list[list[Any]]]:
    """Make what the page draws on each contig, from left to right.

    Returns
    -------
    list of list
        For every contig: start, stop (0-based half-open), name, strand, type of a feature that
        belongs to no gene ("" for genes), and ends of the thick parts if these are several.
    """
    if places is None:
        return [[] for _ in contigs]
    found = [
        (rank, feature)
        for rank, contig in enumerate(contigs)
        for feature in _features(places.parts.get(contig, ()))
    ]
    found.sort(key=lambda each: each[1][0] - each[1][1])
    made: list[list[list[Any]]] = [[] for _ in contigs]
    for rank, feature in found[:MOST]:
        made[rank].append(feature)
    return [sorted(each, key=lambda feature: feature[:2]) for each in made]


def _features(parts: Iterable[Parts]) -> list[list[Any]]:
    families: dict[str, list[Parts]] = {}
    for each in parts:
        families.setdefault(each.family, []).append(each)
    return [_feature(each) for each in families.values()]


def _feature(parts: Sequence[Parts]) -> list[Any]:
    first = parts[0]
    start = min(each.extent[0] for each in parts)
    stop = max(each.extent[1] for each in parts)
    kind = "" if any(each.is_genic for each in parts) else first.kind
    by_kind = {each.kind: each.spans for each in parts}
    thick = next((by_kind[kind] for kind in THICK if kind in by_kind), ())
    ends = [end for span in thick for end in span] if len(thick) > 1 else []
    return [start, stop, first.name, first.strand, kind, ends]
