"""The families of checkpoints that are read, one a file, and how one is told from another.

A module of this folder that offers a ``FAMILY`` is a family; nothing else needs to know of it.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from importlib import import_module
from typing import Any, NamedTuple

from pgf_genome.checkpoints.configuration import Configuration
from pgf_genome.checkpoints.families import refused
from pgf_genome.checkpoints.family import Family, StoredMixer
from pgf_genome.errors import ModelError


class Candidate(NamedTuple):
    """A family that a checkpoint may be of, and the mixer of its layers."""

    family: Family
    mixer: StoredMixer
    configuration: Configuration

    @property
    def is_stated(self) -> bool:
        return self.mixer.is_stated(self.configuration)


def known() -> list[Family]:
    """Every family in this folder, in the order of their titles."""
    modules = [import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    found = [module.FAMILY for module in modules if hasattr(module, "FAMILY")]
    return sorted(found, key=lambda family: family.title.lower())


def candidates_of(content: dict[str, Any]) -> list[Candidate]:
    """The families and mixers that a ``config.json`` may describe.

    Raises
    ------
    ModelError
        If it is of no family that is read, with the name of the family.
    """
    names = content.get("architectures") or []
    if not isinstance(names, list):
        raise ModelError(f"architectures in config.json is {names!r}, not a list")
    model_type = content.get("model_type")
    title = _title(model_type, names)
    key = refused.key_in(content)
    if key:
        meaning = refused.KEYS[key]
        raise ModelError(f"{title}: {key} {content[key]!r} means {meaning}; this {_unsupported()}")
    if isinstance(model_type, str | None):
        families = [f for f in known() if f.accepts(model_type, {*map(str, names)})]
    else:
        families = []
    if not families:
        reason = refused.reason_for([model_type, *names])
        raise ModelError(
            f"the family of {title}{f' ({reason})' if reason else ''} {_unsupported()}"
        )
    if content.get("hidden_act") not in (None, "silu", "swish"):
        raise ModelError(f"hidden_act {content['hidden_act']!r} is not supported, only 'silu'")
    configurations = [(f, f.configuration(content)) for f in families]
    found = [Candidate(f, mixer, stated) for f, stated in configurations for mixer in f.mixers]
    layer = found[0].configuration.layer
    if layer is not None and not any(candidate.is_stated for candidate in found):
        raise ModelError(f"ssm_cfg.layer {layer!r} {_unsupported()}")
    return found


def choose(candidates: list[Candidate], names: Iterable[str]) -> Candidate:
    """The candidate for which the names of the tensors, as they are in the file, decide.

    Raises
    ------
    ModelError
        If a tensor shows another architecture, or the mixer that is stated is not the one stored.
    """
    names = list(names)
    foreign = refused.tensor_in(names)
    if foreign:
        name, meaning = foreign
        raise ModelError(f"unknown tensor {name}: {meaning}; this {_unsupported()}")
    stated = [c for c in candidates if c.is_stated]
    stored = [c for c in candidates if c.mixer.is_in(names)]
    others = [c for c in stored if stated and c not in stated]
    if others:
        said, is_there = stated[0].mixer.title, others[0].mixer.title
        raise ModelError(f"config.json says {said}, but the tensors are {is_there}'s")
    return (stated or stored or candidates)[0]


def _title(model_type: object, architectures: list[Any]) -> str:
    named = [f"model_type {model_type!r}"] if model_type else []
    named += [f"architecture {name!r}" for name in architectures]
    return ", ".join(named) or "a native mamba_ssm model"


def _unsupported() -> str:
    return f"is not supported: this version reads {', '.join(f.title for f in known())}"
