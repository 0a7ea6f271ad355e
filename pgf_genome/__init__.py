"""Exact sensitivities of pretrained Mamba DNA models to every base of a chromosome.

The names below are loaded on first use, so that importing the package stays cheap.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "PgfError": "pgf_genome.errors",
    "load_model": "pgf_genome.checkpoints.load",
    "adjoint": "pgf_genome.engine.arrays",
    "tangent": "pgf_genome.engine.arrays",
    "parameter_gradient": "pgf_genome.engine.arrays",
    "log_probs": "pgf_genome.engine.arrays",
    "Likelihood": "pgf_genome.engine.objective",
    "PseudoLikelihood": "pgf_genome.engine.objective",
    "Entropy": "pgf_genome.engine.objective",
    "Logit": "pgf_genome.engine.objective",
    "SquaredNorm": "pgf_genome.engine.objective",
    "impulse": "pgf_genome.effects.impulse",
    "dependency_map": "pgf_genome.effects.dependency",
    "substitution_effects": "pgf_genome.effects.substitutions",
    "Training": "pgf_genome.pretrain.settings",
    "train": "pgf_genome.pretrain.training",
    "variant_effects": "pgf_genome.effects.variants",
    "attribute": "pgf_genome.attribution.run",
    "attribute_sequence": "pgf_genome.attribution.in_memory",
    "integrated_gradients": "pgf_genome.engine.path",
    "open_run": "pgf_genome.runs.run",
    "verify": "pgf_genome.verification.finished",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
