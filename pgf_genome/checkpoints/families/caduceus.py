"""Caduceus (Schiff et al. 2024, arXiv 2403.03234) and its successors: a mixer each way.

Names are those of mamba_ssm within ``caduceus.backbone.``, with wrappers around what reads both
strands. Two kinds of models differ by ``rcps``: Ph reads its input, PS both strands of it.

PS carries both strands in one residual stream, the second with its channels reversed. With
``fused_add_norm`` (all published models) its norm puts each strand into the other's half, so that
the strands change places at every layer. Conjugating every even layer by "reverse time and
channels" undoes the exchange: both strands then see one and the same stack, which is the form of
``mamba.bidirectional``. Time is reversed by exchanging the two mixers, channels by reversing the
axes that belong to the residual stream.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pgf_genome.checkpoints.configuration import Configuration, object_in
from pgf_genome.checkpoints.families import mamba1, mamba2
from pgf_genome.checkpoints.family import Family, Stored, head_is_tied
from pgf_genome.errors import ModelError
from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.mixers.both_ways import TwoWay
from pgf_genome.mamba.mixers.mamba1 import Mamba1Config
from pgf_genome.mamba.vocabulary import Vocabulary

FORWARD, REVERSE = ".mamba_fwd.", ".mamba_rev."
SHARED = ("in_proj.weight", "in_proj.bias", "out_proj.weight", "out_proj.bias")
COMPLEMENT_MAPS = ("lm_head.complement_map", "embeddings.complement_map")
# Axis of the residual stream in the tensors of a layer that have one.
STREAM_AXIS = {
    "norm.weight": 0,
    "norm.bias": 0,
    "in_proj.weight": 1,
    "out_proj.weight": 0,
    "out_proj.bias": 0,
}


@dataclass(frozen=True)
class Caduceus(Family):
    """Bidirectional models, whose head is always the embedding."""

    def configuration(self, content: dict[str, Any]) -> Configuration:
        if content.get("bidirectional") is False:
            raise ModelError(
                "bidirectional false, a causal masked model, is not supported: this version reads "
                f"{self.title}"
            )
        return Configuration(_flattened(content))

    def canonical(self, name: str) -> str:
        for wrapper in ("embeddings.word_embeddings.", "embeddings.embedding."):
            name = name.replace(wrapper, "embeddings.")
        name = name.replace("lm_head.lm_head.", "lm_head.")
        return super().canonical(re.sub(r"\b(norm|norm_f|mixer)\.submodule\.", r"\1.", name))

    def two_way(self, stored: Stored) -> TwoWay:
        stated = stored.configuration
        _check_wrappers(stored)
        return TwoWay(
            shared=stated.switch("bidirectional_weight_tie", default=True),
            strategy=stated.content.get("bidirectional_strategy") or "add",
            complement=_complement_map(stored) if _reads_both(stated) else None,
        )

    def tied(self, stored: Stored) -> bool:
        return head_is_tied(stored, said=True, default=True)

    def weights(self, stored: Stored, config: MambaConfig) -> dict[str, Tensor]:
        tensors = {n: t for n, t in stored.tensors.items() if n not in COMPLEMENT_MAPS}
        if config.two_way and config.two_way.shared:
            _fill_aliases(tensors, stored.in_file)
        return tensors

    def converted(
        self,
        config: MambaConfig,
        tensors: dict[str, Tensor],
        vocabulary: Vocabulary,
        configuration: Configuration,
    ) -> tuple[MambaConfig, dict[str, Tensor]]:
        complement = config.complement
        for stated in (complement, _stated_map(configuration)):
            if stated is not None:
                _check_complement(stated, vocabulary.base_ids)
        if complement is None:
            return config, tensors
        if _exchanges(configuration):
            tensors = single_strand(tensors, config.n_layer, complement)
        return replace(config, tied="lm_head.weight" not in tensors), tensors

    def called(self, config: MambaConfig) -> str:
        strands = "ph" if config.complement is None else "ps"
        mixer = "" if isinstance(config.mixer, Mamba1Config) else "-mamba2"
        return f"{self.name}-{strands}{mixer}"


FAMILY = Caduceus(
    name="caduceus",
    title="masked models of the Caduceus line (Caduceus, PlantCaduceus, PlantCAD2)",
    architectures={"caduceus": {"CaduceusForMaskedLM", "Caduceus"}},
    mixers=(mamba1.MIXER, mamba2.MIXER),
    prefixes=("caduceus.backbone.", "backbone."),
)


def _flattened(content: dict[str, Any]) -> dict[str, Any]:
    """The nested configuration of the successors in the spelling of Caduceus."""
    layer = object_in(content, "layer_cfg")
    inner = object_in(layer, "mamba_cfg")
    norm = object_in(content, "norm_cfg")
    if inner.get("mlp_cfg"):
        raise ModelError("layer_cfg.mamba_cfg.mlp_cfg means an MLP in every layer: not supported")
    moved = {}
    if inner:
        version = {"layer": inner["version"]} if inner.get("version") else {}
        moved["ssm_cfg"] = object_in(inner, "ssm_cfg") | version
    names = ("fused_add_norm", "rms_norm", "norm_epsilon")
    moved |= {key: norm[key] for key in names if key in norm}
    keys = ("bidirectional", "bidirectional_strategy", "bidirectional_weight_tie")
    moved |= {key: part[key] for part in (layer, inner) for key in keys if key in part}
    return content | moved


def _reads_both(configuration: Configuration) -> bool:
    """True of a PS model."""
    return configuration.switch("rcps", default=False)


def _exchanges(configuration: Configuration) -> bool:
    """True if the strands of a PS model change places at every layer."""
    return configuration.switch("fused_add_norm", default=True)


def _check_wrappers(stored: Stored) -> None:
    """See that the tensors' names are those that the switches produce.

    Raises
    ------
    ModelError
        If not: the switches decide how the strands exchange places, and somebody changed them.
    """
    rcps = _reads_both(stored.configuration)
    fused = _exchanges(stored.configuration)
    expected = {"layers.0.norm.weight": rcps and not fused, "layers.0.mixer.": rcps}
    for start, wrapped in expected.items():
        for canonical, name in stored.in_file.items():
            if canonical.startswith(start) and (".submodule." in name) != wrapped:
                said = f"rcps {rcps} and fused_add_norm {fused}".lower()
                raise ModelError(
                    f"config.json says {said}, but the tensor {name} is named otherwise: restore "
                    "the configuration that the model was trained with"
                )


def _fill_aliases(tensors: dict[str, Tensor], in_file: dict[str, str]) -> None:
    """Give the reverse mixers the shared projections, which files may leave out.

    Raises
    ------
    ModelError
        If the file has both and they differ.
    """
    for name in [n for n in tensors if FORWARD in n and n.endswith(SHARED)]:
        alias = name.replace(FORWARD, REVERSE)
        if not torch.equal(tensors.setdefault(alias, tensors[name]), tensors[name]):
            raise ModelError(
                f"{in_file[alias]} differs from {in_file[name]}, but config.json says that both "
                "directions share it (bidirectional_weight_tie)"
            )


def _complement_map(stored: Stored) -> tuple[int, ...]:
    """The one complement map that configuration and file agree on, padding rows included.

    Raises
    ------
    ModelError
        If there is none, or two differ.
    """
    rows = stored.shape("embeddings.weight", 2)[0]
    tensors = stored.tensors
    found = {n: tuple(tensors[n].tolist()) for n in COMPLEMENT_MAPS if n in tensors}
    short = _stated_map(stored.configuration)
    if short is not None:
        # padding rows that the configuration leaves out are their own complement
        found["complement_map in config.json"] = short + tuple(range(len(short), rows))
    if not found:
        raise ModelError(
            "rcps is true, but neither config.json nor the weights have a complement_map: without "
            "it the other strand is not known"
        )
    (first, chosen), *others = found.items()
    for name, other in others:
        if other != chosen:
            raise ModelError(f"{first} and {name} differ")
    return chosen


def _stated_map(configuration: Configuration) -> tuple[int, ...] | None:
    """``complement_map``: a list of rows, or an object from rows, as strings, to rows."""
    value = configuration.content.get("complement_map")
    if value is None:
        return None
    try:
        pairs = enumerate(value) if isinstance(value, list) else value.items()
        rows = {int(row): partner for row, partner in pairs}
        found = tuple(rows[row] for row in range(len(rows)))
    except (AttributeError, ValueError, KeyError):
        raise ModelError("complement_map in config.json does not map rows 0, 1, ..") from None
    if len(rows) != len(value):
        raise ModelError("complement_map in config.json names a row twice")
    if not all(type(partner) is int for partner in found):
        raise ModelError("complement_map in config.json does not map rows to rows")
    return found


def _check_complement(complement: Sequence[int], base_ids: Sequence[int]) -> None:
    """Raise a ModelError unless a complement map pairs A with T and C with G."""
    a, c, g, t = base_ids
    # rows that the map leaves out are their own complement
    of_a, of_c = (complement[row] if row < len(complement) else row for row in (a, c))
    if (of_a, of_c) != (t, g):
        raise ModelError(
            f"complement_map pairs row {a} (A) with {of_a} and row {c} (C) with {of_c}, but the "
            f"tokenizer says that T is {t} and G is {g}"
        )


def single_strand(
    tensors: dict[str, Tensor], n_layer: int, complement: Sequence[int]
) -> dict[str, Tensor]:
    """Tensors of the single-strand form of a model whose strands change places at every layer.

    Parameters
    ----------
    tensors : dict of str to Tensor
        Canonical tensors with aliases filled in and a tied head.
    n_layer : int
    complement : sequence of int
        Complement of every vocabulary row.

    Returns
    -------
    dict of str to Tensor
        With an ``lm_head.weight`` of its own if ``n_layer`` is odd.
    """
    converted = {_conjugated_name(name): _conjugated(name, t) for name, t in tensors.items()}
    if n_layer % 2:
        # an odd number of exchanges: the last norm and the head see the other strand
        for name in ("norm_f.weight", "norm_f.bias"):
            if name in tensors:
                converted[name] = tensors[name].flip(0)
        converted["lm_head.weight"] = tensors["embeddings.weight"][list(complement)].flip(1)
    return converted


def _is_even_layer(name: str) -> bool:
    layer = re.match(r"layers\.(\d+)\.", name)
    return layer is not None and int(layer[1]) % 2 == 0


def _conjugated_name(name: str) -> str:
    if not _is_even_layer(name):
        return name
    if FORWARD in name:
        return name.replace(FORWARD, REVERSE)
    return name.replace(REVERSE, FORWARD)


def _conjugated(name: str, tensor: Tensor) -> Tensor:
    axis = next((a for end, a in STREAM_AXIS.items() if name.endswith(f".{end}")), None)
    # the norm inside a Mamba-2 mixer is over d_inner, not over the stream
    if axis is None or not _is_even_layer(name) or re.search(r"mamba_\w+\.norm\.", name):
        return tensor
    return tensor.flip(axis).contiguous()
