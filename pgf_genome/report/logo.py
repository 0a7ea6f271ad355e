"""Sequence logos as inline SVG: letters as tall as their values, negative ones below the axis."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isnan

from pgf_genome.runs.logo import GLYPHS

LETTERS = "ACGTN"
COLUMN = 8.5
HEIGHT = 48
GAP = 0.6


def glyph_definitions() -> str:
    """The outlines, written once for the whole page; logos refer to them."""
    shapes = "".join(
        f'<path id="glyph-{base}" class="base-{base}" fill-rule="evenodd" d="{outline}"/>'
        for base, outline in GLYPHS.items()
    )
    return f'<svg width="0" height="0" aria-hidden="true"><defs>{shapes}</defs></svg>'


def logo(bases: str, values: Sequence[float], centre: int, label: str) -> str:
    """Draw an SVG element with one column per base.

    Parameters
    ----------
    bases : str
        The letters of the columns; one that is not A, C, G or T leaves its column blank.
    values : sequence of float
        Height of each letter, NaN where there is none. The scale is such that the tallest letters
        above and below the axis fill the logo.
    centre : int
        Index of the column to mark.
    label : str
        The text for screen readers, not HTML.
    """
    known = [0.0 if isnan(value) else value for value in values]
    top, bottom = max(*known, 0.0), min(*known, 0.0)
    scale = (HEIGHT - 2) / ((top - bottom) or 1.0)
    axis = 1 + top * scale
    width = COLUMN * len(bases)
    letters = "".join(
        f'<use href="#glyph-{base}" transform="matrix({(COLUMN - GAP) / 100:.3g} 0 0 '
        f'{-value * scale / 100:.3g} {i * COLUMN + GAP / 2:.5g} {axis:.4g})"/>'
        for i, (base, value) in enumerate(zip(bases, known, strict=True))
        if base in GLYPHS and abs(value) * scale > 0.1
    )
    return (
        f'<svg class="logo" role="img" aria-label="{escape(label)}" '
        f'width="{width:g}" height="{HEIGHT}" viewBox="0 0 {width:g} {HEIGHT}">'
        f'<rect class="centre" x="{centre * COLUMN:g}" width="{COLUMN:g}" height="{HEIGHT}"/>'
        f'<line class="axis" x2="{width:g}" y1="{axis:.4g}" y2="{axis:.4g}"/>{letters}</svg>'
    )
