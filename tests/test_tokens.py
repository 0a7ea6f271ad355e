from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgf_genome.checkpoints.tokenizer import read_vocabulary
from pgf_genome.errors import ModelError, SequenceError
from pgf_genome.mamba.vocabulary import Vocabulary, vocabulary_of

PLANT = ["<unk>", "<pad>", "<mask>", "<cls>", "A", "T", "C", "G", "N", "<eos>", "<bos>"]
PLANT_IDS = {token: i for i, token in enumerate(PLANT)}


def write_tokenizer(directory: Path, model: dict, **other: object) -> None:
    (directory / "tokenizer.json").write_text(json.dumps({"model": model, **other}))


@pytest.fixture
def plant() -> Vocabulary:
    return vocabulary_of(PLANT_IDS, rows=16)


def test_base_order_comes_from_vocab_txt(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(PLANT) + "\n")
    vocabulary = read_vocabulary(tmp_path, rows=16)
    assert vocabulary.tokens == tuple(PLANT)
    assert vocabulary.base_ids == (4, 6, 7, 5)
    assert vocabulary.code_to_id.tolist() == [4, 6, 7, 5, 8]
    assert str(vocabulary) == "A=4 C=6 G=7 T=5 N=8, 16 rows, 5 of them padding"


def test_the_mask_is_known_however_it_is_written(plant):
    assert plant.mask_id == 2
    without = {token: i for i, token in enumerate(["<unk>", *"ACGTN"])}
    assert vocabulary_of(without, rows=8).mask_id is None


def test_vocab_txt_may_have_crlf_line_ends(tmp_path):
    (tmp_path / "vocab.txt").write_bytes("\r\n".join(PLANT).encode() + b"\r\n")
    assert read_vocabulary(tmp_path, rows=11).tokens == tuple(PLANT)


def test_text_is_read_as_a_fasta_is(plant):
    assert plant.tokenize("ACGTUNacgtun").tolist() == [4, 6, 7, 5, 5, 8] * 2
    assert plant.tokenize("AC\nGT RYn").tolist() == [4, 6, 7, 5, 8, 8, 8]


@pytest.mark.parametrize("letter", ["-", "*", "Z", "!", "\u00df", "\U0001f9ec"])
def test_what_is_no_nucleotide_code_is_refused(plant, letter):
    with pytest.raises(SequenceError, match="sequence, character 3"):
        plant.tokenize(f"AC{letter}GT")


@given(text=st.text(alphabet="ACGTUNRYKMSWBDHVacgtunryk"))
def test_every_letter_is_one_token(text):
    id_of = dict(zip("ACGTUacgtu", [4, 6, 7, 5, 5] * 2, strict=True))
    ids = vocabulary_of(PLANT_IDS, rows=16).tokenize(text)
    assert ids.tolist() == [id_of.get(character, 8) for character in text]


def test_codes_and_text_give_the_same_ids(plant):
    codes = np.array([0, 1, 2, 3, 4, 4, 3], dtype=np.uint8)
    assert plant.encode(codes).tolist() == plant.tokenize("ACGTNNT").tolist()


def test_without_an_n_token_n_is_the_unknown_token(tmp_path):
    ids = {"[PAD]": 0, "[MASK]": 1, "[UNK]": 2, "a": 3, "c": 4, "g": 5, "t": 6}
    write_tokenizer(tmp_path, {"vocab": ids, "merges": []}, normalizer={"type": "Lowercase"})
    vocabulary = read_vocabulary(tmp_path, rows=8)
    assert vocabulary.tokenize("ACGTN").tolist() == [3, 4, 5, 6, 2]
    assert vocabulary.n_id is None
    assert str(vocabulary) == "A=3 C=4 G=5 T=6 N=2 (as [UNK]), 8 rows, 1 of them padding"


