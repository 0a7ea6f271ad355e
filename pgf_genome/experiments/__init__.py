"""The experiments of the PGF paper (arXiv 2512.23068), rerun with this engine and its peers.

Each is a module with ``Settings``, a smaller ``QUICK`` and ``rows(settings, scratch)``, the rows of
its table, measured one after the other; what a table says is told by ``findings(table)`` of the
module of that name and ``_text``. `runner.run` puts them together.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Entry:
    """An experiment as the command line knows it.

    Attributes
    ----------
    summary : str
        One line.
    inputs : tuple of str
        Files it works on beside what it makes itself: any of "fasta", "gff", "model".
    """

    summary: str
    inputs: tuple[str, ...] = ()


EXPERIMENTS = {
    "scaling": Entry("Memory and time against length, and where each method ends (Fig. 1)."),
    "fidelity": Entry("Error against float64 over lengths and tiles (Fig. 2)."),
    "throughput": Entry("Speed and memory of the gradient, side by side with peers (Fig. 3)."),
    "ghost-pulse": Entry("How far back one pulse can still be seen (Fig. 4)."),
    "training": Entry("Training by tiles against training by autograd (Fig. 5)."),
    "stiffness": Entry("Where the scans of very fast and very slow poles break (App. A)."),
    "parameter-gradient": Entry("Memory of weight gradients against length (App. A.4)."),
    "precision": Entry("What may be computed in half precision (App. B)."),
    "complexity": Entry("Cost against the number of states (App. C)."),
    "long-context": Entry("What windows miss of a real sequence (App. H).", ("fasta", "model")),
    "memory-init": Entry("Initialisations and what they remember (arXiv 2510.00563)."),
    "initialisation": Entry("Initialisations and frozen poles, trained alike.", ("fasta",)),
    "biology": Entry("What a model knows of genes and mutations.", ("fasta", "gff", "model")),
}


def load(name: str) -> ModuleType:
    """The module of an experiment, imported on first use: this package itself stays light."""
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
