"""The colours of everything that is drawn; no other file names a colour.

A figure made in Python uses `LIGHT`. The program of a page replaces every colour of `LIGHT` by
that of `DARK` in the same place where the reader prefers a dark page.

Text, and the first four lines, whose colour the titles of tracks have too, reach a contrast of 4.5
with the paper; other lines and the letters of bases reach 3 (WCAG 2.2, 1.4.3 and 1.4.11). The first
four lines, and the four bases, can be told apart by every kind of colour vision (distances in OKLab
after the simulation of Machado, Oliveira and Fernandes 2009); where there are more lines, their
`SYMBOLS` tell them apart too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

# steps of the ramp that `Palette.ramp` chooses from
STEPS = 60
# marks of points, as plotly names them; one more than `Palette.lines`, so that pairs of colour and
# mark do not soon come again
SYMBOLS = (
    "circle", "square", "diamond", "triangle-up", "star", "cross", "hexagon", "pentagon",
    "star-square",
)  # fmt: skip


@dataclass(frozen=True)
class Palette:
    """Colours by what they are for, each ``#rrggbb``.

    Attributes
    ----------
    paper, ink, quiet, link : str
        Background, text, text that explains, and text to click on.
    mark : str
        What a reader should see first.
    rule, grid, shade : str
        Frames of tables and axes, grids, and the ground of what is raised from the paper.
    faint : str
        What other things are compared with: reference lines, bars of an earlier state.
    lines : tuple of str
        Tracks and curves, in their order.
    bases : tuple of str
        A, C, G and T.
    stops : tuple of str
        Ends and equidistant points of a ramp, from the first of many to the last.
    """

    paper: str
    ink: str
    quiet: str
    link: str
    mark: str
    rule: str
    grid: str
    shade: str
    faint: str
    lines: tuple[str, ...]
    bases: tuple[str, str, str, str]
    stops: tuple[str, ...]

    def named(self) -> Iterator[tuple[str, str]]:
        """Yield the colours with their names in style sheets: ``paper``, ``line-0``, ``base-A``."""
        for field in fields(self):
            if isinstance(colour := getattr(self, field.name), str):
                yield field.name, colour
        yield from ((f"line-{i}", colour) for i, colour in enumerate(self.lines))
        yield from (
            (f"base-{base}", colour) for base, colour in zip("ACGT", self.bases, strict=True)
        )

    def line(self, rank: int) -> str:
        """Return the colour of a line by its place; there are as many as `lines`, over again."""
        return self.lines[rank % len(self.lines)]

    def ramp(self, count: int) -> list[str]:
        """Return ``count`` colours from the first stop to the last, for things in an order."""
        return [self._step(round(STEPS * i / max(count - 1, 1))) for i in range(count)]

    def _step(self, step: int) -> str:
        last = len(self.stops) - 2
        whole = min(step * (last + 1) // STEPS, last)
        part = step * (last + 1) / STEPS - whole
        ends = (channels(stop) for stop in self.stops[whole : whole + 2])
        return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in zip(*ends, strict=True))


LIGHT = Palette(
    paper="#ffffff", ink="#1c2430", quiet="#5a6472", link="#1f5f99", mark="#b3261e",
    rule="#d5dbe3", grid="#e9edf2", shade="#f5f7fa", faint="#8590a0",
    lines=("#1f69aa", "#c85028", "#234d11", "#5e346a", "#b98421", "#239382", "#ad327c", "#4539a8"),
    bases=("#008a63", "#0062a8", "#b57600", "#b03a1a"),
    # viridis, the half that is dark enough
    stops=("#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89"),
)  # fmt: skip
DARK = Palette(
    paper="#14181e", ink="#e4e8ee", quiet="#9ea9b8", link="#8fc1ec", mark="#ff8a7d",
    rule="#38414e", grid="#262d37", shade="#1c222a", faint="#748092",
    lines=("#6fb1ea", "#f08a5d", "#8fe8bf", "#a160f5", "#f0cf3a", "#12939e", "#f23f8c", "#8484d9"),
    bases=("#3fd6a0", "#6aa8f5", "#f3c24a", "#f0703a"),
    # viridis, the half that is light enough
    stops=("#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"),
)  # fmt: skip


def numbers(colour: str) -> str:
    """Write a colour as genome browsers take it: ``31,105,170`` for ``#1f69aa``."""
    return ",".join(map(str, channels(colour)))


def channels(colour: str) -> tuple[int, int, int]:
    """Split a colour into red, green and blue: (31, 105, 170) for ``#1f69aa``."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def twins() -> dict[str, str]:
    """Map every colour of `LIGHT` to that of `DARK` in its place."""
    dark = dict(DARK.named())
    ramps = zip(LIGHT.ramp(STEPS + 1), DARK.ramp(STEPS + 1), strict=True)
    return {colour: dark[name] for name, colour in LIGHT.named()} | dict(ramps)
