"""The page of a run: a heat map of each region, with its sequence, genes and strongest pairs.

Cells are written in one byte, v = largest x u^2 with u in 254 steps, which keeps faint ones apart,
and deflated. Their exact values are in the arrays beside the page.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from string import Template
from typing import Any

import numpy as np

from pgf_genome.effects.depmap.pairs import Pair
from pgf_genome.intervals import Interval
from pgf_genome.pages import figures
from pgf_genome.pages.frame import asset, html_page
from pgf_genome.pages.palette import DARK

# Largest size of a page beside plotly, and the steps of cells that are tried one after the other.
ROOM, STEPS = 3_000_000, (254, 126, 62, 30, 14)
# Bases of a region at most: of a longer one there would be too little to see for its size.
WIDEST = 4096
# Pairs in the table of a region.
LISTED = 20


class Page:
    """A page that grows by a region at a time, as far as there is room.

    Parameters
    ----------
    described : dict
        What the numbers are.
    min_distance : int
        Bases that the two of a listed pair are apart, at least.
    """

    def __init__(self, described: dict[str, Any], min_distance: int) -> None:
        self._described, self._min_distance = described, min_distance
        self._regions: list[dict[str, Any]] = []
        self._room, self._left_out = ROOM, 0

    def add(
        self,
        region: Interval,
        letters: str,
        cells: np.ndarray,
        pairs: Sequence[Pair],
        genes: Sequence[tuple[int, int, str]],
    ) -> None:
        """Take a map, if there is room for it."""
        for steps in STEPS if len(cells) <= WIDEST else ():
            largest, text = coded(cells, steps)
            if len(text) <= self._room:
                break
        else:
            self._left_out += 1
            return
        self._room -= len(text)
        self._regions.append(
            {
                "name": str(region),
                "contig": region.contig,
                "start": region.start,
                "letters": letters,
                "largest": largest,
                "steps": steps,
                "cells": text,
                "pairs": [(*pair[:2], float(f"{pair.score:.4g}")) for pair in pairs[:LISTED]],
                "genes": [(start, stop, escape(name)) for start, stop, name in genes],
            }
        )

    def html(self) -> str:
        """The text of the page."""
        told = self._described
        options = "".join(
            f'<option value="{k}">{escape(each["name"])}</option>'
            for k, each in enumerate(self._regions)
        )
        left_out = (
            f"{self._left_out:,} regions are not on this page, which has no room for them; their "
            "maps are in the files beside it."
            if self._left_out
            else ""
        )
        title = self._regions[0]["name"] if len(self._regions) == 1 else "regions"
        main = Template(asset(__package__, "page.html")).substitute(
            options=options,
            several="" if len(self._regions) > 1 else "hidden",
            left_out=left_out,
            distance=self._min_distance,
            unit=escape(told["unit"]),
        )
        model = told["model"]["name"]
        lead = (
            f"{escape(told['title'])}, {escape(told['unit'])} ({escape(told['definition'])}, "
            f"{escape(told['method'])}, strand {escape(told['strand'])}) of the model "
            f"{escape(model)}. A row is the position that is substituted, a column the position "
            "whose prediction changes."
        )
        data = {
            "regions": self._regions,
            "unit": told["unit"],
            "heat": figures.HEAT,
            "mark": DARK.mark,
        }
        return html_page(
            "depmap",
            f"Dependency map of {title}",
            main,
            lead=f"<p>{lead[0].upper()}{lead[1:]}</p>",
            scripts=figures.scripts(asset(__package__, "page.js"), data=data),
        )


def coded(cells: np.ndarray, steps: int) -> tuple[float, str]:
    """The largest absolute value, and all cells in bytes, deflated, in base64.

    A byte is 0 for NaN; otherwise it is above half of ``steps`` + 1, the code of zero, by half of
    ``steps`` x u, with the sign of the value; if no value is negative, it is 1 + ``steps`` x u.
    """
    known = np.isfinite(cells)
    largest = float(np.abs(cells[known]).max(initial=0))
    signed = bool((cells[known] < 0).any())
    part = np.sqrt(np.abs(np.nan_to_num(cells)) / (largest or 1.0)) * np.sign(np.nan_to_num(cells))
    half = steps // 2
    codes = 1 + half + np.rint(half * part) if signed else 1 + np.rint(steps * part)
    codes[~known] = 0
    packed = zlib.compress(codes.astype(np.uint8).tobytes(), 9)
    return (-largest if signed else largest), b64encode(packed).decode("ascii")
