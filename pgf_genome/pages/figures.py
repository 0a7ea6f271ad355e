"""Figures of plotly in a page: their template, and what draws them in light and dark."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs, get_plotlyjs_version
from plotly.subplots import make_subplots

from pgf_genome.files import atomic_write_text
from pgf_genome.pages.frame import FONT, asset, script
from pgf_genome.pages.palette import LIGHT, twins

# the copy of plotly.js that the pages of a folder share
SHARED = f"plotly-{get_plotlyjs_version()}.min.js"
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


def scripts(*programs: str, data: Any = None, plotly: str = "inline") -> list[str]:
    """Make the script elements that draw the figures of a page.

    Parameters
    ----------
    *programs : str
        Programs of the page that draw more figures, in JavaScript; they can use what
        ``figures.js`` defines.
    data : optional
        What these programs read from the element ``data``, anything that JSON can hold.
    plotly : str
        Where plotly.js is, one of `PLOTLY`: "inline", compressed in the page; "shared", the file
        of `write_shared` beside it.
    """
    look = {"twins": twins(), "lines": len(LIGHT.lines), "template": template().to_plotly_json()}
    given = "".join(f"const {name} = {as_json(each)};\n" for name, each in look.items())
    program = "\n".join(
        ['"use strict";', given, asset("pgf_genome.pages", "figures.js"), *programs]
    )
    held = [] if data is None else [script(as_json(data), type="application/json", id="data")]
    library = _inline() if plotly == "inline" else _shared()
    return [*library, *held, script(program)]


def _inline() -> list[str]:
    """Plotly.js as compressed text, and what unpacks and runs it."""
    packed, length = _packed()
    program = asset("pgf_genome.pages", "inflate.js")
    return [
        script(packed, type="text/plain", id="plotly"),
        script(f"{program}\nrunInflated(document.getElementById('plotly'), {length});"),
    ]


@cache
def _packed() -> tuple[str, int]:
    """Plotly.js as compressed text, and its length in bytes; packing it takes half a second."""
    text = get_plotlyjs().encode()
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return b64encode(packer.compress(text) + packer.flush()).decode("ascii"), len(text)


def _shared() -> list[str]:
    missing = f"The figures of this page need {SHARED}, a file that lies beside it."
    return [
        script("", src=SHARED),
        script(f"if (!window.Plotly) document.querySelector('main').prepend({as_json(missing)});"),
    ]


def write_shared(folder: Path) -> Path:
    """Write plotly.js to the folder of pages that share it, unless it is there."""
    path, text = folder / SHARED, get_plotlyjs()
    if not (path.is_file() and path.stat().st_size == len(text.encode())):
        atomic_write_text(path, text)
    return path


def as_json(data: Any) -> str:
    """Write JSON in ASCII in which no text of the user can open or close an element."""
    return _safe(json.dumps(data, allow_nan=False, separators=(",", ":")))


def _safe(text: str) -> str:
    return text.replace("<", "\\u003c")
