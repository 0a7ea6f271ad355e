"""Vocabularies of per-base models: which row of the embedding each base has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from pgf_genome.errors import ModelError
from pgf_genome.sequence import BASES, encode


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a model, and the row of the embedding that each base has.

    Attributes
    ----------
    tokens : tuple of str
        Tokens in the order of their ids; "" for an id that no token uses.
    rows : int
        Rows of the embedding, V: ``len(tokens)`` plus the padding rows.
    base_ids : tuple of int
        Ids of A, C, G, T, in the order of ``sequence.BASES``.
    n_id : int or None
        Id of the N token; if None, N is fed as the unknown token.
    unknown_id : int or None
        Id of the unknown token.
    """

    tokens: tuple[str, ...]
    rows: int
    base_ids: tuple[int, ...]
    n_id: int | None
    unknown_id: int | None

    def __post_init__(self) -> None:
        if len(self.tokens) > self.rows:
            raise ModelError(
                f"the tokenizer has {len(self.tokens)} tokens "
                f"but the embedding has {self.rows} rows"
            )
        if len(set(self.base_ids)) != len(BASES):
            raise ModelError(f"the bases A, C, G, T need four different ids, not {self.base_ids}")
        if self.n_id is None and self.unknown_id is None:
            raise ModelError("the tokenizer has neither an N nor an unknown token to feed N as")
        for token_id in (*self.base_ids, self.n_id, self.unknown_id):
            if token_id is not None and not 0 <= token_id < len(self.tokens):
                raise ModelError(f"id {token_id} is not one of the {len(self.tokens)} tokens")

    @property
    def other_id(self) -> int:
        """Id of the token that stands for every letter that is no base."""
        return next(i for i in (self.n_id, self.unknown_id) if i is not None)

    @cached_property
    def code_to_id(self) -> np.ndarray:
        """Token id of each base code A, C, G, T, N: int64 (5,), read-only."""
        table = np.array([*self.base_ids, self.other_id], dtype=np.int64)
        table.flags.writeable = False
        return table

    @property
    def complement(self) -> list[int]:
        """Row of the paired base of every row; what is no base stays what it is."""
        rows = list(range(self.rows))
        for base, paired in zip(self.base_ids, reversed(self.base_ids), strict=True):
            rows[base] = paired
        return rows

    @property
    def mask_id(self) -> int | None:
        """Id of the token that hides a base; None if there is none."""
        return next((i for t, i in self.special.items() if _word(t) == "mask"), None)

    @property
    def special(self) -> dict[str, int]:
        """Every token that is neither a base nor N, with its id."""
        ordinary = {*self.base_ids, self.n_id}
        return {t: i for i, t in enumerate(self.tokens) if t and i not in ordinary}

    def with_n_as_pad(self) -> Vocabulary:
        """The same tokens, with N fed as the padding token.

        Raises
        ------
        ModelError
            If there is no padding token.
        """
        pad = [i for i, t in enumerate(self.tokens) if _word(t) == "pad"]
        if not pad:
            raise ModelError("the tokenizer has no padding token to feed N as (`n_as_pad`)")
        return replace(self, n_id=pad[0])

    def encode(self, codes: np.ndarray) -> torch.Tensor:
        """Token ids (L,), int64, of base codes (L,), uint8."""
        return torch.from_numpy(self.code_to_id[codes])

    def tokenize(self, sequence: object) -> torch.Tensor:
        """Token ids (L,), int64, of a sequence of L bases, read as a FASTA is.

        It is a text, or a record of Biopython or pyfaidx.

        Lower case counts as upper case and U as T, blanks are skipped, and IUPAC codes for more
        than one base count as N.

        Raises
        ------
        SequenceError
            At the first character that is no nucleotide code.
        """
        return self.encode(encode(sequence))

    def __str__(self) -> str:
        other = "" if self.n_id is not None else f" (as {self.tokens[self.other_id]})"
        ids = " ".join(f"{b}={i}" for b, i in zip((*BASES, "N"), self.code_to_id, strict=True))
        return f"{ids}{other}, {self.rows} rows, {self.rows - len(self.tokens)} of them padding"


def vocabulary_of(ids: dict[str, int], rows: int, *, lowers: bool = False) -> Vocabulary:
    """Find the bases among the tokens.

    Upper-case tokens are the bases unless the tokenizer lowers its text or has only lower-case
    ones; T is preferred to U where a vocabulary has both.

    Parameters
    ----------
    ids : dict of str to int
        Id of every token.
    rows : int
        Rows of the embedding.
    lowers : bool
        Whether the tokenizer lower-cases the text.
    """
    _refuse_words(ids)
    found = {b: _id_of_letter(ids, "TU" if b == "T" else b, lowers) for b in BASES}
    base_ids = {base: token_id for base, token_id in found.items() if token_id is not None}
    absent = [base for base in BASES if base not in base_ids]
    if absent:
        raise ModelError(f"the tokenizer has no token for {', '.join(absent)}")
    unknown = [i for token, i in ids.items() if _word(token) in ("unk", "unknown")]
    n_id = _id_of_letter(ids, "N", lowers)
    by_id = {token_id: token for token, token_id in ids.items()}
    tokens = tuple(by_id.get(i, "") for i in range(max(by_id) + 1))
    unknown_id = min(unknown, default=None)
    return Vocabulary(tokens, rows, tuple(base_ids.values()), n_id, unknown_id)


def _word(token: str) -> str:
    """The word in the brackets of a special token, in lower case."""
    return token.strip("<>[]|").lower()


def _id_of_letter(ids: dict[str, int], letters: str, lowers: bool) -> int | None:
    upper, lower = letters.upper(), letters.lower()
    order = lower + upper if lowers else upper + lower
    return next((ids[letter] for letter in order if letter in ids), None)


def _refuse_words(ids: dict[str, int]) -> None:
    words = [token for token in ids if len(token) > 1 and set(token.upper()) <= set("ACGTUN")]
    if words:
        others = f" and {len(words) - 1} more" if len(words) > 1 else ""
        raise ModelError(
            f"tokens of more than one base ({words[0]!r}{others}): a k-mer or BPE model has no "
            "per-base input, so it has no per-base sensitivity; use a single-base model"
        )
