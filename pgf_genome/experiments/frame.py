"""What every experiment hands back, and the files it becomes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from pgf_genome.errors import ResourceError
from pgf_genome.files import atomic_write_text


@dataclass(frozen=True)
class Findings:
    """Result of an experiment.

    Attributes
    ----------
    name, title : str
        Name on the command line, which is also that of the files; heading.
    table : DataFrame
        As it was read back from the CSV file.
    shown : DataFrame
        The table for people: text, numbers with their units in the heading.
    figure : Figure
        Drawn from the table.
    paragraph : str
        What was claimed, what was measured and on what machine; numbers come from the table.
    """

    name: str
    title: str
    table: pd.DataFrame
    shown: pd.DataFrame
    figure: go.Figure
    paragraph: str

    def write(self, directory: Path) -> tuple[Path, Path]:
        """Write ``NAME.html``, which needs no network, and ``NAME.md``; give their paths."""
        page, text = directory / f"{self.name}.html", directory / f"{self.name}.md"
        atomic_write_text(page, self._page())
        atomic_write_text(text, f"# {self.title}\n\n{self.paragraph}\n\n{markdown(self.shown)}\n")
        return page, text

    def _page(self) -> str:
        template = files("pgf_genome.experiments") / "page.html"
        return Template(template.read_text(encoding="utf-8")).substitute(
            title=escape(self.title),
            paragraph=escape(self.paragraph),
            plotly=get_plotlyjs(),
            figure=self.figure.to_html(
                include_plotlyjs=False,
                full_html=False,
                div_id=self.name,
                config={"displaylogo": False, "responsive": True},
            ),
            table=self.shown.to_html(index=False, border=0, justify="left"),
        )


def prepared_directory(path: str | Path) -> Path:
    """The folder of the outputs, made if it is not there.

    Raises
    ------
    ResourceError
        If it cannot be made.
    """
    directory = Path(path)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(
            f"--out {directory}: cannot be made ({error.strerror}); choose another folder"
        ) from error
    return directory


def stored(rows: Sequence[Mapping[str, Any]], path: Path) -> pd.DataFrame:
    """Write rows as CSV and read them back: what is told afterwards is what the file holds."""
    text = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")
    atomic_write_text(path, text)
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])


def markdown(table: pd.DataFrame) -> str:
    """A pipe table."""
    rows = [list(table.columns), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)
