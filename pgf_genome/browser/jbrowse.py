"""A JBrowse 2 configuration.

Format: jbrowse.org/jb2/docs/config_guide (assemblies, QuantitativeTrack, defaultSession).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pgf_genome.browser.colours import NEGATIVE, POSITIVE, as_hex
from pgf_genome.browser.scene import Annotation, Scene, Track, index_of

WIDTH_PIXELS = 1200
HEIGHT = 100
Locate = Callable[[Path], str]


def jbrowse_config(scene: Scene, url_of: Locate) -> dict[str, Any]:
    """What goes into ``config.json``; URLs are relative to it."""
    name = scene.genome or scene.name
    tracks = [_track(scene, track, name, url_of) for track in scene.tracks]
    if scene.annotation is not None:
        tracks.append(_annotation(scene, scene.annotation, name, url_of))
    return {
        "assemblies": [_assembly(scene, name, url_of)],
        "tracks": tracks,
        "defaultSession": _session(scene, name, tracks),
    }


def _location(url: str) -> dict[str, str]:
    return {"uri": url, "locationType": "UriLocation"}


def _assembly(scene: Scene, name: str, url_of: Locate) -> dict[str, Any]:
    sequence = {
        "type": "ReferenceSequenceTrack",
        "trackId": f"{name}-reference",
        "adapter": _sequence_adapter(scene, url_of),
    }
    assembly: dict[str, Any] = {"name": name, "sequence": sequence}
    if scene.aliases:
        location = _location(url_of(scene.beside("aliases.tsv")))
        assembly["refNameAliases"] = {
            "adapter": {"type": "RefNameAliasAdapter", "location": location}
        }
    return assembly


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
            {
                "type": "LinearWiggleDisplay",
                "displayId": f"{identity}-display",
                "height": HEIGHT,
                "autoscale": "local",
                "renderers": {
                    "XYPlotRenderer": {
                        "type": "XYPlotRenderer",
                        "posColor": as_hex(POSITIVE),
                        "negColor": as_hex(NEGATIVE),
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


def _annotation(
    scene: Scene, annotation: Annotation, assembly: str, url_of: Locate
) -> dict[str, Any]:
    location, index = _location(url_of(annotation.path)), index_of(annotation.path)
    # names of the adapters and of their locations, without an index and with one
    plain, tabix = (
        {
            "gff3": ("Gff3", "gff"),
            "gtf": ("Gtf", "gtf"),
            "bed": ("Bed", "bed"),
        }[annotation.format],
        {"gff3": "Gff3Tabix", "bed": "BedTabix"}.get(annotation.format),
    )
    adapter: dict[str, Any] = {"type": f"{plain[0]}Adapter", f"{plain[1]}Location": location}
    if index is not None and tabix is not None:
        adapter = {
            "type": f"{tabix}Adapter",
            f"{plain[1]}GzLocation": location,
            "index": _tabix(index, url_of),
        }
    return {
        "type": "FeatureTrack",
        "trackId": f"{scene.name}-annotation",
        "name": annotation.path.name,
        "assemblyNames": [assembly],
        "adapter": adapter,
    }


def _session(scene: Scene, assembly: str, tracks: list[dict[str, Any]]) -> dict[str, Any]:
    locus = scene.locus
    contig = scene.aliases.get(locus.contig, locus.contig)
    scale = locus.length / WIDTH_PIXELS
    region = {
        "refName": contig,
        "start": 0,
        "end": scene.sizes[locus.contig],
        "assemblyName": assembly,
    }
    reference = {
        "type": "ReferenceSequenceTrack",
        "configuration": f"{assembly}-reference",
        "displays": [
            {
                "type": "LinearReferenceSequenceDisplay",
                "configuration": f"{assembly}-reference-LinearReferenceSequenceDisplay",
            }
        ],
    }
    shown = [reference] if scene.reference is not None else []
    for track in tracks:
        kind = "Wiggle" if track["type"] == "QuantitativeTrack" else "Basic"
        display = f"{track['trackId']}-Linear{kind}Display"
        if "displays" in track:
            display = track["displays"][0]["displayId"]
        shown.append(
            {
                "type": track["type"],
                "configuration": track["trackId"],
                "displays": [{"type": f"Linear{kind}Display", "configuration": display}],
            }
        )
    view = {
        "id": "pgf-genome",
        "type": "LinearGenomeView",
        "offsetPx": round(locus.start / scale),
        "bpPerPx": scale,
        "displayedRegions": [region],
        "tracks": shown,
    }
    return {"name": scene.name, "views": [view]}
