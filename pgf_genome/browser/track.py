"""A track of a finished run, as a browser shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pgf_genome.runs.run import SIGNED


@dataclass(frozen=True)
class Track:
    """One track of a run.

    Attributes
    ----------
    name : str
        ``contribution``, ``tism.A``, ..
    about : str
        Description of its values with their unit; may be empty.
    files : tuple of Path
        Its files; the first is the one to show.
    colour : str
        ``#rrggbb``, that of the track in the report.
    """

    name: str
    about: str
    files: tuple[Path, ...]
    colour: str

    @property
    def path(self) -> Path:
        """The file to show."""
        return self.files[0]

    @property
    def letters(self) -> bool:
        """True if the values are heights of the reference's letters (dynseq)."""
        return self.name in SIGNED

    @property
    def bigwig(self) -> bool:
        """True if the file to show is a bigWig."""
        return self.path.suffix == ".bw"
