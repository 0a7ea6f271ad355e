"""Presentation of ``experiment initialisation``: table, figure, paragraph, claims."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from pgf_genome.experiments.frame import Claim, Findings
from pgf_genome.pages.figures import panels
from pgf_genome.pages.palette import LIGHT

TITLE = "Initialisations and frozen poles, trained alike"
# Two trainings of one kind may differ by this many bits per base.
ALIKE = 0.002
PANELS = (
    ("bits_per_base", "held-out bits per base"),
    ("ecl_0.9", "bases that hold 90 % of the influence"),
    ("tau_median", "median time constant (bases)"),
)


def findings(table: pd.DataFrame) -> Findings:
    """Make everything that is shown of the stored table."""
    table = table.assign(variant=[_variant(r) for r in table.itertuples()])
    return Findings(
        "initialisation", TITLE, table, shown(table), figure(table), paragraph(table), claims(table)
    )


def _variant(row: Any) -> str:
    return f"{row.init}, {'frozen' if row.frozen else 'free'}"


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Format the table."""
    return pd.DataFrame(
        {
            "poles": table["variant"],
            "training": table["when"],
            "held-out bits per base": table["bits_per_base"].map("{:.4f}".format),
            "ECL_0.5": table["ecl_0.5"].map("{:,.0f}".format),
            "ECL_0.9": table["ecl_0.9"].map("{:,.0f}".format),
            "mean distance": table["mean_distance"].map("{:,.1f}".format),
            "time constant, median": table["tau_median"].map("{:,.0f}".format),
            "largest": table["tau_max"].map("{:,.0f}".format),
        }
    )


def figure(table: pd.DataFrame) -> go.Figure:
    """Draw every variant before and after training."""
    drawn = panels(cols=len(PANELS), titles=[title for _, title in PANELS])
    for column, (name, _) in enumerate(PANELS, 1):
        for rank, when in enumerate(("before", "after")):
            rows = table[table["when"] == when]
            drawn.add_bar(
                x=rows["variant"], y=rows[name], name=f"{when} training", col=column, row=1,
                marker_color=(LIGHT.faint, LIGHT.line(0))[rank], legendgroup=when,
                showlegend=column == 1,
            )  # fmt: skip
        drawn.update_yaxes(type="linear" if name == "bits_per_base" else "log", col=column)
    bits = table["bits_per_base"]
    drawn.update_yaxes(range=[bits.min() - 0.02, bits.max() + 0.02], col=1)
    return drawn.update_layout(
        height=420,
        legend={"orientation": "h", "y": -0.3},
    )


def _after(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["when"] == "after"].set_index("variant")


def paragraph(table: pd.DataFrame) -> str:
    """Write claim, measurement and machine."""
    facts, after = table.iloc[0], _after(table)
    before = table[table["when"] == "before"].set_index("variant")
    variants = "; ".join(
        f"{name}: {row['bits_per_base']:.4f} bits, nine tenths of the influence within "
        f"{row['ecl_0.9']:,.0f} bases ({before.loc[name, 'ecl_0.9']:,.0f} before)"
        for name, row in after.iterrows()
    )
    return (
        "The theory advises to begin with the longest memory, because training does not extend it, "
        f"and finds frozen poles as good as free ones. Models of {facts['layers']} layers and "
        f"width {facts['width']} were trained on {facts['bases']:,} bases of {facts['fasta']}, "
        "alike except for initialisation and freezing, and scored on the held-out tenth of its "
        f"first contig: {variants}. With one seed and small models, differences below {ALIKE} bits "
        "mean nothing. "
        f"Machine: {facts['machine']}."
    )


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """Judge whether frozen poles are as good as free ones, and long memory better than short."""
    after = _after(table)
    judged = []
    for init in dict.fromkeys(after["init"]):
        free, frozen = (after.loc[f"{init}, {k}", "bits_per_base"] for k in ("free", "frozen"))
        judged.append(
            Claim(
                f"frozen poles are as good as free ones ({init})",
                "comparable or better",
                f"{frozen:.4f} bits frozen, {free:.4f} free",
                "holds" if frozen <= free + ALIKE else "does not hold",
            )
        )
    if {"mamba, free", "long, free"} <= set(after.index):
        short, long = (after.loc[f"{i}, free"] for i in ("mamba", "long"))
        better = long["bits_per_base"] < short["bits_per_base"] - ALIKE
        longer = long["mean_distance"] > short["mean_distance"]
        judged.append(
            Claim(
                "the longest memory is the best initialisation",
                "better",
                f"{long['bits_per_base']:.4f} bits long, {short['bits_per_base']:.4f} default; "
                f"mean influence distance {long['mean_distance']:.1f} and "
                f"{short['mean_distance']:.1f} bases",
                "holds" if better else "holds in part" if longer else "does not hold",
            )
        )
    return tuple(judged)
