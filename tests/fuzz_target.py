"""A parser as `fuzz.py` runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from fuzz_mutations import TEXT, Mutation

# of the genome that intervals and tracks are on
LENGTHS = {"1": 30, "chr2": 500, "a:1-9": 9, "HLA*01:01": 12, "{x}": 7, "chr1": 4000}
_WORDS = [name.encode() for name in LENGTHS]
NUMBERS = [b"0", b"1", b"9", b"10", b"1,000", b"29", b"30"]
# words of tables
COLUMNS = [b"\t", b"\n", b" ", b"#", b"track ", b"browser ", b"+", b"-", *_WORDS, *NUMBERS]


class Target(NamedTuple):
    """A parser.

    Attributes
    ----------
    run : callable
        Takes the bytes and an empty folder; it may raise a PgfError only.
    seeds : sequence of bytes
        Good input.
    tokens : sequence of bytes
        Words of its format.
    ways : sequence of callable
        How the seeds are mutated.
    share : int
        Its share of the cases.
    zipped : bool
        Whether the format may be gzip.
    """

    name: str
    run: Callable[[bytes, Path], None]
    seeds: Sequence[bytes]
    tokens: Sequence[bytes] = ()
    ways: Sequence[Mutation] = TEXT
    share: int = 10
    zipped: bool = False


def written(folder: Path, name: str, data: bytes) -> Path:
    """A file of these bytes."""
    path = folder / name
    path.write_bytes(data)
    return path
