"""The interface between the loader and the families of checkpoints.

A family is a file of ``families/`` that offers ``FAMILY``. The class here reads causal stacks in
the layouts of transformers and of mamba_ssm; a family overrides the methods in which it differs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pgf_genome.checkpoints.configuration import Configuration
from pgf_genome.checkpoints.tokenizer import read_vocabulary
from pgf_genome.errors import ModelError
from pgf_genome.mamba.config import MambaConfig
from pgf_genome.mamba.mixers.base import MixerConfig
from pgf_genome.mamba.mixers.both_ways import TwoWay
from pgf_genome.mamba.vocabulary import Vocabulary

DEFAULT_EPS = 1e-5
NATIVE_PADDING = 8  # of the vocabulary, in mamba_ssm


@dataclass(frozen=True)
class Stored:
    """A checkpoint as it is in the files.

    Attributes
    ----------
    configuration : Configuration
    tensors : dict of str to Tensor
        By their names in ``LanguageModel.state_dict``.
    in_file : dict of str to str
        The name in the file of every tensor.
    """

    configuration: Configuration
    tensors: dict[str, Tensor]
    in_file: dict[str, str]

    def shape(self, name: str, rank: int) -> tuple[int, ...]:
        """The shape of a tensor that must be there and have so many axes."""
        if name not in self.tensors:
            raise ModelError(f"tensor {name} is missing")
        shape = tuple(self.tensors[name].shape)
        if len(shape) != rank:
            raise ModelError(f"tensor {name} has shape {shape}, expected {rank} dimensions")
        return shape

    @property
    def layers(self) -> int:
        """Number of layers that have tensors."""
        return len({name.split(".")[1] for name in self.tensors if name.startswith("layers.")})


# (checkpoint, prefix of the names of a mixer's tensors, d_model) -> the mixer's sizes
ReadMixer = Callable[[Stored, str, int], MixerConfig]


@dataclass(frozen=True)
class StoredMixer:
    """A kind of mixer as it is stored.

    Attributes
    ----------
    title : str
        Its name for people.
    names : collection of str
        Its names in ``ssm_cfg.layer`` or ``model_type``.
    mark : str
        A tensor that no other mixer has.
    read : callable
        The sizes from the tensors, checked against what is stated.
    """

    title: str
    names: Collection[str]
    mark: str
    read: ReadMixer

    def is_stated(self, configuration: Configuration) -> bool:
        layer = configuration.layer
        return (configuration.model_type if layer is None else layer) in self.names

    def is_in(self, names: Iterable[str]) -> bool:
        """True if the first layer has the tensor that only this mixer has."""
        return any("layers.0." in name and name.endswith(f".{self.mark}") for name in names)


@dataclass(frozen=True)
class Family:
    """A family of checkpoints; the methods are those of causal models.

    Attributes
    ----------
    name : str
        Its name in `inspect`.
    title : str
        Its models in error messages; a plural.
    architectures : mapping
        For each ``model_type`` (None: not stated) the ``architectures`` that mean this family.
    mixers : tuple of StoredMixer
        Those that its layers may have.
    prefixes : tuple of str
        Prefixes, longest first, one of which all names but the head's may have.
    """

    name: str
    title: str
    architectures: Mapping[str | None, Collection[str]]
    mixers: tuple[StoredMixer, ...]
    prefixes: tuple[str, ...] = ("backbone.",)

    def accepts(self, model_type: str | None, architectures: Collection[str]) -> bool:
        known = self.architectures.get(model_type)
        return known is not None and set(architectures) <= set(known)

    def configuration(self, content: dict[str, Any]) -> Configuration:
        """Read config.json, translating spellings that only this family uses."""
        return Configuration(content)

    def canonical(self, name: str) -> str:
        """The name in ``LanguageModel.state_dict`` of a tensor, its prefix taken off."""
        return "embeddings.weight" if name == "embedding.weight" else name

    def embedding(self, stored: Stored) -> tuple[int, ...]:
        """Rows and width of the embedding."""
        return stored.shape("embeddings.weight", 2)

    def two_way(self, stored: Stored) -> TwoWay | None:
        """The combination of the two directions of reading; None if there is only one."""
        return None

    def tied(self, stored: Stored) -> bool:
        """True if the head is the embedding itself."""
        said = stored.configuration.said("tie_embeddings", "tie_word_embeddings")
        return head_is_tied(stored, said, self.ties(stored.configuration))

    def is_base(self, stored: Stored) -> bool:
        """True if the model was saved without a head, which may yet be the embedding."""
        names = stored.in_file
        prefixed = any(name.startswith(self.prefixes) for name in names.values())
        architectures = stored.configuration.content.get("architectures") or []
        with_head = any(str(name).endswith("CausalLM") for name in architectures)
        return not (prefixed or "lm_head.weight" in names or with_head)

    def ties(self, configuration: Configuration) -> bool:
        """True if the head is the embedding wherever no head is stored and nothing is stated."""
        return True

    def weights(self, stored: Stored, config: MambaConfig) -> dict[str, Tensor]:
        """The weights among the tensors, with those that the files may leave out."""
        return stored.tensors

    def vocabulary(self, directory: Path, rows: int) -> Vocabulary:
        """The tokens of a model with so many rows in its embedding."""
        return read_vocabulary(directory, rows)

    def converted(
        self,
        config: MambaConfig,
        tensors: dict[str, Tensor],
        vocabulary: Vocabulary,
        configuration: Configuration,
    ) -> tuple[MambaConfig, dict[str, Tensor]]:
        """The model in the form that is computed, which need not be the one that is stored."""
        return config, tensors

    def called(self, config: MambaConfig) -> str:
        """The name of one of its models."""
        return self.name

    def facts(self, config: MambaConfig) -> dict[str, Any]:
        """Facts for `inspect` that only this family has."""
        return {}

    def config(self, stored: Stored, mixer: StoredMixer) -> MambaConfig:
        """Sizes and switches from the tensors, checked against all that is stated.

        Raises
        ------
        ModelError
            If they disagree, or no sizes can be read.
        """
        stated = stored.configuration
        stated.compulsory("d_model", "hidden_size")
        layers = stated.compulsory("n_layer", "num_hidden_layers")
        vocab_size = stated.compulsory("vocab_size")
        two_way = self.two_way(stored)
        if stored.layers != layers:
            raise ModelError(f"config.json says {layers} layers, the weights hold {stored.layers}")
        rows, width = self.embedding(stored)
        d_model = stated.check("d_model", width, "hidden_size")
        sizes = mixer.read(stored, self.first_mixer(two_way), d_model)
        _check_expand(stated, d_model, sizes.d_inner)
        _check_rows(stated, rows, vocab_size)
        tied = self.tied(stored)
        return MambaConfig(
            d_model=d_model,
            n_layer=layers,
            vocab_rows=rows,
            mixer=sizes,
            norm_eps=norm_eps(stated),
            rms_norm=stated.switch("rms_norm", default=True),
            tied=tied,
            has_head=tied or not self.is_base(stored),
            two_way=two_way,
        )

    def first_mixer(self, two_way: TwoWay | None) -> str:
        """The prefix of the tensors of a mixer of the first layer."""
        return "layers.0.mixer." + ("mamba_fwd." if two_way else "")


def canonical_names(family: Family, names: Iterable[str]) -> dict[str, str]:
    """The name in the file of every tensor, by its name in ``LanguageModel.state_dict``.

    Raises
    ------
    ModelError
        If a name has no place in the model, or two have the same.
    """
    names = list(names)
    prefixed = any(family.prefixes[-1] in name for name in names)
    in_file: dict[str, str] = {}
    for name in names:
        prefix = next((p for p in family.prefixes if name.startswith(p)), "")
        if prefixed and not prefix and not name.startswith("lm_head."):
            raise ModelError(f"unknown tensor {name}")
        canonical = family.canonical(name.removeprefix(prefix))
        if canonical in in_file:
            raise ModelError(f"tensors {in_file[canonical]} and {name} are the same one")
        in_file[canonical] = name
    return in_file


def norm_eps(stated: Configuration) -> float:
    """The epsilon of the norms, which is not a choice in mamba_ssm's own layout."""
    eps = stated.number("norm_epsilon", "layer_norm_epsilon") or DEFAULT_EPS
    if stated.model_type is None and eps != DEFAULT_EPS:
        raise ModelError(
            f"config.json states a norm epsilon of {eps}, but native mamba_ssm models always use "
            f"{DEFAULT_EPS}"
        )
    return eps


