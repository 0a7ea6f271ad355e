"""Join what the runs say of themselves to one table, as text and as a page."""

import csv
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pgf_genome.pages.frame import html_page
from pgf_genome.runs.record import Record
from pgf_genome.runs.run import open_run

PEAKS = 3
TITLE = "Summary of all genomes"
LEAD = (
    "<p>Bits per base: mean surprisal of a scored base. Seconds: of all jobs of a genome together. "
    "Peaks: strongest positions (1-based) of the track named before them.</p>"
)
STYLE = """
body { max-width: none; }
th, td { text-align: right; }
td { white-space: nowrap; }
td:last-child { white-space: normal; min-width: 14rem; }
.text { text-align: left; }
"""


def row(genome: str, run: Record, statistics: Mapping[str, Any]) -> dict[str, Any]:
    """What the table says of a genome; empty where there is nothing to say."""
    values = [contig.objective for contig in run.contigs]
    performance, track = run.performance, next(iter(statistics))
    bits = statistics.get("surprisal", {}).get("mean")
    return {
        "genome": genome,
        "model": run.model["name"],
        "objective": run.objective,
        "strand": run.strand,
        "contigs": len(run.contigs),
        "bases": sum(run.sizes.values()),
        "scored": statistics[track]["scored"],
        "objective_value": math.fsum(value for value in values if value is not None),
        "bits_per_base": "" if bits is None else round(bits, 4),
        "jobs": len(run.parts),
        "seconds": round(performance.seconds, 1),
        "bases_per_second": round(performance.bases_per_second, 1),
        "memory_mib": math.ceil(performance.peak_memory_bytes / 2**20),
        "track": track,
        "peaks": "; ".join(
            f"{peak['contig']}:{peak['position'] + 1} ({peak['value']:.4g})"
            for peak in statistics[track]["peaks"][:PEAKS]
        ),
    }


def page(rows: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """The table as HTML, with links into its folder; columns of text begin at the left."""
    text = [isinstance(value, str) for value in rows[0].values()]
    head = _line("th", text, [column.replace("_", " ") for column in rows[0]])
    body = "\n".join(_line("td", text, r.values(), _links(r["genome"], folder)) for r in rows)
    table = f"<table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"
    return html_page(
        "workflow", TITLE, f'<div class="scroll">{table}</div>', lead=LEAD, styles=[STYLE]
    )


def _links(genome: str, folder: Path) -> str:
    """Links to the report of a genome, and to its peaks where there are any."""
    files = {"report": f"{genome}.report.html", "peaks": f"{genome}.peaks.bed"}
    return "".join(
        f' <a href="{escape(quote(name))}">{kind}</a>'
        for kind, name in files.items()
        if (folder / name).exists()
    )


def _line(kind: str, text: Sequence[bool], values: Iterable[Any], links: str = "") -> str:
    """A row; links stand in its first cell."""
    cells = []
    for left, value in zip(text, values, strict=True):
        shown = f"{value:,.7g}" if isinstance(value, float) else value
        shown = f"{value:,}" if isinstance(value, int) else shown
        style = ' class="text"' if left else ""
        cells.append(f"<{kind}{style}>{escape(shown)}{links}</{kind}>")
        links = ""
    return f"<tr>{''.join(cells)}</tr>"


def main(snakemake: Any) -> None:
    rows = [
        row(genome, open_run(prefix).record, json.loads(Path(statistics).read_text()))
        for genome, prefix, statistics in zip(
            snakemake.params.genomes,
            snakemake.params.prefixes,
            snakemake.input.statistics,
            strict=True,
        )
    ]
    with open(snakemake.output.tsv, "w", newline="") as file:
        table = csv.DictWriter(file, rows[0], delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    html = Path(snakemake.output.html)
    html.write_text(page(rows, html.parent))


if __name__ == "__main__":
    with open(snakemake.log[0], "w") as sys.stderr:  # noqa: F821 - Snakemake puts it there
        main(snakemake)  # noqa: F821
