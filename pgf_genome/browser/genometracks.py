"""Tracks of a pyGenomeTracks figure.

Format: pygenometracks.readthedocs.io; draw it with
``pyGenomeTracks --tracks PREFIX.tracks.ini --region chr1:1-1000 -o figure.pdf``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pgf_genome.browser.scene import Scene

# pyGenomeTracks draws no bin narrower than a base; given two colours, it draws nothing where signs
# alternate
BINS = "300"


def drawn_files(scene: Scene) -> list[Path]:
    """The files that the figure is drawn from."""
    return [*(track.path for track in scene.tracks), *([scene.lane.path] if scene.lane else [])]


def genome_tracks_ini(scene: Scene, path_to: Callable[[Path], str]) -> str:
    """Text of the ini file; ``path_to`` gives paths relative to its folder."""
    sections = ["[x-axis]\nwhere = top\n"]
    for track in scene.tracks:
        settings = {
            "file": path_to(track.path),
            "file_type": "bigwig" if track.bigwig else "bedgraph",
            "title": track.name,
            "height": "3" if track.letters else "2",
            "color": track.colour,
            "nans_to_zeros": "false",
            **({"number_of_bins": BINS} if track.bigwig else {}),
        }
        sections.append(_section(track.name, settings))
    if scene.lane is not None:
        settings = {
            "file": path_to(scene.lane.path),
            "file_type": "bed",
            "title": scene.lane.name,
            "height": "2",
        }
        sections.append(_section("genes", settings))
    return "\n[spacer]\n\n".join(sections)


def _section(name: str, settings: dict[str, str]) -> str:
    # configparser takes a percent sign for an interpolation
    lines = (f"{key} = {value.replace('%', '%%')}\n" for key, value in settings.items())
    return f"[{name}]\n{''.join(lines)}"
