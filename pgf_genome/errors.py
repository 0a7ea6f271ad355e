"""The one family of errors that a user can cause.

A message is one line that says what is wrong, where (file, contig, position, argument) and what
to do about it. It names arguments in backquotes, as `max_memory`, which the command line prints as
options, as --max-memory; it exits with ``exit_code``.
"""

from __future__ import annotations


class PgfError(Exception):
    """Base of every error that the input, the options or the machine can cause."""

    exit_code = 1


class UsageError(PgfError):
    """Options that contradict each other, or a value outside its range."""

    exit_code = 2


class SequenceError(PgfError):
    """A FASTA, BED or region that cannot be read or does not fit the genome."""


class ModelError(PgfError):
    """A checkpoint that is incomplete, damaged or of an unsupported family."""


class ResourceError(PgfError):
    """Too little memory or disk, a path that cannot be written, a device that is not there."""


class IntegrityError(PgfError):
    """Stored intermediate results that do not match what was written or what is recomputed."""
