"""The response to one change on one strand: its values in a file, and its profile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from pgf_genome.effects.pulses.changes import Change
from pgf_genome.effects.pulses.profile import Profile
from pgf_genome.files import naming
from pgf_genome.sequence import Strand, complement

# Values of one track in memory at a time.
PIECE = 1 << 20
# What is kept of every position, in this order.
TRACKS = ("impulse", "change")


class Trace:
    """Takes a response as the sweep meets it, and gives it back in the order of the contig.

    Parameters
    ----------
    change : Change
    strand : Strand
        The strand of the segment that the model reads.
    floor : float
        The noise floor, for the profile.
    folder : Path
        Folder of the temporary file, 8 bytes for each position that responds.
    stack : ExitStack
        What closes, and so removes, that file.
    """

    def __init__(
        self, change: Change, strand: Strand, floor: float, folder: Path, stack: ExitStack
    ) -> None:
        self.change, self.strand = change, strand
        at = change.site.position
        length = strand.stop - strand.start
        self.position = strand.of_contig((at, at + 1))[0]  # on the strand
        self.start, self.stop = strand.in_contig((self.position + 1, length))
        self.profile = Profile(self.stop - self.start, floor)
        self._folder = folder
        with naming(folder):
            self._file = stack.enter_context(TemporaryFile(dir=folder))  # noqa: SIM115

    @property
    def codes(self) -> tuple[int, int]:
        """The base that is there and the one in its place, on the strand."""
        codes = np.array(self.change.codes, np.uint8)
        ref, alt = (complement(codes) if self.strand.reverse else codes).tolist()
        return ref, alt

    def add(self, start: int, values: np.ndarray) -> None:
        """Take the values (tracks, n) of positions of the strand; those up to the change are 0."""
        skipped = max(self.position + 1 - start, 0)
        start, values = start + skipped, values[:, skipped:].astype(np.float32)
        if not values.size:
            return
        self.profile.add(start - self.position, *values)
        first, _ = self.strand.in_contig((start, start + values.shape[1]))
        with naming(self._folder):
            for track, row in enumerate(values):
                self._file.seek(self._offset(track, first))
                self._file.write(self.strand.on_plus(row).tobytes())

    def pieces(self, name: str) -> Iterator[tuple[int, np.ndarray]]:
        """Yield first position and values of successive pieces of a track, along the contig."""
        for start in range(self.start, self.stop, PIECE):
            count = min(PIECE, self.stop - start)
            with naming(self._folder):  # the last values may be written only now
                self._file.seek(self._offset(TRACKS.index(name), start))
                values = self._file.read(4 * count)
            yield start, np.frombuffer(values, np.float32)

    def _offset(self, track: int, position: int) -> int:
        return 4 * (track * (self.stop - self.start) + position - self.start)
