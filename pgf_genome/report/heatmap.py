"""Heat maps of substitution effects: every base of a region against every base in its place.

One drawing serves the page and the files: SVG, in lines of `COLUMNS` bases, each with the sequence
as a logo, the effects of A, C, G and T, and the genes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from pgf_genome.files import atomic_write_text
from pgf_genome.intervals import Interval
from pgf_genome.pages.frame import FONT, html_page
from pgf_genome.pages.palette import LIGHT
from pgf_genome.report.text import MINUS, short
from pgf_genome.runs.logo import GLYPHS
from pgf_genome.runs.record import Record

BASES = "ACGT"
# Bases of a line, and sizes in pixels: of a column, a logo, a cell, a gene, and margins.
COLUMNS, COLUMN, LOGO, CELL, GENE, LEFT, GAP = 100, 9, 44, 10, 13, 46, 26
TICKS, LABELS = 10, 50  # bases between two marks of the axis, and between two positions
# Effects beyond this quantile of the region have the full colour.
FULL = 0.995


@dataclass(frozen=True)
class Substituted:
    """The effects of a region.

    Attributes
    ----------
    region : Interval
    letters : str
        Its sequence, A C G T N.
    effects : ndarray, (4, n)
        Of A, C, G and T; NaN where there are none.
    genes : sequence of (start, stop, name)
        Those that overlap it, 0-based half-open on the contig.
    """

    region: Interval
    letters: str
    effects: np.ndarray
    genes: Sequence[tuple[int, int, str]] = ()

    @property
    def importance(self) -> np.ndarray:
        """Minus the mean effect of the three substitutions, (n,); the observed base's is 0."""
        return -self.effects.sum(axis=0) / (len(BASES) - 1)


def write_heat_maps(prefix: Path, record: Record, drawn: Sequence[Substituted]) -> dict[str, Path]:
    """Write a page with the heat maps of all regions, and each of them as an SVG file.

    Returns
    -------
    dict of str to Path
        The files by kind.

    Raises
    ------
    ResourceError
        If a file cannot be written.
    """
    unit = record.tracks[f"effect.{BASES[0]}"].unit
    maps = [heat_map(each, unit) for each in drawn]
    files = {"heatmap": Path(f"{prefix}.heatmap.html")}
    atomic_write_text(files["heatmap"], _page(record, drawn, maps))
    for number, svg in enumerate(maps, 1):
        path = files[f"heatmap.{number}"] = Path(f"{prefix}.heatmap.{number}.svg")
        colours = {"ink": LIGHT.ink, "quiet": LIGHT.quiet, "paper": LIGHT.paper, "rule": LIGHT.rule,
                   "up": LIGHT.line(0), "down": LIGHT.line(1)}  # fmt: skip
        colours |= dict(zip(BASES, LIGHT.bases, strict=True))
        alone = svg.replace(">", f"><style>{_style(colours)}</style>", 1)
        atomic_write_text(path, alone.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1))
    return files


def _page(record: Record, drawn: Sequence[Substituted], maps: Sequence[str]) -> str:
    colours = {name: f"var(--{name})" for name in ("ink", "quiet", "paper", "rule")}
    colours |= {"up": "var(--line-0)", "down": "var(--line-1)"}
    colours |= {base: f"var(--base-{base})" for base in BASES}
    sections = "".join(
        f'<section><h2>{escape(str(each.region))}</h2><div class="scroll" tabindex="0">{svg}</div>'
        "</section>"
        for each, svg in zip(drawn, maps, strict=True)
    )
    described = record.tracks[f"effect.{BASES[0]}"]
    how = described.meaning.partition("; ")[2] or described.meaning
    lead = (
        f"<p>A cell is the change of F, the {escape(record.objective)} under "
        f"{escape(str(record.model.get('name')))}, when the base of its column becomes that of its "
        f"row ({escape(how)}). A letter is as tall as minus the mean of its three changes: above "
        "the axis the model finds other bases less likely there. A dot marks the observed base. "
        "Hover over a cell for its value.</p>"
    )
    errors = "".join(f'<p class="note">{escape(str(e))}.</p>' for e in record.effect_errors)
    return html_page(
        "mutagenesis", record.title, sections, lead=lead + errors, styles=[_style(colours)]
    )


def _style(colours: dict[str, str]) -> str:
    letters = " ".join(f".{base} {{ fill: {colours[base]}; }}" for base in BASES)
    return (
        f".map text {{ font: 10px {FONT.replace(chr(34), chr(39))}; fill: {colours['quiet']}; }} "
        f".map .ground {{ fill: {colours['paper']}; }} .map .seen {{ fill: {colours['quiet']}; }} "
        f".map .up {{ fill: {colours['up']}; }} .map .down {{ fill: {colours['down']}; }} "
        f".map .frame, .map .axis {{ fill: none; stroke: {colours['rule']}; }} "
        f".map .gene {{ fill: {colours['rule']}; }} .map .name {{ fill: {colours['ink']}; }} "
        f".map {{ display: block; }} {letters}"
    )


