"""All experiments in one run, and one page of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import pandas as pd

from pgf_genome.checkpoints.choices import DEFAULT_DEVICE
from pgf_genome.experiments import EXPERIMENTS, runner
from pgf_genome.experiments.frame import (
    Findings,
    claims_table,
    html_table,
    markdown,
    page,
)
from pgf_genome.files import atomic_write_text, require_folder

TITLE = "The experiments of Phase Gradient Flow, rerun"

log = logging.getLogger("pgf_genome")


def run(
    directory: str | Path,
    quick: bool = False,
    inputs: Mapping[str, str] = {},
    threads: int = 0,
    device: str = DEFAULT_DEVICE,
) -> list[Findings]:
    """Run every experiment whose inputs are given, and write ``all.html`` and ``all.md``.

    Parameters
    ----------
    directory : path
        Folder for these and for the files of every experiment.
    quick : bool
        Use tiny sizes.
    inputs : mapping of str to str
        Files by name: ``"fasta"``, ``"gff"``, ``"model"``. An experiment that lacks one is left
        out, and the page says so; a model never lacks, because there is a bundled one.
    threads : int
        0 is all cores.
    device : str
        ``"cpu"``, ``"cuda[:INDEX]"`` or ``"auto"``.
    """
    folder = Path(directory)
    require_folder(folder, "directory")
    found, left_out = [], []
    for name, entry in EXPERIMENTS.items():
        lacking = [i for i in entry.inputs if i not in inputs and i != "model"]
        if lacking:
            left_out.append(f"{name} (needs {', '.join(f'--{i}' for i in lacking)})")
            log.warning("left out: %s", left_out[-1])
            continue
        log.info("experiment %s", name)
        given = {i: inputs[i] for i in entry.inputs if i in inputs}
        found.append(runner.run(name, folder, quick, **given, threads=threads, device=device))
    _write(folder, found, left_out)
    return found


def claims(found: Sequence[Findings]) -> pd.DataFrame:
    """Join the claims of several experiments, with the name of each."""
    tables = [claims_table(f.claims).assign(experiment=f.name) for f in found]
    joined = pd.concat(tables, ignore_index=True)
    return joined[["experiment", *(c for c in joined.columns if c != "experiment")]]


def _write(folder: Path, found: Sequence[Findings], left_out: Sequence[str]) -> None:
    table = claims(found)
    missing = f"Left out: {'; '.join(left_out)}." if left_out else ""
    sections = [
        f'<section><h2 id="section-{f.name}">{escape(f.title)}</h2>\n{f.section()}</section>'
        for f in found
    ]
    head = f"<p>{escape(missing)}</p>\n{html_table(table)}"
    atomic_write_text(folder / "all.html", page(TITLE, head, *sections))
    texts = [f"## {f.title}\n\n{f.paragraph}" for f in found]
    text = "\n\n".join([f"# {TITLE}", *filter(None, [missing]), markdown(table), *texts])
    atomic_write_text(folder / "all.md", text + "\n")
