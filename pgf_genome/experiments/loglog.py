"""Power laws: fitted exponents, and curves on logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from pgf_genome.pages.figures import panels as axes
from pgf_genome.pages.palette import LIGHT, SYMBOLS

CROWD = 20  # a curve of more points is drawn without markers


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """Fit b of y = a x^b by least squares in the logarithms; NaN for fewer than two points.

    Points that have no logarithm are left out.
    """
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    known = (xs > 0) & (ys > 0) & np.isfinite(ys)
    if len(np.unique(xs[known])) < 2:
        return math.nan
    return float(np.polyfit(np.log(xs[known]), np.log(ys[known]), 1)[0])


@dataclass(frozen=True, eq=False)
class Curve:
    """A line of a figure.

    Attributes
    ----------
    name : str
        Entry in the legend; curves of the same name share one look and one entry.
    x, y : sequence of float
    dash : str
        Dash style, as plotly names it.
    note : str
        Empty for a line; else single crosses with this text beside them.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dash: str = "solid"
    note: str = ""


@dataclass(frozen=True, eq=False)
class Panel:
    """A pair of axes; ``x_ticks`` are the labelled values, plotly's own if empty."""

    title: str
    x_title: str
    y_title: str
    curves: Sequence[Curve]
    x_ticks: Sequence[float] = ()
    y_log: bool = True
    x_log: bool = True


def figure(panels: Sequence[Panel], names: Sequence[str], height: int = 480) -> go.Figure:
    """Draw panels side by side over one legend.

    Parameters
    ----------
    panels : sequence of Panel
    names : sequence of str
        The names of all curves; the place of a name decides colour and symbol.
    height : int
        Height in pixels.
    """
    drawn = axes(cols=len(panels), titles=[p.title for p in panels], horizontal_spacing=0.1)
    listed: set[str] = set()
    for column, panel in enumerate(panels, 1):
        for curve in panel.curves:
            drawn.add_trace(_trace(curve, names, curve.name not in listed), row=1, col=column)
            listed.add(curve.name)
        ticks = {"tickvals": panel.x_ticks, "ticktext": [_short(x) for x in panel.x_ticks]}
        drawn.update_xaxes(
            type="log" if panel.x_log else "linear",
            title=panel.x_title,
            **(
                ticks
                if panel.x_ticks
                else {"exponentformat": "power", "dtick": 1}
                if panel.x_log
                else {}
            ),
            col=column,
        )
        scale = _decades(panel) if panel.y_log else {}
        drawn.update_yaxes(title=panel.y_title, **scale, col=column)
    drawn.update_layout(
        height=height,
        margin={"b": 20},
        legend={"orientation": "h", "y": -0.22},
    )
    return drawn


def _trace(curve: Curve, names: Sequence[str], first: bool) -> go.Scatter:
    rank = names.index(curve.name)
    colour = LIGHT.line(rank)
    look: dict[str, Any] = {
        "mode": "lines+markers" if len(curve.x) <= CROWD else "lines",
        "marker": {"symbol": SYMBOLS[rank % len(SYMBOLS)], "size": 8, "color": colour},
        "line": {"color": colour, "width": 2.5, "dash": curve.dash},
    }
    if curve.note:
        look["marker"] |= {"symbol": "x-thin", "size": 12, "line": {"color": colour, "width": 3}}
        look |= {"mode": "markers+text", "text": curve.note, "textposition": "top center"}
    hover = f"{curve.name}: %{{y:.4g}} at %{{x:,}}" + (curve.note and f", {curve.note}")
    return go.Scatter(
        x=list(curve.x),
        y=list(curve.y),
        name=curve.name,
        legendgroup=curve.name,
        showlegend=first and not curve.note,
        hovertemplate=f"{hover}<extra></extra>",
        **look,
    )


def _decades(panel: Panel) -> dict[str, object]:
    """Set up a logarithmic axis from the power of ten below all values to the one above."""
    values = np.concatenate([np.asarray(c.y, np.float64) for c in panel.curves] or [np.ones(1)])
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (0, 1) if not len(values) else np.log10([values.min(), values.max()])
    bounds = [math.floor(low), max(math.ceil(high), math.floor(low) + 1)]
    return {"type": "log", "range": bounds, "exponentformat": "power", "dtick": _step(bounds)}


def _step(bounds: Sequence[int]) -> int:
    """Return the powers of ten between two labels."""
    return max(1, math.ceil((bounds[1] - bounds[0]) / 8))


def _short(number: float) -> str:
    """Abbreviate a length, a power of two (1,024 is 1 Ki) or of ten (1,000 is 1 K)."""
    for scale, letter in ((2**20, "M"), (2**10, "K")):
        if number >= scale and number % scale == 0:
            return f"{number // scale:g} {letter}i"
    for scale, letter in ((10**6, "M"), (10**3, "K")):
        if number >= scale:
            return f"{number / scale:g} {letter}"
    return f"{number:g}"
