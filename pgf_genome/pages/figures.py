"""Figures of plotly in a page: their template, and what draws them in light and dark."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

from pgf_genome.pages.frame import FONT, asset, script
from pgf_genome.pages.palette import LIGHT, twins

# colours of a heat map, told apart by every kind of colour vision
HEAT = "Cividis"


def template() -> go.layout.Template:
    """Make the look of every figure, in light colours."""
    axis = {
        "title": {"font": {"size": 12, "color": LIGHT.quiet}, "standoff": 8},
        "tickfont": {"size": 11, "color": LIGHT.quiet},
        "gridcolor": LIGHT.grid,
        "linecolor": LIGHT.rule,
        "zerolinecolor": LIGHT.rule,
        "tickcolor": LIGHT.rule,
        "ticks": "outside",
        "ticklen": 4,
        "showline": True,
        "separatethousands": True,
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 12, "color": LIGHT.ink},
            "paper_bgcolor": LIGHT.paper,
            "plot_bgcolor": LIGHT.paper,
            "colorway": LIGHT.lines,
            "autotypenumbers": "strict",
            "hovermode": "closest",
            "coloraxis": {"colorbar": {"outlinewidth": 0, "thickness": 14}},
            "hoverlabel": {
                "bgcolor": LIGHT.shade,
                "bordercolor": LIGHT.rule,
                "font": {"family": FONT, "size": 12, "color": LIGHT.ink},
                "align": "left",
                "namelength": 0,
            },
            "margin": {"l": 70, "r": 20, "t": 50, "b": 60},
            "xaxis": axis,
            "yaxis": axis,
        }
    )


def panels(rows: int = 1, cols: int = 1, titles: Sequence[str] = (), **options: Any) -> go.Figure:
    """Make a figure of empty panels in the look of `template`.

    Parameters
    ----------
    rows, cols : int
    titles : sequence of str
        A title for each panel, row by row.
    **options
        Of `plotly.subplots.make_subplots`.
    """
    made = make_subplots(rows, cols, subplot_titles=titles or None, **options)
    made.update_annotations(font_size=13)
    return made.update_layout(template=template())


def embedded(name: str, figure: go.Figure) -> str:
    """Make the HTML of a figure, which `scripts` draw; ``name`` is its id."""
    return f'<div id="{name}" class="plot"></div>' + script(
        _safe(figure.to_json(engine="json")), type="application/json", **{"class": "figure"}
    )


def scripts(*programs: str, data: Any = None) -> list[str]:
    """Make the script elements that draw the figures of a page.

    Parameters
    ----------
    *programs : str
        Programs of the page that draw more figures, in JavaScript; they can use what
        ``figures.js`` defines.
    data : optional
        What these programs read from the element ``data``, anything that JSON can hold.
    """
    look = {"twins": twins(), "lines": len(LIGHT.lines), "template": template().to_plotly_json()}
    given = "".join(f"const {name} = {as_json(each)};\n" for name, each in look.items())
    program = "\n".join(
        ['"use strict";', given, asset("pgf_genome.pages", "figures.js"), *programs]
    )
    held = [] if data is None else [script(as_json(data), type="application/json", id="data")]
    return [script(get_plotlyjs()), *held, script(program)]


def as_json(data: Any) -> str:
    """Write JSON in ASCII in which no text of the user can open or close an element."""
    return _safe(json.dumps(data, allow_nan=False, separators=(",", ":")))


def _safe(text: str) -> str:
    return text.replace("<", "\\u003c")
