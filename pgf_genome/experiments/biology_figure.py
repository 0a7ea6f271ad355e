"""The figure of ``experiment biology``: a panel per question."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pgf_genome.pages.figures import panels
from pgf_genome.pages.palette import LIGHT

LINE, MOTIF = LIGHT.line(0), LIGHT.line(4)
KINDS = {"synonymous": LINE, "missense": MOTIF, "stop-gained": LIGHT.line(1)}
RARE = {"stop-lost": LIGHT.line(2), "start-lost": LIGHT.line(3)}
# alpha of the ground of an interval
PALE = "33"
PANELS = (
    "Contribution by codon position",
    "Sensitivity by codon position",
    "Contribution around start codons",
    "Surprisal around start codons",
    "Surprisal, mean of each gene and stretch between genes",
    "First-order effects of all substitutions in genes",
    "First order against exact",
    "Distinguished from synonymous",
)
AREAS = {
    "first order, all": ("first order", "first order"),
    "first order, drawn": ("exact", "first order"),
    "near 16, drawn": ("exact", "near 16"),
    "exact, drawn": ("exact", "exact"),
}


def figure(table: pd.DataFrame) -> go.Figure:
    """Draw eight panels: points with 95 % intervals, boxes from the 5 % to the 95 % quantile."""
    drawn = panels(4, 2, PANELS, horizontal_spacing=0.11, vertical_spacing=0.085)
    for col, track in enumerate(("contribution", "sensitivity"), start=1):
        _codons(drawn, table, track, col)
    for col, track in enumerate(("contribution", "surprisal"), start=1):
        _profile(drawn, table, track, col)
    colours = {"in genes": LINE, "between genes": LIGHT.faint}
    _boxes(drawn, table[table["panel"] == "between"], colours, 1)
    _boxes(drawn, table[table["panel"] == "first order"], KINDS | RARE, 2)
    drawn.update_yaxes(title="bits", row=3, col=1)
    drawn.update_yaxes(title="nats of F", row=3, col=2)
    _scatter(drawn, table[table["panel"] == "single"])
    _areas(drawn, table)
    drawn.update_layout(
        height=1500,
        showlegend=False,
    )
    return drawn


def _errors(rows: pd.DataFrame) -> dict:
    above, below = rows["high"] - rows["value"], rows["value"] - rows["low"]
    return {"array": above, "arrayminus": below, "symmetric": False, "thickness": 1.5}


def _codons(drawn: go.Figure, table: pd.DataFrame, track: str, col: int) -> None:
    rows = table[
        (table["panel"] == "codon") & (table["quantity"] == track) & (table["statistic"] == "mean")
    ]
    drawn.add_scatter(
        x=rows["position"], y=rows["value"], error_y=_errors(rows), mode="markers",
        marker={"size": 10, "color": LINE}, hovertemplate="%{y:.4f}<extra></extra>", row=1, col=col,
    )  # fmt: skip
    drawn.update_xaxes(tickvals=[1, 2, 3], range=[0.5, 3.5], title="codon position", row=1, col=col)
    drawn.update_yaxes(title="nats of F", row=1, col=col)


def _profile(drawn: go.Figure, table: pd.DataFrame, track: str, col: int) -> None:
    rows = table[(table["group"] == "profile") & (table["quantity"] == track)]
    outline = pd.concat([rows["high"], rows["low"][::-1]])
    drawn.add_scatter(
        x=pd.concat([rows["position"], rows["position"][::-1]]), y=outline, fill="toself",
        fillcolor=LINE + PALE, line={"width": 0}, hoverinfo="skip", row=2, col=col,
    )  # fmt: skip
    drawn.add_scatter(
        x=rows["position"], y=rows["value"], mode="lines+markers", line={"color": LINE},
        marker={"size": 4}, hovertemplate="%{x}: %{y:.3f}<extra></extra>", row=2, col=col,
    )  # fmt: skip
    for name, left, right in (("Shine-Dalgarno", -12.5, -5.5), ("start codon", -0.5, 2.5)):
        drawn.add_vrect(x0=left, x1=right, fillcolor=MOTIF + PALE, line_width=0, row=2, col=col)
        upstream = left < -1
        drawn.add_annotation(
            text=name, x=left if upstream else right, xanchor="right" if upstream else "left",
            y=1, yref="y3 domain" if col == 1 else "y4 domain", yanchor="top",
            font={"size": 11}, showarrow=False, row=2, col=col,
        )  # fmt: skip
    drawn.update_xaxes(title="bases from the start of the gene", row=2, col=col)
    drawn.update_yaxes(title="nats of F" if track == "contribution" else "bits", row=2, col=col)


def _boxes(drawn: go.Figure, rows: pd.DataFrame, colours: dict[str, str], col: int) -> None:
    for name, colour in colours.items():
        values = rows[rows["group"] == name].set_index("statistic")["value"]
        if "median" in values:
            drawn.add_box(
                x=[name], q1=[values["25 %"]], median=[values["median"]], q3=[values["75 %"]],
                lowerfence=[values["5 %"]], upperfence=[values["95 %"]], mean=[values["mean"]],
                boxmean=True, marker={"color": colour}, name=name, row=3, col=col,
            )  # fmt: skip


def _scatter(drawn: go.Figure, rows: pd.DataFrame) -> None:
    """Draw every substitution that was run, and the diagonal on which the two would agree."""
    for kind, colour in (RARE | KINDS).items():
        of_kind = rows[rows["group"] == kind]
        first, exact = (of_kind[of_kind["quantity"] == q] for q in ("first order", "exact"))
        names = [f"{p:,} {s}" for p, s in zip(first["position"], first["statistic"], strict=True)]
        drawn.add_scatter(
            x=first["value"], y=exact["value"], mode="markers", name=kind, text=names,
            marker={"size": 5, "color": colour, "opacity": 0.7},
            hovertemplate="%{text}: %{x:.2f}, exact %{y:.2f}<extra>" + kind + "</extra>",
            row=4, col=1,
        )  # fmt: skip
    across = rows[rows["quantity"] == "first order"]["value"]
    ends = [across.min(), across.max()]
    drawn.add_scatter(
        x=ends, y=ends, mode="lines", line={"color": LIGHT.faint, "dash": "dot"}, hoverinfo="skip",
        row=4, col=1,
    )  # fmt: skip
    for i, (kind, colour) in enumerate(KINDS.items()):
        drawn.add_annotation(
            text=kind, font={"color": colour}, showarrow=False, xref="x7 domain",
            yref="y7 domain", x=0.98, y=0.27 - 0.08 * i, xanchor="right", yanchor="top",
        )  # fmt: skip
    drawn.update_xaxes(title="first order, nats of F", row=4, col=1)
    drawn.update_yaxes(title="exact, nats of F", row=4, col=1)


def _areas(drawn: go.Figure, table: pd.DataFrame) -> None:
    """Draw the AUROC of every way to compute effects."""
    areas = table[table["statistic"] == "AUROC, synonymous"]
    for kind, shift in (("stop-gained", -0.1), ("missense", 0.1)):
        rows = pd.concat(
            areas[(areas["panel"] == panel) & (areas["quantity"] == q) & (areas["group"] == kind)]
            for panel, q in AREAS.values()
        )
        if rows.empty:
            continue
        drawn.add_scatter(
            x=np.arange(len(rows)) + shift, y=rows["value"], error_y=_errors(rows), mode="markers",
            marker={"size": 10, "color": KINDS[kind]}, name=kind,
            hovertemplate="%{y:.3f}", row=4, col=2,
        )  # fmt: skip
        drawn.add_annotation(
            text=kind, x=len(rows) - 0.82, y=rows["value"].iloc[-1], xanchor="left",
            font={"color": KINDS[kind]}, showarrow=False, row=4, col=2,
        )  # fmt: skip
    drawn.update_xaxes(
        tickvals=list(range(len(AREAS))), ticktext=[name.replace(", ", "<br>") for name in AREAS],
        range=[-0.5, len(AREAS)], row=4, col=2,
    )  # fmt: skip
    drawn.add_hline(y=0.5, line={"color": LIGHT.faint, "dash": "dot"}, row=4, col=2)
    drawn.update_yaxes(title="AUROC", row=4, col=2)
