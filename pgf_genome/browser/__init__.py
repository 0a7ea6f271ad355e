"""Genome browsers: session files beside the tracks of a finished run, and a page served here."""

from __future__ import annotations

from pgf_genome.browser.page import find_library, page_routes
from pgf_genome.browser.scene import Scene, read_scene
from pgf_genome.browser.server import LocalServer, Resource
from pgf_genome.browser.sessions import write_sessions

__all__ = [
    "LocalServer",
    "Resource",
    "Scene",
    "find_library",
    "page_routes",
    "read_scene",
    "write_sessions",
]
