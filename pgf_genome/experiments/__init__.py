"""The experiments of the PGF paper (arXiv 2512.23068), rerun with this engine and its peers.

Each is a module with ``run(directory, quick, **options) -> Findings``: it writes its table, its
figure and a paragraph, and returns them for a page of several.
"""

from __future__ import annotations

import importlib
from types import ModuleType

EXPERIMENTS = {
    "throughput": "Speed and memory of the gradient, side by side with other software.",
}


def load(name: str) -> ModuleType:
    """The module of an experiment, imported on first use: this package itself stays light."""
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
