"""What the table of ``experiment parameter-gradient`` says."""

from __future__ import annotations

import pandas as pd

from pgf_genome.experiments import growth
from pgf_genome.experiments.frame import Claim, Findings
from pgf_genome.experiments.growth import FLAT, LINEAR

TITLE = "Memory of weight gradients against the length of the sequence"
SWEEP, AUTOGRAD, MAMBAPY = "sweep", "autograd", "mambapy"
LABELS = {
    SWEEP: "adjoint sweep",
    AUTOGRAD: "autograd, our kernels",
    MAMBAPY: "autograd, mambapy",
}
# Difference relative to a tensor's largest entry; mambapy keeps A and D in float32.
SAME = {AUTOGRAD: 1e-9, MAMBAPY: 1e-5}


def findings(table: pd.DataFrame) -> Findings:
    """Everything that is made of the stored table."""
    figure = growth.figure(table, LABELS, "one gradient")
    told = paragraph(table)
    return Findings("parameter-gradient", TITLE, table, shown(table), figure, told, claims(table))


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text, a row per method and length."""
    rows = []
    for row in table.itertuples():
        difference = "" if pd.isna(row.difference) else f"{row.difference:.0e}"
        rows.append({**growth.cells(row, LABELS), "off the sweep's": difference})
    return pd.DataFrame(rows)


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """What App. A.4 of the paper says, beside exponents and differences."""
    tapes = [m for m in table["method"].unique() if m != SWEEP]
    flat, steep = growth.fitted(table, [SWEEP]), growth.fitted(table, tapes)
    off = {m: growth.finished(table, m)["difference"].max() for m in tapes}
    off = {m: worst for m, worst in off.items() if not pd.isna(worst)}
    told = [f"off by {worst:.0e} at most ({LABELS[m]})" for m, worst in off.items()]
    return (
        Claim(
            "Weight gradients need memory that does not grow with the length",
            "constant",
            growth.in_words(flat, LABELS),
            growth.verdict([abs(e) < FLAT for e in flat.values()]),
        ),
        Claim(
            "Those of autograd grow in proportion to it",
            "linear",
            growth.in_words(steep, LABELS),
            growth.verdict([abs(e - 1) < LINEAR for e in steep.values()]),
        ),
        Claim(
            "Both are the same gradient",
            "exact",
            ", ".join(told) or "nothing to compare with",
            growth.verdict([worst < SAME[m] for m, worst in off.items()]),
        ),
    )


def paragraph(table: pd.DataFrame) -> str:
    """Claim, measurement, machine; every number of ours read from the table."""
    claim = "App. A.4 of the paper (arXiv 2512.23068) is about the memory of parameter gradients."
    what = (
        "Measured here, each method in its own process: the float64 gradient of the likelihood "
        "by all weights, from an adjoint sweep over tiles or from one tape; "
        f"{growth.setup(table)}."
    )
    compared = table[table["method"] != SWEEP].dropna(subset="difference")
    same = []
    if len(compared):
        last = compared.loc[compared["length"].idxmax()]
        same = [
            f"At L = {last['length']:,}, the most that a tape held, both differ by "
            f"{last['difference']:.0e} of the largest entry."
        ]
    return " ".join([claim, what, growth.longest_runs(table, LABELS), *same])
