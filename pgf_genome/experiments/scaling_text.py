"""Presentation of ``experiment scaling``: table, figure, claims, paragraph."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from pgf_genome.experiments import growth
from pgf_genome.experiments.frame import Claim, Findings
from pgf_genome.experiments.growth import FLAT, LINEAR
from pgf_genome.experiments.measure import OK
from pgf_genome.experiments.scaling import ADJOINT, LABELS, TANGENT

TITLE = "Memory and time against the length of the sequence"

SWEEPS = (ADJOINT, TANGENT)
PAPER_LENGTH = 100_000


def findings(table: pd.DataFrame) -> Findings:
    """Make everything that is shown of the stored table."""
    figure = growth.figure(table, LABELS, "one derivative")
    return Findings("scaling", TITLE, table, shown(table), figure, paragraph(table), claims(table))


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Format the table, a row per method and length."""
    reference = growth.finished(table, ADJOINT)
    expected = dict(zip(reference["length"], reference["derivative"], strict=True))
    # Differences are relative to the largest derivative, because a single one may be near zero.
    scale = max(map(abs, expected.values()), default=1)
    rows = []
    for row in table.itertuples():
        known = row.status == OK and row.length in expected
        error = f"{abs(row.derivative - expected[row.length]) / scale:.0e}" if known else ""
        rows.append({**growth.cells(row, LABELS), "off the adjoint's": error})
    return pd.DataFrame(rows)


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """Compare Fig. 1 of the paper with the fitted exponents."""
    measured = list(table["method"].unique())
    flat = growth.fitted(table, [m for m in measured if m in SWEEPS])
    steep = growth.fitted(table, [m for m in measured if m not in SWEEPS])
    longest = min((growth.finished(table, m)["length"].max() for m in flat), default=0)
    return (
        Claim(
            "Memory of PGF does not grow with the length",
            f"flat to L = {PAPER_LENGTH:,}",
            growth.in_words(flat, LABELS) + (f", to L = {longest:,}" if flat else ""),
            growth.verdict([abs(e) < FLAT for e in flat.values()], longest >= PAPER_LENGTH),
        ),
        Claim(
            "Memory of autograd grows in proportion to the length",
            f"linear, 10 GB at L = {PAPER_LENGTH:,}",
            "; ".join([growth.in_words(steep, LABELS), *_at_paper_length(table, list(steep))]),
            growth.verdict([abs(e - 1) < LINEAR for e in steep.values()]),
        ),
    )


def _at_paper_length(table: pd.DataFrame, methods: list[str]) -> Iterator[str]:
    """State the memory at the paper's length, in proportion to the longest measurement."""
    parts = []
    for method in methods:
        rows = growth.finished(table, method)
        last = rows.loc[rows["length"].idxmax()]
        size = last["memory_bytes"] / last["length"] * PAPER_LENGTH / 1e9
        parts.append(f"{size:.2g} GB ({LABELS[method]})")
    if parts:
        yield f"per {PAPER_LENGTH:,} bases of this small model {', '.join(parts)}"


def paragraph(table: pd.DataFrame) -> str:
    """Write claim, measurement and machine; every number of ours is read from the table."""
    claim = (
        f"The paper (arXiv 2512.23068, Fig. 1) claims memory that is flat to L = {PAPER_LENGTH:,}, "
        "where autograd needs 10 GB."
    )
    what = (
        "Measured here, each method in its own process: the float32 derivative of the likelihood "
        "with respect to all bases (adjoint, autograd), or of all predictions with respect to one "
        "(tangent); "
        f"{growth.setup(table)}."
    )
    return " ".join([claim, what, growth.longest_runs(table, LABELS)])
