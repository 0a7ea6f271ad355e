"""Results as small tables, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import NamedTuple, Self

import numpy as np


class Row(NamedTuple):
    """A named array of a result; the extremes are NaN if it holds no number."""

    name: str
    length: int
    unit: str
    minimum: float
    maximum: float

    @classmethod
    def of(cls, name: str, values: np.ndarray, unit: str) -> Self:
        """Describe an array (L, ..), in which NaN is no number."""
        known = values[~np.isnan(values)]
        extremes = (known.min(), known.max()) if known.size else (np.nan, np.nan)
        return cls(name, len(values), unit, *map(float, extremes))


def html_table(title: str, rows: Iterable[Row]) -> str:
    """Make the HTML of a heading and a table with a line for every row."""
    import pandas as pd  # takes a second, and only notebooks come here

    frame = pd.DataFrame(rows, columns=list(Row._fields))
    return f"<p>{escape(title)}</p>\n" + frame.to_html(
        index=False, na_rep="", float_format="{:.4g}".format
    )
