"""The page that ``browse --serve`` opens: igv.js over the files of one scene."""

from __future__ import annotations

import json
import os
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from pgf_genome.browser.igv import igv_session
from pgf_genome.browser.scene import Scene, index_of
from pgf_genome.browser.server import Resource
from pgf_genome.errors import UsageError
from pgf_genome.pages.frame import asset, html_page

LIBRARY = Path("node_modules", "igv", "dist", "igv.min.js")
TEXT = "text/html; charset=utf-8"
SCRIPT = "text/javascript; charset=utf-8"
JSON = "application/json"
LEAD = (
    "<p>Contribution, importance and integrated gradients turn into letters where a base is wider "
    "than half a pixel. Click on a track for its value there.</p>"
)
BROWSER = '<p id="problem" role="alert" hidden></p>\n<div id="browser"></div>'
SCRIPTS = ('<script src="igv.js"></script>', '<script src="page.js"></script>')
# igv.js styles its elements by script, and draws its icons from data URLs
POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def find_library(igv_js: str | os.PathLike[str] | None, folder: Path) -> Path | None:
    """Find ``igv.min.js``.

    Parameters
    ----------
    igv_js : path-like, optional
        The file itself.
    folder : Path
        If ``igv_js`` is None, the file is looked for in ``node_modules`` of this folder and of
        those above it.

    Returns
    -------
    Path, or None if there is none.

    Raises
    ------
    UsageError
        If ``igv_js`` is not a file.
    """
    if igv_js is not None:
        if not Path(igv_js).is_file():
            raise UsageError(
                f"`igv_js` {os.fspath(igv_js)}: no such file; "
                "name igv.min.js of the npm package igv"
            )
        return Path(igv_js)
    folder = folder.resolve()
    candidates = (each / LIBRARY for each in (folder, *folder.parents))
    return next(filter(Path.is_file, candidates), None)


def page_routes(scene: Scene, library: Path | None) -> dict[str, Resource]:
    """Make the answers of the server for the page of a scene.

    Parameters
    ----------
    scene : Scene
        The run to show.
    library : Path, optional
        The file of igv.js; without it the page says where to get one.

    Returns
    -------
    dict of str to Resource
        Answer by path: the page at ``/``, the files of the scene below ``/files/``.
    """
    paths = {path: f"/files/{i}/{path.name}" for i, path in enumerate(_files(scene))}
    routes = {route: Resource(path) for path, route in paths.items()}
    if scene.aliases:
        aliases = scene.beside("aliases.tsv")
        paths[aliases] = f"/files/{aliases.name}"
        routes[paths[aliases]] = Resource(scene.alias_table.encode())
    # the reference may be one that igv.js downloads
    policy = {"Content-Security-Policy": POLICY} if scene.reference else {}
    routes["/"] = Resource(_page(scene.name, library).encode(), TEXT, policy)
    if library is not None:
        session = igv_session(scene, lambda path: quote(paths[path].removeprefix("/")))
        routes["/session.json"] = Resource(json.dumps(session).encode(), JSON)
        routes["/page.js"] = Resource(_asset("page.js").encode(), SCRIPT)
        routes["/igv.js"] = Resource(library, SCRIPT)
    return routes


def _page(name: str, library: Path | None) -> str:
    if library is None:
        missing = Template(_asset("missing.html")).substitute(folder=escape(str(Path.cwd())))
        return html_page("browse", name, missing, served=True)
    return html_page(
        "browse",
        name,
        BROWSER,
        lead=LEAD,
        styles=[_asset("page.css")],
        scripts=SCRIPTS,
        served=True,
    )


def _files(scene: Scene) -> list[Path]:
    """All files that the page may read."""
    paths = [path for track in scene.tracks for path in track.files]
    if scene.lane is not None:
        paths.append(scene.lane.path)
    paths += [index for path in paths if (index := index_of(path)) is not None]
    if scene.reference is not None:
        reference = scene.reference
        paths += [reference.fasta, reference.fai, *filter(None, [reference.gzi])]
    return paths


def _asset(name: str) -> str:
    return asset("pgf_genome.browser", name)
