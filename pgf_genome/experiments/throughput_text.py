"""Presentation of ``experiment throughput``: table, figure, claims, paragraph."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd
import plotly.graph_objects as go

from pgf_genome.experiments.frame import Claim, Findings
from pgf_genome.experiments.measure import OK
from pgf_genome.experiments.peers import METHODS, OURS
from pgf_genome.pages.figures import panels
from pgf_genome.pages.palette import LIGHT, SYMBOLS

TITLE = "Throughput of the gradient with respect to every base"
PAPER_TIMES, PAPER_LESS = 23, 0.94
AUTOGRAD = "mambapy"


def findings(table: pd.DataFrame) -> Findings:
    """Make everything that is shown of the stored table."""
    words, judged = paragraph(table), claims(table)
    return Findings("throughput", TITLE, table, shown(table), figure(table), words, judged)


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """Judge the paper's two ratios, against autograd through mambapy at the longest length."""
    peers = table[(table["method"] == AUTOGRAD) & table["times_faster"].notna()]
    paper = f"{PAPER_TIMES} times", f"{PAPER_LESS:.0%} less"
    statements = "Throughput against autograd", "Memory against autograd"
    if peers.empty:
        return tuple(
            Claim(statement, value, "autograd did not finish here", "not tested")
            for statement, value in zip(statements, paper, strict=True)
        )
    row = peers.loc[peers["length"].idxmax()]
    times, less = row["times_faster"], 1 - row["memory_share"]
    share = f"{less:.0%} less" if less >= 0 else f"{-less:.0%} more"
    at = f"{METHODS[AUTOGRAD].label} at L = {row['length']:,}"
    return (
        Claim(statements[0], paper[0], f"{times:.3g} times {at}",
              "holds" if times >= PAPER_TIMES else "does not hold"),
        Claim(statements[1], paper[1], f"{share} than {at}",
              "holds" if less >= PAPER_LESS else "holds in part" if less > 0 else "does not hold"),
    )  # fmt: skip


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Format the table, a row per length and method."""
    columns = (
        "L", "method", "setting", "status", "kbp/s", "peak MiB", "baseline MiB",
        "max diff", "first run s", "ours is faster", "ours needs",
    )  # fmt: skip
    return pd.DataFrame([_cells(row) for _, row in table.iterrows()], columns=list(columns))


def _cells(row: pd.Series) -> list[str]:
    def number(name: str, form: str, scale: float = 1.0, unit: str = "") -> str:
        return "" if pd.isna(row[name]) else f"{row[name] / scale:{form}}{unit}"

    return [
        f"{row['length']:,}",
        row["method"],
        "" if pd.isna(row["setting"]) else row["setting"],
        row["status"] if pd.isna(row["note"]) else f"{row['status']}: {row['note']}",
        number("bases_per_second", ".3g", 1e3),
        number("peak_bytes", ",.0f", 2**20),
        number("baseline_bytes", ",.0f", 2**20),
        number("error", ".1e"),
        number("first_seconds", ".1f"),
        number("times_faster", ".3g", unit=" x"),
        number("memory_share", ".0%"),
    ]


def figure(table: pd.DataFrame) -> go.Figure:
    """Draw throughput and peak memory against length, both on logarithmic axes."""
    drawn = panels(cols=2, titles=("Throughput", "Peak memory"), horizontal_spacing=0.1)
    done = table[table["status"] == OK]
    for rank, (name, method) in enumerate(METHODS.items()):
        rows = done[done["method"] == name]
        if rows.empty:
            continue
        look = {
            "name": method.label,
            "legendgroup": name,
            "mode": "lines+markers",
            "line": {"color": LIGHT.line(rank), "width": 3.5 if name == OURS else 2},
            "marker": {"symbol": SYMBOLS[rank], "size": 9},
        }
        speed, memory = rows["bases_per_second"], rows["peak_bytes"] / 2**20
        at = "L = %{x:,}<br>"
        drawn.add_scatter(
            x=rows["length"], y=speed, hovertemplate=f"{at}%{{y:,.0f}} bp/s", **look, row=1, col=1
        )
        drawn.add_scatter(
            x=rows["length"], y=memory, hovertemplate=f"{at}%{{y:,.0f}} MiB", **look,
            showlegend=False, row=1, col=2,
        )  # fmt: skip
    lengths = sorted(table["length"].unique())
    drawn.update_xaxes(
        type="log", title="L, bases", tickvals=lengths, ticktext=[f"{n:,}" for n in lengths]
    )
    drawn.update_yaxes(type="log", dtick="D2", tickformat=",")
    speeds, memories = done["bases_per_second"], done["peak_bytes"] / 2**20
    drawn.update_yaxes(title="bases per second", range=_decades(speeds), col=1)
    drawn.update_yaxes(title="MiB", range=_decades(memories), col=2)
    drawn.update_layout(
        height=480,
        margin={"b": 20},
        legend={"orientation": "h", "y": -0.22},
    )
    return drawn


def _decades(values: pd.Series) -> list[int]:
    """Return the powers of ten around all values."""
    if values.empty:
        return [0, 1]
    return [math.floor(math.log10(values.min())), math.floor(math.log10(values.max())) + 1]


def paragraph(table: pd.DataFrame) -> str:
    """Write claim, measurement and machine; every number of ours is read from the table."""
    facts = table.iloc[0]
    setup = (
        f"Measured here: the gradient of the log-likelihood with respect to every position of one "
        f"strand, float32, Mamba-1 with {facts['layers']} layers, D = {facts['width']}, "
        f"N = {facts['states']}, {_count(facts['threads'], 'thread')} on {facts['device']}, every "
        f"method in a process of its own ({facts['machine']})."
    )
    claim = (
        f"The paper (arXiv 2512.23068, Fig. 3) claims {PAPER_TIMES} times the throughput of "
        f"autograd with {PAPER_LESS:.0%} less memory."
    )
    return " ".join([claim, setup, *_comparisons(table), _verdict(table), *_absent(table)])


def _comparisons(table: pd.DataFrame) -> Iterator[str]:
    ours = table[(table["method"] == OURS) & (table["status"] == OK)]
    if ours.empty:
        yield "The adjoint sweep itself did not finish."
        return
    longest = ours.iloc[-1]
    yield (
        f"At L = {longest['length']:,} the adjoint sweep ran at {_speed(longest)} with a peak of "
        f"{_memory(longest)}."
    )
    errors = table[["method", "error"]].dropna()
    if not errors.empty:
        worst = errors.loc[errors["error"].idxmax()]
        yield (
            f"No gradient differed from that in float64 by more than {worst['error']:.1e} of its "
            f"largest entry ({METHODS[worst['method']].label})."
        )
    for row in _last_comparable(table):
        yield (
            f"{METHODS[row['method']].label} at L = {row['length']:,}: {_speed(row)} and "
            f"{_memory(row)}, so that the sweep is {row['times_faster']:.3g} times as fast "
            f"with {_less(row)}."
        )


def _last_comparable(table: pd.DataFrame) -> list[pd.Series]:
    """Select each peer's row of the longest sequence that both it and our sweep finished."""
    peers = table[table["times_faster"].notna()]
    return [rows.iloc[-1] for _, rows in peers.groupby("method", sort=False)]


