"""What a stopped run has left in its work folder, and how the next one goes on with it."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from pgf_genome.attribution.prepare import Prepared
from pgf_genome.attribution.segment import is_done, places
from pgf_genome.files import atomic_write_text, naming
from pgf_genome.workspace import runs_in

log = logging.getLogger("pgf_genome")


def resumed(folder: Path, plan: Prepared) -> tuple[Prepared, Path]:
    """Say how much of a run is there already, and go on with its number of threads.

    Large matrix products can differ in the last bit with the number of threads, so a run goes on
    with the number that it began with, and ends in the same bytes. What is there and is not used
    is named with the reason.

    Returns
    -------
    plan : Prepared
    run : Path
        The folder of the run in the work folder, named by the identity of the run.
    """
    run = folder / plan.identity[:24]
    if run.is_dir():
        plan = _with_threads(plan, run / "threads")
        done = sum(1 for _ in takewhile(lambda each: is_done(*each), places(plan, run)))
        log.info(
            "going on with the stopped run in %s: %d of %d segments are done",
            *(folder, done, len(plan.segments)),
        )
    elif runs_in(folder) and plan.has_nameless_objective:
        log.warning(
            "the objective has no `identity`, so the stopped run in %s is not resumed: give the "
            "callable an attribute `identity`, a text that no other objective has",
            folder,
        )
    elif runs_in(folder):
        log.info(
            "%s holds a stopped run with another sequence, model, objective or option: it is not "
            "used, and is removed when this run is done",
            folder,
        )
    with naming(run):
        run.mkdir(exist_ok=True)
    atomic_write_text(run / "threads", f"{plan.threads}\n")
    return plan, run


def _with_threads(plan: Prepared, kept: Path) -> Prepared:
    """The plan with the number of threads that a stopped run had, if that can be read."""
    try:
        before = int(kept.read_text())
    except (OSError, ValueError):
        return plan
    if before == plan.threads or before < 1:
        return plan
    log.info("the stopped run had -t %d, and goes on with it, not with %d", before, plan.threads)
    return replace(plan, threads=before)
