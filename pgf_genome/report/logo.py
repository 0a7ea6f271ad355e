"""Sequence logos as inline SVG: letters as tall as their values, negative ones below the axis."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import isnan

LETTERS = "ACGTN"
# Outlines in a box of 100 by 100, y upward, in absolute M, L, C and Z, so that they can be scaled
# by their numbers alone.
GLYPHS = {
    "A": "M 0 0 L 37 100 L 63 100 L 100 0 L 79 0 L 71 24 L 29 24 L 21 0 Z "
    "M 35 41 L 65 41 L 50 84 Z",
    "C": "M 93 81 C 79 98 56 104 35 97 C 14 90 0 71 0 50 C 0 29 14 10 35 3 C 56 -4 79 2 93 19 "
    "L 75 29 C 66 19 53 15 41 20 C 29 25 21 37 21 50 C 21 63 29 75 41 80 C 53 85 66 81 75 71 Z",
    "G": "M 89 81 C 75 100 49 105 28 95 C 6 84 -4 60 2 37 C 8 14 29 -1 53 0 C 77 2 96 20 100 43 "
    "L 100 52 L 54 52 L 54 36 L 77 36 C 70 23 57 16 45 19 C 32 21 22 32 20 46 "
    "C 19 60 26 73 38 79 C 49 85 64 82 72 71 Z",
    "T": "M 0 100 L 100 100 L 100 82 L 60 82 L 60 0 L 40 0 L 40 82 L 0 82 Z",
}
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
