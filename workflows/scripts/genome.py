"""Copy a FASTA, plain or gzip, decompressed and one line to a record, and write its index."""

import gzip
import hashlib
import sys
from pathlib import Path
from typing import Any, BinaryIO

GZIP = b"\x1f\x8b"


def copy(source: BinaryIO, target: BinaryIO) -> dict[str, tuple[int, int]]:
    """Copy the records; returns name -> length in bases and offset in `target`.

    Lines of any lengths become one line to a record: then its index is right whatever they were,
    and reading a piece of it is one seek.
    """
    found: dict[str, tuple[int, int]] = {}
    name = None
    for line in source:
        if line.startswith(b">"):
            name = next(iter(line[1:].decode().split()), "")
            if not name or name in found:
                raise SystemExit(f"record {len(found) + 1}: its name {name!r} is missing or taken")
            target.write(b"\n>%b\n" % name.encode() if found else b">%b\n" % name.encode())
            found[name] = 0, target.tell()
        elif bases := b"".join(line.split()):
            if name is None:
                raise SystemExit("not a FASTA: the first line does not begin with '>'")
            target.write(bases)
            length, offset = found[name]
            found[name] = length + len(bases), offset
    if not found:
        raise SystemExit("not a FASTA: it is empty")
    target.write(b"\n")
    return found


def check_md5(path: Path, expected: str) -> None:
    """Stop unless the file, as it was fetched, has this MD5."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
    if digest != expected.lower():
        raise SystemExit(f"its MD5 is {digest}, the sample sheet says {expected}")


def main(snakemake: Any) -> None:
    path = Path(snakemake.input.fasta)
    with open(snakemake.log[0], "w") as sys.stderr, open(snakemake.output.fasta, "wb") as target:
        try:
            if snakemake.params.md5:
                check_md5(path, snakemake.params.md5)
            with path.open("rb") as file:
                zipped = file.peek(2)[:2] == GZIP
                found = copy(gzip.GzipFile(fileobj=file) if zipped else file, target)
        except (SystemExit, OSError, EOFError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            raise SystemExit(1) from error
    lines = (f"{n}\t{length}\t{at}\t{length}\t{length + 1}\n" for n, (length, at) in found.items())
    Path(snakemake.output.fai).write_text("".join(lines))


if __name__ == "__main__":
    main(snakemake)  # noqa: F821 - Snakemake puts it there
