"""Tracks of a pyGenomeTracks figure.

Format: pygenometracks.readthedocs.io; draw it with
``pyGenomeTracks --tracks PREFIX.tracks.ini --region chr1:1-1000 -o figure.pdf``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pgf_genome.browser.scene import Scene
from pgf_genome.pages.palette import POSITIVE

READABLE_ANNOTATIONS = ("gtf", "bed")
# pyGenomeTracks draws no bin narrower than a base; given two colours, it draws nothing where signs
# alternate
BINS = "300"


def drawn_files(scene: Scene) -> list[Path]:
    """The files of a scene that pyGenomeTracks can draw; it cannot draw GFF3."""
    files = [track.path for track in scene.tracks]
    annotation = scene.annotation
    if annotation is not None and annotation.format in READABLE_ANNOTATIONS:
        files.append(annotation.path)
    return files


def genome_tracks_ini(scene: Scene, path_to: Callable[[Path], str]) -> str:
    """Text of the ini file; ``path_to`` gives paths relative to its folder."""
    sections = ["[x-axis]\nwhere = top\n"]
    for track in scene.tracks:
        settings = {
            "file": path_to(track.path),
            "file_type": "bigwig" if track.bigwig else "bedgraph",
            "title": track.name,
            "height": "3" if track.letters else "2",
            "color": POSITIVE,
            "nans_to_zeros": "false",
            **({"number_of_bins": BINS} if track.bigwig else {}),
        }
        sections.append(_section(track.name, settings))
    annotation = scene.annotation
    if annotation is not None and annotation.path in drawn_files(scene):
        settings = {
            "file": path_to(annotation.path),
            "file_type": annotation.format,
            "title": annotation.path.stem,
            "height": "2",
        }
        sections.append(_section("annotation", settings))
    return "\n[spacer]\n\n".join(sections)


def _section(name: str, settings: dict[str, str]) -> str:
    # configparser takes a percent sign for an interpolation
    lines = (f"{key} = {value.replace('%', '%%')}\n" for key, value in settings.items())
    return f"[{name}]\n{''.join(lines)}"
