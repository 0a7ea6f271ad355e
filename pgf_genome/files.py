"""Files that appear under their final name only when they are complete."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pgf_genome.errors import ResourceError, UsageError

# Bytes of a name, and of one to which suffixes such as .effect.A.bin1000.mean.bedgraph.gz.tbi.part
# are added.
LONGEST_NAME, LONGEST_PREFIX = 250, 200
# How outputs end.
OUTPUTS = (
    *(".bed", ".bedgraph", ".bedpe", ".bw", ".csi", ".gz", ".html", ".json", ".npz", ".png"),
    *(".sizes", ".svg", ".tbi", ".tsv"),
)


def part_path(path: str | os.PathLike[str]) -> Path:
    """The name under which ``path`` is written until it is complete: ``PATH.part``."""
    return Path(f"{os.fspath(path)}.part")


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an ``OSError`` into a `ResourceError` that names ``path``."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise ResourceError(
            f"{os.fspath(path)}: cannot be written ({reason}); "
            "free space there or choose another place"
        ) from error


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write to the yielded ``.part`` path; it becomes ``path`` when the block ends without error.

    Raises
    ------
    ResourceError
        If the file cannot be written; whatever was written is removed.
    """
    part = part_path(path)
    try:
        with naming(path):
            # whatever a killed run, or another user with a link, has left there
            part.unlink(missing_ok=True)
            yield part
            publish(part, path)
    except BaseException:
        discard(part)
        raise


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish(part: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Give a complete file its final name, after it has reached the disk."""
    sync(part)
    os.replace(part, path)


def sync(path: str | os.PathLike[str]) -> None:
    """Wait until a file, or the names in a folder, have reached the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def discard(path: Path) -> None:
    """Remove ``path`` if it is there and can be removed."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8 with its newlines as they are; see `atomic`."""
    with atomic(path) as part, open(part, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def require_folder(folder: Path, argument: str) -> None:
    """Make a folder if it is missing, and check that files can be made in it.

    Parameters
    ----------
    folder : Path
    argument : str
        The name of the argument that asked for it, for the error.

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
            f"`{argument}`: no file can be made in {folder} ({reason}); choose another place"
        ) from error


def output_prefix(prefix: str | os.PathLike[str]) -> Path:
    """Check the `out_prefix` of a command, before it works, and make its folder.

    Returns
    -------
    Path
        The prefix, in a folder that is there and takes files.

    Raises
    ------
    UsageError
        If it is a folder without a name for the files, or a name that no file can have, or a folder
        stands where an output would.
    ResourceError
        If no file can be made there.
    """
    if os.path.basename(prefix) in ("", ".", ".."):
        raise UsageError(
            f"`out_prefix` {os.fspath(prefix)!r}: add a name for the files, such as "
            f"{os.path.join(prefix, 'chr1')}"
        )
    require_name(os.fspath(prefix), "out_prefix", LONGEST_PREFIX)
    path = Path(prefix)
    require_folder(path.parent, "out_prefix")
    for other in path.parent.iterdir():
        ours = other.name.startswith(f"{path.name}.") and other.suffix in OUTPUTS
        if ours and other.is_dir():
            raise UsageError(f"`out_prefix` {path}: {other} is a folder, where an output may go")
    return path


def require_name(path: str, argument: str, longest: int = LONGEST_NAME) -> None:
    """Raise a UsageError if no file can have that name, or it cannot be shown on one line."""
    name = os.path.basename(path)
    if not path.isprintable():
        raise UsageError(f"`{argument}` {path!r} has letters that cannot be shown; leave them out")
    if len(os.fsencode(name)) > longest:
        raise UsageError(f"`{argument}`: a name of more than {longest} bytes; choose a shorter one")


@contextmanager
def quiet_htslib() -> Iterator[None]:
    """Keep htslib from writing to stderr beside the error that is raised."""
    import pysam

    verbosity = pysam.set_verbosity(0)
    try:
        yield
    finally:
        pysam.set_verbosity(verbosity)
