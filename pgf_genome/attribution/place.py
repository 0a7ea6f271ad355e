"""The place of a segment among the records of a run.

All segments of a run share a few files, because files of its own would take longer to make and to
remove than a short segment takes to compute. Track values, objectives and errors of halos are
kept, one segment after the other; everything else is of the segment in work alone, and the next
one writes over it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pgf_genome.files import discard

# What is kept of every segment, and of the run.
KEPT = ("tracks", "objective", "halos", "completeness", "threads")


@dataclass(frozen=True)
class Place:
    """The place of one segment.

    Attributes
    ----------
    folder : Path
        The folder of the run.
    run : str
        Identity of the run.
    number : int
        Place of the segment among those of the run, from 0.
    tracks_at : int
        Byte of the file of track values at which those of the segment begin.
    """

    folder: Path
    run: str
    number: int = 0
    tracks_at: int = 0

    @property
    def identity(self) -> str:
        """What the records of the segment belong to."""
        return f"{self.run} {self.number}"

    def path(self, name: str) -> Path:
        """A file of the run."""
        return self.folder / name

    def forget(self) -> None:
        """Remove what is there of the segment in work."""
        for path in self.folder.iterdir():
            if path.name not in KEPT:
                discard(path)
