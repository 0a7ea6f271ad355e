"""A JBrowse 2 configuration.

Format: jbrowse.org/jb2/docs/config_guide (assemblies, QuantitativeTrack, defaultSession).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pgf_genome.browser.scene import Lane, Scene, index_of
from pgf_genome.browser.track import Track

WIDTH_PIXELS = 1200
HEIGHT = 100
Locate = Callable[[Path], str]


def jbrowse_config(scene: Scene, url_of: Locate) -> dict[str, Any]:
    """Make the content of ``config.json``; URLs are relative to it."""
    name = scene.genome or scene.name
    sequence = _sequence(scene, name, url_of)
    tracks = [_track(scene, track, name, url_of) for track in scene.tracks]
    if scene.lane is not None:
        tracks.append(_lane(scene, scene.lane, name, url_of))
    shown = tracks if scene.reference is None else [sequence, *tracks]
    return {
        "assemblies": [_assembly(scene, name, sequence, url_of)],
        "tracks": tracks,
        "defaultSession": _session(scene, shown),
    }


def _location(url: str) -> dict[str, str]:
    return {"uri": url, "locationType": "UriLocation"}


def _assembly(scene: Scene, name: str, sequence: dict[str, Any], url_of: Locate) -> dict[str, Any]:
    assembly: dict[str, Any] = {"name": name, "sequence": sequence}
    if scene.aliases:
        location = _location(url_of(scene.beside("aliases.tsv")))
        assembly["refNameAliases"] = {
            "adapter": {"type": "RefNameAliasAdapter", "location": location}
        }
    return assembly


def _sequence(scene: Scene, assembly: str, url_of: Locate) -> dict[str, Any]:
    identity = f"{assembly}-reference"
    return {
        "type": "ReferenceSequenceTrack",
        "trackId": identity,
        "assemblyNames": [assembly],
        "adapter": _sequence_adapter(scene, url_of),
        "displays": [_display(identity, "LinearReferenceSequenceDisplay")],
    }


def _sequence_adapter(scene: Scene, url_of: Locate) -> dict[str, Any]:
    reference = scene.reference
    if reference is None:
        sizes = _location(url_of(scene.beside("chrom.sizes")))
        return {"type": "ChromSizesAdapter", "chromSizesLocation": sizes}
    adapter: dict[str, Any] = {
        "type": "IndexedFastaAdapter",
        "fastaLocation": _location(url_of(reference.fasta)),
        "faiLocation": _location(url_of(reference.fai)),
    }
    if reference.gzi is not None:
        adapter |= {
            "type": "BgzipFastaAdapter",
            "gziLocation": _location(url_of(reference.gzi)),
        }
    return adapter


def _track(scene: Scene, track: Track, assembly: str, url_of: Locate) -> dict[str, Any]:
    identity = f"{scene.name}-{track.name}"
    return {
        "type": "QuantitativeTrack",
        "trackId": identity,
        "name": track.name,
        "description": track.about,
        "assemblyNames": [assembly],
        "adapter": _values_adapter(track, url_of),
        "displays": [
            _display(identity, "LinearWiggleDisplay")
            | {
                "height": HEIGHT,
                "autoscale": "local",
                "renderers": {
                    "XYPlotRenderer": {
                        "type": "XYPlotRenderer",
                        "posColor": track.colour,
                        "negColor": track.colour,
                    }
                },
            }
        ],
    }


def _values_adapter(track: Track, url_of: Locate) -> dict[str, Any]:
    location = _location(url_of(track.path))
    if track.bigwig:
        return {"type": "BigWigAdapter", "bigWigLocation": location}
    index = index_of(track.path)
    if index is None:
        return {"type": "BedGraphAdapter", "bedGraphLocation": location}
    return {
        "type": "BedGraphTabixAdapter",
        "bedGraphGzLocation": location,
        "index": _tabix(index, url_of),
    }


def _tabix(index: Path, url_of: Locate) -> dict[str, Any]:
    return {
        "location": _location(url_of(index)),
        "indexType": index.suffix.removeprefix(".").upper(),
    }


def _lane(scene: Scene, lane: Lane, assembly: str, url_of: Locate) -> dict[str, Any]:
    location, index = _location(url_of(lane.path)), index_of(lane.path)
    adapter: dict[str, Any] = {"type": "BedAdapter", "bedLocation": location}
    if index is not None:
        adapter = {
            "type": "BedTabixAdapter",
            "bedGzLocation": location,
            "index": _tabix(index, url_of),
        }
    identity = f"{scene.name}-genes"
    return {
        "type": "FeatureTrack",
        "trackId": identity,
        "name": lane.name,
        "assemblyNames": [assembly],
        "adapter": adapter,
        "displays": [_display(identity, "LinearBasicDisplay")],
    }


def _display(track: str, kind: str) -> dict[str, Any]:
    return {"type": kind, "displayId": f"{track}-{kind}"}


def _session(scene: Scene, tracks: list[dict[str, Any]]) -> dict[str, Any]:
    """A session with one view of the locus and the given tracks, in their order."""
    locus, assembly = scene.locus, tracks[0]["assemblyNames"][0]
    scale = locus.length / WIDTH_PIXELS
    region = {
        "refName": scene.aliases.get(locus.contig, locus.contig),
        "start": 0,
        "end": scene.sizes[locus.contig],
        "assemblyName": assembly,
    }
    view = {
        "id": "pgf-genome",
        "type": "LinearGenomeView",
        "offsetPx": round(locus.start / scale),
        "bpPerPx": scale,
        "displayedRegions": [region],
        "tracks": [_shown(track) for track in tracks],
    }
    return {"name": scene.name, "views": [view]}


def _shown(track: dict[str, Any]) -> dict[str, Any]:
    (display,) = track["displays"]
    return {
        "type": track["type"],
        "configuration": track["trackId"],
        "displays": [{"type": display["type"], "configuration": display["displayId"]}],
    }
