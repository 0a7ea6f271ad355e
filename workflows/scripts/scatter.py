"""Deal the contigs of a genome out to groups of about equal length, a BED file each."""

import heapq
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pgf_genome.intervals import read_bed
from pgf_genome.lines import text_lines


def deal(lengths: Mapping[str, int], group_bases: int) -> list[list[str]]:
    """Groups of contigs: long ones alone, the others balanced, with about `group_bases` each.

    A contig goes whole into one group, for the model streams from one end of it to the other. The
    groups come in the order of their first contigs, and the contigs of each in theirs.
    """
    groups = [[name] for name, length in lengths.items() if length >= group_bases]
    short = [name for name, length in lengths.items() if length < group_bases]
    count = -(-sum(lengths[name] for name in short) // group_bases)
    heap: list[tuple[int, int, list[str]]] = [(0, i, []) for i in range(count)]
    for name in sorted(short, key=lambda name: -lengths[name]):
        bases, i, members = heap[0]
        members.append(name)
        heapq.heapreplace(heap, (bases + lengths[name], i, members))
    rank = {name: i for i, name in enumerate(lengths)}
    groups += [sorted(members, key=rank.get) for _, _, members in heap if members]
    return sorted(groups, key=lambda group: rank[group[0]])


def read_lengths(path: str) -> dict[str, int]:
    """Name -> length of a .fai."""
    fields = (line.split("\t") for line in Path(path).read_text().splitlines())
    return {name: int(length) for name, length, *_ in fields}


def bed_lines(path: str, lengths: Mapping[str, int]) -> dict[str, list[str]]:
    """Contig -> its lines. What the command refuses is refused here too, before lines are dealt."""
    read_bed(path, lengths)
    found: dict[str, list[str]] = {}
    for line in text_lines(path, "BED file"):
        name = line.split()[0] if line.strip() else ""
        if name in lengths:  # all but comments and headings
            found.setdefault(name, []).append(f"{line}\n")
    return found


def main(snakemake: Any) -> None:
    lengths = read_lengths(snakemake.input.fai)
    whole = {name: [f"{name}\t0\t{length}\n"] for name, length in lengths.items()}
    lines = bed_lines(snakemake.params.bed, lengths) if snakemake.params.bed else whole
    chosen = set(lines)
    if snakemake.params.targets:
        # only contigs that hold a target are read, and the plan lists no others
        plan = json.loads(Path(snakemake.input.plan).read_text())
        chosen &= {segment["contig"] for segment in plan["segments"]}
    kept = {name: length for name, length in lengths.items() if name in chosen}
    folder = Path(snakemake.output.beds)
    folder.mkdir(parents=True)
    for i, group in enumerate(deal(kept, snakemake.params.group_bases)):
        intervals = "".join(line for name in group for line in lines[name])
        (folder / f"{i:04d}.bed").write_text(intervals)


if __name__ == "__main__":
    with open(snakemake.log[0], "w") as sys.stderr:  # noqa: F821 - Snakemake puts it there
        main(snakemake)  # noqa: F821
