"""How to read the tracks: what a letter says, in which unit, and on which strand."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from pgf_genome.report.logo import COLUMN, HEIGHT, logo
from pgf_genome.runs.record import Record
from pgf_genome.runs.run import SIGNED, first_of

STRANDS = {"+": "Plus strand", "-": "Minus strand", "both": "Both strands"}


def legend(record: Record, tracks: Iterable[str], lettered: bool) -> str:
    """Make three sentences and, where there are letters, two small pictures of them."""
    track = first_of((*SIGNED, "sensitivity"), tracks)
    described = record.tracks[track]
    counted = "the target" if record.targets else "everything that was read"
    strands = record.conventions.get("strands", f"strand {record.strand}")
    said = [
        f"{described.title}: {described.meaning}",
        f"A value is in {described.unit}; F is the objective, {record.objective}, of {counted}",
        f"Positions and letters are those of the plus strand; the values: {strands}",
    ]
    pictures = ""
    if track in SIGNED:
        up = described.positive or "the value is above zero"
        said[0] = (
            f"A letter stands upright where {up}; it hangs upside down where the opposite holds; "
            f"its height is the {described.title.lower()}"
        )
        pictures = (_sign() if lettered else "") + _strand(record)
    text = "".join(f"{each[0].upper()}{each[1:]}. " for each in map(escape, said))
    return f'<div class="legend"><p class="note">{text}</p>{pictures}</div>'


def _sign() -> str:
    """Letters above and below the axis."""
    drawn = logo("AC", [1.0, -1.0], -1, "A letter above the axis and one below it")
    return _picture(drawn, "up: positive<br>down: negative")


def _strand(record: Record) -> str:
    """A base, and arrows to the bases that its value counts."""
    causal = record.tile_length is not None
    sides = "+-" if record.strand == "both" or not causal else record.strand
    middle, width = HEIGHT / 2, 10 * COLUMN
    heads = {"+": (width / 2 + 6, width - 2, -5), "-": (width / 2 - 6, 2, 5)}
    arrows = "".join(
        f'<path d="M{start:g} {middle:g}H{stop:g}m{back} -4l{-back} 4l{back} 4"/>'
        for start, stop, back in map(heads.__getitem__, sides)
    )
    label = f"A base acts on what lies to its {_SIDES[sides]}"
    return _picture(
        f'<svg class="strand" role="img" aria-label="{label}" width="{width:g}" '
        f'height="{HEIGHT}" viewBox="0 0 {width:g} {HEIGHT}">{arrows}'
        f'<circle cx="{width / 2:g}" cy="{middle:g}" r="4"/></svg>',
        f"{STRANDS.get(record.strand, escape(record.strand))}:<br>acts on its {_SIDES[sides]}",
    )


_SIDES = {"+": "right", "-": "left", "+-": "left and right"}


def _picture(drawn: str, text: str) -> str:
    return f"<figure>{drawn}<figcaption>{text}</figcaption></figure>"
