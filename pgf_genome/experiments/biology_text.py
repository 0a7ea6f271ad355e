"""What the table of ``experiment biology`` says: rows for people, claims, a paragraph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from pgf_genome.experiments.biology_figure import figure
from pgf_genome.experiments.frame import Claim, Findings

TITLE = "What the model knows of genes"
EXPECTED = "expected of genes"
PROTOTYPE_AUROC, PROTOTYPE_PEARSON = 0.68, 0.66
# Smaller than these, an effect is real but slight (Cohen 1988: d = 0.2; the same as an AUROC).
SLIGHT_D, SLIGHT_AUROC = 0.2, 0.556
SHOWN = {
    "codon": "codon positions",
    "start": "around start codons",
    "between": "genes and between",
    "first order": "all substitutions in genes",
    "third positions": "all at third codon positions",
    "exact": "substitutions drawn",
}
STATISTICS = ("mean", "Cohen's d", "AUROC", "Pearson", "Spearman")


class Expectation(NamedTuple):
    """What a row of the table is held against.

    Attributes
    ----------
    label, statement, paper : str
        In few words and in full, and who says so or what the prototype gave.
    where : tuple of str
        Panel, group, quantity and statistic, as for `find`.
    sign : int
        1 if more than ``null`` is expected, -1 if less.
    null, enough : float
        Value of no effect, or that of the prototype; distance from zero that is not slight.
    """

    label: str
    statement: str
    paper: str
    where: tuple[str, str, str, str]
    sign: int
    null: float
    enough: float


FIRST, EXACT = "first order", "exact"
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
        "Genes are easier to predict than what lies between them",
        EXPECTED, ("between", "in genes", "surprisal", "Cohen's d"), -1, 0.0, SLIGHT_D,
    ),
    Expectation(
        "more than the prototype for stops",
        "First order tells stop-gained from synonymous, better than the prototype did",
        "prototype: AUROC 0.68; means -0.58, -0.23",
        (FIRST, "stop-gained", FIRST, "AUROC"), 1, PROTOTYPE_AUROC, PROTOTYPE_AUROC,
    ),
    Expectation(
        "stops by exact effects",
        "Exact effects tell stop-gained from synonymous",
        EXPECTED, (EXACT, "stop-gained", EXACT, "AUROC"), 1, 0.5, SLIGHT_AUROC,
    ),
    Expectation(
        "missense by first order",
        "First order tells missense from synonymous",
        "prototype: means -0.12, -0.23, the wrong way round",
        (FIRST, "missense", FIRST, "AUROC"), 1, 0.5, SLIGHT_AUROC,
    ),
    Expectation(
        "missense among third positions",
        "First order tells missense from synonymous at third positions",
        EXPECTED, ("third positions", "missense", FIRST, "AUROC"), 1, 0.5, SLIGHT_AUROC,
    ),
    Expectation(
        "missense by exact effects",
        "Exact effects tell missense from synonymous",
        EXPECTED, (EXACT, "missense", EXACT, "AUROC"), 1, 0.5, SLIGHT_AUROC,
    ),
    Expectation(
        "more than the prototype's correlation",
        "First order follows exact effects, better than the prototype's did",
        "prototype: Pearson 0.66",
        (EXACT, "all", FIRST, "Pearson"), 1, PROTOTYPE_PEARSON, PROTOTYPE_PEARSON,
    ),
)  # fmt: skip


def findings(table: pd.DataFrame) -> Findings:
    """Everything that is made of the stored table."""
    told = claims(table)
    return Findings(
        "biology", TITLE, table, shown(table), figure(table), paragraph(table, told), told
    )


def find(
    table: pd.DataFrame, panel: str, group: str, quantity: str, statistic: str
) -> pd.Series | None:
    """The row of a statistic, if it was measured."""
    named = zip(("panel", "group", "quantity"), (panel, group, quantity), strict=True)
    rows = table[table["statistic"].str.startswith(statistic)]
    for column, name in named:
        rows = rows[rows[column] == name]
    return None if rows.empty or rows["value"].isna().all() else rows.iloc[0]


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """A line per group and quantity; estimates with their 95 % intervals."""
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
    """What one would expect of a model that knows genes, and what the prototype gave."""
    return tuple(Claim(e.statement, e.paper, *_judged(table, e)) for e in EXPECTATIONS)


def _judged(table: pd.DataFrame, expected: Expectation) -> tuple[str, str]:
    """What was measured, and a verdict.

    It holds when the 95 % interval lies wholly on the right side and the estimate is not slight;
    in part when it is slight, or the estimate alone is on the right side of a prototype's figure.
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


def paragraph(table: pd.DataFrame, told: Sequence[Claim]) -> str:
    """Question, measurement, machine; every number read from the table."""
    facts = table.iloc[0]
    unseen = " (held out)" if facts["unseen"] else ""
    where = f"{facts['contig']}:{facts['start'] + 1:,}-{facts['stop']:,}"
    failed = [
        expected.label
        for expected, claim in zip(EXPECTATIONS, told, strict=True)
        if claim.verdict == "does not hold"
    ]
    parts = [
        f"Does {facts['model']} know genes? Looked at: {where}{unseen}, {facts['genes']} genes, "
        "likelihood of both strands.",
        _genes(table),
        _substitutions(table),
        _orders(table),
        f"What does not come out: {'; '.join(failed)}." if failed else "",
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
    """Means by kind, and how well they are told apart."""
    kinds = ("stop-gained", "missense", "synonymous")
    means = {k: find(table, "first order", k, "first order", "mean") for k in kinds}
    listed = [f"{row['value']:+.2f} ({k})" for k, row in means.items() if row is not None]
    areas = []
    for kind in kinds[:2]:
        where = (("first order", kind, "first order"), ("exact", kind, "exact"))
        first, exact = (find(table, *place, "AUROC") for place in where)
        if first is not None and exact is not None:
            areas.append(f"{kind} {first['value']:.2f} (exact {exact['value']:.2f})")
    told = f"; AUROC against synonymous: {', '.join(areas)}" if areas else ""
    return f"First-order effects: {', '.join(listed)} nats{told}."


def _third(table: pd.DataFrame) -> str:
    """Where third bases are predicted best, that is a reason, which their own comparison tests."""
    surprisal = find(table, "codon", "position 3", "surprisal", "Cohen's d")
    alone = find(table, "third positions", "missense", FIRST, "AUROC")
    if surprisal is None or alone is None or not surprisal["high"] < 0:
        return ""
    return (
        f"Third bases are the best predicted (surprisal, d {surprisal['value']:+.2f}); among "
        f"substitutions there alone missense has AUROC {alone['value']:.2f}."
    )


def _orders(table: pd.DataFrame) -> str:
    """How well first order, and less than that, follow exact effects."""
    names = ("first order", "log-odds", "exact over 16 bases")
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
