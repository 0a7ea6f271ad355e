"""Where a run writes: its claim on a prefix, its work folder, and outputs that appear together."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pgf_genome.errors import ResourceError
from pgf_genome.files import discard, naming, require_folder, sync

# What an operating system says of a lock that another process holds.
HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)

log = logging.getLogger("pgf_genome")


@contextmanager
def claimed(*paths: str | os.PathLike[str]) -> Iterator[None]:
    """Hold output files or prefixes for as long as the block runs, against every other run.

    A lock lies beside each of them, as ``PATH.pgf-lock``: a run with another scratch folder, or
    another command, meets it too.

    Raises
    ------
    ResourceError
        If another run holds one of them, or a lock cannot be made.
    """
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(_claim(path))
        yield


@contextmanager
def _claim(path: str | os.PathLike[str]) -> Iterator[None]:
    lock = Path(f"{os.fspath(path)}.pgf-lock")
    file = None
    while file is None:
        with naming(lock):
            file = _locked(lock, path)
    try:
        yield
    finally:
        if _is_at(file, lock):  # and is not that of a run in a folder made anew
            discard(lock)  # while it is held, so that nobody can hold a file that has no name
        os.close(file)


def _locked(lock: Path, path: str | os.PathLike[str]) -> int | None:
    """Open and lock a file; None if its last holder has removed it in between."""
    file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in HELD:
                raise ResourceError(
                    f"{os.fspath(path)}: another run is writing the same outputs; wait for it or "
                    "choose another `out_prefix`"
                ) from error
            # a file system without locks: there is nothing to hold
        if not _is_at(file, lock):
            return None
        held, file = file, -1
        return held
    finally:
        if file >= 0:
            os.close(file)


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file still has a name."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


@contextmanager
def together(prefix: Path, record: str, outputs: str = "") -> Iterator[Path]:
    """Write all outputs of a run under the yielded prefix; they take their places together.

    The yielded prefix has the same name, in the folder ``PREFIX.pgf-new``. When the block ends
    without error, the record of an earlier run is removed, every file is moved to its place under
    ``prefix``, and the new record is the last: so no record ever lies beside files of another run,
    and until then the earlier run is as it was. After an error nothing is moved.

    Parameters
    ----------
    prefix : Path
        Claimed by the caller, see `claimed`.
    record : str
        The end of the name of the file that says what the others are, such as ``run.json``.
    outputs : str
        Regular expression of the ends of the names of all that such a run may write. Files of an
        earlier run that have such names, and are not replaced, are removed.

    Raises
    ------
    ResourceError
        If a file cannot be made or moved.
    """
    folder = Path(f"{prefix}.pgf-new")
    with naming(folder):
        _remove_folder(folder)
        folder.mkdir()
    try:
        yield folder / prefix.name
        written = _move(folder, prefix.parent, f"{prefix.name}.{record}")
        _remove_left_over(prefix, written, outputs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(folder: Path, place: Path, record: str) -> list[str]:
    """Move all files of a folder to another one, the record last; return their names."""
    names = sorted((path.name for path in folder.iterdir()), key=lambda name: name == record)
    for name in names:
        if (place / name).is_dir():
            raise ResourceError(
                f"{place / name}: a folder lies where an output goes; move it, or choose another "
                "`out_prefix`"
            )
        with naming(place / name):
            sync(folder / name)
    with naming(place / record):
        (place / record).unlink(missing_ok=True)
    for name in names:
        with naming(place / name):
            os.replace(folder / name, place / name)
    with suppress(OSError):  # not every file system can
        sync(place)
    return names


def _remove_left_over(prefix: Path, written: Collection[str], outputs: str) -> None:
    """Remove outputs of an earlier run that are not among those written; name them in the log."""
    start, output = f"{prefix.name}.", re.compile(outputs)
    left = sorted(
        path
        for path in prefix.parent.iterdir()
        if path.name.startswith(start)
        and output.fullmatch(path.name.removeprefix(start))
        and path.name not in written
        and path.is_file()
    )
    for path in left:
        with naming(path):
            path.unlink()
    if left:
        names = ", ".join(path.name for path in left)
        log.info("removed of an earlier run under this prefix: %s", names)


def _remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it; a link goes, and what it leads to stays."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


@contextmanager
def workspace(prefix: Path, scratch_dir: Path | None, resume: bool = True) -> Iterator[Path]:
    """Claim a prefix and make its work folder; remove the folder on success.

    After a failure the folder stays, to be resumed, if it holds a run, and the error says so.

    Raises
    ------
    ResourceError
        If the folder cannot be made, or another run is writing the same outputs.
    """
    folder = work_folder(prefix, scratch_dir)
    if scratch_dir is not None:
        require_folder(scratch_dir, "scratch_dir")
    # a scratch folder may be shared by machines whose outputs are not
    with claimed(prefix, *(() if scratch_dir is None else (folder,))):
        with naming(folder):
            _make(folder)
        if not resume:
            _clear(folder)
        try:
            yield folder
        except BaseException as error:
            if runs_in(folder):
                error.add_note(f"what is done is kept in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        try:
            shutil.rmtree(folder)
        except OSError as error:
            log.warning("%s is not needed any more and cannot be removed: %s", folder, error)


def work_folder(prefix: Path, scratch_dir: Path | None) -> Path:
    """The folder in which a run under a prefix keeps what it needs to be resumed."""
    if scratch_dir is None:
        return prefix.parent / f"{prefix.name}.pgf-work"
    # Runs in different places may share the scratch folder and the name of their outputs.
    place = hashlib.sha256(str(prefix.resolve()).encode()).hexdigest()[:12]
    return scratch_dir / f"{prefix.name}.{place}.pgf-work"


def _make(folder: Path) -> None:
    """Make a folder that nobody else can read or change, or take one of ours.

    Raises
    ------
    ResourceError
        If a link, a file, or a folder of another user lies there.
    """
    try:
        folder.mkdir(mode=0o700)
        return
    except FileExistsError:
        there = folder.lstat()
    with tempfile.TemporaryFile(dir=folder.parent) as own:  # who we are on that file system
        ours = os.fstat(own.fileno()).st_uid
    if not stat.S_ISDIR(there.st_mode) or there.st_uid != ours:
        raise ResourceError(
            f"{folder}: this is no folder of yours, and a run would keep its work there; remove "
            "it, or choose another `scratch_dir`"
        )


def runs_in(folder: Path) -> list[Path]:
    """What runs have left in a work folder, each in a folder of its own."""
    if not folder.is_dir():  # somebody has removed it
        return []
    return [path for path in folder.iterdir() if path.is_dir()]


def _clear(folder: Path) -> None:
    for path in runs_in(folder):
        shutil.rmtree(path)
