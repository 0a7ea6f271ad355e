"""New names for contigs, from the tables that genome databases publish.

Three kinds of table are told apart by their header, all tab-separated, gzip or not:

- UCSC ``chromAlias.txt``, as in bigZips and assembly hubs: a header ``# ucsc<TAB>..``, one column
  per naming scheme. New names are those of the column ``ucsc``, else of the first.
- NCBI assembly report: a header ``# Sequence-Name<TAB>..``. New names are ``UCSC-style-name``.
- No header: old name, new name; further columns are ignored. That is also UCSC's database table
  ``chromAlias`` (alias, chrom, source).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pgf_genome.errors import SequenceError
from pgf_genome.intervals import is_name
from pgf_genome.lines import text_lines

NCBI_OLD = ("Sequence-Name", "GenBank-Accn", "RefSeq-Accn")
NCBI_NEW = "UCSC-style-name"
DATABASE_HEADER = ["alias", "chrom"]
# where there is no name, NCBI writes na and UCSC leaves the column empty
NO_NAME = ("", "na")
# lines of a table, which is held in memory
MOST = 5_000_000


def new_names(path: str | os.PathLike[str], contigs: Iterable[str]) -> dict[str, str]:
    """Look up the new name of every contig.

    Parameters
    ----------
    path : path-like
        The table, in one of the three forms of this module.
    contigs : iterable of str
        Names to look up. A name that is a new name already stays as it is.

    Returns
    -------
    dict of str to str
        Old name -> new name, in the order of ``contigs``.

    Raises
    ------
    SequenceError
        If the table cannot be read, lacks a contig or has two names for it, or gives two contigs
        one name.
    """
    aliases, known = _table(path)
    names: dict[str, str] = {}
    owners: dict[str, str] = {}
    for contig in contigs:
        candidates = aliases.get(contig, {contig} & known)
        if len(candidates) != 1:
            problem = f"{' and '.join(sorted(candidates))} for" if candidates else "no new name for"
            raise SequenceError(
                f"{os.fspath(path)}: {problem} contig {contig!r}; the table has to have one"
            )
        names[contig] = name = next(iter(candidates))
        other = owners.setdefault(name, contig)
        if other != contig:
            raise SequenceError(
                f"{os.fspath(path)}: contigs {other!r} and {contig!r} would both be {name!r}; "
                "correct the table"
            )
    return names


def counterparts(path: str | os.PathLike[str], contigs: Iterable[str]) -> dict[str, str]:
    """Look up under which other names the contigs of a genome are known.

    Parameters
    ----------
    path : path-like
        The table, in one of the three forms of this module.
    contigs : iterable of str
        Names in the genome, by any naming scheme of the table.

    Returns
    -------
    dict of str to str
        Name in the table -> the contig that it means.

    Raises
    ------
    SequenceError
        If the table cannot be read, or a name could mean two of the contigs.
    """
    aliases, known = _table(path)
    means: dict[str, set[str]] = {}
    for contig in contigs:
        for new in aliases.get(contig, {contig} & known):
            means.setdefault(new, set()).add(contig)
    found: dict[str, str] = {}
    for name in (*sorted(known), *sorted(aliases)):
        meant = {c for new in aliases.get(name, {name}) for c in means.get(new, ())}
        if len(meant) > 1:
            first, second = sorted(meant)[:2]
            raise SequenceError(
                f"{os.fspath(path)}: {name!r} could be contig {first!r} or {second!r}; correct the "
                "table"
            )
        if meant:
            found[name] = meant.pop()
    return found


def _table(path: str | os.PathLike[str]) -> tuple[Mapping[str, set[str]], set[str]]:
    """Read the new names of each old name, and the set of all new names."""
    aliases: dict[str, set[str]] = {}
    known: set[str] = set()
    for number, olds, new in _rows(path, text_lines(path, "table of aliases")):
        if not is_name(new) or new.startswith("#"):
            raise SequenceError(
                f"{os.fspath(path)}: line {number}: {new!r} cannot be the name of a contig; "
                "correct the table"
            )
        if number > MOST:
            raise SequenceError(
                f"{os.fspath(path)}: more than {MOST:,} lines; leave out those of other genomes"
            )
        known.add(new)
        for old in olds:
            if old not in NO_NAME:
                aliases.setdefault(old, set()).add(new)
    return aliases, known


def _rows(
    path: str | os.PathLike[str], lines: Iterable[str]
) -> Iterator[tuple[int, Sequence[str], str]]:
    """Line number, old names and new name of every row that has a new name."""
    old, new = [0], 1
    for number, line in enumerate(lines, 1):
        fields = [field.strip() for field in line.lstrip("#").split("\t")]
        if line.startswith("#"):
            if len(fields) > 1:
                old, new = _columns(fields)
        elif line.strip() and fields[:2] != DATABASE_HEADER:
            if len(fields) <= new:
                raise SequenceError(
                    f"{os.fspath(path)}: line {number} has {len(fields)} columns, separated by "
                    f"tabs, and the new name is column {new + 1}; give a table of aliases"
                )
            if fields[new] not in NO_NAME:
                yield number, [fields[i] for i in old if i < len(fields)], fields[new]


def _columns(header: Sequence[str]) -> tuple[list[int], int]:
    """Numbers of the columns of old names, and of the column of new names."""
    if NCBI_NEW in header:
        return [header.index(name) for name in NCBI_OLD if name in header], header.index(NCBI_NEW)
    new = header.index("ucsc") if "ucsc" in header else 0
    return [i for i in range(len(header)) if i != new], new
