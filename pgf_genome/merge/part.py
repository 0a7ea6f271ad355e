"""A finished run, read from its ``run.json`` and its bigWig files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgf_genome.errors import SequenceError, UsageError
from pgf_genome.intervals import Interval
from pgf_genome.tracks.reading import Piece, read_track

# arguments of a run that choose what is read, and arguments that choose how results are written
SELECTION = {"region", "bed", "contig"}
FORMS = {"formats", "compress", "track_line", "report", "max_memory"}
# facts that differ between runs and are kept for each
OWN = ("performance", "bases", "influence")


@dataclass(frozen=True, eq=False)
class Part:
    """A finished run over some contigs of a genome.

    Attributes
    ----------
    prefix : Path
        Prefix of its files.
    lengths : dict of str to int
        Length of every contig in bases.
    tracks : tuple of str
        Names of the tracks.
    facts : dict
        Facts that are equal in all parts, or are lists of records to join.
    own : tuple of dict
        Digest, time, memory and the like of the run, or of the runs that it was merged from.
    """

    prefix: Path
    lengths: dict[str, int]
    tracks: tuple[str, ...]
    facts: dict[str, Any]
    own: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, prefix: str | os.PathLike[str]) -> Part:
        """Read the run of a prefix; raises UsageError if there is no finished run."""
        prefix = Path(prefix)
        path = Path(f"{prefix}.run.json")
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            lengths = {contig["contig"]: contig["length"] for contig in run["contigs"]}
            own = run.pop("parts", None) or [_own(path.name, run)]
            arguments = run["arguments"]
            tracks = arguments["tracks"]
            kept = {key: arguments[key] for key in arguments if key not in SELECTION | FORMS}
            facts = {key: run[key] for key in run if key not in (*OWN, "files")}
            facts |= {"fasta": {"name": run["fasta"]["name"]}, "arguments": kept}
        except OSError as error:
            raise UsageError(
                f"{path}: cannot be read ({error.strerror}); give prefixes of finished runs"
            ) from error
        except (ValueError, LookupError, TypeError) as error:
            raise UsageError(
                f"{path}: not the run.json of a finished run ({type(error).__name__}: {error}); "
                "run attribute again"
            ) from error
        return cls(prefix, lengths, tuple(tracks), facts, tuple(own))

    @property
    def name(self) -> str:
        """The file that holds the facts."""
        return f"{self.prefix}.run.json"

    def values(self, track: str, contigs: Iterable[str]) -> Iterator[Piece]:
        """Read pieces of some of its contigs, in the order given; see `read_track`.

        Raises
        ------
        UsageError
            If the track has no bigWig file.
        """
        path = Path(f"{self.prefix}.{track}.bw")
        if not path.is_file():
            raise UsageError(
                f"{path}: there is no such file; runs are merged from their bigWig files, "
                "so run attribute with --format bigwig"
            )
        whole = [Interval(contig, 0, self.lengths[contig]) for contig in contigs]
        return read_track(path, self.lengths, whole)


def _own(name: str, run: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run": name,
        "contigs": len(run["contigs"]),
        "sha256_of_bases": run["fasta"]["sha256_of_bases"],
        "performance": run["performance"],
        **{key: run[key] for key in OWN if key in run},
    }


def read_lengths(path: str | os.PathLike[str]) -> dict[str, int]:
    """Read the length of every contig from a ``.chrom.sizes`` or ``.fai`` file, in its order.

    Raises
    ------
    SequenceError
        If the file cannot be read, or a line does not begin with a name and a number.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise SequenceError(
            f"{os.fspath(path)}: cannot be read ({reason}); give a .chrom.sizes or .fai file"
        ) from error
    lengths: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name, _, rest = line.partition("\t")
        length = rest.partition("\t")[0]
        if not name or not (length.isascii() and length.isdecimal()):
            raise SequenceError(
                f"{os.fspath(path)}, line {number}: not a name and a length; give a .chrom.sizes "
                "or .fai file"
            )
        lengths[name] = int(length)
    return lengths
