"""Token ids of a per-base DNA model, read from its tokenizer files, never guessed.

``vocab.txt`` has one token per line, the line number being the id; ``tokenizer.json`` is the
file of the tokenizers library; ``vocab.json`` is an object from token to id. Models differ in
base order (plant-dnamamba: A, T, C, G), in case and in T or U. Caduceus' tokenizer is a class
without such a file: its name stands in ``tokenizer_config.json``, its tokens are known, and what
that file says of them must agree.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pgf_genome.checkpoints.files import read_json, refuse_lfs_pointer
from pgf_genome.errors import ModelError
from pgf_genome.mamba.vocabulary import Vocabulary, vocabulary_of

# Character tokenizer of Caduceus, as of HyenaDNA: ids in this order.
CADUCEUS = ("CaduceusTokenizer", "CharacterTokenizer")
SPECIAL = ("[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]")
LETTERS = ("A", "C", "G", "T", "N")
# Tokenizers without a limit write one of about 1e30.
NO_LIMIT = 10**9


def read_vocabulary(directory: Path, rows: int) -> Vocabulary:
    """Read the tokenizer files of a checkpoint directory; all that are there must agree.

    Parameters
    ----------
    directory : Path
        Folder with any of vocab.txt, tokenizer.json, vocab.json, or a tokenizer_config.json
        that names the class of Caduceus' tokenizer.
    rows : int
        Rows of the embedding.

    Raises
    ------
    ModelError
        If there is no tokenizer file, two disagree, a base has no token, an id lies outside
        the embedding, or tokens are longer than one base.
    """
    readers = {
        "vocab.txt": _read_lines,
        "tokenizer.json": _read_tokenizer,
        "vocab.json": _read_object,
    }
    found = {n: read(directory / n) for n, read in readers.items() if (directory / n).exists()}
    if not found and _tokenizer_config(directory).get("tokenizer_class") in CADUCEUS:
        found = {"tokenizer_config.json": _of_class(_tokenizer_config(directory))}
    if not found:
        raise ModelError(
            f"no tokenizer: looked for {', '.join(readers)}; base order is never guessed"
        )
    ids = _agreed(found)
    beyond = [token for token, token_id in ids.items() if token_id >= rows]
    if beyond:
        raise ModelError(
            f"token {beyond[0]!r} has id {ids[beyond[0]]} but the embedding has {rows} rows only"
        )
    lowers = "tokenizer.json" in found and _lowers(read_json(directory / "tokenizer.json"))
    return vocabulary_of(ids, rows, lowers=lowers)


def trained_length(directory: Path) -> int | None:
    """Longest input that ``tokenizer_config.json`` promises; None if it promises none."""
    length = _tokenizer_config(directory).get("model_max_length")
    return length if type(length) is int and 0 < length < NO_LIMIT else None


def _tokenizer_config(directory: Path) -> dict[str, Any]:
    path = directory / "tokenizer_config.json"
    return read_json(path) if path.exists() else {}


def _of_class(config: dict[str, Any]) -> dict[str, int]:
    """The ids of Caduceus' tokenizer; those that its file lists go before those of the class.

    The class takes its letters, in order, as ``characters`` or as numbers in ``char_ords``, and
    gives them the ids after its special tokens.
    """
    letters: tuple[str, ...] = LETTERS
    for name, read in (("characters", str), ("char_ords", chr)):
        if name in config:
            letters = tuple(_listed(name, config[name], read))
    listed = _decoder(config.get("added_tokens_decoder") or {})
    if set(letters) <= set(listed):
        if sorted(letters, key=listed.__getitem__) != [*letters] and letters is not LETTERS:
            raise ModelError(
                "tokenizer_config.json gives the letters in two orders, as its characters and in "
                "its added_tokens_decoder"
            )
        return listed
    of_class = {token: i for i, token in enumerate((*SPECIAL, *letters))}
    return _agreed({"the tokenizer's class": of_class, "added_tokens_decoder": listed})


def _listed(name: str, values: Any, read: Callable[[Any], str]) -> list[str]:
    try:
        return [read(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        raise ModelError(f"{name} in tokenizer_config.json does not list letters") from None


def _decoder(entries: Any) -> dict[str, int]:
    """``added_tokens_decoder``: an object from ids, as strings, to tokens."""
    try:
        ids = {entry["content"]: int(token_id) for token_id, entry in entries.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ModelError(
            "added_tokens_decoder in tokenizer_config.json does not map ids to tokens"
        ) from None
    return _checked_ids("added_tokens_decoder", ids)


def _agreed(found: dict[str, dict[str, int]]) -> dict[str, int]:
    """Union of the files' token ids; a token with two ids or an id with two tokens is an error."""
    ids: dict[str, int] = {}
    owner: dict[int, tuple[str, str]] = {}
    for name, tokens in found.items():
        for token, token_id in tokens.items():
            other, first = owner.setdefault(token_id, (token, name))
            if other != token:
                raise ModelError(f"id {token_id} is {other!r} in {first} but {token!r} in {name}")
            if ids.setdefault(token, token_id) != token_id:
                raise ModelError(
                    f"token {token!r} has id {ids[token]} in one tokenizer file "
                    f"but {token_id} in {name}"
                )
    return ids


def _read_lines(path: Path) -> dict[str, int]:
    refuse_lfs_pointer(path)
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().split("\n")]
    except ValueError:
        raise ModelError(f"{path.name} is not a text file") from None
    ids: dict[str, int] = {}
    for number, token in enumerate(lines):
        if not token or token in ids:
            what = f"repeats {token!r}" if token else "is blank"
            raise ModelError(f"line {number + 1} of {path.name} {what}")
        ids[token] = number
    return ids


def _read_tokenizer(path: Path) -> dict[str, int]:
    content = read_json(path)
    try:
        model, added = content["model"], content.get("added_tokens") or []
        if model.get("merges"):
            raise ModelError(
                f"{path.name} is a BPE tokenizer with merges: such a model has no per-base input, "
                "so it has no per-base sensitivity; use a single-base model"
            )
        vocab = model["vocab"]
        if isinstance(vocab, list):
            vocab = {entry[0]: token_id for token_id, entry in enumerate(vocab)}
        vocab = _checked_ids(path.name, vocab)
        extra = {entry["content"]: entry["id"] for entry in added}
    except (AttributeError, KeyError, IndexError, TypeError):
        raise ModelError(f"{path.name} has no model.vocab of tokens and ids") from None
    return _agreed({path.name: vocab, "its added_tokens": _checked_ids(path.name, extra)})


def _read_object(path: Path) -> dict[str, int]:
    return _checked_ids(path.name, read_json(path))


def _lowers(tokenizer: dict[str, Any]) -> bool:
    """Look for a ``Lowercase`` or lower-casing ``BertNormalizer`` anywhere in the normalizer."""
    normalizer = json.dumps(tokenizer.get("normalizer"))
    return '"Lowercase"' in normalizer or '"lowercase": true' in normalizer


def _checked_ids(name: str, ids: Any) -> dict[str, int]:
    """``ids`` itself, if it is an object from tokens to distinct non-negative integers."""
    valid = isinstance(ids, dict) and all(
        isinstance(token, str) and type(i) is int and i >= 0 for token, i in ids.items()
    )
    if not valid or len(set(ids.values())) != len(ids):
        raise ModelError(f"{name} is not an object from tokens to distinct ids")
    return ids
