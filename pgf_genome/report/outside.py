"""The strongest sites outside the target, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from pgf_genome.report.influence import Site
from pgf_genome.report.text import in_words, number, short, table
from pgf_genome.runs.run import APART
from pgf_genome.sequence.parts import Places


def sites_table(sites: Sequence[Site], places: Places | None) -> str:
    """Make heading, note and table, with a column of genes if they are known."""
    if not sites:
        return ""
    head = ["Contig", "Position", "Distance", "Sensitivity", *(["Gene"] if places else [])]
    rows = []
    for site in sites:
        cells = [
            escape(site.contig),
            f"{site.position + 1:,}",
            number(site.distance),
            short(site.value),
        ]
        if places:
            cells.append(escape(in_words(places.near(site.contig, site.position))))
        rows.append(cells)
    return (
        "<h3>Strongest sites outside the target</h3>"
        f'<p class="note">At least {APART} bases apart. Distance: bases to the nearest target, '
        "negative where the site comes before it on the contig.</p>"
        f"{table(head, rows, frozenset((1, 2, 3)))}"
    )
