"""Presentation of ``experiment parameter-gradient``: table, claims, paragraph."""

from __future__ import annotations

import pandas as pd

from pgf_genome.experiments import growth
from pgf_genome.experiments.frame import Claim, Findings
from pgf_genome.experiments.growth import FLAT, LINEAR
from pgf_genome.experiments.parameter_gradient import AUTOGRAD, LABELS, MAMBAPY, SWEEP

TITLE = "Memory of weight gradients against the length of the sequence"
# Tolerance, relative to a tensor's largest entry; mambapy keeps A and D in float32.
SAME = {AUTOGRAD: 1e-9, MAMBAPY: 1e-5}


def findings(table: pd.DataFrame) -> Findings:
    """Make everything that is shown of the stored table."""
    figure = growth.figure(table, LABELS, "one gradient")
    words = paragraph(table)
    return Findings("parameter-gradient", TITLE, table, shown(table), figure, words, claims(table))


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Format the table, a row per method and length."""
    rows = []
    for row in table.itertuples():
        difference = "" if pd.isna(row.difference) else f"{row.difference:.0e}"
        rows.append({**growth.cells(row, LABELS), "off the sweep's": difference})
    return pd.DataFrame(rows)


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """Compare App. A.4 of the paper with exponents and differences."""
    tapes = [m for m in table["method"].unique() if m != SWEEP]
    flat, steep = growth.fitted(table, [SWEEP]), growth.fitted(table, tapes)
    off = {m: growth.finished(table, m)["difference"].max() for m in tapes}
    off = {m: worst for m, worst in off.items() if not pd.isna(worst)}
    errors = [f"off by {worst:.0e} at most ({LABELS[m]})" for m, worst in off.items()]
    return (
        Claim(
            "Weight gradients need memory that does not grow with the length",
            "constant",
            growth.in_words(flat, LABELS),
            growth.verdict([abs(e) < FLAT for e in flat.values()]),
        ),
        Claim(
            "Weight gradients by autograd need memory in proportion to the length",
            "linear",
            growth.in_words(steep, LABELS),
            growth.verdict([abs(e - 1) < LINEAR for e in steep.values()]),
        ),
        Claim(
            "Both are the same gradient",
            "exact",
            ", ".join(errors) or "nothing to compare with",
            growth.verdict([worst < SAME[m] for m, worst in off.items()]),
        ),
    )


def paragraph(table: pd.DataFrame) -> str:
    """Write claim, measurement and machine; every number of ours is read from the table."""
    claim = "App. A.4 of the paper (arXiv 2512.23068) is about the memory of parameter gradients."
    what = (
        "Measured here, each method in its own process: the float64 gradient of the likelihood "
        "with respect to all weights, from an adjoint sweep over tiles or from one tape; "
        f"{growth.setup(table)}."
    )
    compared = table[table["method"] != SWEEP].dropna(subset="difference")
    same = []
    if len(compared):
        last = compared.loc[compared["length"].idxmax()]
        same = [
            f"At L = {last['length']:,}, the longest sequence of a tape, both differ by "
            f"{last['difference']:.0e} of the largest entry."
        ]
    return " ".join([claim, what, growth.longest_runs(table, LABELS), *same])
