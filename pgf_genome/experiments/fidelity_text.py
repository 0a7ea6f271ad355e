"""Presentation of ``experiment fidelity``: table, figure, paragraph, claims."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from pgf_genome.experiments.fidelity import ADJOINT, TANGENT
from pgf_genome.experiments.frame import Claim, Findings
from pgf_genome.experiments.loglog import Curve, Panel, exponent
from pgf_genome.experiments.loglog import figure as drawn
from pgf_genome.experiments.trial import on_machine

TITLE = "Error of the sweeps over lengths and tiles"
METHODS = (ADJOINT, TANGENT)
# Largest error that counts as rounding, and largest exponent that counts as no growth.
ROUNDING = {"float64": 1e-11, "float32": 2e-5, "bfloat16 products": 5e-2}
FLAT = 0.25


def findings(table: pd.DataFrame) -> Findings:
    """Make everything that is shown of the stored table."""
    return Findings(
        "fidelity", TITLE, table, shown(table), figure(table), paragraph(table), claims(table)
    )


def growth(table: pd.DataFrame, method: str, type_: str, along: str) -> float:
    """Fit the exponent of the error in the length, or in the tile at the greatest length."""
    rows = table[(table["method"] == method) & (table["type"] == type_)]
    if along == "tile":
        rows = rows[rows["length"] == rows["length"].max()]
    rows = rows[rows["error"] > 0].groupby(along)["error"].max()
    return exponent(rows.index, rows.to_numpy())


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Format the table."""
    return pd.DataFrame(
        {
            "sweep": table["method"],
            "type": table["type"],
            "L": table["length"].map("{:,}".format),
            "tile": table["tile"].map("{:,}".format),
            "largest error": table["error"].map("{:.1e}".format),
            "median error": table["median_error"].map("{:.1e}".format),
        }
    )


def figure(table: pd.DataFrame) -> go.Figure:
    """Draw the error against length, and against the tile at the greatest length."""
    types = list(dict.fromkeys(table["type"]))
    names = [f"{method}, {type_}" for type_ in types for method in METHODS]
    by_length, by_tile = [], []
    for type_ in types:
        for method in METHODS:
            rows = table[(table["method"] == method) & (table["type"] == type_)]
            rows = rows[rows["error"] > 0]
            name, dash = f"{method}, {type_}", "solid" if method == ADJOINT else "dash"
            worst = rows.groupby("length")["error"].max()
            by_length.append(Curve(name, worst.index, worst, dash))
            longest = rows[rows["length"] == table["length"].max()]
            by_tile.append(Curve(name, longest["tile"], longest["error"], dash))
    longest = f"{table['length'].max():,}"
    panels = [
        Panel("Any tile", "length (bases)", "largest error / largest entry", by_length),
        Panel(f"Length {longest}", "tile (bases)", "largest error / largest entry", by_tile),
    ]
    return drawn(panels, names)


def paragraph(table: pd.DataFrame) -> str:
    """Write claim, measurement and machine."""
    worst = table.groupby(["type", "method"], sort=False)["error"].max()
    errors = "; ".join(
        f"{type_}: adjoint {worst[type_, ADJOINT]:.0e}, tangent {worst[type_, TANGENT]:.0e}"
        for type_ in dict.fromkeys(table["type"])
    )
    fits = [growth(table, method, "float32", "length") for method in METHODS]
    return (
        "The paper's error surface is flat: what its sweep computes does not depend on the block "
        "and does not lose accuracy with length. Here the gradient of the likelihood (adjoint) "
        "and the response of all predictions to one substitution (tangent) were compared with "
        f"float64 in one tile, from {table['length'].min():,} to {table['length'].max():,} bases "
        f"in tiles of {table['tile'].min():,} to {table['tile'].max():,}. Largest errors, relative "
        f"to the largest entry, anywhere on the grid: {errors}. In float32 they grow with length "
        f"by an exponent of {fits[0]:+.2f} (adjoint) and {fits[1]:+.2f} (tangent). "
        f"{on_machine(table)}."
    )


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """Judge whether the error is rounding, whatever the length and the tile."""
    judged = []
    for method in METHODS:
        rows = table[(table["method"] == method) & (table["type"] == "float32")]
        fits = {along: growth(table, method, "float32", along) for along in ("length", "tile")}
        small = rows["error"].max() <= ROUNDING["float32"]
        flat = max(fits.values()) <= FLAT
        judged.append(
            Claim(
                f"error of the {method} sweep grows neither with length nor with the tile",
                "flat surface",
                f"float32: at most {rows['error'].max():.0e}; exponents {fits['length']:+.2f} in "
                f"length, {fits['tile']:+.2f} in the tile",
                "holds" if small and flat else "holds in part" if small else "does not hold",
            )
        )
    return tuple(judged)
