"""Presentation of ``experiment training``: table, figure, claims, paragraph."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from pgf_genome.experiments.frame import Claim, Findings
from pgf_genome.experiments.growth import verdict
from pgf_genome.experiments.loglog import Curve, Panel
from pgf_genome.experiments.loglog import figure as drawn
from pgf_genome.experiments.measure import OK
from pgf_genome.experiments.parameter_gradient import AUTOGRAD, LABELS, SWEEP
from pgf_genome.experiments.trial import on_machine

TITLE = "Training by tiles against training by autograd"
# Tolerance of weights, relative to their change by autograd, and of losses, in bits per base.
SAME_WEIGHTS, SAME_LOSS = 1e-6, 1e-3


def findings(table: pd.DataFrame) -> Findings:
    """Make everything that is shown of the stored table."""
    words = paragraph(table)
    return Findings("training", TITLE, table, shown(table), figure(table), words, claims(table))


def ends(table: pd.DataFrame) -> pd.DataFrame:
    """Select the last step of every model and method, and add a summary of the steps before.

    The added columns are ``start``, the loss of the first step, and ``gap``, the largest difference
    of a loss from that of autograd at the same step.
    """
    keys = ["layers", "dtype"]
    truth = table[table["method"] == AUTOGRAD][[*keys, "step", "bits_per_base"]]
    both = table.merge(truth, on=[*keys, "step"], how="left", suffixes=("", "_expected"))
    both["gap"] = (both["bits_per_base"] - both["bits_per_base_expected"]).abs()
    grouped = both.groupby([*keys, "method"], sort=False)
    last = grouped.tail(1).set_index([*keys, "method"])
    last["gap"], last["start"] = grouped["gap"].max(), grouped["bits_per_base"].first()
    return last.reset_index()


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Format the table, a row per model and method."""

    def cell(value: float, form: str) -> str:
        return "" if pd.isna(value) else f"{value:{form}}"

    return pd.DataFrame(
        [
            {
                "layers": row.layers,
                "type": row.dtype,
                "method": LABELS[row.method],
                "status": row.status if pd.isna(row.note) else f"{row.status}: {row.note}",
                "updates": cell(row.step, ",.0f"),
                "first loss": cell(row.start, ".4f"),
                "last loss": cell(row.bits_per_base, ".4f"),
                "losses off autograd's": cell(row.gap, ".0e"),
                "weights off autograd's": cell(row.off, ".0e"),
            }
            for row in ends(table).itertuples()
        ]
    )


def figure(table: pd.DataFrame) -> go.Figure:
    """Draw the losses of every depth, and the drift of the weights of the deepest model."""
    done, deepest = table[table["status"] == OK], table["layers"].max()
    entropy = table["entropy"].iloc[0]
    losses, drifts = [], []
    # The sweep is drawn last, dashed over the line of autograd, which would hide it.
    for method, dash in ((AUTOGRAD, "solid"), (SWEEP, "dash")):
        of_method = _of_one_type(done[done["method"] == method])
        for layers, rows in of_method.groupby("layers", sort=False):
            name = f"{LABELS[method]}, layers: {layers}"
            losses.append(Curve(name, rows["step"], rows["bits_per_base"], dash))
    for (dtype, method), rows in done[done["layers"] == deepest].groupby(
        ["dtype", "method"], sort=False
    ):
        rows = rows[rows["off"] > 0]
        if method != AUTOGRAD and len(rows):
            drifts.append(Curve(f"{LABELS[method]}, {dtype}", rows["step"], rows["off"]))
    panels = [
        Panel(
            f"Loss; the sequence has {entropy:.2f} bits per base", "update", "bits per base",
            losses, x_log=False, y_log=False,
        ),
        Panel(
            f"Weights against those of autograd, layers: {deepest}", "update",
            "largest difference / largest change", drifts, x_log=False,
        ),
    ]  # fmt: skip
    return drawn(panels, [curve.name for curve in [*losses, *drifts]])


def _of_one_type(table: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of the first floating type."""
    return table[table["dtype"] == table["dtype"].iloc[0]] if len(table) else table


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """Compare Fig. 5 of the paper with losses and weights."""
    last = ends(table)
    ours = last[(last["method"] == SWEEP) & (last["status"] == OK)].dropna(subset="off")
    exact = ours[ours["dtype"] == "float64"]
    depths = ", ".join(str(n) for n in sorted(ours["layers"].unique()))
    learned = ours[ours["bits_per_base"] < ours["start"]]
    weights = [f"{row.off:.0e} (layers: {row.layers})" for row in exact.itertuples()]
    return (
        Claim(
            "Training with PGF has the loss curve of autograd",
            "the same",
            f"largest difference {ours['gap'].max():.0e} bits per base (layers: {depths}); "
            f"{len(learned)} of {len(ours)} models learned",
            verdict(((ours["gap"] < SAME_LOSS) & (ours["bits_per_base"] < ours["start"])).tolist()),
        ),
        Claim(
            "It ends in the same weights",
            "the same",
            f"in float64 off by {', '.join(weights)} of their largest change",
            verdict((exact["off"] < SAME_WEIGHTS).tolist()),
        ),
    )


def paragraph(table: pd.DataFrame) -> str:
    """Write claim, measurement and machine; every number of ours is read from the table."""
    facts, last = table.iloc[0], ends(table)
    peers = last[last["method"] != AUTOGRAD].dropna(subset="off")
    errors = [
        f"{LABELS[method]} {rows['off'].max():.0e} in {dtype}"
        for (method, dtype), rows in peers.groupby(["method", "dtype"], sort=False)
    ]
    return (
        "The paper (arXiv 2512.23068, Fig. 5) trains with PGF as with autograd. Measured here: "
        f"{table['step'].max():.0f} AdamW updates of one random Mamba-1 (D = {facts['width']}) on "
        f"one structured sequence, {facts['length']:,} bases each; gradients by adjoint sweeps "
        f"over tiles of {facts['tile']:,}, by one tape through our kernels, or through mambapy, "
        f"which keeps A and D in float32; {on_machine(table)}. Difference of the final weights "
        f"from those of our tape, relative to their largest change: {'; '.join(errors)}. AdamW "
        "divides by the size of a gradient, and so makes rounding errors of small ones visible."
    )
