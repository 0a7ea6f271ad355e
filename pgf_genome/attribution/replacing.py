"""An earlier run under the same prefix makes room for a new one."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from pgf_genome.files import atomic_write_text, naming

log = logging.getLogger("pgf_genome")


def withdraw(prefix: Path, note: Path) -> set[Path]:
    """Remove the run.json of an earlier run, and return all the files that it listed.

    Parameters
    ----------
    prefix : Path
    note : Path
        File that keeps the list, for a run that is killed between this and its end.
    """
    path = Path(f"{prefix}.run.json")
    earlier = _listed(note, prefix) | _listed(path, prefix)
    if earlier:
        text = json.dumps({"files": {str(i): each.name for i, each in enumerate(sorted(earlier))}})
        atomic_write_text(note, text)
    with naming(path):
        path.unlink(missing_ok=True)
    return earlier


def _listed(path: Path, prefix: Path) -> set[Path]:
    """The files of a run.json that lie under the prefix; none if it cannot be read."""
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["files"].values()
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return set()
    # a run.json may have been written by anyone, and must not name files elsewhere
    own = [n for n in names if isinstance(n, str) and Path(n).name == n]
    return {prefix.parent / n for n in own if n.startswith(f"{prefix.name}.")}


def remove_left_over(files: Iterable[Path]) -> None:
    """Remove files of an earlier run, and what indexes them, and name them in the log."""
    indexed = {Path(f"{path}{suffix}") for path in files for suffix in ("", ".tbi")}
    there = sorted(path for path in indexed if path.is_file())
    for path in there:
        with naming(path):
            path.unlink()
    if there:
        log.info(
            "removed of an earlier run under this prefix: %s",
            ", ".join(path.name for path in there),
        )
