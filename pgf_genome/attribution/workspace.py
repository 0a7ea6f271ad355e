"""The folder beside the outputs in which a run keeps what it needs to be resumed."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pgf_genome.errors import ResourceError
from pgf_genome.files import naming


@contextmanager
def workspace(prefix: Path, scratch_dir: Path | None, resume: bool) -> Iterator[Path]:
    """Make and lock the work folder of a prefix; remove it on success.

    After a failure the folder stays, for ``--resume``, if it holds any segment.

    Raises
    ------
    ResourceError
        If the folder cannot be made, or another run is using it.
    """
    if scratch_dir is None:
        folder = prefix.parent / f"{prefix.name}.pgf-work"
    else:
        require_folder(scratch_dir, "--scratch-dir")
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


def require_folder(folder: Path, option: str) -> None:
    """Make a folder if it is missing, and check that files can be made in it.

    Raises
    ------
    ResourceError
        If no file can be made there; better known now than when the run is done.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        misplaced = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "it is not a folder" if misplaced else error.strerror
        raise ResourceError(
            f"{option}: no file can be made in {folder} ({reason}); choose another place"
        ) from error


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
