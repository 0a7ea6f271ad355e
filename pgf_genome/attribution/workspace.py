"""The folder beside the outputs in which a run keeps what it needs to be resumed."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from pgf_genome.attribution.prepare import Prepared
from pgf_genome.attribution.segment import is_done, places
from pgf_genome.errors import ResourceError
from pgf_genome.files import atomic_write_text, naming, require_folder

log = logging.getLogger("pgf_genome")


@contextmanager
def workspace(prefix: Path, scratch_dir: Path | None, resume: bool) -> Iterator[Path]:
    """Make and lock the work folder of a prefix; remove it on success.

    After a failure the folder stays, to be resumed, if it holds a run.

    Raises
    ------
    ResourceError
        If the folder cannot be made, or another run is using it.
    """
    if scratch_dir is None:
        folder = prefix.parent / f"{prefix.name}.pgf-work"
    else:
        require_folder(scratch_dir, "scratch_dir")
        # Runs in different places may share the scratch folder and the name of their outputs.
        place = hashlib.sha256(str(prefix.resolve()).encode()).hexdigest()[:12]
        folder = scratch_dir / f"{prefix.name}.{place}.pgf-work"
    with naming(folder):
        folder.mkdir(exist_ok=True)
        lock = (folder / "lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ResourceError(
                f"{folder}: another run is writing the same outputs; wait for it or choose "
                "another `out_prefix`"
            ) from error
        if not resume:
            _clear(folder)
        try:
            yield folder
        except BaseException:
            if not _runs(folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder)


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
    elif _runs(folder) and plan.has_nameless_objective:
        log.warning(
            "the objective has no `identity`, so the stopped run in %s is not resumed: give the "
            "callable an attribute `identity`, a text that no other objective has",
            folder,
        )
    elif _runs(folder):
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


def _runs(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()]


def _clear(folder: Path) -> None:
    for path in _runs(folder):
        shutil.rmtree(path)
