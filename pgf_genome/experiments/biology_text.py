"""Presentation of ``experiment biology``: table, claims, paragraph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from pgf_genome.experiments.biology_figure import figure
from pgf_genome.experiments.frame import Claim, Findings

TITLE = "What the model knows of genes"
EXPECTED = "expected of genes"
# Results of an earlier model of this kind, which first order is expected to exceed.
REFERENCE_AUROC, REFERENCE_PEARSON = 0.68, 0.66
# An effect below these is slight (Cohen 1988: d = 0.2; the same as an AUROC).
SLIGHT_D, SLIGHT_AUROC = 0.2, 0.556
SHOWN = {
    "codon": "codon positions",
    "start": "around start codons",
    "between": "genes and stretches between",
    "first order": "all substitutions in genes",
    "third positions": "those at third codon positions",
    "exact": "drawn substitutions",
}
STATISTICS = ("mean", "Cohen's d", "AUROC", "Pearson", "Spearman")


class Expectation(NamedTuple):
    """An expectation that a row of the table is compared with.

    Attributes
    ----------
    label, statement, paper : str
        The expectation in few words and in full, and its source or reference value.
    where : tuple of str
        Panel, group, quantity and statistic, as for `find`.
    sign : int
        1 if more than ``null`` is expected, -1 if less.
    null, enough : float
        Value of no effect, or the reference value; distance from zero that is not slight.
    """

    label: str
    statement: str
    paper: str
    where: tuple[str, str, str, str]
    sign: int
    null: float
    enough: float


FIRST, NEAR, EXACT = "first order", "near 16", "exact"
EXPECTATIONS = (
    Expectation(
        "third codon positions mattering less",
        "The third base of a codon matters less than the others",
        EXPECTED, ("codon", "position 3", "sensitivity", "Cohen's d"), -1, 0.0, SLIGHT_D,
    ),
    Expectation(
        "the Shine-Dalgarno site",
        "The Shine-Dalgarno region contributes more than the flanks",
        EXPECTED, ("start", "Shine-Dalgarno", "contribution", "Cohen's d"), 1, 0.0, SLIGHT_D,
    ),
    Expectation(
        "the start codon",
        "The start codon contributes more than the flanks",
        EXPECTED, ("start", "start codon", "contribution", "Cohen's d"), 1, 0.0, SLIGHT_D,
    ),
    Expectation(
        "genes being easier to predict",
        "Genes are easier to predict than the stretches between them",
        EXPECTED, ("between", "in genes", "surprisal", "Cohen's d"), -1, 0.0, SLIGHT_D,
    ),
    Expectation(
        "stops by first order",
        "First order distinguishes stop-gained from synonymous",
        f"AUROC above {REFERENCE_AUROC}",
        (FIRST, "stop-gained", FIRST, "AUROC"), 1, REFERENCE_AUROC, REFERENCE_AUROC,
    ),
    Expectation(
        "stops by near 16",
        "With 16 bases run again, effects distinguish stop-gained from synonymous",
        EXPECTED, (EXACT, "stop-gained", NEAR, "AUROC"), 1, 0.5, SLIGHT_AUROC,
    ),
    Expectation(
        "stops by exact effects",
        "Exact effects distinguish stop-gained from synonymous",
        EXPECTED, (EXACT, "stop-gained", EXACT, "AUROC"), 1, 0.5, SLIGHT_AUROC,
    ),
    Expectation(
        "missense by first order",
        "First order distinguishes missense from synonymous",
        EXPECTED, (FIRST, "missense", FIRST, "AUROC"), 1, 0.5, SLIGHT_AUROC,
    ),
    Expectation(
        "missense among third positions",
        "First order distinguishes missense from synonymous at third positions",
        EXPECTED, ("third positions", "missense", FIRST, "AUROC"), 1, 0.5, SLIGHT_AUROC,
    ),
    Expectation(
        "missense by exact effects",
        "Exact effects distinguish missense from synonymous",
        EXPECTED, (EXACT, "missense", EXACT, "AUROC"), 1, 0.5, SLIGHT_AUROC,
    ),
    Expectation(
        "first order following exact effects",
        "First order follows exact effects",
        f"Pearson above {REFERENCE_PEARSON}",
        (EXACT, "all", FIRST, "Pearson"), 1, REFERENCE_PEARSON, REFERENCE_PEARSON,
    ),
)  # fmt: skip


def findings(table: pd.DataFrame) -> Findings:
    """Make everything that is shown of the stored table."""
    judged = claims(table)
    return Findings(
        "biology", TITLE, table, shown(table), figure(table), paragraph(table, judged), judged
    )


def find(
    table: pd.DataFrame, panel: str, group: str, quantity: str, statistic: str
) -> pd.Series | None:
    """Find the row of a statistic; None if it was not measured."""
    named = zip(("panel", "group", "quantity"), (panel, group, quantity), strict=True)
    rows = table[table["statistic"].str.startswith(statistic)]
    for column, name in named:
        rows = rows[rows[column] == name]
    return None if rows.empty or rows["value"].isna().all() else rows.iloc[0]


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Make a line per group and quantity: estimates with their 95 % intervals."""
    kept = table[table["panel"].isin(list(SHOWN)) & (table["group"] != "profile")]
    lines = []
    for (panel, group, quantity), rows in kept.groupby(["panel", "group", "quantity"], sort=False):
        cells = dict.fromkeys(STATISTICS, "")
        for _, row in rows.iterrows():
            name, _, baseline = row["statistic"].partition(", ")
            if name in cells:
                against = f" against {baseline}" if baseline else ""
                unit = "" if pd.isna(row["unit"]) else f" {row['unit']}"
                cells[name] = f"{_with_interval(row)}{unit}{against}"
        if any(cells.values()):
            head = {"question": SHOWN[panel], "group": group, "quantity": quantity}
            lines.append({**head, "n": f"{rows['n'].iloc[0]:,}", **cells})
    return pd.DataFrame(lines)


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """Compare the table with what is expected of a model that knows genes."""
    return tuple(Claim(e.statement, e.paper, *_judged(table, e)) for e in EXPECTATIONS)


