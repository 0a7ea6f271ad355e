"""The facts of a run: model, objective, conventions, plan, halo, and time and memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from pgf_genome.report.gathering import MAX_CONTIGS
from pgf_genome.report.text import counted, fact, facts_table, flat, number, short, spoken, table
from pgf_genome.runs.record import Halo, Record
from pgf_genome.runs.schema import encoded

# The title, contigs, halo and performance have places of their own, the conventions say what the
# tracks are, and the others are for programs.
APART = {
    "title", "contigs", "files", "parts", "performance", "halo", "effect_errors", "tracks",
    "varying", "quantiles", "certificate", "fit", "checksums",
}  # fmt: skip
# Paths tell more about the machine than about the run, and pages are often passed on.
PRIVATE = {"path"}
# Keys whose values are spans of a contig, and how many of them are written out.
SPANS = ("targets", "written")
SPANS_SHOWN = 5


def facts_section(record: Record, took: bool) -> str:
    """Make the section of all facts, in groups, and if ``took`` that of time and memory."""
    facts = encoded(record)
    groups = "".join(
        f'<div class="group"><h3>{escape(heading)}</h3>{content}</div>'
        for heading, content in _groups(facts)
    )
    last = ""
    if took:
        last = (
            '<section aria-labelledby="h-took"><h2 id="h-took">Time and memory</h2>'
            f"{facts_table(facts['performance'])}</section>"
        )
    return (
        '<section aria-labelledby="h-facts"><h2 id="h-facts">The run</h2>'
        f"{_records(facts['contigs'])}{_halo(record.halo)}{_errors(record)}{_fit(record)}"
        f'<div class="groups">{groups}</div></section>{last}'
    )


def _groups(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Heading and table of each group; arguments that were not given are left out."""
    rest = {key: value for key, value in facts.items() if key not in APART}
    rest["arguments"] = {k: v for k, v in rest["arguments"].items() if v not in (None, [])}
    kinds = {key: _is_group(value) for key, value in rest.items()}
    if not all(kinds.values()):
        yield "In general", facts_table({key: rest[key] for key in rest if not kinds[key]})
    for key, value in rest.items():
        if isinstance(value, Mapping):
            shared = {name: each for name, each in value.items() if name not in PRIVATE}
            yield spoken(key).capitalize(), facts_table(shared)
        elif kinds[key]:
            yield spoken(key).capitalize(), _records(value)


def _is_group(value: Any) -> bool:
    return isinstance(value, Mapping) or _is_records(value)


def _is_records(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Mapping)


def _records(records: Sequence[Mapping[str, Any]]) -> str:
    """Make a table of mappings with the same keys; a long one is cut short."""
    if not records:
        return ""
    shown = [dict(flat(record)) for record in records[:MAX_CONTIGS]]
    keys = list(dict.fromkeys(key for record in shown for key in record))
    values = {key: [record.get(key) for record in shown] for key in keys}
    numeric = frozenset(
        i
        for i, key in enumerate(keys)
        if all(isinstance(v, int | float | None) for v in values[key])
    )
    rows = [[_cell(key, record.get(key)) for key in keys] for record in shown]
    more = len(records) - len(rows)
    note = f'<p class="note">and {more:,} more in run.json</p>' if more else ""
    drawn = table([escape(spoken(key)) for key in keys], rows, numeric)
    return f'<div class="records">{drawn}{note}</div>'


def _cell(key: str, value: Any) -> str:
    if key not in SPANS or not value:
        return fact(value, key)
    spans = [f"{start + 1:,}\N{EN DASH}{stop:,}" for start, stop in value[:SPANS_SHOWN]]
    more = len(value) - len(spans)
    return ", ".join(spans) + (f" and {more:,} more" if more else "")


def _halo(halo: Halo | None) -> str:
    """Make the table of how far the gradient changed when the halo of the windows was doubled."""
    if halo is None:
        return ""
    loci = halo.loci
    sentence = (
        f"The model ran in windows of {number(halo.window)} bases with "
        f"{counted(halo.halo, 'base')} of halo on either side"
    )
    if not loci:
        return f'<h3>Halo</h3><p class="note">{sentence}.</p>'
    worst = max(locus.relative_error for locus in loci)
    sentence += (
        f"; when the halo was doubled, the gradient changed by at most {short(worst)} of its norm "
        f"at the {counted(len(loci), 'place')} below."
    )
    rows = [
        [
            escape(locus.contig),
            f"{locus.start + 1:,}\N{EN DASH}{locus.stop:,}",
            short(locus.max_error),
            short(locus.relative_error),
        ]
        for locus in loci
    ]
    head = ["Contig", "Bases", "Largest change / largest entry", "Norm of change / of gradient"]
    return f'<h3>Halo</h3><p class="note">{sentence}</p>{table(head, rows, frozenset((1, 2, 3)))}'


def _errors(record: Record) -> str:
    """Say how far effects are from exact ones, and what integrated gradients miss."""
    found = [*record.effect_errors, *([] if record.gap is None else [record.gap])]
    said = "".join(f'<p class="note">{escape(str(error))}.</p>' for error in found)
    return f"<h3>Error of the method</h3>{said}" if found else ""


def _fit(record: Record) -> str:
    """Say how well the model predicts the sequence."""
    if record.fit is None:
        return ""
    return f'<h3>Fit of the model</h3><p class="note">{escape(str(record.fit))}.</p>'
