"""How every experiment runs: its settings, its rows as a table, and what its text makes of them."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from pgf_genome.experiments import load, machine
from pgf_genome.experiments.frame import Findings, prepared_directory, stored


def run(name: str, directory: str | Path, quick: bool = False, **options: Any) -> Findings:
    """Measure what an experiment measures, and write table, figure and paragraph.

    Parameters
    ----------
    name : str
        A key of `EXPERIMENTS`.
    directory : path
        Where ``NAME.csv``, ``NAME.html`` and ``NAME.md`` go; made if need be.
    quick : bool
        Tiny sizes, where ``options`` say nothing else.
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
    folder = prepared_directory(directory)
    with _threads(settings.threads), tempfile.TemporaryDirectory(prefix="pgf-") as scratch:
        table = stored(list(experiment.rows(settings, Path(scratch))), folder / f"{name}.csv")
    findings = importlib.import_module(f"{experiment.__name__}_text").findings(table)
    findings.write(folder)
    return findings


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Torch and the kernels on so many threads, 0 being all cores, and back."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or machine.usable_cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)
