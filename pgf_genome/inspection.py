"""The facts of a checkpoint that ``inspect`` prints, read without computing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pgf_genome.checkpoints.load import Checkpoint, read_checkpoint
from pgf_genome.checkpoints.source import resolve_source
from pgf_genome.engine.plan import DEFAULT_WINDOW, TILE_LENGTH, Cost, WindowCost
from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.mixers.base import sizes_of
from pgf_genome.sequence import BASES

FLOAT32 = 4
NO_HEAD = "none, for there is no head: --objective norm is all that can be asked for"


def inspect(source: str | Path) -> dict[str, Any]:
    """Describe a model source in plain values, for people and for JSON.

    Parameters
    ----------
    source : str or Path
        Bundled name, checkpoint directory or hub id.

    Raises
    ------
    ModelError
        If it is not a checkpoint that this version reads; the message says why.
    """
    found = resolve_source(source)
    checkpoint = read_checkpoint(found.directory)
    config = checkpoint.config
    return {
        "name": found.name,
        "directory": str(found.directory),
        **found.origin,
        "family": checkpoint.family,
        "direction": "bidirectional, masked" if config.two_way else "causal",
        "strands": "both" if config.complement else "one",
        "parameters": checkpoint.parameters,
        "sizes": _sizes(config),
        "tied_head": checkpoint.tied_head,
        "shared_projections": config.two_way.shared if config.two_way else None,
        **({} if config.has_head else {"predictions": NO_HEAD}),
        **checkpoint.facts,
        "vocabulary": _vocabulary(checkpoint),
        "trained_length": checkpoint.trained_length,
        "memory": _memory(checkpoint),
        "sha256": checkpoint.digest,
    }


def _sizes(config: MambaConfig) -> dict[str, Any]:
    return {
        "layers": config.n_layer,
        "d_model": config.d_model,
        **sizes_of(config.mixer),
        "norm": "RMSNorm" if config.rms_norm else "LayerNorm",
        "eps": config.norm_eps,
    }


def _vocabulary(checkpoint: Checkpoint) -> dict[str, Any]:
    vocabulary = checkpoint.vocabulary
    ids = dict(zip((*BASES, "N"), vocabulary.code_to_id.tolist(), strict=True))
    return {
        "ids": ids,
        "n_is_fed_as": vocabulary.tokens[ids["N"]],
        "base_order": "".join(sorted(BASES, key=ids.__getitem__)),
        "rows": vocabulary.rows,
        "padding_rows": vocabulary.rows - len(vocabulary.tokens),
        "special": vocabulary.special,
    }


def _memory(checkpoint: Checkpoint) -> dict[str, int]:
    """Expected peak of resident memory in float32, by what the model sees at a time."""
    config, parameters = checkpoint.config, checkpoint.parameters
    if config.two_way:
        window = checkpoint.trained_length or DEFAULT_WINDOW
        of_windows = WindowCost.of(config, parameters, FLOAT32)
        return {"window": window, "bytes": of_windows.memory(window)}
    cost = Cost.of(config, parameters, batch=2, itemsize=FLOAT32)
    return {"tile_length": TILE_LENGTH, "bytes": cost.memory(TILE_LENGTH)}