@pytest.mark.parametrize(
    ("normalizer", "first"),
    [
        (None, 0),
        ({"type": "NFC"}, 0),
        ({"type": "Lowercase"}, 4),
        ({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}, 4),
        ({"type": "BertNormalizer", "lowercase": True}, 4),
        ({"type": "BertNormalizer", "lowercase": False}, 0),
    ],
)
def test_of_both_cases_the_tokenizer_decides(tmp_path, normalizer, first):
    ids = {token: i for i, token in enumerate("ACGTacgtN")}
    write_tokenizer(tmp_path, {"vocab": ids}, normalizer=normalizer)
    assert read_vocabulary(tmp_path, rows=9).base_ids == tuple(range(first, first + 4))


def test_rna_vocabularies_read_t_as_u(tmp_path):
    special = ["[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]"]
    tokens = [*special, *"ACGUN"]
    (tmp_path / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    vocabulary = read_vocabulary(tmp_path, rows=12)
    assert vocabulary.tokenize("TU").tolist() == [10, 10]
    assert vocabulary.special == {t: i for i, t in enumerate(special)}
    assert vocabulary.mask_id == 3


def test_added_tokens_and_unigram_lists_are_read(tmp_path):
    vocab = [["<unk>", 0.0], *([base, -1.0] for base in "ACGT")]
    write_tokenizer(tmp_path, {"vocab": vocab}, added_tokens=[{"id": 7, "content": "N"}])
    vocabulary = read_vocabulary(tmp_path, rows=8)
    assert vocabulary.code_to_id.tolist() == [1, 2, 3, 4, 7]
    assert vocabulary.tokens[5:] == ("", "", "N")


def test_files_that_agree_are_joined_and_files_that_disagree_are_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(PLANT))
    write_tokenizer(tmp_path, {"vocab": {"A": 4, "extra": 11}})
    assert read_vocabulary(tmp_path, rows=16).tokens == (*PLANT, "extra")
    write_tokenizer(tmp_path, {"vocab": {"A": 4, "C": 5}})
    with pytest.raises(ModelError, match=r"id 5 is 'T' in vocab.txt but 'C' in tokenizer.json"):
        read_vocabulary(tmp_path, rows=16)
    write_tokenizer(tmp_path, {"vocab": {"A": 12}})
    with pytest.raises(ModelError, match=r"token 'A' has id 4 .* but 12 in tokenizer.json"):
        read_vocabulary(tmp_path, rows=16)


@pytest.mark.parametrize("word", ["AAA", "ACGTA", "NN", "gat"])
def test_tokens_longer_than_a_base_are_refused(word):
    with pytest.raises(ModelError, match="per-base input"):
        vocabulary_of({**PLANT_IDS, word: 11}, rows=16)


def test_bpe_merges_are_refused(tmp_path):
    write_tokenizer(tmp_path, {"vocab": PLANT_IDS, "merges": [["A", "A"]]})
    with pytest.raises(ModelError, match="BPE tokenizer with merges"):
        read_vocabulary(tmp_path, rows=16)


def test_without_a_tokenizer_file_the_error_names_those_looked_for(tmp_path):
    with pytest.raises(ModelError, match=r"vocab.txt, tokenizer.json, vocab.json"):
        read_vocabulary(tmp_path, rows=16)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("A\nC\nG\nA\n", "line 4 of vocab.txt repeats 'A'"),
        ("A\n\nC\nG\nT\nN", "line 2 of vocab.txt is blank"),
        ("", "line 1 of vocab.txt is blank"),
        ("A\nC\nG\nN", "no token for T"),
        ("A\nC\nG\nT", "neither an N nor an unknown token"),
        ("A\nC\nG\nT\nN\n1\n2\n3\n4", "token '4' has id 8 but the embedding has 8 rows"),
        ("version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
    ],
)
def test_a_vocab_txt_that_cannot_be_right_is_refused(tmp_path, content, cause):
    (tmp_path / "vocab.txt").write_text(content)
    with pytest.raises(ModelError, match=cause):
        read_vocabulary(tmp_path, rows=8)


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"A": "0"}', '{"A": 0, "C": 0}', '{"A": -1}', '{"A": true}']
)
def test_a_vocab_json_that_is_no_token_map_is_refused(tmp_path, content):
    (tmp_path / "vocab.json").write_text(content)
    with pytest.raises(ModelError, match=r"vocab.json"):
        read_vocabulary(tmp_path, rows=8)