def head_is_tied(stored: Stored, said: bool | None, default: bool) -> bool:
    """Decide from what is stored and what is stated if the head is the embedding.

    A stored head that differs from the embedding wins if nothing is said of tying; if the file
    says that they are tied it contradicts itself, and implementations differ: an error.
    """
    head = stored.tensors.get("lm_head.weight")
    if head is None and said is None:
        return default
    if head is None or said is False:
        return said is not False
    if torch.equal(head, stored.tensors["embeddings.weight"]):
        return True
    if said:
        raise ModelError(
            "config.json says that head and embedding are tied, but lm_head.weight differs from "
            "the embedding: set tie_word_embeddings (or tie_embeddings) to false to use the head"
        )
    return False


def _check_expand(stated: Configuration, d_model: int, d_inner: int) -> None:
    expand = stated.number("expand")
    if expand is not None and not 0 <= expand * d_model - d_inner < 1:
        raise ModelError(
            f"config.json says expand {expand:g}, the weights say d_inner {d_inner} "
            f"at d_model {d_model}"
        )


def _check_rows(stated: Configuration, rows: int, size: int) -> None:
    """Embedding rows must be the vocabulary size, as stated or rounded up to the multiple."""
    usual = NATIVE_PADDING if stated.model_type is None else 1
    multiple = stated.integer("pad_vocab_size_multiple") or usual
    padded = -(-size // multiple) * multiple
    if rows not in (size, padded):
        raise ModelError(
            f"config.json says vocab_size {size} (padded {padded}), the embedding has {rows} rows"
        )
