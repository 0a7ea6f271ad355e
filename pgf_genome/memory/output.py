"""A measurement as a table, as JSON and as a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pgf_genome.files import atomic_write_text
from pgf_genome.memory.drives import MARKOV_ORDER
from pgf_genome.memory.estimator import FLOOR_BASES, MemoryFunction
from pgf_genome.memory.influence import Influence
from pgf_genome.memory.layers import LayerMemory
from pgf_genome.memory.measurement import Memory
from pgf_genome.memory.page import page

LEVELS = (0.5, 0.1, 0.01)
REACHES = (0.5, 0.9)
COLUMNS = (
    *("drive", "layer", "of", "rank", "bias", "mf_0", *(f"l_{e}" for e in LEVELS), "capacity"),
    *("tau_median", "tau_95", "tau_max", *(f"ecl_{b}" for b in REACHES), "mean_distance"),
    "tail",
)
MEANINGS = {
    "mf": "fraction of the base k positions back that a linear readout recovers: as estimated",
    "bias": "rank / positions: the mean score of features that are independent of the input",
    "floor": f"the same from the last {FLOOR_BASES} bases alone; 0 at lags below that",
    "l": "first measured lag at which mf, above the larger of bias and floor, is below a level",
    "capacity": "that excess summed over all lags: linear memory in bases, a lower bound",
    "tau": "bases in which the slowest state of a channel falls to 1/e",
    "influence": "mean over probes of the squared simplex gradient of log p, by distance",
    "ecl": "smallest distance within which that part of the influence lies",
    "ecl_interval": "5 % and 95 % quantiles over bootstrap samples of the probes",
    "tail": "part of the influence in the farther half of the span",
    "markov": f"a draw from the chain of order {MARKOV_ORDER} counted on the measured bases",
}


def rows(memory: Memory) -> list[dict[str, Any]]:
    """Make the table, by `COLUMNS`: two rows per drive and layer, then one row per drive.

    ``of`` is ``"output"`` (the residual stream after the layer), ``"channel"`` (medians over the
    sampled channels) or ``"prediction"`` (influence, end to end). A row has no key for a column
    that does not apply.
    """
    return [row for layer in memory.layers for row in _layer_rows(layer)] + [
        _influence_row(each) for each in memory.influences
    ]


def tsv(memory: Memory) -> str:
    """Write the table as text; lengths beyond the longest lag are written as ``>4000``."""
    lines = ["\t".join(COLUMNS)]
    lines += ["\t".join(_text(row.get(name)) for name in COLUMNS) for row in rows(memory)]
    return "\n".join(lines)


def facts(memory: Memory) -> dict[str, Any]:
    """Collect all results in plain values for JSON; lengths that were not reached are null."""
    return {
        "model": memory.model,
        "settings": asdict(memory.settings),
        "meanings": MEANINGS,
        "measured": [str(stretch) for stretch in memory.stretches],
        "layers": [_layer_facts(layer) for layer in memory.layers],
        "halo": memory.halo,
        "influence": [_influence_facts(each) for each in memory.influences],
    }


def write(memory: Memory, prefix: str | Path) -> tuple[Path, Path]:
    """Write ``PREFIX.memory.json`` and ``PREFIX.memory.html``; return their paths.

    Raises
    ------
    ResourceError
        If one cannot be written.
    """
    data, drawn = Path(f"{prefix}.memory.json"), Path(f"{prefix}.memory.html")
    atomic_write_text(data, json.dumps(facts(memory), indent=1) + "\n")
    atomic_write_text(drawn, page(memory))
    return data, drawn


def _layer_rows(layer: LayerMemory) -> Iterator[dict[str, Any]]:
    place = {"drive": layer.drive, "layer": layer.layer}
    slowest = dict(zip(("tau_median", "tau_95", "tau_max"), layer.slowest.values(), strict=True))
    yield place | {"of": "output"} | _function_row([layer.output]) | slowest
    yield place | {"of": "channel"} | _function_row(list(layer.channels.values()))


def _function_row(functions: list[MemoryFunction]) -> dict[str, Any]:
    """Medians over the functions; a length beyond the longest lag is written as ``>`` that lag."""
    beyond = functions[0].lags[-1] + 1
    lengths: dict[str, Any] = {}
    for level in LEVELS:
        reached = [f.length(level) for f in functions]
        middle = np.median([beyond if k is None else k for k in reached])
        lengths[f"l_{level}"] = f">{beyond - 1}" if middle >= beyond else float(middle)
    first = np.median([f.values[0] for f in functions])
    return {
        "rank": float(np.median([f.rank for f in functions])),
        "bias": float(np.median([f.bias for f in functions])),
        "mf_0": float(first),
        **lengths,
        "capacity": float(np.median([f.capacity for f in functions])),
    }


def _influence_row(each: Influence) -> dict[str, Any]:
    return {
        "drive": each.drive,
        "layer": "all",
        "of": "prediction",
        **{f"ecl_{b}": each.reach(b) for b in REACHES},
        "mean_distance": each.mean_distance,
        "tail": each.tail,
    }


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _layer_facts(layer: LayerMemory) -> dict[str, Any]:
    return {
        "drive": layer.drive,
        "layer": layer.layer,
        "lags": list(layer.output.lags),
        "floor": list(layer.output.floor),
        "output": _function_facts(layer.output),
        "channels": {str(c): _function_facts(f) for c, f in layer.channels.items()},
        "time_constants": {
            "slowest_state": layer.slowest,
            "of_sampled_channels": {str(c): layer.time_constants[c] for c in layer.channels},
        },
    }


def _function_facts(function: MemoryFunction) -> dict[str, Any]:
    return {
        "mf": list(function.values),
        "rank": function.rank,
        "positions": function.count,
        "bias": function.bias,
        **{f"l_{level}": function.length(level) for level in LEVELS},
        "capacity": function.capacity,
    }


def _influence_facts(each: Influence) -> dict[str, Any]:
    return {
        "drive": each.drive,
        "probes": len(each.energy),
        "tail": each.tail,
        "span": each.energy.shape[1],
        **{f"ecl_{b}": each.reach(b) for b in (*REACHES, 0.99)},
        **{f"ecl_{b}_interval": list(each.interval(b)) for b in REACHES},
        "mean_distance": each.mean_distance,
        **each.binned(),
    }
