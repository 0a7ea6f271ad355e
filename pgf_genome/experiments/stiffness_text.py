"""Presentation of ``experiment stiffness``: table, figure, paragraph, claims."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pgf_genome.experiments.frame import Claim, Findings
from pgf_genome.experiments.stiffness import LOG_SHIFT, LOG_SPACE, OURS
from pgf_genome.pages.figures import HEAT, panels

TITLE = "Scans of very slow and very fast poles"
SCANS = (OURS, LOG_SHIFT, LOG_SPACE)
# Largest error of a usable sensitivity.
USABLE = 1e-3


def findings(table: pd.DataFrame) -> Findings:
    """Make everything that is shown of the stored table."""
    return Findings(
        "stiffness", TITLE, table, shown(table), figure(table), paragraph(table), claims(table)
    )


def broken(rows: pd.DataFrame) -> pd.Series:
    """Mark the rows in which a scan gives no number, or one with an error above `USABLE`."""
    return ~rows["finite"] | (rows["error"] > USABLE)


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Format a row per scan, step size and block: where it breaks, and its error elsewhere."""
    rows = []
    for (scan, delta, block), part in table.groupby(["scan", "delta", "block"], sort=False):
        bad = part[broken(part)]
        good = part[~broken(part)]
        rows.append(
            {
                "scan": scan,
                "delta": f"{delta:g}",
                "block": f"{block:,}",
                "breaks from A_log": f"{bad['A_log'].min():+.2f}" if len(bad) else "never",
                "decay per base there": f"{bad['decay_per_step'].min():.2g}" if len(bad) else "",
                "not finite": f"{(~part['finite']).sum()} of {len(part)}",
                "largest error elsewhere": f"{good['error'].max():.1e}" if len(good) else "",
            }
        )
    return pd.DataFrame(rows)


def figure(table: pd.DataFrame) -> go.Figure:
    """Draw the error over poles and blocks for every scan and step size; blank is no number."""
    deltas = list(dict.fromkeys(table["delta"]))
    titles = [f"{scan}, Δ = {delta:g}" for delta in deltas for scan in SCANS]
    drawn = panels(
        len(deltas), len(SCANS), titles=titles, shared_yaxes=True, shared_xaxes=True,
        vertical_spacing=0.12, horizontal_spacing=0.04,
    )  # fmt: skip
    for i, delta in enumerate(deltas, 1):
        for j, scan in enumerate(SCANS, 1):
            part = table[(table["scan"] == scan) & (table["delta"] == delta)]
            wide = part.pivot(index="block", columns="A_log", values="error")
            drawn.add_trace(
                go.Heatmap(
                    x=wide.columns,
                    y=[f"{block:,}" for block in wide.index],
                    z=np.log10(np.maximum(wide.to_numpy(float), 1e-9)),
                    coloraxis="coloraxis",
                    hovertemplate="A_log %{x}, block %{y}: 10^%{z:.1f}<extra></extra>",
                ),
                row=i,
                col=j,
            )
    drawn.update_layout(
        height=260 * len(deltas) + 80,
        coloraxis={"cmin": -8, "cmax": 0, "colorscale": HEAT, "colorbar": {"title": "log10 error"}},
    )
    drawn.update_xaxes(showgrid=False, zeroline=False)
    drawn.update_xaxes(title="A_log (slow to fast)", row=len(deltas))
    drawn.update_yaxes(showgrid=False)
    drawn.update_yaxes(title="block", col=1)
    return drawn


def paragraph(table: pd.DataFrame) -> str:
    """Write claim, measurement and machine."""
    where, type_ = table["machine"].iloc[0], table["dtype"].iloc[0]
    counts = {scan: _lost(table, scan) for scan in SCANS}
    ours = table[table["scan"] == OURS]["error"].max()
    shift = table[table["scan"] == LOG_SHIFT]
    predicted = (shift["exponent"] > shift["exponent_limit"]) == ~shift["finite"]
    log_space = table[(table["scan"] == LOG_SPACE) & table["finite"]]["error"].max()
    return (
        "The paper calls A_log = -8 extremely stiff and its log-shift scan stable there. That end "
        "is the slow one, where a state decays by 3e-5 per base and every scan works. Over the "
        f"whole range in {type_}, against a loop in float64, the log-shift scan fails at "
        f"{counts[LOG_SHIFT]} grid points, for fast poles and long blocks: it forms "
        "exp(+decay), which overflows where the decay within a block passes "
        f"{shift['exponent_limit'].iloc[0]:.1f} (which predicts {100 * predicted.mean():.0f} % of "
        "the points). "
        f"The log-space scan fails at {counts[LOG_SPACE]} (largest error {log_space:.0e}). "
        f"Products of decaying factors, which this program uses, fail at {counts[OURS]}, with a "
        f"largest error of {ours:.0e} anywhere. Machine: {where}."
    )


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """Judge the paper's claim for slow poles and for fast ones, and our own scan."""
    slow = table[table["A_log"] <= 0]
    fast = table[table["A_log"] > 0]

    def claim(statement: str, paper: str, scan: str, rows: pd.DataFrame) -> Claim:
        own = rows[rows["scan"] == scan]
        lost = int(broken(own).sum())
        held = "holds" if lost == 0 else "does not hold"
        return Claim(statement, paper, f"no usable number at {lost} of {len(own)} points", held)

    return (
        claim("stable at A_log from -8 to 0, log-shift scan", "stable", LOG_SHIFT, slow),
        claim("the same scan, A_log above 0 to 8", "not tested", LOG_SHIFT, fast),
        claim("decaying products (ours), A_log from -8 to 8", "", OURS, table),
    )


def _lost(table: pd.DataFrame, scan: str) -> str:
    own = table[table["scan"] == scan]
    return f"{int(broken(own).sum())} of {len(own)}"