def _verdict(table: pd.DataFrame) -> str:
    rows = _last_comparable(table)
    if not rows:
        return "No peer finished, so the claim was not tested."
    fast = [r for r in rows if r["times_faster"] >= PAPER_TIMES]
    small = [r for r in rows if 1 - r["memory_share"] >= PAPER_LESS]
    return (
        f"At these lengths the claimed speed is reached against {_names(fast)} and the claimed "
        f"memory against {_names(small)}."
    )


def _absent(table: pd.DataFrame) -> Iterator[str]:
    for name, rows in table[table["status"] != OK].groupby("method", sort=False):
        first = rows.iloc[0]
        note = "" if pd.isna(first["note"]) else f" ({first['note']})"
        yield f"{METHODS[name].label} at L = {first['length']:,}: {first['status']}{note}."


def _names(rows: list[pd.Series]) -> str:
    return ", ".join(METHODS[row["method"]].label for row in rows) or "none of them"


def _speed(row: pd.Series) -> str:
    return f"{row['bases_per_second'] / 1e3:.3g} kbp/s"


def _memory(row: pd.Series) -> str:
    return f"{row['peak_bytes'] / 2**20:,.0f} MiB"


def _less(row: pd.Series) -> str:
    share = row["memory_share"]
    return f"{1 - share:.0%} less memory" if share < 1 else f"{share - 1:.0%} more memory"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
