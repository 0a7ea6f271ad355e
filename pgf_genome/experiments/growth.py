"""Memory and time of several methods against length: settings, rows, fits, figure, wording."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
import plotly.graph_objects as go

from pgf_genome.errors import UsageError
from pgf_genome.experiments.apart import Result, Task, carry_out
from pgf_genome.experiments.loglog import Curve, Panel, exponent
from pgf_genome.experiments.loglog import figure as drawn
from pgf_genome.experiments.measure import OK, Measurement
from pgf_genome.experiments.process import OUT_OF_MEMORY, OUT_OF_TIME, Limits
from pgf_genome.experiments.trial import Trial, on_machine

SHORT = 64  # bases of the warm-up runs
FLAT, LINEAR = 0.1, 0.15  # tolerance of a fitted exponent of 0, and of 1
SEVERAL = 4  # a fit leaves out sequences of fewer tiles


@dataclass(frozen=True, kw_only=True)
class Growth(Trial):
    """Options of an experiment that measures growth with length.

    Attributes
    ----------
    lengths : tuple of int
        Lengths of the sequences in bases, L.
    methods : tuple of str
        Keys of `LABELS`.
    tile : int
        Bases of a tile of the sweeps.
    timeout : float
        Seconds of wall time for one method at all its lengths.
    max_memory : int
        Resident bytes at which a method is stopped.
    """

    LABELS: ClassVar[Mapping[str, str]]
    LEAST: ClassVar[Mapping[str, float]] = {
        **Trial.LEAST, "lengths": SHORT, "tile": 1, "timeout": 1, "max_memory": 2**20
    }  # fmt: skip

    lengths: Sequence[int]
    methods: Sequence[str]
    tile: int
    timeout: float = 120.0
    max_memory: int = 4 * 2**30

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "lengths", tuple(sorted(self.lengths)))
        for name in self.methods:
            if name not in self.LABELS:
                raise UsageError(f"--methods {name}: choose from {', '.join(self.LABELS)}")

    def facts(self) -> dict[str, Any]:
        limits = {"timeout": self.timeout, "max_memory": self.max_memory}
        return {"tile": self.tile, **limits, **super().facts()}

    def measured(
        self, work: str, cases: Sequence[Mapping[str, Any]]
    ) -> list[tuple[Measurement, Result]]:
        """Measure the cases of one method in turn, in a process of its own; see `apart.Task`."""
        limits = Limits(self.timeout, self.max_memory)
        return carry_out(Task(work, cases, self.device, self.cores), limits)


def row(method: str, length: int, measured: Measurement) -> dict[str, Any]:
    """Make a row of the table from a measurement."""
    return {
        "method": method,
        "length": length,
        "status": measured.status,
        "note": measured.note,
        "seconds": measured.seconds,
        "peak_bytes": measured.peak_bytes,
        "baseline_bytes": measured.baseline_bytes,
        "memory_bytes": memory(measured),
    }


def memory(measured: Measurement) -> int | None:
    """Return the bytes that the work needed beside software and weights; None if it failed."""
    peak, baseline = measured.peak_bytes, measured.baseline_bytes
    if measured.status != OK or peak is None or baseline is None:
        return None
    return peak - baseline


def cells(row: Any, labels: Mapping[str, str]) -> dict[str, str]:
    """Format a row of the stored table."""
    done = row.status == OK
    return {
        "L": f"{row.length:,}",
        "method": labels[row.method],
        "status": row.status if pd.isna(row.note) else f"{row.status}: {row.note}",
        "seconds": f"{row.seconds:.2f}" if done else "",
        "memory MiB": f"{row.memory_bytes / 2**20:,.1f}" if done else "",
        "peak MiB": f"{row.peak_bytes / 2**20:,.0f}" if done else "",
    }


def finished(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """Select the rows of the lengths that a method finished."""
    return table[(table["method"] == method) & (table["status"] == OK)]


def fitted(table: pd.DataFrame, methods: Sequence[str]) -> dict[str, float]:
    """Fit the exponent of memory in L for every method with enough lengths of several tiles."""
    fits = {}
    for method in methods:
        rows = finished(table, method)
        rows = rows[rows["length"] >= SEVERAL * rows["tile"]]
        fits[method] = exponent(rows["length"], rows["memory_bytes"])
    return {method: fit for method, fit in fits.items() if not math.isnan(fit)}


def in_words(fits: Mapping[str, float], labels: Mapping[str, str]) -> str:
    """State the fitted exponents of several methods."""
    parts = [f"{fit:.2f} ({labels[method]})" for method, fit in fits.items()]
    return f"exponent {', '.join(parts)}" if parts else "too few lengths for a fit"


def verdict(held: Sequence[bool], far_enough: bool = True) -> str:
    """Judge a claim from whether it held for each method, and at lengths that were far enough."""
    if not held:
        return "not tested"
    if all(held):
        return "holds" if far_enough else "holds in part"
    return "holds in part" if any(held) else "does not hold"


def figure(table: pd.DataFrame, labels: Mapping[str, str], what: str) -> go.Figure:
    """Draw memory and time against length; a cross shows where a method met its limit."""
    lengths = sorted(table["length"].unique().tolist())
    sides = (
        ("Memory beside software and weights", "memory_bytes", "MiB", 2**20, OUT_OF_MEMORY,
         "max_memory"),
        (f"Time of {what}", "seconds", "seconds", 1, OUT_OF_TIME, "timeout"),
    )  # fmt: skip
    panels = []
    for title, column, unit, scale, reason, limit in sides:
        curves = []
        for method, rows in table.groupby("method", sort=False):
            done, ended = rows[rows["status"] == OK], rows[rows["status"] == reason]
            curves.append(Curve(labels[method], done["length"], done[column] / scale))
            if len(ended):
                at = ended[limit] / scale
                curves.append(Curve(labels[method], ended["length"], at, note=reason))
        panels.append(Panel(title, "L, bases", unit, curves, lengths))
    return drawn(panels, list(labels.values()))


def setup(table: pd.DataFrame) -> str:
    """State sizes, limits and machine."""
    facts = table.iloc[0]
    return (
        f"random Mamba-1, layers: {facts['layers']}, D = {facts['width']}, "
        f"N = {facts['states']}, tiles of {facts['tile']:,}; at most "
        f"{facts['max_memory'] / 2**30:.3g} GiB and {facts['timeout']:.0f} s; {on_machine(table)}"
    )


def longest_runs(table: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """State each method's memory and time at its longest sequence, and where and why it ended."""
    ends = table[table["status"].isin([OUT_OF_MEMORY, OUT_OF_TIME])]
    ends = ends.drop_duplicates("method").set_index("method")
    parts = []
    for method in table["method"].unique():
        rows, words = finished(table, method), []
        if len(rows):
            last = rows.loc[rows["length"].idxmax()]
            size = last["memory_bytes"] / 2**20
            words.append(f"{size:,.0f} MiB, {last['seconds']:.3g} s at {last['length']:,}")
        if method in ends.index:
            words.append(f"{ends['status'][method]} at {ends['length'][method]:,}")
        if words:
            parts.append(f"{labels[method]} {', '.join(words)}")
    return f"Found: {'; '.join(parts)}." if parts else "No method finished."
