"""Presentation of ``experiment memory-init``: table, figure, paragraph, claims."""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from pgf_genome.experiments.frame import Claim, Findings
from pgf_genome.experiments.loglog import Curve, Panel
from pgf_genome.experiments.loglog import figure as drawn
from pgf_genome.experiments.memory_init import EQUAL, LEARNING, SPECTRUM, TRADE_OFF

TITLE = "Initialisations and what they remember"
# MF below which a lag is absent from the state, and R² above which it has been learned.
ABSENT, LEARNED = 0.01, 0.1


def findings(table: pd.DataFrame) -> Findings:
    """Make everything that is shown of the stored table."""
    return Findings(
        "memory-init", TITLE, table, shown(table), figure(table), paragraph(table), claims(table)
    )


def part(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Select the rows and columns of one of the four parts."""
    return table[table["part"] == name].dropna(axis=1, how="all")


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Format the spectra, with what was learned from each at the longest delay."""
    learned = part(table, LEARNING)
    longest = learned[learned["delay"] == learned["delay"].max()]
    best = longest.pivot_table(index=["name", "delta"], columns="frozen", values="learned")
    rows = []
    for row in part(table, SPECTRUM).itertuples():
        frozen, free = (best.loc[(row.name, row.delta), each] for each in (True, False))
        rows.append(
            {
                "spectrum": row.name,
                "Δ": f"{row.delta:g}",
                "real A": "yes" if row.real else "no",
                "poles": int(row.poles),
                "MF(0)": f"{row.mf_0:.3f}",
                **{
                    f"L_{e}": f"{table.loc[row.Index, f'l_{e}']:,.0f}"
                    for e in ("0.5", "0.1", "0.01")
                },
                "ΣMF": f"{row.capacity:.1f}",
                f"learned at {longest['delay'].max():.0f}, frozen": f"{frozen:.2f}",
                "free": f"{free:.2f}",
            }
        )
    return pd.DataFrame(rows)


def figure(table: pd.DataFrame) -> go.Figure:
    """Draw accuracy against length of rings, and what was learned against the initial memory."""
    rings, learned = part(table, TRADE_OFF), part(table, LEARNING)
    names = ["rings of poles", "frozen", "free"]
    panels = [
        Panel("Accuracy and length", "length of memory (steps)", "MF(0)",
              [Curve(names[0], rings["length"], rings["mf_0"])], y_log=False)
    ]  # fmt: skip
    for frozen, name in ((True, "frozen"), (False, "free")):
        rows = learned[learned["frozen"] == frozen].sort_values("mf_before")
        curve = Curve(name, rows["mf_before"].clip(lower=1e-4), rows["learned"].clip(lower=0))
        panels.append(
            Panel(f"Delayed copy, poles {name}", "MF at the delay, before", "R² after training",
                  [curve], y_log=False)
        )  # fmt: skip
    shown_ = drawn(panels, names)
    shown_.update_traces(mode="markers", selector={"name": "frozen"})
    shown_.update_traces(mode="markers", selector={"name": "free"})
    shown_.update_yaxes(range=[0, 1.05])
    return shown_.update_layout(showlegend=False)


def paragraph(table: pd.DataFrame) -> str:
    """Write claim, measurement and machine."""
    spectra, learned = part(table, SPECTRUM), part(table, LEARNING)
    gap, rings = part(table, EQUAL)["gap"].max(), part(table, TRADE_OFF)
    real = ", ".join(spectra[spectra["real"].astype(bool)]["name"].unique())
    absent, present = _by_presence(learned)
    return (
        "The theory says that the memory of a linear state-space model is fixed by its poles. "
        f"Dense and diagonal models of one spectrum agree to {gap:.0e}; rings of "
        f"{table['states'].iloc[0]} poles always hold a total of {rings['capacity'].min():.1f} to "
        f"{rings['capacity'].max():.1f} inputs, so that length costs accuracy. Of the "
        f"spectra only {real} has a real A, as Mamba's is. It also says that what the state does "
        "not hold at initialisation cannot be learned. In a delayed copy trained by gradient "
        f"descent, lags that were absent (MF below {ABSENT}) were learned to R² above {LEARNED} in "
        f"{absent['free']:.0%} of the cases with free poles and {absent['frozen']:.0%} with frozen "
        f"ones; lags that were present, in {present['free']:.0%} and {present['frozen']:.0%}. "
        f"Machine: {table['machine'].iloc[0]}."
    )


def _by_presence(learned: pd.DataFrame) -> tuple[dict[str, float], dict[str, float]]:
    """Share of lags that were learned, of those absent before and of those present; or NaN."""
    shares = []
    for rows in (learned[learned["mf_before"] < ABSENT], learned[learned["mf_before"] >= ABSENT]):
        hits = rows.assign(hit=rows["learned"] > LEARNED).groupby("frozen")["hit"].mean()
        shares.append({"frozen": hits.get(True, math.nan), "free": hits.get(False, math.nan)})
    return shares[0], shares[1]


def _not_learned(share: float) -> str:
    """Judge "what is absent is not learned" by the share of cases in which it was learned."""
    if math.isnan(share):
        return "not tested"
    return "holds" if share == 0 else "holds in part" if share < 0.5 else "does not hold"


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """Judge the paper's four statements."""
    rings, learned = part(table, TRADE_OFF), part(table, LEARNING)
    gap, states = part(table, EQUAL)["gap"].max(), table["states"].iloc[0]
    absent, _ = _by_presence(learned)
    capacity = (rings["capacity"] / states - 1).abs().max()
    frozen, free = (learned[learned["frozen"] == f]["learned"].mean() for f in (True, False))
    return (
        Claim("S4 and S4D of one spectrum have one memory function", "equal",
              f"differ by {gap:.0e}", "holds" if gap < 1e-6 else "does not hold"),
        Claim("longer memory is less accurate, the sum is bounded by N", "sum at most N",
              f"sums within {capacity:.1%} of N = {states}",
              "holds" if capacity < 0.05 else "does not hold"),
        Claim("what is not remembered at initialisation is not learned", "not learned",
              f"learned in {absent['free']:.0%} of such cases with free poles",
              _not_learned(absent["free"])),
        Claim("frozen poles are as good as free ones, or better", "comparable or better",
              f"mean R² {frozen:.2f} frozen, {free:.2f} free",
              "holds" if frozen >= free - 0.02 else "does not hold"),
    )  # fmt: skip
