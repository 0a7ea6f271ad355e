"""The report: one self-contained HTML page about a run, drawn by the plotly.js inside it.

`Gathering` takes the tracks as they pass by, in bounded memory; `write_report` writes the page.
"""

from __future__ import annotations

from pgf_genome.report.gathering import Gathered, Gathering, Targets
from pgf_genome.report.image import write_image
from pgf_genome.report.influence import Influence
from pgf_genome.report.page import render, write_report

__all__ = [
    "Gathered",
    "Gathering",
    "Influence",
    "Targets",
    "render",
    "write_image",
    "write_report",
]
