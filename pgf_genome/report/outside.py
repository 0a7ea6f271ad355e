"""The strongest sites outside the target, as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from pgf_genome.intervals import Interval
from pgf_genome.report.influence import Site
from pgf_genome.report.text import number, short, table
from pgf_genome.runs.run import APART

GenesIn = Callable[[Interval], Sequence[tuple[int, int, str]]]


def sites_table(sites: Sequence[Site], genes_in: GenesIn | None) -> str:
    """Make heading, note and table, with a column of genes if they are known."""
    if not sites:
        return ""
    head = ["Contig", "Position", "Distance", "Sensitivity", *(["Gene"] if genes_in else [])]
    rows = []
    for site in sites:
        cells = [
            escape(site.contig),
            f"{site.position + 1:,}",
            number(site.distance),
            short(site.value),
        ]
        if genes_in:
            here = Interval(site.contig, site.position, site.position + 1)
            cells.append(escape(", ".join(dict.fromkeys(name for *_, name in genes_in(here)))))
        rows.append(cells)
    return (
        "<h3>Strongest sites outside the target</h3>"
        f'<p class="note">At least {APART} bases apart. Distance: bases to the nearest target, '
        "negative where the site comes before it on the contig.</p>"
        f"{table(head, rows, frozenset((1, 2, 3)))}"
    )
