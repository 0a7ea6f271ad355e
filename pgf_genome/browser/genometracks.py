"""Tracks of a pyGenomeTracks figure.

Format: pygenometracks.readthedocs.io; draw it with
``pyGenomeTracks --tracks PREFIX.tracks.ini --region chr1:1-1000 -o figure.pdf``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pgf_genome.browser.colours import NEGATIVE, POSITIVE, as_hex
from pgf_genome.browser.scene import Scene

READABLE_ANNOTATIONS = ("gtf", "bed")


def genome_tracks_ini(scene: Scene, path_to: Callable[[Path], str]) -> str:
    """The ini file; `path_to` gives paths relative to its folder. GFF3 cannot be drawn there."""
    sections = ["[x-axis]\nwhere = top\n"]
    for track in scene.tracks:
        settings = {
            "file": path_to(track.path),
            "file_type": "bigwig" if track.bigwig else "bedgraph",
            "title": track.name,
            "height": "3" if track.letters else "2",
            "color": as_hex(POSITIVE),
            "negative_color": as_hex(NEGATIVE),
            "nans_to_zeros": "false",
        }
        sections.append(_section(track.name, settings))
    annotation = scene.annotation
    if annotation is not None and annotation.format in READABLE_ANNOTATIONS:
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
