"""Lines of text files, plain or gzip by their content, one at a time in bounded memory."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pgf_genome.errors import SequenceError

GZIP_MAGIC = b"\x1f\x8b"
# Letters of a line at most: a small gzip file can hold one without end.
LONGEST = 1 << 24


def text_lines(path: str | os.PathLike[str], kind: str) -> Iterator[str]:
    """Read lines, without their ends, which may be those of Unix, Windows or the old Mac.

    A byte order mark is skipped. Bytes that are not UTF-8 become U+FFFD: they stand in comments
    and descriptions.

    Parameters
    ----------
    path : path-like
    kind : str
        What the file should be, for errors: "BED file".

    Raises
    ------
    SequenceError
        If the file cannot be read, is not text or is damaged, or a line has no end.
    """
    where = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            zipped = file.peek(2)[:2] == GZIP_MAGIC
            stream: Any = gzip.GzipFile(fileobj=file) if zipped else file
            text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace")
            for number, line in enumerate(iter(lambda: text.readline(LONGEST), ""), 1):
                if "\0" in line:
                    raise SequenceError(f"{where}: not a {kind}: it is not text")
                if len(line) == LONGEST:
                    raise SequenceError(
                        f"{where}: line {number} has more than {LONGEST:,} letters; is it a {kind}?"
                    )
                yield line.removesuffix("\n")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SequenceError(f"{where}: the gzip data is truncated or damaged ({error})") from error
    except OSError as error:
        raise SequenceError(
            f"cannot read the {kind} {where}: {error.strerror}; give a file, plain or gzip"
        ) from error
