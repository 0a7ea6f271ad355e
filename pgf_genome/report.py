"""The report: one self-contained HTML page about a run, drawn by the plotly.js inside it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import accumulate
from math import log2, log10
from string import Template
from typing import Any

from plotly.offline import get_plotlyjs

from pgf_genome.files import atomic_write_text
from pgf_genome.tracks import Envelope, HistogramBin, Summary

GRADIENT_UNIT = "nats per unit<br>change of the one-hot"
# track -> title and unit of its axis; other tracks go by their own name
TRACKS = {
    "sensitivity": ("Sensitivity", GRADIENT_UNIT),
    "contribution": ("Contribution of the observed base", GRADIENT_UNIT),
    "saliency": ("Saliency", GRADIENT_UNIT),
    "surprisal": ("Surprisal", "bits"),
    **{f"tism.{base}": (f"Effect of {base}", GRADIENT_UNIT) for base in "ACGT"},
}
FLANK = 10
MAX_CONTIGS = 200
MAX_PEAKS = 20
FAINTEST = 0.005

SequenceAt = Callable[[str, int, int], str]


def write_report(
    path: str | os.PathLike[str],
    run: Mapping[str, Any],
    summaries: Mapping[str, Summary],
    sequence_at: SequenceAt | None = None,
) -> None:
    """Write the report of a run as one HTML file that needs no network.

    Parameters
    ----------
    path
        Where to write it.
    run
        The facts of ``run.json``, shown in their order. ``title`` and ``contigs`` (a list of
        mappings with the same keys) are optional and have a place of their own.
    summaries
        Track name -> what `TrackSummary.result` gave; all over the same contigs.
    sequence_at
        ``(contig, start, stop) -> bases`` of the plus strand, 0-based half-open, inside the
        contig; without it the table of positions has no sequences.

    Raises
    ------
    ResourceError
        If the file cannot be written.
    """
    atomic_write_text(path, render(run, summaries, sequence_at))


def render(
    run: Mapping[str, Any], summaries: Mapping[str, Summary], sequence_at: SequenceAt | None = None
) -> str:
    """The report as text; see `write_report`."""
    envelopes = next(iter(summaries.values())).envelopes if summaries else ()
    drawn = _drawn(envelopes)
    data = {
        "tracks": [_track_data(name, summary) for name, summary in summaries.items()],
        "contigs": [_contig_data(rank, list(summaries.values())) for rank in drawn],
    }
    page = Template(_asset("report.html"))
    return page.substitute(
        title=escape(str(run.get("title", "Sensitivity of every base"))),
        lead=_lead(envelopes, summaries),
        style=_asset("report.css"),
        options="".join(
            f'<option value="{i}">{escape(envelopes[rank].contig)}</option>'
            for i, rank in enumerate(drawn)
        ),
        hidden=_hidden_note(len(envelopes) - len(drawn)),
        statistics=_statistics(summaries),
        distance=_distance_note(summaries),
        peaks=_peaks(summaries, {e.contig: e.length for e in envelopes}, sequence_at),
        contigs=_contigs(run.get("contigs", ())),
        facts=_facts(run),
        plotly=get_plotlyjs(),
        # no text from outside can close the script element
        data=json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        script=_asset("report.js"),
    )


def _asset(name: str) -> str:
    return (files("pgf_genome") / "report_assets" / name).read_text(encoding="utf-8")


def _drawn(envelopes: Sequence[Envelope]) -> list[int]:
    """Ranks of the longest contigs that have a score, in FASTA order."""
    scored = [rank for rank, envelope in enumerate(envelopes) if envelope.scored]
    longest = sorted(scored, key=lambda rank: -envelopes[rank].length)[:MAX_CONTIGS]
    return sorted(longest)


def _lead(envelopes: Sequence[Envelope], summaries: Mapping[str, Summary]) -> str:
    bases = sum(envelope.length for envelope in envelopes)
    scored = max((summary.scored for summary in summaries.values()), default=0)
    noun = "contig" if len(envelopes) == 1 else "contigs"
    return f"{len(envelopes):,} {noun}, {bases:,} bases, {scored:,} of them scored"


def _hidden_note(hidden: int) -> str:
    if not hidden:
        return ""
    noun = "contig is" if hidden == 1 else "contigs are"
    return f" {hidden:,} {noun} not listed here (no score, or among the shortest)."


def _distance_note(summaries: Mapping[str, Summary]) -> str:
    distances = {summary.min_distance for summary in summaries.values()}
    return "".join(f", at least {n:,} bases apart" for n in sorted(distances)[:1])


def _label(track: str) -> tuple[str, str]:
    return TRACKS.get(track, (track, "value"))


def _track_data(name: str, summary: Summary) -> dict[str, Any]:
    title, unit = _label(name)
    shown = [bin_ for bin_ in summary.histogram if bin_.low > 0]
    sides = []
    for negative in (False, True):
        side = [bin_ for bin_ in shown if bin_.negative == negative]
        sides.append(
            {
                "negative": negative,
                "magnitude": [_short((bin_.low * bin_.high) ** 0.5) for bin_ in side],
                "share": [
                    _short(bin_.count / summary.scored / log2(bin_.high / bin_.low))
                    for bin_ in side
                ],
            }
        )
    return {
        "title": escape(title),
        "unit": unit,
        "histogram": sides,
        "range": _visible_decades(shown, summary.scored),
    }


def _visible_decades(shown: Sequence[HistogramBin], scored: int) -> list[float]:
    """Where all but the faintest half per cent of the positions lie, in powers of ten."""
    ascending = sorted(shown, key=lambda bin_: bin_.low)
    reached = accumulate(bin_.count for bin_ in ascending)
    visible = [b for b, n in zip(ascending, reached, strict=True) if n > FAINTEST * scored]
    if not visible:
        return [-1.0, 1.0]
    return [log10(visible[0].low), log10(visible[-1].high)]


def _contig_data(rank: int, summaries: Sequence[Summary]) -> dict[str, Any]:
    envelope = summaries[0].envelopes[rank]
    width = envelope.bin_width
    return {
        "length": envelope.length,
        "width": width,
        "note": f"{envelope.length:,} bases, {envelope.scored:,} scored; "
        f"bins of {width:,} {'base' if width == 1 else 'bases'}.",
        "tracks": [_columns(summary.envelopes[rank]) for summary in summaries],
    }


def _columns(envelope: Envelope) -> dict[str, list[float | None]]:
    return {
        name: [None if value is None else _short(value) for value in getattr(envelope, name)]
        for name in ("minimum", "maximum", "mean")
    }


def _short(value: float) -> float:
    # four digits are more than a screen shows, and they keep the page small
    return float(f"{value:.4g}")


def _table(
    head: Iterable[str], rows: Iterable[Iterable[str]], numbers: frozenset[int] = frozenset()
) -> str:
    """A table of cells that are HTML already; `numbers` are the columns set flush right."""

    def cells(tag: str, row: Iterable[str]) -> str:
        return "".join(
            f'<{tag} class="number">{cell}</{tag}>' if i in numbers else f"<{tag}>{cell}</{tag}>"
            for i, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{cells("th", head)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _statistics(summaries: Mapping[str, Summary]) -> str:
    rows = []
    for name, summary in summaries.items():
        title, unit = _label(name)
        numbers = (summary.minimum, summary.mean, summary.maximum)
        values = ["none" if n is None else _number(n) for n in numbers]
        unit = unit.replace("<br>", " ")
        rows.append([escape(title), f"{summary.scored:,}", *values, unit])
    head = ["Track", "Scored positions", "Minimum", "Mean", "Maximum", "Unit"]
    return _table(head, rows, frozenset(range(1, 5)))


def _peaks(
    summaries: Mapping[str, Summary], lengths: Mapping[str, int], sequence_at: SequenceAt | None
) -> str:
    tables = []
    for name, summary in summaries.items():
        rows = []
        for peak in summary.peaks[:MAX_PEAKS]:
            row = [escape(peak.contig), f"{peak.position + 1:,}", _number(peak.value)]
            if sequence_at is not None:
                length = lengths[peak.contig]
                row.append(_context(peak.contig, peak.position, length, sequence_at))
            rows.append(row)
        head = ["Contig", "Position", "Value"]
        if sequence_at is not None:
            head.append(f"Sequence, ±{FLANK} bases")
        table = _table(head, rows, frozenset((1, 2)))
        tables.append(f"<div><h3>{escape(_label(name)[0])}</h3>{table}</div>")
    return f'<div class="columns">{"".join(tables)}</div>'


def _context(contig: str, position: int, length: int, sequence_at: SequenceAt) -> str:
    start, stop = max(position - FLANK, 0), min(position + FLANK + 1, length)
    bases = sequence_at(contig, start, stop)
    at = position - start
    padding = " " * (FLANK - at)
    before, base, after = bases[:at], bases[at : at + 1], bases[at + 1 :]
    return (
        f'<span class="sequence">{padding}{escape(before)}<b>{escape(base)}</b>'
        f"{escape(after)}</span>"
    )


def _contigs(contigs: Sequence[Mapping[str, Any]]) -> str:
    if not contigs:
        return ""
    keys = list(contigs[0])
    numeric = frozenset(i for i, key in enumerate(keys) if isinstance(contigs[0][key], int | float))
    rows = [[_fact(row.get(key)) for key in keys] for row in contigs[:MAX_CONTIGS]]
    more = len(contigs) - len(rows)
    note = f'<p class="note">and {more:,} more in run.json</p>' if more else ""
    return _table([escape(_spoken(key)) for key in keys], rows, numeric) + note + "<h3>Facts</h3>"


def _facts(run: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in run.items() if key not in ("title", "contigs")}
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{_fact(value)}</td></tr>" for name, value in _flat(rest)
    )
    return f'<div class="scroll"><table><tbody>{rows}</tbody></table></div>'


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in facts.items():
        name = f"{prefix}{_spoken(key)}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}: ")
        else:
            yield name, value


def _spoken(key: str) -> str:
    return str(key).replace("_", " ")


def _fact(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, list | tuple):
        return ", ".join(_fact(item) for item in value)
    return escape(str(value))


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    text = f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.5g}"
    return text.replace("-", "\N{MINUS SIGN}", 1) if text.startswith("-") else text
