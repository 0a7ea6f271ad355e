"""Presentation of ``experiment ghost-pulse``: table, figure, claims, paragraph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pgf_genome.experiments.frame import Claim, Findings
from pgf_genome.experiments.ghost_pulse import (
    AUTOGRAD,
    DIFFERENCE,
    LABELS,
    TANGENT,
    TANGENT32,
)
from pgf_genome.experiments.growth import verdict
from pgf_genome.experiments.loglog import Curve, Panel
from pgf_genome.experiments.loglog import figure as drawn
from pgf_genome.experiments.measure import OK
from pgf_genome.experiments.trial import on_machine

TITLE = "A pulse at 0.8 L, and how far the response can be followed"
NOISE = "error of a float32 prediction"
PAPER_LENGTH = 128_000
SAME_SHAPE = 1e-3  # tolerance, in units of the largest response
SAME = 1e-9  # tolerance in float64
CLOSE = 0.1  # relative difference up to which two responses are alike
FAINTEST = 1e-20  # responses below this are not drawn


def findings(table: pd.DataFrame) -> Findings:
    """Make everything that is shown of the stored table."""
    words = paragraph(table)
    return Findings("ghost-pulse", TITLE, table, shown(table), figure(table), words, claims(table))


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """Format the table, a row per method and length."""

    def cell(value: float, form: str, scale: float = 1) -> str:
        return "" if pd.isna(value) else f"{value / scale:{form}}"

    return pd.DataFrame(
        [
            {
                "method": LABELS[row.method],
                "L": f"{row.length:,}",
                "pulse at": f"{row.pulse:,}",
                "status": row.status if pd.isna(row.note) else f"{row.status}: {row.note}",
                "first response at": cell(row.first, ",.0f"),
                "largest": cell(row.response, ".3g"),
                "at lag": cell(row.lag, ",.0f"),
                "at the end": cell(row.last_response, ".1e"),
                "off float64": cell(row.off_same, ".0e"),
                "off shortest L": cell(row.off_shortest, ".0e"),
                "seconds": cell(row.seconds, ".1f"),
                "memory MiB": cell(row.memory_bytes, ",.1f", 2**20),
            }
            for row in runs(table).itertuples()
        ]
    )


def runs(table: pd.DataFrame, *methods: str) -> pd.DataFrame:
    """Select the row of the largest response for every method and length."""
    rows = table[table["method"].isin(methods or tuple(LABELS))]
    order = rows.assign(size=rows["response"].fillna(0)).sort_values("size", ascending=False)
    best = order.drop_duplicates(["method", "length"]).drop(columns="size")
    return best.sort_index()


def figure(table: pd.DataFrame) -> go.Figure:
    """Draw the response against lag, for every length, and by every method at one of them."""
    lengths = table["length"].unique().tolist()
    longest = table[table["method"] == DIFFERENCE]["length"].max()
    longest = lengths[0] if pd.isna(longest) else int(longest)
    size = table["size"].iloc[0]
    dashes = ("solid", "dash", "dot", "dashdot")
    by_length = [
        Curve(f"L = {length:,}", *_drawn(table, TANGENT, length), dash=dashes[rank % len(dashes)])
        for rank, length in enumerate(sorted(lengths, reverse=True))
    ]
    by_method = [
        Curve(LABELS[method], *_drawn(table, method, longest), dash=dash)
        for method, dash in ((TANGENT, "solid"), (TANGENT32, "dash"), (DIFFERENCE, "solid"))
    ]
    floor = noise(table, longest)
    if not pd.isna(floor):
        lags, _ = _drawn(table, TANGENT, longest)
        by_method.append(Curve(NOISE, [lags.min(), lags.max()], [floor, floor], dash="dot"))
    x, y = "bases after the pulse", "change of log p for a substitution, nats"
    panels = [
        Panel("Tangent sweep, float64", x, y, by_length),
        Panel(f"L = {longest:,}; two runs: a pulse of {size:g}", x, y, by_method),
    ]
    names = [*LABELS.values(), NOISE, *(f"L = {length:,}" for length in lengths)]
    return drawn(panels, names)


def _drawn(table: pd.DataFrame, method: str, length: int) -> tuple[pd.Series, pd.Series]:
    """Select lags and responses that logarithmic axes can show."""
    rows = _response(table, method, length)
    rows = rows[(rows["lag"] > 0) & (rows["response"] > FAINTEST)]
    return rows["lag"], rows["response"]


def _response(table: pd.DataFrame, method: str, length: int) -> pd.DataFrame:
    at = (table["method"] == method) & (table["length"] == length)
    return table[at].dropna(subset="response")


def noise(table: pd.DataFrame, length: int) -> float:
    """Return the root mean square error of a log-probability in float32."""
    rows = table[(table["method"] == TANGENT32) & (table["length"] == length)]
    return rows["floor"].max()


def claims(table: pd.DataFrame) -> tuple[Claim, ...]:
    """Compare Fig. 4 of the paper with the table."""
    sweeps = runs(table, TANGENT, TANGENT32)
    done = sweeps[sweeps["status"] == OK]
    longest = int(done["length"].max()) if len(done) else 0
    shapes = runs(table, TANGENT)["off_shortest"].dropna()
    taped = runs(table, AUTOGRAD).dropna(subset="off_same")
    off_tape = taped["off_same"].max()
    return (
        Claim(
            "A pulse at 0.8 L is found at every length",
            f"for L to {PAPER_LENGTH:,}",
            f"in {(done['first'] == done['pulse']).sum()} of {len(sweeps)} sweeps, for L to "
            f"{longest:,}, the first response is at the pulse",
            verdict(
                (done["first"] == done["pulse"]).reindex(sweeps.index, fill_value=False).tolist(),
                longest >= PAPER_LENGTH,
            ),
        ),
        Claim(
            "The response has one shape at every length",
            "invariant in L",
            f"largest difference {shapes.max():.0e} of the largest response",
            verdict([bool(shapes.max() < SAME_SHAPE)] if len(shapes) > 1 else []),
        ),
        Claim(
            "It is the response that autograd gives",
            "exact",
            f"largest difference {off_tape:.0e}, for L to {taped['length'].max():,}"
            if len(taped)
            else "autograd did not finish",
            verdict([bool(off_tape < SAME)] if len(taped) else []),
        ),
    )


def paragraph(table: pd.DataFrame) -> str:
    """Write claim, measurement and machine; every number of ours is read from the table."""
    facts = table.iloc[0]
    return " ".join(
        [
            "The paper (arXiv 2512.23068, Fig. 4) finds a pulse at 0.8 L for L to "
            f"{PAPER_LENGTH:,}. Measured here: how a substitution there changes all predictions, "
            f"by tangent sweep; random Mamba-1, layers: {facts['layers']}, "
            f"D = {facts['width']}, N = {facts['states']}, {on_machine(table)}.",
            *_visibility(table),
            "By causality nothing changes before the pulse, so finding it is no test; how far the "
            "response reaches depends on the model's poles, not on L.",
        ]
    )


def _visibility(table: pd.DataFrame) -> Iterator[str]:
    """State how small and how far a pulse can be seen, at the longest sequence in both types."""
    done = table[(table["status"] == OK) & (table["method"] == TANGENT32)]
    if done.empty or done["floor"].isna().all():
        return
    longest = int(done["length"].max())
    truth, single = (_response(table, m, longest) for m in (TANGENT, TANGENT32))
    floor, largest = noise(table, longest), truth["response"].max()
    above = truth[truth["response"] >= floor]["lag"].max()
    near = np.isclose(single["response"], truth["response"], rtol=CLOSE, atol=0)
    followed = truth["lag"].to_numpy()[near].max() if near.any() else 0
    faintest = truth.loc[truth["lag"] == followed, "response"].max()
    yield (
        f"At L = {longest:,} the largest response is {largest:.2g} nats. A float32 prediction is "
        f"off by {floor:.0e}: the difference of two runs shows {floor / largest:.0e} of a "
        f"substitution at best, and a whole one for {above:,.0f} bases. A float32 tangent has no "
        f"such floor: it follows float64 to {CLOSE:.0%} for {followed:,.0f} bases, down to "
        f"{faintest:.0e} nats."
    )
