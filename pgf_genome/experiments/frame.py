"""Findings of an experiment, and the files that are made of them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from pgf_genome.files import atomic_write_text
from pgf_genome.pages import figures
from pgf_genome.pages.frame import html_page


@dataclass(frozen=True)
class Claim:
    """A statement of a paper beside the measured value.

    Attributes
    ----------
    statement, paper : str
        The claim, and the value that the paper gives.
    measured : str
        The value measured here, read from the table.
    verdict : str
        ``"holds"``, ``"holds in part"`` or ``"does not hold"``; ``"not tested"`` if it could not
        be measured.
    """

    statement: str
    paper: str
    measured: str
    verdict: str

    def __post_init__(self) -> None:
        if self.verdict not in ("holds", "holds in part", "does not hold", "not tested"):
            raise ValueError(f"a claim {self.verdict!r}")


@dataclass(frozen=True)
class Findings:
    """Result of an experiment.

    Attributes
    ----------
    name, title : str
        Name on the command line and of the files; heading.
    table : DataFrame
        The measurements, as read back from the CSV file.
    shown : DataFrame
        The table formatted for reading, with units in the headings.
    figure : Figure
    paragraph : str
        Claim, measurement and machine in words; numbers come from the table.
    claims : tuple of Claim
        Statements of the paper that the table tests.
    """

    name: str
    title: str
    table: pd.DataFrame
    shown: pd.DataFrame
    figure: go.Figure
    paragraph: str
    claims: tuple[Claim, ...] = ()

    def write(self, directory: Path) -> tuple[Path, Path]:
        """Write ``NAME.html``, which needs no network, and ``NAME.md``; return their paths."""
        html, text = directory / f"{self.name}.html", directory / f"{self.name}.md"
        atomic_write_text(html, page(self.title, self.section()))
        tables = [markdown(t) for t in (claims_table(self.claims), self.shown) if len(t)]
        atomic_write_text(text, "\n\n".join([f"# {self.title}", self.paragraph, *tables]) + "\n")
        return html, text

    def section(self) -> str:
        """Format paragraph, claims, figure and table as HTML."""
        figure = figures.embedded(self.name, self.figure)
        tables = [html_table(t) for t in (claims_table(self.claims),) if len(t)]
        parts = [f"<p>{escape(self.paragraph)}</p>", *tables, figure, html_table(self.shown)]
        return "\n".join(parts)


def page(title: str, *parts: str) -> str:
    """Make an HTML page that contains plotly, so that it needs no network."""
    return html_page("experiment", title, "\n".join(parts), scripts=figures.scripts())


def claims_table(claims: Sequence[Claim]) -> pd.DataFrame:
    """Make a table of claims, one per row."""
    rows = [(c.statement, c.paper, c.measured, c.verdict) for c in claims]
    return pd.DataFrame(rows, columns=["claim", "paper", "measured here", "verdict"])


def html_table(table: pd.DataFrame) -> str:
    """Format a table as HTML that scrolls sideways where it is too wide."""
    return f'<div class="scroll">{table.to_html(index=False, border=0, justify="left")}</div>'


def stored(rows: Sequence[Mapping[str, Any]], path: Path) -> pd.DataFrame:
    """Write rows as CSV and read them back, so that text and figure use what the file holds."""
    text = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")
    atomic_write_text(path, text)
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])


def markdown(table: pd.DataFrame) -> str:
    """Format a table as a Markdown pipe table."""
    rows = [list(table.columns), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)
