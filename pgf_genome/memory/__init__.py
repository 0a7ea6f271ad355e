"""Memory functions and influence profiles: how far back a model remembers and its predictions look.

``closed_form.py`` treats systems that do not change with time; ``estimator.py`` measures any
features against past bases; ``layers.py`` applies it to a causal model in one streaming pass;
``influence.py`` probes predictions by the adjoint sweep. ``measurement.py`` puts them together.
"""

from pgf_genome.memory.closed_form import (
    memory_function,
    memory_function_by_moments,
    random_gate,
    reachable_poles,
)
from pgf_genome.memory.measurement import Memory, Settings, measure
from pgf_genome.memory.output import facts, rows, tsv, write

__all__ = [
    "Memory",
    "Settings",
    "facts",
    "measure",
    "memory_function",
    "memory_function_by_moments",
    "random_gate",
    "reachable_poles",
    "rows",
    "tsv",
    "write",
]
