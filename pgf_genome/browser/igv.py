"""Sessions of igv.js (JSON) and of IGV desktop (XML).

Formats: igv.org/doc/igvjs (Browser-Creation, Reference-Genome, Wig-Track) and, for IGV desktop,
``org.broad.igv.session.IGVSessionReader`` and ``..feature.genome.load.JsonGenomeLoader``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pgf_genome.browser.reference import Reference
from pgf_genome.browser.scene import Lane, Scene, index_of
from pgf_genome.browser.track import Track
from pgf_genome.pages.palette import numbers

LETTERS_HEIGHT, BARS_HEIGHT = 120, 80
Locate = Callable[[Path], str]


def igv_session(scene: Scene, url_of: Locate) -> dict[str, Any]:
    """Make the argument of ``igv.createBrowser``.

    Parameters
    ----------
    scene : Scene
        The run to show.
    url_of : callable, Path -> str
        Maps a file to its URL, absolute or relative to the page.
    """
    session: dict[str, Any] = {"locus": str(scene.locus), "loadDefaultGenomes": False}
    if scene.reference is None:
        # igv.js looks the name up in its own lists of genomes
        session |= {"genome": scene.genome, "loadDefaultGenomes": True}
    else:
        session["reference"] = igv_reference(scene, scene.reference, url_of)
    session["tracks"] = [_track(track, url_of) for track in scene.tracks]
    if scene.lane is not None:
        session["tracks"].append(_lane(scene.lane, url_of))
    return session


def igv_reference(scene: Scene, reference: Reference, locate: Locate) -> dict[str, Any]:
    """Make the genome of a scene that has a FASTA, for igv.js and IGV desktop alike."""
    described = {
        # an id that igv.js knows, such as hg38, would bring that genome's tracks from the network
        "id": reference.fasta.name,
        "name": reference.fasta.name,
        "fastaURL": locate(reference.fasta),
        "indexURL": locate(reference.fai),
    }
    if reference.gzi is not None:
        described["compressedIndexURL"] = locate(reference.gzi)
    if scene.aliases:
        described["aliasURL"] = locate(scene.beside("aliases.tsv"))
    return described


def _track(track: Track, url_of: Locate) -> dict[str, Any]:
    described = {
        "name": track.name,
        "description": track.about,
        "type": "wig",
        "format": "bigwig" if track.bigwig else "bedgraph",
        "url": url_of(track.path),
        "color": f"rgb({numbers(track.colour)})",
        "altColor": f"rgb({numbers(track.colour)})",
        "autoscale": True,
        "height": LETTERS_HEIGHT if track.letters else BARS_HEIGHT,
    }
    if track.letters:
        described["graphType"] = "dynseq"
    return described | _index(track.path, url_of)


def _lane(lane: Lane, url_of: Locate) -> dict[str, Any]:
    return {
        "name": lane.name,
        "type": "annotation",
        "format": "bed",
        "url": url_of(lane.path),
        "displayMode": "EXPANDED",
    } | _index(lane.path, url_of)


def _index(path: Path, url_of: Locate) -> dict[str, Any]:
    if path.suffix == ".bw":
        return {}
    index = index_of(path)
    return {"indexed": False} if index is None else {"indexURL": url_of(index)}


def igv_desktop_session(scene: Scene, path_to: Locate) -> str:
    """Make the XML of a session; ``path_to`` gives paths relative to its folder."""
    genome = scene.genome or ""
    if scene.reference is not None:
        genome = path_to(scene.beside("genome.json"))
    root = ElementTree.Element(
        "Session",
        genome=genome,
        locus=str(scene.locus),
        hasGeneTrack="false",
        hasSequenceTrack="true",
        version="8",
    )
    resources = ElementTree.SubElement(root, "Resources")
    panel = ElementTree.SubElement(root, "Panel", name="DataPanel", height="600", width="1200")
    for track in scene.tracks:
        path = path_to(track.path)
        kind = "bw" if track.bigwig else "bedgraph"
        ElementTree.SubElement(resources, "Resource", path=path, type=kind)
        ElementTree.SubElement(panel, "Track", _desktop_track(track, path))
    if scene.lane is not None:
        path = path_to(scene.lane.path)
        ElementTree.SubElement(resources, "Resource", path=path, type="bed")
        ElementTree.SubElement(
            panel, "Track", clazz="org.broad.igv.track.FeatureTrack", id=path,
            name=scene.lane.name, displayMode="EXPANDED", visible="true",
        )  # fmt: skip
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n{text}\n'


def _desktop_track(track: Track, path: str) -> dict[str, str]:
    return {
        "clazz": "org.broad.igv.track.DataSourceTrack",
        "id": path,
        "name": track.name,
        "color": numbers(track.colour),
        "altColor": numbers(track.colour),
        "autoScale": "true",
        "height": str(LETTERS_HEIGHT if track.letters else BARS_HEIGHT),
        "renderer": "DYNSEQ" if track.letters else "BAR_CHART",
        "windowFunction": "mean",
        "visible": "true",
    }
