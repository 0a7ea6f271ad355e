"""A sequence logo as a plotly figure, and the outlines of its letters."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from pgf_genome.intervals import Interval
from pgf_genome.pages.palette import LIGHT
from pgf_genome.runs.record import Track

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Outlines in a box of 100 by 100, y upward, in absolute M, L, C and Z, so that they can be scaled
# by their numbers alone.
GLYPHS = {
    "A": "M 0 0 L 37 100 L 63 100 L 100 0 L 79 0 L 71 24 L 29 24 L 21 0 Z "
    "M 35 41 L 65 41 L 50 84 Z",
    "C": "M 93 81 C 79 98 56 104 35 97 C 14 90 0 71 0 50 C 0 29 14 10 35 3 C 56 -4 79 2 93 19 "
    "L 75 29 C 66 19 53 15 41 20 C 29 25 21 37 21 50 C 21 63 29 75 41 80 C 53 85 66 81 75 71 Z",
    "G": "M 89 81 C 75 100 49 105 28 95 C 6 84 -4 60 2 37 C 8 14 29 -1 53 0 C 77 2 96 20 100 43 "
    "L 100 52 L 54 52 L 54 36 L 77 36 C 70 23 57 16 45 19 C 32 21 22 32 20 46 "
    "C 19 60 26 73 38 79 C 49 85 64 82 72 71 Z",
    "T": "M 0 100 L 100 100 L 100 82 L 60 82 L 60 0 L 40 0 L 40 82 L 0 82 Z",
}
GAP = 0.06  # between two letters, of the width of one


def logo_figure(window: Interval, letters: str, values: np.ndarray, track: Track) -> go.Figure:
    """Draw letters as tall as values.

    Parameters
    ----------
    window : Interval
        The bases that are drawn; positions on the axis are 1-based, as browsers print them.
    letters : str, (n,)
    values : ndarray, (n,)
        NaN where there is no letter.
    track : Track
        The words for the values.
    """
    import plotly.graph_objects as go

    from pgf_genome.pages.figures import panels

    # the axis is too short for either of them in one line
    title, unit = track.title.replace(" of ", "<br>of "), track.unit.replace(" per ", "<br>per ")
    colours = dict(zip("ACGT", LIGHT.bases, strict=True))
    positions = np.arange(window.start, window.stop) + 1
    shapes = [
        {"type": "path", "path": _outline(base, position, value), "layer": "above",
         "fillcolor": colours[base], "fillrule": "evenodd", "line": {"width": 0}}
        for base, position, value in zip(
            letters, positions.tolist(), np.nan_to_num(values).tolist(), strict=True
        )
        if base in GLYPHS and value
    ]  # fmt: skip
    # A shape has no text of its own under the pointer: transparent bars have.
    bars = go.Bar(
        x=positions, y=values, customdata=list(letters), opacity=0, showlegend=False,
        hovertemplate="%{customdata} at %{x:,}: %{y:.4g}<extra></extra>",
    )  # fmt: skip
    figure = panels().add_trace(bars)
    figure.update_layout(
        shapes=shapes, bargap=0, height=260,
        xaxis={"title": f"Position on {escape(window.contig)} (1-based)", "tickformat": ",d",
               "range": [window.start + 0.5, window.stop + 0.5]},
        yaxis={"title": {"text": f"{title}<br>[{unit}]", "font": {"size": 11}}, "zeroline": True},
        margin={"l": 95, "r": 20, "t": 20, "b": 50},
    )  # fmt: skip
    return figure


def _outline(base: str, position: int, value: float) -> str:
    """The outline of a letter that stands on zero at a position, or hangs from it if negative."""
    left, width = position - 0.5 + GAP / 2, (1 - GAP) / 100
    return re.sub(
        r"(-?\d+) (-?\d+)",
        lambda pair: f"{left + int(pair[1]) * width:.6f} {int(pair[2]) / 100 * value:.6g}",
        GLYPHS[base],
    )
