"""The facts in ``run.json`` of a merged run, from those of its parts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pgf_genome.errors import UsageError
from pgf_genome.merge.part import Part
from pgf_genome.sequence import digest_of


def joined_facts(parts: Sequence[Part], order: Sequence[str]) -> dict[str, Any]:
    """Join the facts of runs; the fact ``parts`` of the result keeps what differs between them.

    Parameters
    ----------
    parts : sequence of Part
        Runs over different contigs.
    order : sequence of str
        Names of all the contigs, in the order of the result.

    Raises
    ------
    UsageError
        If the runs differ in model, sequence, objective or an option.
    """
    rank = {contig: place for place, contig in enumerate(order)}
    facts = {"": parts[0].facts}
    for part in parts[1:]:
        facts = _joined(facts, {"": part.facts}, part, parts[0])
    own = [record for part in parts for record in part.own]
    performance = _performance([record["performance"] for record in own])
    whole = _sorted(facts[""], rank) | {"performance": performance, "parts": own}
    if all("bases" in record for record in own):
        counts = [record["bases"] for record in own]
        whole["bases"] = {what: sum(count[what] for count in counts) for what in counts[0]}
    contigs = [(c["contig"], c["length"], c.get("sha256")) for c in whole["contigs"]]
    if all(digest for *_, digest in contigs):
        whole["fasta"] = whole["fasta"] | {"sha256_of_bases": digest_of(contigs)}
    return whole


def _joined(whole: Any, more: Any, part: Part, first: Part, name: str = "") -> Any:
    """Join lists of records; everything else has to be equal."""
    if isinstance(whole, dict) and isinstance(more, dict):
        return {
            key: _joined(
                whole.get(key), more.get(key), part, first, f"{name}.{key}".removeprefix(".")
            )
            for key in whole | more
        }
    if _records(whole) and _records(more):
        return [*whole, *more]
    if whole != more:
        raise UsageError(
            f"{part.name}: {name} is {json.dumps(more)} where {first.name} has "
            f"{json.dumps(whole)}; merge runs of one model, FASTA and set of options"
        )
    return whole


def _records(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _sorted(facts: Any, rank: Mapping[str, int]) -> Any:
    """Sort records of contigs by rank, wherever they stand in the facts."""
    if isinstance(facts, dict):
        return {key: _sorted(value, rank) for key, value in facts.items()}
    if _records(facts):
        return sorted(facts, key=lambda record: rank.get(record.get("contig"), 0))
    return facts


def _performance(each: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up the seconds of all parts, and take the largest memory of one."""
    seconds = sum(part["seconds"] for part in each)
    bases = sum(part["seconds"] * part["bases_per_second"] for part in each)
    return {
        "seconds": round(seconds, 3),
        "bases_per_second": round(bases / seconds, 1),
        "peak_memory_bytes": max(part["peak_memory_bytes"] for part in each),
        "threads": max(part["threads"] for part in each),
        "device": ", ".join(dict.fromkeys(part["device"] for part in each)),
    }
