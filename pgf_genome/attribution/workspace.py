"""The folder beside the outputs in which a run keeps what it needs to be resumed."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pgf_genome.attribution.prepare import Prepared
from pgf_genome.errors import ResourceError
from pgf_genome.files import atomic_write_text, naming, require_folder

log = logging.getLogger("pgf_genome")


@contextmanager
def workspace(prefix: Path, scratch_dir: Path | None, resume: bool) -> Iterator[Path]:
    """Make and lock the work folder of a prefix; remove it on success.

    After a failure the folder stays, to be resumed, if it holds any segment.

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
            if not _segments(folder):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder)


def resumed(folder: Path, plan: Prepared) -> Prepared:
    """Say how much of a run is there already, and go on with its number of threads.

    Large matrix products can differ in the last bit with the number of threads, so a run goes on
    with the number that it began with, and ends in the same bytes. What is there and is not used
    is named with the reason.
    """
    there, ours = {path.name for path in _segments(folder)}, {t.folder_name for t in plan.tasks}
    nameless = any(not getattr(f, "identity", None) for t in plan.tasks for f in t.objectives)
    if there and nameless:
        log.warning(
            "the objective has no `identity`, so the stopped run in %s is not resumed: give the "
            "callable an attribute `identity`, a text that no other objective has",
            folder,
        )
    elif there - ours:
        log.info(
            "%s holds a stopped run with another sequence, model, objective or option: it is not "
            "used, and is removed when this run is done",
            folder,
        )
    kept = folder / "threads"
    if there & ours:
        log.info(
            "going on with the stopped run in %s: %d of %d segments are done or begun",
            *(folder, len(there & ours), len(ours)),
        )
        plan = _with_threads(plan, kept)
    atomic_write_text(kept, f"{plan.threads}\n")
    return plan


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


def _segments(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()]


def _clear(folder: Path) -> None:
    for path in _segments(folder):
        shutil.rmtree(path)
