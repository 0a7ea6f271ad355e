"""The interactive page of a measurement; needs no network, and equal input gives equal bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape

import numpy as np
import plotly.graph_objects as go

from pgf_genome.memory.estimator import MemoryFunction
from pgf_genome.memory.influence import Influence
from pgf_genome.memory.layers import LayerMemory
from pgf_genome.memory.measurement import Memory
from pgf_genome.pages import figures
from pgf_genome.pages.frame import html_page
from pgf_genome.pages.palette import LIGHT

NAMES = {"uniform": "uniform random bases", "markov": "Markov shuffle", "real": "real sequence"}
COLOURS = {"uniform": LIGHT.faint, "markov": LIGHT.line(1), "real": LIGHT.line(0)}
# Memory functions below this are not drawn.
FAINTEST = 1e-4
OUTPUT = (
    "What the layers hold",
    "Memory function of the residual stream after every layer: the fraction of the base at each "
    "lag that a linear readout recovers, less the larger of bias and floor. Lag 0 is the last "
    "base, drawn at 1/2.",
)
STATES = (
    "What single channels hold",
    "Memory functions of the states of sampled channels, one line each, coloured by layer.",
)
USED = (
    "What the prediction uses",
    "Mean squared gradient of a base's log p with respect to another base, by the distance between "
    "the two. Half and nine tenths of all influence lie within the dotted lines.",
)


def page(memory: Memory) -> str:
    """Return the page as HTML."""
    sections = "\n".join(
        f"<section><h2>{escape(title)}</h2>\n<p>{escape(text)}</p>\n"
        f"{figures.embedded(name, figure)}</section>"
        for name, (title, text), figure in _figures(memory)
    )
    return html_page(
        "memory",
        f"Memory of {memory.model['name']}",
        sections,
        lead="\n".join(f"<p>{escape(sentence)}</p>" for sentence in _sentences(memory)),
        scripts=figures.scripts(),
    )


def _figures(memory: Memory) -> Iterator[tuple[str, tuple[str, str], go.Figure]]:
    if memory.layers:
        yield "layers", OUTPUT, _by_drive(memory, lambda layer: [("residual", layer.output)])
        yield (
            "channels",
            STATES,
            _by_drive(
                memory, lambda layer: [(f"channel {c}", f) for c, f in layer.channels.items()]
            ),
        )
    if memory.influences:
        yield "influence", USED, _influence(memory.influences)


def _sentences(memory: Memory) -> Iterator[str]:
    for each in memory.influences:
        low, high = each.interval(0.9)
        yield (
            f"{NAMES[each.drive].capitalize()}: half of the influence on a prediction lies within "
            f"{each.reach(0.5):,} bases, nine tenths within {each.reach(0.9):,} (90 % interval "
            f"over probes {low:,} to {high:,}); its mean distance is {each.mean_distance:,.1f} "
            f"bases. {len(each.energy)} probes look back {each.energy.shape[1]:,} bases; "
            f"{100 * each.tail:.2g} % of the influence lies in the farther half."
        )
    if memory.layers:
        positions = memory.layers[0].output.count
        yield f"Memory functions are estimated from {positions:,} positions of every sequence."


def _by_drive(
    memory: Memory, functions: Callable[[LayerMemory], list[tuple[str, MemoryFunction]]]
) -> go.Figure:
    """Draw a panel per drive, with lines coloured by layer."""
    drives = list(dict.fromkeys(layer.drive for layer in memory.layers))
    depth = max(layer.layer for layer in memory.layers)
    colours = LIGHT.ramp(depth)
    figure = figures.panels(1, len(drives), [NAMES[d] for d in drives], shared_yaxes=True)
    named = set()
    for layer in memory.layers:
        for name, function in functions(layer):
            label = f"layer {layer.layer}"
            line = go.Scatter(
                x=[max(lag, 0.5) for lag in function.lags],
                y=[v if v > FAINTEST else None for v in function.excess.tolist()],
                mode="lines",
                line={"color": colours[layer.layer - 1], "width": 1.6},
                name=label,
                legendgroup=label,
                showlegend=label not in named,
                hovertemplate=f"{label}, {name}<br>lag %{{x:,}}<br>%{{y:.3g}}<extra></extra>",
            )
            figure.add_trace(line, 1, drives.index(layer.drive) + 1)
            named.add(label)
    figure.update_xaxes(type="log", dtick=1, title="lag, bases")
    figure.update_yaxes(
        type="log", dtick=1, range=[np.log10(FAINTEST), 0.05], exponentformat="power"
    )
    figure.update_yaxes(title="memory function", col=1)
    return figure.update_layout(height=430)


def _influence(influences: tuple[Influence, ...]) -> go.Figure:
    figure = figures.panels()
    for each in influences:
        curve, colour = each.binned(), COLOURS[each.drive]
        figure.add_scatter(
            x=curve["distances"],
            y=curve["mean"],
            mode="lines+markers",
            marker={"size": 4},
            line={"color": colour},
            name=NAMES[each.drive],
            hovertemplate="%{x:,.0f} bases<br>%{y:.3g}",
        )
        for part in (0.5, 0.9):
            figure.add_vline(
                max(each.reach(part), 1), line={"color": colour, "dash": "dot", "width": 1}
            )
    figure.update_xaxes(type="log", dtick=1, title="distance, bases")
    figure.update_yaxes(type="log", dtick=1, title="influence per base", exponentformat="power")
    return figure.update_layout(height=430)
