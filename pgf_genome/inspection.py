"""What a checkpoint is: the facts that ``inspect`` prints, read without computing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pgf_genome.checkpoints.load import Checkpoint, read_checkpoint
from pgf_genome.checkpoints.source import resolve_source
from pgf_genome.engine.plan import DEFAULT_WINDOW, TILE_LENGTH, Cost, WindowCost
from pgf_genome.mamba.config import MambaConfig
from pgf_genome.sequence import BASES

FLOAT32 = 4


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
        "strands": "both" if config.two_way and config.two_way.complement else "one",
        "parameters": checkpoint.parameters,
        "sizes": _sizes(config),
        "tied_head": _tied_as_stored(config),
        "shared_projections": config.two_way.shared if config.two_way else None,
        "vocabulary": _vocabulary(checkpoint),
        "trained_length": checkpoint.trained_length,
        "memory": _memory(checkpoint),
        "sha256": checkpoint.digest,
    }


def _sizes(config: MambaConfig) -> dict[str, Any]:
    sizes = {
        "layers": config.n_layer,
        "d_model": config.d_model,
        "d_inner": config.d_inner,
        "d_state": config.d_state,
        "d_conv": config.d_conv,
    }
    if config.mamba2:
        sizes |= {"heads": config.mamba2.heads, "groups": config.mamba2.groups}
    else:
        sizes["dt_rank"] = config.dt_rank
    return sizes | {"norm": "RMSNorm" if config.rms_norm else "LayerNorm", "eps": config.norm_eps}


def _tied_as_stored(config: MambaConfig) -> bool:
    """The single-strand form of Caduceus-PS has a head of its own; its file has not."""
    return config.tied or config.two_way is not None


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
        cost = WindowCost.of(config, parameters, FLOAT32)
        return {"window": window, "bytes": cost.memory(window)}
    cost = Cost.of(config, parameters, batch=2, itemsize=FLOAT32)
    return {"tile_length": TILE_LENGTH, "bytes": cost.memory(TILE_LENGTH)}
