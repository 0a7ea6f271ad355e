"""Run of an experiment: its options, its rows as a table, and its findings."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pgf_genome.experiments import load, machine
from pgf_genome.experiments.frame import Findings, stored
from pgf_genome.files import require_folder


def run(name: str, directory: str | Path, quick: bool = False, **options: Any) -> Findings:
    """Run an experiment, and write table, figure and paragraph.

    Parameters
    ----------
    name : str
        A key of `EXPERIMENTS`.
    directory : path
        Folder for ``NAME.csv``, ``NAME.html`` and ``NAME.md``; made if it does not exist.
    quick : bool
        Use tiny sizes for what ``options`` do not set.
    **options
        Fields of the experiment's ``Settings``.

    Raises
    ------
    PgfError
        If the options, the files they name or the directory are at fault. A method that fails
        when it is measured is a row of the table.
    """
    experiment = load(name)
    settings = experiment.Settings(**({**experiment.QUICK, **options} if quick else options))
    folder = Path(directory)
    require_folder(folder, "directory")
    with _threads(settings.threads), tempfile.TemporaryDirectory(prefix="pgf-") as scratch:
        table = stored(list(experiment.rows(settings, Path(scratch))), folder / f"{name}.csv")
    findings = importlib.import_module(f"{experiment.__name__}_text").findings(table)
    findings.write(folder)
    return findings


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Set the threads of torch and the kernels, 0 for all cores, and restore them after."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or machine.usable_cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)
