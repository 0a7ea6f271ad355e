"""Presentation of ``experiment complexity``: table, figure, claims, paragraph."""

from __future__ import annotations

import math

import pandas as pd
import plotly.graph_objects as go

from pgf_genome.experiments.complexity import LABELS, SWEEPS
from pgf_genome.experiments.frame import Claim, Findings
from pgf_genome.experiments.growth import verdict
from pgf_genome.experiments.loglog import Curve, Panel, exponent
from pgf_genome.experiments.loglog import figure as drawn
from pgf_genome.experiments.trial import on_machine

TITLE = "Cost of a derivative against the number of states"

OURS, DENSE = ("tangent", "adjoint"), "rtrl-dense"
ONE = 0.1  # tolerance of a fitted exponent of 1
LARGE = 16  # a fit uses the N from here on, if there are at least two
OPERATIONS, CARRIED, SECONDS = "operations_per_step", "numbers_carried", "seconds_per_step"


def findings(table: pd.DataFrame) -> Findings:
    """Make everything that is shown of the stored table."""
    words = paragraph(table)
    return Findings("complexity", TITLE, table, shown(table), figure(table), words, claims(table))


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Format the table, a row per method and number of states."""

    def cell(value: float, form: str, scale: float = 1) -> str:
        return "" if pd.isna(value) else f"{value / scale:{form}}"

    return pd.DataFrame(
        [
            {
                "method": LABELS[row.method],
                "N": row.states,
                "operations/step": cell(row.operations_per_step, ",.0f"),
                "numbers carried": cell(row.numbers_carried, ",.0f"),
                "µs/step": cell(row.seconds_per_step, ",.3g", 1e-6),
                "memory MiB": cell(row.memory_bytes, ",.1f", 2**20),
                "derivative": cell(row.derivative, ".9g"),
            }
            for row in table.itertuples()
        ]
    )


def fitted(table: pd.DataFrame, method: str, column: str) -> float:
    """Fit the exponent of a column in N, over the larger N."""
    rows = table[table["method"] == method]
    large = rows[rows["states"] >= LARGE]
    rows = large if len(large) > 1 else rows
    return exponent(rows["states"], rows[column])


def figure(table: pd.DataFrame) -> go.Figure:
    """Draw operations, numbers and time against N."""
    counts = sorted(table["states"].unique().tolist())
    panels = []
    for title, column, unit in (
        ("Arithmetic", OPERATIONS, "operations per step"),
        ("Carried from step to step", CARRIED, "numbers"),
        ("Time", SECONDS, "seconds per step"),
    ):
        curves = [
            Curve(LABELS[method], rows["states"], rows[column])
            for method, rows in table.dropna(subset=column).groupby("method", sort=False)
        ]
        panels.append(Panel(title, "N, states per channel", unit, curves, counts))
    return drawn(panels, list(LABELS.values()))


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """Compare App. C of the paper with the fitted exponents."""
    ours = [fitted(table, m, c) for m in OURS for c in (OPERATIONS, CARRIED)]
    dense = [fitted(table, DENSE, c) for c in (OPERATIONS, CARRIED)]
    times = [fitted(table, m, SECONDS) for m in SWEEPS]
    return (
        Claim(
            "Derivatives of a diagonal recurrence cost O(N) operations and numbers a step",
            "O(N)",
            _in_words(table, OURS, ("operations", OPERATIONS), ("numbers", CARRIED)),
            verdict([abs(e - 1) < ONE for e in ours]),
        ),
        Claim(
            "Dense real-time recurrent learning costs higher powers of N",
            "more than O(N)",
            _in_words(table, (DENSE,), ("operations", OPERATIONS), ("numbers", CARRIED)),
            verdict([e > 1 + ONE for e in dense]),
        ),
        Claim(
            "The time of a whole model's sweeps grows at most in proportion to N",
            "O(N)",
            _in_words(table, SWEEPS, ("time", SECONDS)),
            verdict([e < 1 + ONE for e in times if not math.isnan(e)]),
        ),
    )


def _in_words(table: pd.DataFrame, methods: tuple[str, ...], *columns: tuple[str, str]) -> str:
    parts = []
    for method in methods:
        powers = [f"{name} N^{fitted(table, method, column):.2f}" for name, column in columns]
        parts.append(f"{LABELS[method]}: {', '.join(powers)}")
    return "; ".join(parts)


def paragraph(table: pd.DataFrame) -> str:
    """Write claim, measurement and machine; every number of ours is read from the table."""
    facts, most = table.iloc[0], table["states"].max()
    largest = table[table["states"] == most].set_index("method")
    times = largest.loc[DENSE, OPERATIONS] / largest.loc["tangent", OPERATIONS]
    derivatives = [largest.loc[m, "derivative"] for m in LABELS if m not in SWEEPS]
    spread = max(abs(x / derivatives[0] - 1) for x in derivatives)
    return (
        "The paper (arXiv 2512.23068, App. C) lowers the cost from that of dense real-time "
        "recurrent learning (RTRL) to O(N) in the number of states. Counted here: every operation "
        f"as it is executed, on one channel of N states over {facts['steps']} steps. At N = {most} "
        f"dense RTRL needs {times:,.0f} times the operations of a diagonal tangent, and "
        f"{largest.loc[DENSE, CARRIED] / largest.loc['tangent', CARRIED]:,.0f} times the numbers; "
        f"all ways find the same derivative to {spread:.0e}. The gain comes from the diagonal "
        "recurrence, and diagonal RTRL has it too. Timed as well: the sweeps of a "
        f"model with D = {facts['width']}, layers: {facts['layers']}, over "
        f"{facts['length']:,} bases, whose other parts do not depend on N; {on_machine(table)}."
    )