def _judged(table: pd.DataFrame, expected: Expectation) -> tuple[str, str]:
    """State what was measured, and a verdict.

    An expectation holds when the 95 % interval lies wholly on the right side and the estimate is
    not slight; in part when it is slight, or the estimate alone exceeds a reference value.
    """
    row = find(table, *expected.where)
    if row is None:
        return "", "not tested"
    name, _, baseline = row["statistic"].partition(", ")
    measured = f"{name} {_with_interval(row)}" + (f" against {baseline}" if baseline else "")
    sign, null, enough = expected.sign, expected.null, expected.enough
    bound = row["low"] if sign > 0 else row["high"]
    clear, better = sign * (bound - null) > 0, sign * (row["value"] - null) > 0
    if clear and sign * row["value"] >= enough:
        return measured, "holds"
    return measured, "holds in part" if clear or (enough == null and better) else "does not hold"


def paragraph(table: pd.DataFrame, judged: Sequence[Claim]) -> str:
    """Write question, measurement and machine; every number is read from the table."""
    facts = table.iloc[0]
    unseen = " (held out)" if facts["unseen"] else ""
    where = f"{facts['contig']}:{facts['start'] + 1:,}-{facts['stop']:,}"
    failed = [
        expected.label
        for expected, claim in zip(EXPECTATIONS, judged, strict=True)
        if claim.verdict == "does not hold"
    ]
    parts = [
        f"Does {facts['model']} know genes? Examined: {where}{unseen}, {facts['genes']} genes, "
        "likelihood of both strands.",
        _genes(table),
        _substitutions(table),
        _orders(table),
        f"Expected but not found: {'; '.join(failed)}." if failed else "",
        _third(table),
        f"{facts['machine']}.",
    ]
    return " ".join(filter(None, parts))


def _genes(table: pd.DataFrame) -> str:
    d = {
        "third codon positions (sensitivity)": ("codon", "position 3", "sensitivity"),
        "Shine-Dalgarno": ("start", "Shine-Dalgarno", "contribution"),
        "start codons": ("start", "start codon", "contribution"),
        "surprisal in genes": ("between", "in genes", "surprisal"),
    }
    found = {name: find(table, *where, "Cohen's d") for name, where in d.items()}
    listed = [f"{name} {row['value']:+.2f}" for name, row in found.items() if row is not None]
    return f"Cohen's d: {', '.join(listed)}."


def _substitutions(table: pd.DataFrame) -> str:
    """State the means by kind, and how well the kinds are distinguished."""
    kinds = ("stop-gained", "missense", "synonymous")
    means = {k: find(table, "first order", k, "first order", "mean") for k in kinds}
    listed = [f"{row['value']:+.2f} ({k})" for k, row in means.items() if row is not None]
    areas = []
    for kind in kinds[:2]:
        where = ((FIRST, kind, FIRST), (EXACT, kind, NEAR), (EXACT, kind, EXACT))
        found = [find(table, *place, "AUROC") for place in where]
        if all(row is not None for row in found):
            first, near, exact = (f"{row['value']:.2f}" for row in found if row is not None)
            areas.append(f"{kind} {first} ({NEAR} {near}, exact {exact})")
    distinguished = f"; AUROC against synonymous: {', '.join(areas)}" if areas else ""
    return f"First-order effects: {', '.join(listed)} nats{distinguished}."


def _third(table: pd.DataFrame) -> str:
    """Compare among third bases alone where these are predicted best, as a possible reason."""
    surprisal = find(table, "codon", "position 3", "surprisal", "Cohen's d")
    alone = find(table, "third positions", "missense", FIRST, "AUROC")
    if surprisal is None or alone is None or not surprisal["high"] < 0:
        return ""
    return (
        f"Third bases are predicted best (surprisal, d {surprisal['value']:+.2f}); among "
        f"substitutions of third bases, missense has AUROC {alone['value']:.2f}."
    )


def _orders(table: pd.DataFrame) -> str:
    """State how well first order and other approximations follow exact effects."""
    names = (FIRST, "near 4", NEAR)
    found = {name: find(table, "exact", "all", name, "Pearson") for name in names}
    listed = [f"{name} {row['value']:.2f}" for name, row in found.items() if row is not None]
    if not listed:
        return ""
    n = next(row["n"] for row in found.values() if row is not None)
    return f"Pearson against exact effects of {n:,}: {', '.join(listed)}."


def _with_interval(row: pd.Series) -> str:
    if pd.isna(row["low"]):
        return f"{row['value']:.3f}"
    return f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