def heat_map(drawn: Substituted, unit: str) -> str:
    """Draw an SVG element of class ``map``; its colours are those of a style sheet.

    Parameters
    ----------
    unit : str
        Of the effects.
    """
    known = np.abs(drawn.effects[np.isfinite(drawn.effects)])
    limit = float(np.quantile(known, FULL)) if known.size else 0.0
    importance = np.nan_to_num(drawn.importance)
    extent = max(importance.max(initial=0), 0.0), min(importance.min(initial=0), 0.0)
    lines, top = [_legend(limit, unit, extent)], 2 * GAP
    for first in range(0, len(drawn.letters), COLUMNS):
        body, height = _line(drawn, importance, extent, limit or 1.0, first)
        lines.append(f'<g transform="translate(0 {top})">{body}</g>')
        top += height + GAP
    width = LEFT + COLUMN * min(COLUMNS, len(drawn.letters)) + LEFT
    label = f"Effects of all substitutions in {drawn.region}"
    return (
        f'<svg class="map" role="img" aria-label="{escape(label)}" width="{width}" height="{top}" '
        f'viewBox="0 0 {width} {top}"><rect class="ground" width="{width}" height="{top}"/>'
        f"{''.join(lines)}</svg>"
    )


def _legend(limit: float, unit: str, extent: tuple[float, float]) -> str:
    """The scale of the colours, and that of the letters."""
    steps = np.linspace(-1, 1, 21)
    bar = "".join(
        f'<rect class="{_side(step)}" fill-opacity="{abs(step):.2f}" x="{LEFT + i * COLUMN}" '
        f'width="{COLUMN}" height="{CELL}"/>'
        for i, step in enumerate(steps)
    )
    end = LEFT + len(steps) * COLUMN
    text = f"{MINUS}{short(limit)} to {short(limit)} {unit}; letters {short(extent[1])} to "
    return f'{bar}<text x="{end + 8}" y="9">{escape(text + short(extent[0]))} {escape(unit)}</text>'


def _line(
    drawn: Substituted,
    importance: np.ndarray,
    extent: tuple[float, float],
    limit: float,
    first: int,
) -> tuple[str, int]:
    """One line of bases from a place of the region on, and its height."""
    last = min(first + COLUMNS, len(drawn.letters))
    parts = [*_logo(drawn.letters[first:last], importance[first:last], extent)]
    parts += _cells(drawn, limit, first, last)
    grid = f'x="{LEFT}" y="{LOGO}" width="{(last - first) * COLUMN}" height="{len(BASES) * CELL}"'
    parts.append(f'<rect class="frame" {grid}/>')
    parts += [
        f'<text x="{LEFT - 12}" y="{LOGO + row * CELL + 9}">{base}</text>'
        for row, base in enumerate(BASES)
    ]
    bottom = LOGO + len(BASES) * CELL
    parts += _ruler(drawn.region.start + first, last - first, bottom)
    genes = [*_genes(drawn, first, last, bottom + 15)]
    return "".join(parts + genes), bottom + 15 + GENE * len(genes)


def _ruler(start: int, bases: int, top: int) -> Iterator[str]:
    """Marks and positions, 1-based, under so many bases from a position of the contig on."""
    for place in range(bases):
        position, x = start + place + 1, LEFT + place * COLUMN
        if place == 0 or (position % LABELS == 0 and place > TICKS):
            yield f'<text x="{x}" y="{top + 11}">{position:,}</text>'
        elif position % TICKS == 0:
            yield f'<path class="axis" d="M {x + COLUMN / 2} {top} v 4"/>'


def _logo(letters: str, importance: np.ndarray, extent: tuple[float, float]) -> Iterator[str]:
    top, bottom = extent
    scale = (LOGO - 4) / ((top - bottom) or 1.0)
    axis = 2 + top * scale
    yield f'<path class="axis" d="M {LEFT} {axis:.4g} h {COLUMN * len(letters)}"/>'
    for i, (base, value) in enumerate(zip(letters, importance.tolist(), strict=True)):
        if base in GLYPHS and abs(value) * scale > 0.1:
            yield (
                f'<path class="{base}" fill-rule="evenodd" d="{GLYPHS[base]}" transform="matrix('
                f"{(COLUMN - 0.6) / 100:.3g} 0 0 {-value * scale / 100:.3g} "
                f'{LEFT + i * COLUMN + 0.3:.5g} {axis:.4g})"/>'
            )


def _cells(drawn: Substituted, limit: float, first: int, last: int) -> Iterator[str]:
    for place in range(first, last):
        observed, x = drawn.letters[place], LEFT + (place - first) * COLUMN
        for row, base in enumerate(BASES):
            value, y = float(drawn.effects[row, place]), LOGO + row * CELL
            if base == observed:
                middle = f'cx="{x + COLUMN / 2}" cy="{y + CELL / 2}"'
                yield f'<circle class="seen" {middle} r="1.2"/>'
            elif value == value:
                title = f"{drawn.region.start + place + 1:,} {observed}>{base}: {short(value)}"
                yield (
                    f'<rect class="{_side(value)}" x="{x}" y="{y}" width="{COLUMN}" '
                    f'height="{CELL}" fill-opacity="{min(abs(value) / limit, 1):.2f}">'
                    f"<title>{title}</title></rect>"
                )


def _side(value: float) -> str:
    return "down" if value < 0 else "up"


def _genes(drawn: Substituted, first: int, last: int, top: int) -> Iterator[str]:
    """A bar with a name for every gene that overlaps a line, one below the other."""
    offset, row = drawn.region.start, 0
    for start, stop, name in drawn.genes:
        left, right = max(start - offset, first), min(stop - offset, last)
        if left < right:
            x, y = LEFT + (left - first) * COLUMN, top + row * GENE
            yield (
                f'<g><rect class="gene" x="{x}" y="{y}" width="{(right - left) * COLUMN}" '
                f'height="{GENE - 2}"/><text class="name" x="{x + 3}" y="{y + 9}">{escape(name)}'
                "</text></g>"
            )
            row += 1
