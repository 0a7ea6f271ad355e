"""Presentation of ``experiment trna``: table, figure, paragraph, claims."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from pgf_genome.experiments.frame import Claim, Findings
from pgf_genome.pages.figures import panels
from pgf_genome.pages.palette import LIGHT

TITLE = "Stems of tRNAs in dependency maps"
DEFAULT = "logodds-max"
BASELINES = ("complementarity", "nearness")
COLOURS = {"exact": LIGHT.line(0), "first-order": LIGHT.line(1)}
# An AUROC below this is slight (Cohen 1988: d = 0.2).
SLIGHT = 0.556


def findings(table: pd.DataFrame) -> Findings:
    """Make everything that is shown of the stored table."""
    return Findings(
        "trna", TITLE, table, shown(table), figure(table), paragraph(table), claims(table)
    )


def find(table: pd.DataFrame, method: str, statistic: str, definition: str = DEFAULT) -> pd.Series:
    """Find the row of a statistic; ``definition`` does not matter for a baseline."""
    rows = table[(table["method"] == method) & (table["statistic"] == statistic)]
    return (rows if method in BASELINES else rows[rows["definition"] == definition]).iloc[0]


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Make a line per method and definition: estimates with their 95 % intervals."""
    lines = []
    for (method, definition), rows in table.fillna("").groupby(
        ["method", "definition"], sort=False
    ):
        cells = {row["statistic"]: _with_interval(row) for _, row in rows.iterrows()}
        lines.append({"method": method, "definition": definition, **cells})
    return pd.DataFrame(lines)


def figure(table: pd.DataFrame) -> go.Figure:
    """Draw both statistics with their intervals, and what chance gives."""
    statistics = list(dict.fromkeys(table["statistic"]))
    drawn = panels(1, len(statistics), statistics, horizontal_spacing=0.08, shared_yaxes=True)
    for col, statistic in enumerate(statistics, start=1):
        rows = table[table["statistic"] == statistic].fillna("")
        names = [" ".join(filter(None, pair)) for pair in zip(rows["method"], rows["definition"],
                                                              strict=True)]  # fmt: skip
        above, below = rows["high"] - rows["value"], rows["value"] - rows["low"]
        drawn.add_scatter(
            x=rows["value"], y=names, mode="markers",
            marker={"size": 9, "color": [COLOURS.get(m, LIGHT.faint) for m in rows["method"]]},
            error_x={
                "array": above, "arrayminus": below, "symmetric": False, "thickness": 1.5,
                "color": LIGHT.faint,
            },
            hovertemplate="%{y}: %{x:.3f}<extra></extra>", row=1, col=col,
        )  # fmt: skip
        drawn.add_vline(
            rows["chance"].iloc[0], line={"color": LIGHT.faint, "dash": "dot"}, row=1, col=col
        )
        drawn.update_xaxes(title=statistic, row=1, col=col)
    drawn.update_yaxes(autorange="reversed")
    return drawn.update_layout(height=420, showlegend=False, margin={"l": 180})


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """Compare the exact map with chance, and with what needs no model."""
    area = find(table, "exact", "AUROC")
    parts = [
        Claim(
            "Paired bases of a tRNA depend on each other more than other bases do",
            "published models of DNA: yes",
            f"AUROC {_with_interval(area)}",
            _verdict(area["low"] > 0.5, area["value"] >= SLIGHT),
        )
    ]
    own, other = (find(table, method, "AUPRC") for method in ("exact", "complementarity"))
    parts.append(
        Claim(
            "A dependency map tells pairs better than the complementarity of their bases",
            "expected of a model that knows tRNAs",
            f"AUPRC {_with_interval(own)} against {_with_interval(other)}",
            _verdict(own["value"] > other["value"], own["low"] > other["high"]),
        )
    )
    first = find(table, "first-order", "AUROC")
    parts.append(
        Claim(
            "Derivatives tell pairs as well as changes",
            "not stated",
            f"AUROC {_with_interval(first)} against {_with_interval(area)}",
            # where neither tells them there is nothing to compare
            _verdict(first["high"] >= area["low"], first["value"] >= area["value"] - 0.02)
            if area["low"] > 0.5
            else "not tested",
        )
    )
    return tuple(parts)


def _verdict(in_part: bool, in_full: bool) -> str:
    return "does not hold" if not in_part else "holds" if in_full else "holds in part"


def paragraph(table: pd.DataFrame) -> str:
    """Write question, measurement and machine; every number is read from the table."""
    facts = table.iloc[0]
    chance = find(table, "exact", "AUPRC")["chance"]
    told = "; ".join(
        f"{name} AUROC {find(table, name, 'AUROC')['value']:.3f}, "
        f"AUPRC {find(table, name, 'AUPRC')['value']:.4f}"
        for name in ("exact", "first-order", *BASELINES)
    )
    return (
        f"Do dependency maps of {facts['model']} show the stems of tRNAs? Of {facts['annotated']} "
        f"annotated genes {facts['genes']} are cloverleaves ({facts['distinct']} different "
        f"sequences), with {facts['paired']:,} pairs of bases in their stems; each was mapped in "
        "its whole contig, both strands. Cells are the larger of both directions; pairs of bases "
        f"that are four or fewer apart do not count. By {DEFAULT}: {told} (chance: 0.5 and "
        f"{chance:.4f}). Complementarity is the number of hydrogen bonds that two bases would have "
        "and nearness their distance alone; neither needs a model. Intervals are over resampled "
        f"genes. {facts['machine']}."
    )


def _with_interval(row: pd.Series) -> str:
    digits = 3 if row["statistic"] == "AUROC" else 4  # precision is near zero
    value, low, high = (f"{row[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
