"""The overview as an image, for places that take no HTML page."""

from __future__ import annotations

import os
from html import escape
from importlib.util import find_spec

import numpy as np
import plotly.graph_objects as go

from pgf_genome.errors import ResourceError
from pgf_genome.files import atomic
from pgf_genome.pages.figures import panels
from pgf_genome.pages.palette import LIGHT
from pgf_genome.report.gathering import Gathered
from pgf_genome.report.pyramid import Level, levels
from pgf_genome.runs.record import Record

WIDTH, PANEL, MARGINS = 1200, 170, 130
HELP = "pip install kaleido, and have Chrome or Chromium on this machine"


def write_image(path: str | os.PathLike[str], record: Record, gathered: Gathered) -> None:
    """Write the overview of the contig with the strongest position as PNG.

    Raises
    ------
    ResourceError
        If kaleido or its browser is missing, nothing was scored, or the file cannot be written.
    """
    if find_spec("kaleido") is None:
        raise ResourceError(f"`png`: kaleido is not installed; {HELP}")
    drawn = overview(record, gathered)
    try:
        image = drawn.to_image(format="png", width=WIDTH, height=drawn.layout.height, scale=2)
    except Exception as error:  # kaleido's errors have no common base
        raise ResourceError(f"`png`: kaleido failed ({error}); {HELP}") from error
    with atomic(path) as part:
        part.write_bytes(image)


def overview(record: Record, gathered: Gathered) -> go.Figure:
    """Draw one panel per track: the mean, and the band from the smallest to the largest value.

    Raises
    ------
    ResourceError
        If nothing was scored.
    """
    if not gathered.peaks:
        raise ResourceError("`png`: nothing was scored, so there is nothing to draw")
    contig = gathered.peaks[0].contig
    tracks = list(gathered.summaries)
    figure = panels(
        len(tracks), 1, shared_xaxes=True, vertical_spacing=0.3 / (len(tracks) + 2),
        titles=[f"<b>{escape(record.tracks[track].title)}</b>" for track in tracks],
    )  # fmt: skip
    envelopes = gathered.envelopes(contig)
    for row, (track, envelope) in enumerate(zip(tracks, envelopes, strict=True), start=1):
        for trace in _traces(list(levels(envelope))[-1], LIGHT.line(row - 1)):
            figure.add_trace(trace, row, 1)
        unit = escape(record.tracks[track].unit).replace(" per unit ", " per unit<br>")
        figure.update_yaxes(title=unit, row=row, col=1)
    figure.update_annotations(x=0, xanchor="left")
    figure.update_xaxes(title=f"Position on {escape(contig)} (bp, 1-based)", row=len(tracks))
    written = envelopes[0].bins.stretches
    figure.update_xaxes(range=[written[0][0] + 0.5, written[-1][1] + 0.5], tickformat=",")
    figure.update_layout(
        showlegend=False, title=escape(record.title),
        height=PANEL * len(tracks) + MARGINS, margin={"l": 90, "r": 30, "t": 80, "b": 60},
    )  # fmt: skip
    return figure


def _traces(level: Level, tint: str) -> list[go.Scatter]:
    """A band and a line; every run of scored bins has an outline of its own."""
    starts, stops = level.edges
    scored = ~np.isnan(level.mean)
    apart = np.append(True, starts[1:] > stops[:-1])
    first = scored & (apart | ~np.append(False, scored[:-1]))
    last = scored & (np.append(apart[1:], True) | ~np.append(scored[1:], False))
    edges = np.stack([np.flatnonzero(first), np.flatnonzero(last) + 1], 1).ravel().tolist()
    x, y = [], []
    for run in (slice(*edge) for edge in zip(edges[::2], edges[1::2], strict=True)):
        along = np.stack([starts[run], stops[run]], 1).ravel() + 0.5
        above, below = (np.repeat(each[run], 2) for each in (level.maximum, level.minimum))
        x += [*along.tolist(), *along[::-1].tolist(), None]
        y += [*above.tolist(), *below[::-1].tolist(), None]
    band = go.Scatter(x=x, y=y, fill="toself", fillcolor=f"{tint}48", mode="lines",
                      line={"width": 0.7, "color": f"{tint}90"})  # fmt: skip
    line = go.Scatter(x=(starts + stops + 1) / 2, y=level.mean, mode="lines",
                      line={"width": 1.3, "color": tint})  # fmt: skip
    return [band, line]
