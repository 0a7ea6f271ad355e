"""Session files for genome browsers that are installed or hosted elsewhere.

Paths in a session are relative to its own folder, and equal scenes give equal bytes.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pgf_genome.browser.genometracks import drawn_files, genome_tracks_ini
from pgf_genome.browser.hub import track_hub
from pgf_genome.browser.igv import igv_desktop_session, igv_reference, igv_session
from pgf_genome.browser.jbrowse import jbrowse_config
from pgf_genome.browser.scene import Scene
from pgf_genome.files import atomic_write_text

log = logging.getLogger("pgf_genome")


def write_sessions(scene: Scene) -> list[Path]:
    """Write a session for every browser that can show the scene, beside its tracks.

    Returns
    -------
    list of Path
        ``PREFIX.igv.json`` (igv.js), ``.igv.xml`` and ``.genome.json`` (IGV desktop),
        ``.jbrowse.json``, ``.tracks.ini`` (pyGenomeTracks), ``.hub.txt`` (UCSC), and
        ``.aliases.tsv`` if contigs were renamed.

    Raises
    ------
    ResourceError
        If a file cannot be written.
    """
    folder = scene.prefix.parent

    def path_to(path: Path) -> str:
        return Path(os.path.relpath(path, folder)).as_posix()

    def url_of(path: Path) -> str:
        return quote(path_to(path))

    texts = {
        "igv.json": _json(igv_session(scene, url_of)),
        "igv.xml": igv_desktop_session(scene, path_to),
        "jbrowse.json": _json(jbrowse_config(scene, url_of)),
        "tracks.ini": _drawable(scene, path_to),
        "hub.txt": _hosted(scene, url_of),
    }
    if scene.reference is not None:
        texts["genome.json"] = _json(igv_reference(scene, scene.reference, path_to))
    if scene.aliases:
        texts["aliases.tsv"] = scene.alias_table
    written = []
    for suffix, text in texts.items():
        if text is not None:
            written.append(scene.beside(suffix))
            atomic_write_text(written[-1], text)
    return written


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"


def _drawable(scene: Scene, path_to: Callable[[Path], str]) -> str | None:
    if any(" " in path_to(path) for path in drawn_files(scene)):
        log.warning("no tracks.ini: pyGenomeTracks takes a space for the end of a file's name")
        return None
    return genome_tracks_ini(scene, path_to)


def _hosted(scene: Scene, url_of: Callable[[Path], str]) -> str | None:
    if scene.genome is None:
        return None
    if not any(track.bigwig for track in scene.tracks):
        log.warning("no hub.txt: UCSC reads bigWig; run attribute with --format bigwig")
        return None
    if scene.email is None:
        log.warning("no hub.txt: UCSC refuses a hub without an address; give yours with --email")
        return None
    return track_hub(scene, url_of)
