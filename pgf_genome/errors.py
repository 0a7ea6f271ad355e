"""The errors that a user can cause, all of one family.

A message is one line that says what is wrong, where (file, contig, position, argument) and what
to do about it. Arguments stand in backquotes, such as `max_memory`; the command line prints them as
options, such as --max-memory, and exits with ``exit_code``.
"""

from __future__ import annotations

# Letters of a message at most, of its beginning and of its end: names in a file have any length.
LONGEST, ENDING = 2000, 500


def printable(text: str) -> str:
    """Write a text as one line that a terminal shows as it is, whatever was quoted in it."""
    text = " ".join(text.split("\n"))
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - ENDING]} .. {text[-ENDING:]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class PgfError(Exception):
    """Base of every error that the input, the options or the machine can cause."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class UsageError(PgfError):
    """Options that contradict each other, or a value outside its range."""

    exit_code = 2


class SequenceError(PgfError):
    """A FASTA, BED file, region or table of contigs that cannot be read or does not fit."""


class ModelError(PgfError):
    """A checkpoint that is incomplete, damaged or of an unsupported family."""


class ResourceError(PgfError):
    """Too little memory or disk, a path that cannot be read or written, or a missing device."""


class IntegrityError(PgfError):
    """Results that are damaged, infinite, or not what was written or is recomputed."""
