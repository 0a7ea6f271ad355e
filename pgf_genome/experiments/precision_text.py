"""Presentation of ``experiment precision``: table, figure, paragraph, claims."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from pgf_genome.experiments.frame import Claim, Findings
from pgf_genome.experiments.precision import ALL, NOTHING, PARTS
from pgf_genome.experiments.trial import on_machine
from pgf_genome.pages.figures import panels
from pgf_genome.pages.palette import LIGHT

TITLE = "What may be computed in half precision"
ERRORS = {"error": "error of the gradient", "far_error": "error of its first half, the far one"}
# A part whose rounding moves the gradient by more than this must stay in float32.
TOLERABLE = 0.02


def findings(table: pd.DataFrame) -> Findings:
    """Make everything that is shown of the stored table."""
    return Findings(
        "precision", TITLE, table, shown(table), figure(table), paragraph(table), claims(table)
    )


def intolerable(table: pd.DataFrame, dtype: str) -> list[str]:
    """List the parts that must not be rounded to a type."""
    rows = table[(table["dtype"] == dtype) & table["part"].isin(PARTS)]
    return rows[~rows["finite"] | (rows["far_error"] > TOLERABLE)]["part"].tolist()


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Format the table."""
    return pd.DataFrame(
        {
            "rounded": table["part"],
            "to": table["dtype"],
            **{
                title: [
                    f"{e:.1e}" if ok else "not finite"
                    for e, ok in zip(table[column], table["finite"], strict=True)
                ]
                for column, title in ERRORS.items()
            },
        }
    )


def figure(table: pd.DataFrame) -> go.Figure:
    """Draw a bar for every part and type; one that is not finite reaches the top."""
    drawn = panels()
    for rank, dtype in enumerate(dict.fromkeys(table["dtype"])):
        rows = table[table["dtype"] == dtype]
        drawn.add_bar(
            x=rows["part"],
            y=rows["far_error"].where(rows["finite"], 10.0),
            name=dtype,
            marker_color=LIGHT.line(rank),
            text=["" if ok else "not finite" for ok in rows["finite"]],
            hovertemplate="%{x}: %{y:.2e}<extra></extra>",
        )
    drawn.add_hline(y=TOLERABLE, line_dash="dot", line_color=LIGHT.faint)
    order = [p for p in (NOTHING, *PARTS, ALL) if p in set(table["part"])]
    drawn.update_xaxes(title="what is rounded", categoryorder="array", categoryarray=order)
    drawn.update_yaxes(
        title="error of the far gradient (L2, relative)",
        type="log",
        exponentformat="power",
        dtick=1,
    )
    drawn.update_layout(
        height=460,
        legend={"orientation": "h", "y": 1.08},
    )
    return drawn


def paragraph(table: pd.DataFrame) -> str:
    """Write claim, measurement and machine."""
    exact = table[table["part"] == NOTHING]["far_error"].max()
    parts = []
    for dtype in _halves(table):
        rows = table[(table["dtype"] == dtype) & table["finite"]].set_index("part")
        bad = intolerable(table, dtype)
        parts.append(
            f"In {dtype}, rounding the matrix products alone changes it by "
            f"{_percent(rows['far_error'].get('products'))}, the decays alone by "
            f"{_percent(rows['far_error'].get('decay'))}, everything by "
            f"{_percent(rows['far_error'].get(ALL))} (the whole gradient, which is mostly near, by "
            f"{_percent(rows['error'].get(ALL))}); beyond {TOLERABLE:.0%}: "
            f"{', '.join(bad) or 'none'}."
        )
    return (
        "The paper finds mixed precision robust. Here every part of a Mamba model was rounded by "
        f"itself, forward and backward, over {table['length'].iloc[0]:,} bases with states that "
        "last ten times as long, and the gradient of the last eighth's likelihood with respect to "
        f"the first half compared with float64. All in float32: {exact:.0e}. {' '.join(parts)} A "
        "decay of 1 - x is 1 in bfloat16 for x below 0.002, so that a slow state never "
        "forgets. This program therefore takes half precision for the products only (--dtype "
        "bfloat16) and keeps step sizes, decays, states and sums in float32. "
        f"{on_machine(table)}."
    )


def _halves(table: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(table[table["part"] != NOTHING]["dtype"]))


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """Judge robustness in mixed precision, and in half precision throughout."""
    judged = []
    for dtype in _halves(table):
        rows = table[table["dtype"] == dtype].set_index("part")
        for part, words in (("products", "products"), (ALL, "everything")):
            row = rows.loc[part]
            good = bool(row["finite"]) and row["far_error"] <= TOLERABLE
            error = _percent(row["far_error"]) if row["finite"] else "not finite"
            judged.append(
                Claim(
                    f"{words} in {dtype}",
                    "robust",
                    f"far gradient off by {error}",
                    "holds" if good else "does not hold",
                )
            )
    return tuple(judged)


def _percent(error: float | None) -> str:
    return "no number" if error is None or pd.isna(error) else f"{100 * error:.2g} %"
