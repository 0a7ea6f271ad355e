"""Files under the prefix of a run: its record, and what an earlier run left there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path

from pgf_genome.errors import IntegrityError
from pgf_genome.files import atomic_write_text
from pgf_genome.runs.record import SCHEMA, Record
from pgf_genome.runs.schema import decoded, encoded
from pgf_genome.tracks.formats import FILES
from pgf_genome.workspace import together

# What this program writes under a prefix besides tracks; no other file is ever removed.
_ALONE = (
    r"npz|chrom\.sizes|report\.html|report\.png|statistics\.json|tsv\.gz(?:\.tbi)?"
    r"|peaks\.bed|genes\.tsv|heatmap\.html|heatmap\.\d+\.svg"
)
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
        record = decoded(Record, facts, "")
        encoded(record)  # fails where what is nested could not be written again
        return record
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


def published(prefix: Path, tracks: Collection[str]) -> AbstractContextManager[Path]:
    """The prefix under which a run writes its files, which then take their places together.

    Parameters
    ----------
    tracks : collection of str
        Names of all tracks that an earlier run may have written, whose files are removed.
    """
    return together(prefix, "run.json", rf"{_any_of(tracks)}{_BINS}{FILES}|{_ALONE}")
