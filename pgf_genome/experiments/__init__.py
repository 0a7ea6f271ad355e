"""The experiments of the PGF paper (arXiv 2512.23068), and others, rerun with this engine.

A module measures: it has ``Settings``, a smaller ``QUICK`` and ``rows(settings, scratch)``, the
rows of its table, measured one after the other. The module with ``_text`` added to its name imports
it and presents a table: ``findings(table)``. `runner.run` puts the two together.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Entry:
    """An experiment as the command line lists it.

    Attributes
    ----------
    summary : str
        One line for the help.
    inputs : tuple of str
        Files that it needs from the user: any of ``"fasta"``, ``"gff"``, ``"model"``.
    """

    summary: str
    inputs: tuple[str, ...] = ()


EXPERIMENTS = {
    "scaling": Entry("Measure memory and time against length, up to the limits (Fig. 1)."),
    "fidelity": Entry("Compare with float64 over lengths and tiles (Fig. 2)."),
    "throughput": Entry("Compare speed and memory of the gradient with peers (Fig. 3)."),
    "ghost-pulse": Entry("Measure how far a pulse can be followed (Fig. 4)."),
    "training": Entry("Compare training by tiles with training by autograd (Fig. 5)."),
    "stiffness": Entry("Find where scans of very fast or very slow poles break (App. A)."),
    "parameter-gradient": Entry("Measure memory of weight gradients against length (App. A.4)."),
    "precision": Entry("Find which arithmetic tolerates half precision (App. B)."),
    "complexity": Entry("Measure cost against the number of states (App. C)."),
    "long-context": Entry("Measure what windows miss of a sequence (App. H).", ("fasta", "model")),
    "memory-init": Entry("Measure the memory of initialisations (arXiv 2510.00563)."),
    "initialisation": Entry("Train from several initialisations, free and frozen.", ("fasta",)),
    "biology": Entry("Test what a model knows of genes and mutations.", ("fasta", "gff", "model")),
    "trna": Entry("Test whether dependency maps show stems of tRNAs.", ("fasta", "gff", "model")),
}


def load(name: str) -> ModuleType:
    """Import the module of an experiment, on first use so that this package stays light."""
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
