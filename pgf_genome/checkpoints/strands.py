"""Caduceus-PS as a model of one strand: the published weights in the form of ``caduceus.py``.

The published model carries both strands in one residual stream, the second with its channels
reversed. With ``fused_add_norm`` (all published models) its norm puts each strand into the
other's half, so that the strands change places at every layer. Conjugating every even layer by
"reverse time and channels" undoes the exchange: both strands then see one and the same stack.
Time is reversed by exchanging the two mixers, channels by reversing the axes that belong to the
residual stream.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor

from pgf_genome.checkpoints.layouts import DIRECTIONS
from pgf_genome.errors import ModelError

# Axis of the residual stream in the tensors of a layer that have one.
STREAM_AXIS = {
    "norm.weight": 0,
    "norm.bias": 0,
    "in_proj.weight": 1,
    "out_proj.weight": 0,
    "out_proj.bias": 0,
}


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
    forward, reverse = (f".{way}." for way in DIRECTIONS)
    if not _is_even_layer(name):
        return name
    if forward in name:
        return name.replace(forward, reverse)
    return name.replace(reverse, forward)


def _conjugated(name: str, tensor: Tensor) -> Tensor:
    axis = next((a for end, a in STREAM_AXIS.items() if name.endswith(f".{end}")), None)
    # the norm inside a Mamba-2 mixer is over d_inner, not over the stream
    if axis is None or not _is_even_layer(name) or re.search(r"mamba_\w+\.norm\.", name):
        return tensor
    return tensor.flip(axis).contiguous()


def check_complement(complement: Sequence[int], base_ids: Sequence[int]) -> None:
    """See that a complement map pairs A with T and C with G.

    Raises
    ------
    ModelError
        If it does not.
    """
    a, c, g, t = base_ids
    if (complement[a], complement[c]) != (t, g):
        raise ModelError(
            f"complement_map pairs row {a} (A) with {complement[a]} and row {c} (C) with "
            f"{complement[c]}, but the tokenizer says that T is {t} and G is {g}"
        )