@pytest.mark.parametrize("model", [None, [], {}, {"vocab": 3}, {"vocab": [1]}])
def test_a_tokenizer_json_without_a_vocabulary_is_refused(tmp_path, model):
    write_tokenizer(tmp_path, model)
    with pytest.raises(ModelError, match=r"tokenizer.json"):
        read_vocabulary(tmp_path, rows=8)


def test_a_vocabulary_cannot_have_ids_outside_its_tokens():
    with pytest.raises(ModelError, match="four different ids"):
        Vocabulary(("A", "C", "G", "T", "N"), 8, (0, 1, 2, 2), 4, None)
    with pytest.raises(ModelError, match="id 5 is not one of the 5 tokens"):
        Vocabulary(("A", "C", "G", "T", "N"), 8, (0, 1, 2, 3), 5, None)
    with pytest.raises(ModelError, match="5 tokens but the embedding has 4 rows"):
        Vocabulary(("A", "C", "G", "T", "N"), 4, (0, 1, 2, 3), 4, None)


SPECIAL = ("[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]")
OTHERS = ("[CLS]", "[EOS]", "[SEP]", "[REF]", "[MUT]", "[BOS]", "[MASK]", "[PAD]")
ELSEWHERE = (*OTHERS, "[RESERVED]", "[UNK]", *"ACGTN")


def decoder(tokens: dict[int, str]) -> dict[str, dict]:
    return {
        str(token_id): {"content": token, "special": True} for token_id, token in tokens.items()
    }


def write_class(directory: Path, **content: object) -> None:
    """The file of a tokenizer that is a class, as Caduceus' is."""
    config = {"tokenizer_class": "CaduceusTokenizer"} | content
    (directory / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("content", "base_ids", "n_id"),
    [
        ({}, (7, 8, 9, 10), 11),
        ({"added_tokens_decoder": decoder(dict(enumerate(SPECIAL)))}, (7, 8, 9, 10), 11),
        ({"added_tokens_decoder": decoder(dict(enumerate(ELSEWHERE)))}, (10, 11, 12, 13), 14),
        ({"characters": ["A", "T", "C", "G", "N"]}, (7, 9, 10, 8), 11),
        ({"char_ords": [*map(ord, "GTACN")]}, (9, 10, 7, 8), 11),
        (
            {"characters": "ACGTN", "added_tokens_decoder": decoder(dict(enumerate(ELSEWHERE)))},
            (10, 11, 12, 13),
            14,
        ),
    ],
)
def test_the_ids_of_a_tokenizer_class_are_those_of_its_file(tmp_path, content, base_ids, n_id):
    write_class(tmp_path, **content)
    vocabulary = read_vocabulary(tmp_path, rows=16)
    assert (vocabulary.base_ids, vocabulary.n_id) == (base_ids, n_id)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (
            {"added_tokens_decoder": decoder(dict(enumerate(ELSEWHERE[:10])))},
            r"id 1 is '\[SEP\]' in the tokenizer's class but '\[EOS\]' in added_tokens_decoder",
        ),
        ({"added_tokens_decoder": decoder({8: "A"})}, "id 8 is 'C' in the tokenizer's class but"),
        (
            {"characters": "AGCTN", "added_tokens_decoder": decoder(dict(enumerate(ELSEWHERE)))},
            "the letters in two orders",
        ),
        ({"characters": 5}, "characters in tokenizer_config.json does not list letters"),
        ({"char_ords": ["A"]}, "char_ords in tokenizer_config.json does not list letters"),
        ({"added_tokens_decoder": ["A"]}, "does not map ids to tokens"),
        ({"added_tokens_decoder": {"1": "A"}}, "does not map ids to tokens"),
        ({"characters": "ACGN"}, "no token for T"),
    ],
)
def test_a_tokenizer_class_whose_file_contradicts_it_is_refused(tmp_path, content, cause):
    write_class(tmp_path, **content)
    with pytest.raises(ModelError, match=cause):
        read_vocabulary(tmp_path, rows=16)
