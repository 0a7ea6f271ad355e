"""A UCSC track hub in one file.

Settings: "Hub Track Database Definition" and "Track Hub Basics" of genome.ucsc.edu. ``logo on``
draws a bigWig as letters of the assembly's sequence when zoomed in. Genes are left to the browser's
own tracks: a hub takes bigBed only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from pgf_genome.browser.scene import Scene
from pgf_genome.browser.track import Track
from pgf_genome.pages.palette import numbers

SHORT, LONG = 17, 80


def track_hub(scene: Scene, url_of: Callable[[Path], str]) -> str:
    """Text of the hub of a scene with ``genome`` and ``email``, of the tracks with a bigWig."""
    hub = {
        "hub": _symbol(scene.name),
        "shortLabel": _label(scene.name, SHORT),
        "longLabel": _label(f"{scene.name}: sensitivities of a DNA model, by pgf-genome", LONG),
        "useOneFile": "on",
        "email": scene.email or "",
    }
    stanzas = [hub, {"genome": scene.genome or ""}]
    stanzas += [_stanza(scene, track, url_of) for track in scene.tracks if track.bigwig]
    return "\n".join("".join(f"{k} {v}\n" for k, v in each.items()) for each in stanzas)


def _stanza(scene: Scene, track: Track, url_of: Callable[[Path], str]) -> dict[str, str]:
    settings = {
        "track": _symbol(f"{scene.name}_{track.name}"),
        "shortLabel": _label(track.name, SHORT),
        "longLabel": _label(f"{scene.name} {track.name}: {track.about}".rstrip(": "), LONG),
        "type": "bigWig",
        "bigDataUrl": url_of(track.path),
        "visibility": "full",
        "color": numbers(track.colour),
        "altColor": numbers(track.colour),
        "autoScale": "on",
        "alwaysZero": "on",
        "windowingFunction": "mean",
        "maxHeightPixels": "128:80:16",
    }
    return settings | ({"logo": "on"} if track.letters else {})


def _symbol(text: str) -> str:
    """A name of letters, digits and underscores that starts with a letter."""
    return "pgf_" + re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")


def _label(text: str, longest: int) -> str:
    plain = " ".join(text.split())
    if len(plain) <= longest:
        return plain
    tail = longest // 2  # names often differ at their ends
    return f"{plain[: longest - tail - 2]}..{plain[-tail:]}"
