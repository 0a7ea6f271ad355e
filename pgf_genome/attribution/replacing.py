"""An earlier run under the same prefix makes room for a new one."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from pathlib import Path

from pgf_genome.attribution.methods import TRACKS
from pgf_genome.files import naming

log = logging.getLogger("pgf_genome")

# What this program writes under a prefix; no other file is ever removed.
_TRACK = rf"(?:{'|'.join(map(re.escape, TRACKS))})(?:\.bin\d+\.(?:mean|max))?"
_OUTPUT = re.compile(
    rf"{_TRACK}\.(?:bw|bedgraph|bedgraph\.gz|bedgraph\.gz\.tbi)"
    r"|chrom\.sizes|report\.html|report\.png|statistics\.json"
)


def withdraw(prefix: Path) -> None:
    """Remove the run.json of an earlier run, so that it never lies beside files of another one."""
    path = Path(f"{prefix}.run.json")
    with naming(path):
        path.unlink(missing_ok=True)


def remove_left_over(prefix: Path, written: Collection[Path]) -> None:
    """Remove outputs under the prefix that this run has not written, and name them in the log."""
    ours = {name for path in written for name in (path.name, f"{path.name}.tbi")}
    start = f"{prefix.name}."
    left = sorted(
        path
        for path in prefix.parent.iterdir()
        if path.name.startswith(start)
        and _OUTPUT.fullmatch(path.name.removeprefix(start))
        and path.name not in ours
        and path.is_file()
    )
    for path in left:
        with naming(path):
            path.unlink()
    if left:
        names = ", ".join(path.name for path in left)
        log.info("removed of an earlier run under this prefix: %s", names)
