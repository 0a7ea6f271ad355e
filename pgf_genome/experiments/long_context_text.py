"""Presentation of ``experiment long-context``: table, figure, paragraph, claims."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pgf_genome.experiments.frame import Claim, Findings
from pgf_genome.experiments.loglog import Curve, Panel
from pgf_genome.experiments.loglog import figure as drawn
from pgf_genome.experiments.long_context import EDGES, WHOLE

TITLE = "What windows miss of a long sequence"
# Errors below this are rounding; they are drawn as this.
FLOOR = 1e-6


def findings(table: pd.DataFrame) -> Findings:
    """Make everything that is shown of the stored table."""
    return Findings(
        "long-context", TITLE, table, shown(table), figure(table), paragraph(table), claims(table)
    )


def reach(table: pd.DataFrame, window: int, edge: str, off: float = 0.01) -> float:
    """Return the distance from an edge at which ``off`` of the positions are still 1 % off."""
    rows = table[(table["window"] == window) & (table["edge"] == edge)]
    touched = rows[rows["off"] >= off]["distance"]
    return float(touched.max()) if len(touched) else 0.0


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Format the table, a row per window."""
    rows = []
    for row in table[table["edge"] == WHOLE].itertuples():
        left, right = (reach(table, row.window, edge) for edge in EDGES)
        rows.append(
            {
                "window": f"{row.window:,}",
                "positions off by > 1 %": f"{row.off:.2%}",
                "median error": f"{row.median:.1e}",
                "99th percentile": f"{row.upper:.1e}",
                "reach of the left edge": f"{left:,.0f}",
                "reach of the right edge": f"{right:,.0f}",
            }
        )
    return pd.DataFrame(rows)


def figure(table: pd.DataFrame) -> go.Figure:
    """Draw the 99th percentile of the error against the distance to the left and right edge."""
    windows = table[table["edge"] == WHOLE]["window"].tolist()
    names = [f"windows of {window:,}" for window in windows]
    panels = []
    for edge in EDGES:
        curves = []
        for name, window in zip(names, windows, strict=True):
            rows = table[(table["edge"] == edge) & (table["window"] == window)]
            curves.append(Curve(name, rows["distance"] + 1, np.maximum(rows["upper"], FLOOR)))
        panels.append(
            Panel(f"From the {edge} edge", "distance (bases)", "error, 99th percentile", curves)
        )
    return drawn(panels, names)


def paragraph(table: pd.DataFrame) -> str:
    """Write claim, measurement and machine."""
    facts, whole = table.iloc[0], table[table["edge"] == WHOLE]
    shares = ", ".join(f"{row.off:.2%} in windows of {row.window:,}" for row in whole.itertuples())
    longest = int(whole["window"].max())
    left, right = (reach(table, longest, edge) for edge in EDGES)
    return (
        "The paper argues that long sequences should be differentiated whole. Here the gradient of "
        f"the likelihood of {facts['sequence']} ({facts['length']:,} bases, plus strand, model "
        f"{facts['model']}) was computed in one sweep and again window by window, every window by "
        f"itself. Positions whose gradient is off by more than 1 %: {shares}. A window is wrong at "
        "its left edge, where predictions lack their past, and at its right edge, beyond which a "
        f"base's effects are cut off. With windows of {longest:,}, one in a hundred positions is "
        f"1 % off as far as {left:,.0f} bases from the left edge and {right:,.0f} from the right: "
        "this is how far this model looks, not how far biology reaches. A model that uses more "
        f"context loses more. Machine: {facts['machine']}."
    )


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """Judge whether windows lose part of the sensitivities, and longer ones less."""
    whole = table[table["edge"] == WHOLE].sort_values("window")
    shortest, longest = whole.iloc[0], whole.iloc[-1]
    lost = shortest["off"] > 0
    falling = whole["off"].is_monotonic_decreasing
    return (
        Claim(
            "windows miss part of the sensitivities, shorter ones more",
            "qualitative",
            f"{shortest['off']:.2%} of positions 1 % off in windows of "
            f"{int(shortest['window']):,}, {longest['off']:.3%} in {int(longest['window']):,}",
            "holds" if lost and falling else "holds in part" if lost else "does not hold",
        ),
    )
