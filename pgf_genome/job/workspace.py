"""The folder beside the outputs in which a run keeps what it needs to be resumed."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pgf_genome.errors import ResourceError
from pgf_genome.files import naming


@contextmanager
def workspace(prefix: Path, scratch_dir: Path | None, resume: bool) -> Iterator[Path]:
    """The work folder of a prefix, locked against a second run; removed on success.

    After a failure it stays, for ``--resume``, if it holds any segment.

    Raises
    ------
    ResourceError
        If it cannot be made, or another run is using it.
    """
    folder = (scratch_dir or prefix.parent) / f"{prefix.name}.pgf-work"
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ResourceError(
                f"{folder}: another run is writing the same outputs; wait for it or choose "
                "another --out-prefix"
            ) from error
        if not resume:
            _clear(folder)
        try:
            yield folder
        except BaseException:
            if not any(path.is_dir() for path in folder.iterdir()):
                shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder)


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
