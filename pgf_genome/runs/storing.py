"""Files under the prefix of a run: its record, and what an earlier run left there."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Collection
from pathlib import Path

from pgf_genome.errors import IntegrityError
from pgf_genome.files import atomic_write_text, naming
from pgf_genome.runs.record import SCHEMA, Record
from pgf_genome.runs.schema import decoded, encoded
from pgf_genome.tracks.formats import SUFFIXES

log = logging.getLogger("pgf_genome")

# What this program writes under a prefix besides tracks; no other file is ever removed.
_ALONE = (
    r"npz|chrom\.sizes|report\.html|report\.png|statistics\.json|tsv\.gz(?:\.tbi)?"
    r"|peaks\.bed|genes\.tsv|heatmap\.html|heatmap\.\d+\.svg"
)
_INDEXES = (".tbi", ".csi")
_BINS = r"(?:\.bin\d+\.(?:mean|max))?"


def record_path(prefix: str | os.PathLike[str]) -> Path:
    """The file that holds the record of a run."""
    return Path(f"{os.fspath(prefix)}.run.json")


def write_record(prefix: str | os.PathLike[str], record: Record) -> Path:
    """Write the record of a run, which makes it a finished one.

    Raises
    ------
    ResourceError
        If it cannot be written.
    """
    path = record_path(prefix)
    atomic_write_text(path, json.dumps({"schema": SCHEMA} | encoded(record), indent=2) + "\n")
    return path


def read_record(prefix: str | os.PathLike[str]) -> Record:
    """Read the record of a finished run.

    Raises
    ------
    IntegrityError
        If there is none, it is damaged, or a later version of this program wrote it.
    """
    path = record_path(prefix)
    try:
        text = path.read_text(encoding="utf-8")
        facts = json.loads(text)
        if "\\u" in text:  # half a letter, which JSON can hold and no other file
            json.dumps(facts, ensure_ascii=False).encode()
        if isinstance(facts, dict) and facts.get("schema", SCHEMA) != SCHEMA:
            raise ValueError(f"its schema is {facts['schema']!r}, and this version reads {SCHEMA}")
        return decoded(Record, facts, "")
    except OSError as error:
        raise IntegrityError(
            f"{path}: cannot be read ({error.strerror}); give the prefix of a finished run"
        ) from error
    except (ValueError, RecursionError) as error:
        raise IntegrityError(
            f"{path}: not the run.json of a finished run ({error}); run the command again"
        ) from error


def _any_of(texts: Collection[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, texts))})"


def withdraw(prefix: Path) -> None:
    """Remove the run.json of an earlier run, so that it never lies beside files of another one."""
    path = record_path(prefix)
    with naming(path):
        path.unlink(missing_ok=True)


def remove_left_over(prefix: Path, written: Collection[Path], tracks: Collection[str]) -> None:
    """Remove outputs of an earlier run that this one has not written, and name them in the log.

    Parameters
    ----------
    prefix : Path
    written : collection of Path
        The outputs of this run.
    tracks : collection of str
        Names of all tracks that an earlier run may have written.
    """
    track, suffix, index = map(_any_of, (tracks, SUFFIXES, _INDEXES))
    output = re.compile(rf"{track}{_BINS}{suffix}{index}?|{_ALONE}")
    ours = {f"{path.name}{end}" for path in written for end in ("", *_INDEXES)}
    start = f"{prefix.name}."
    left = sorted(
        path
        for path in prefix.parent.iterdir()
        if path.name.startswith(start)
        and output.fullmatch(path.name.removeprefix(start))
        and path.name not in ours
        and path.is_file()
    )
    for path in left:
        with naming(path):
            path.unlink()
    if left:
        names = ", ".join(path.name for path in left)
        log.info("removed of an earlier run under this prefix: %s", names)
