"""The interactive page of ``impulse``; needs no network, and equal input gives equal bytes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape

import plotly.graph_objects as go

from pgf_genome.effects.pulses.profile import DistanceBin
from pgf_genome.effects.pulses.result import SIDES, Impulses
from pgf_genome.effects.pulses.settings import TANGENT
from pgf_genome.effects.pulses.trace import Trace
from pgf_genome.pages import figures
from pgf_genome.pages.frame import html_page
from pgf_genome.pages.palette import LIGHT

SUMMARY = ("site", "strand", "largest response", "distance", "bases above the floor", "furthest")
# Columns of both tables that hold words.
WORDS = {"site", "strand", "contig", "base"}


def page(found: Impulses) -> str:
    """Return the page as HTML."""
    columns, *rows = found.rows()
    sections = (
        _section("What responds", _floor(found), _table(SUMMARY, _summary(found))),
        _section(
            "Response against distance",
            f"{_what(found)}: the norm over A, C, G, T of the change of log p of a base, by its "
            "distance from the site, in bins of an eighth of a decade. Solid: the largest response "
            "of a bin; dashed: its median.",
            figures.embedded("response", _figure(found)),
        ),
        _section(
            "The furthest responses",
            "The furthest base above the noise floor, and from there on in the largest response of "
            "every bin; pos is 1-based. The change is that of log p of the base that is there.",
            _table(columns, rows),
        ),
    )
    title = f"Impulse responses of {found.model.name} on {found.fasta}"
    return html_page("impulse", title, "\n".join(sections), scripts=figures.scripts())


def _section(title: str, text: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n<p>{escape(text)}</p>\n{content}</section>"


def _what(found: Impulses) -> str:
    tangent = found.options.kind == TANGENT
    return "Derivative towards another base" if tangent else "Another base in place of one"


def _floor(found: Impulses) -> str:
    """Say what the noise floor is."""
    noise = found.rounding
    words = (
        f"Rounding puts a {noise.dtype} prediction off by {noise.rms:.2g} nats (root mean square), "
        f"and by {noise.largest:.2g} at most among {noise.predictions:,} around the first site. So "
        f"two predictions can differ by twice that, {noise.floor:.2g} nats, without a cause: the "
        "noise floor."
    )
    if found.options.kind == TANGENT:
        words += " A derivative has no such floor; below it, a substitution could not be seen."
    return words


def _summary(found: Impulses) -> Iterator[Sequence[str]]:
    for trace in found.traces:
        profile, sign = trace.profile, trace.strand.sign
        largest, furthest = profile.largest, profile.furthest
        yield (
            trace.change.title,
            f"{sign}, {SIDES[sign]}",
            f"{largest.response:.3g}" if largest else "",
            f"{largest.distance:,}" if largest else "",
            f"{profile.above:,}",
            f"{furthest.distance:,}" if furthest else "",
        )


def _figure(found: Impulses) -> go.Figure:
    """Draw a panel for each side of the sites."""
    signs = found.options.signs
    titles = [f"{SIDES[sign]}, {sign} strand" for sign in signs]
    drawn = figures.panels(1, len(signs), titles, shared_yaxes=True, horizontal_spacing=0.02)
    changes = list(dict.fromkeys(trace.change for trace in found.traces))
    for trace in found.traces:
        column = signs.index(trace.strand.sign) + 1
        for line in _curves(trace, changes.index(trace.change), column == 1):
            drawn.add_trace(line, 1, column)
    drawn.update_xaxes(type="log", dtick=1, exponentformat="power", title="distance, bases")
    drawn.update_yaxes(type="log", dtick=1, exponentformat="power")
    drawn.update_yaxes(title=f"response, {found.unit}", col=1)
    for column, sign in enumerate(signs, 1):
        reach = max(t.stop - t.start for t in found.traces if t.strand.sign == sign)
        for line in _floors(found, reach, column == 1):
            drawn.add_trace(line, 1, column)
        if sign == "-":  # the contig from left to right
            drawn.update_xaxes(autorange="reversed", col=column)
    return drawn.update_layout(height=480, legend={"orientation": "h", "y": -0.18})


def _curves(trace: Trace, rank: int, listed: bool) -> Iterator[go.Scatter]:
    name, bins = trace.change.title, trace.profile.bins
    curves: dict[str, list[tuple[float, float]]] = {
        "largest": [each.largest[:2] for each in bins],
        "median": [(math.sqrt(each.first * each.last), each.median) for each in bins],
    }
    for kind, points in curves.items():
        first = kind == "largest"
        yield go.Scatter(
            x=[distance for distance, _ in points],
            y=[value if value > 0 else None for _, value in points],
            mode="lines+markers",
            line={"color": LIGHT.line(rank), "width": 1.8, "dash": "solid" if first else "dash"},
            marker={"size": 4 if first else 1},
            name=name,
            legendgroup=name,
            showlegend=listed and first,
            customdata=[_bin_text(each) for each in bins],
            hovertemplate=f"{escape(name)}, {kind}<br>%{{customdata}}<br>%{{y:.3g}}<extra></extra>",
        )


def _bin_text(each: DistanceBin) -> str:
    return f"{each.first:,} to {each.last:,} bases, the largest at {each.largest.distance:,}"


def _floors(found: Impulses, reach: int, listed: bool) -> Iterator[go.Scatter]:
    noise = found.rounding
    for value, name, colour, dash in (
        (noise.floor, f"noise floor of {noise.dtype}", LIGHT.mark, "dot"),
        (noise.rms, "rms error of a prediction", LIGHT.faint, "dashdot"),
    ):
        yield go.Scatter(
            x=[1, max(reach, 2)],
            y=[value if value > 0 else None] * 2,
            mode="lines",
            line={"color": colour, "width": 1.4, "dash": dash},
            name=name,
            legendgroup=name,
            showlegend=listed,
            hovertemplate=f"{name}<br>%{{y:.2g}} nats<extra></extra>",
        )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def cells(tag: str, texts: Sequence[str]) -> str:
        kinds = ("" if column in WORDS else ' class="number"' for column in columns)
        drawn = (f"<{tag}{k}>{escape(t)}</{tag}>" for k, t in zip(kinds, texts, strict=True))
        return f"<tr>{''.join(drawn)}</tr>"

    body = "\n".join(cells("td", row) for row in rows)
    return (
        f'<div class="scroll"><table><thead>{cells("th", columns)}</thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )
