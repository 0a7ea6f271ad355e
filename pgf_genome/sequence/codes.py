"""Nucleotides as numbers: A=0, C=1, G=2, T=3, N=4, one uint8 each.

Lower case equals upper case (where sequence is stored, it sets a bit more: soft-masked bases), U
counts as T, blanks are skipped. The IUPAC codes for more than one
base (RYKMSWBDHV; NC-IUB, Nucleic Acids Res. 13:3021, 1985) become N and are counted. Anything
else is refused.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pgf_genome.alphabet import N_CODE, text_of
from pgf_genome.errors import SequenceError

# What lower case adds to a code where sequence is stored.
SOFT_MASK = 8
_AMBIGUOUS = 5
_INVALID = 255
_BLANKS = b" \t\r\n\v\f"
_NOT_NUCLEOTIDES_BUT_RESIDUES = "EFIJLOPQXZ*"


def _code_table() -> bytes:
    table = bytearray([_INVALID]) * 256
    letters = {"A": 0, "C": 1, "G": 2, "T": 3, "U": 3, "N": N_CODE}
    letters |= dict.fromkeys("RYKMSWBDHV", _AMBIGUOUS)
    for letter, code in letters.items():
        table[ord(letter)], table[ord(letter.lower())] = code, code + SOFT_MASK
    # Blanks are deleted before the codes are used, so any code but _INVALID will do for them.
    for blank in _BLANKS:
        table[blank] = N_CODE
    return bytes(table)


_CODES = _code_table()
_AMBIGUOUS_TO_N = bytes.maketrans(
    bytes([_AMBIGUOUS, _AMBIGUOUS + SOFT_MASK]), bytes([N_CODE, N_CODE + SOFT_MASK])
)
_WITHOUT_CASE = bytes(code % SOFT_MASK for code in range(256))


class Decoded(NamedTuple):
    """Codes of some letters, and the number of N among them."""

    codes: bytes  # one byte per base
    stored: bytes  # the same, with SOFT_MASK added where letters are lower case
    n_count: int  # codes that are N, the ambiguous ones included
    ambiguous: int  # bases given as IUPAC codes other than N


class InvalidLetterError(ValueError):
    """A byte that stands for no nucleotide, at ``offset`` of the letters that were decoded."""

    def __init__(self, letter: int, offset: int) -> None:
        super().__init__(_explain(chr(letter)))
        self.offset = offset


def decode_letters(letters: bytes) -> Decoded:
    """Turn letters into codes.

    Raises
    ------
    InvalidLetterError
        At the first byte that is neither a nucleotide code nor a blank.
    """
    stored = letters.translate(_CODES, _BLANKS)
    highest = np.frombuffer(stored, np.uint8).max(initial=0)
    if highest < N_CODE:
        return Decoded(stored, stored, 0, 0)
    if highest == _INVALID:
        offset = letters.translate(_CODES).index(_INVALID)
        raise InvalidLetterError(letters[offset], offset)
    codes = stored.translate(_WITHOUT_CASE) if highest >= SOFT_MASK else stored
    values = np.frombuffer(codes, np.uint8)
    ambiguous = int(np.count_nonzero(values == _AMBIGUOUS))
    n_count = int(np.count_nonzero(values == N_CODE)) + ambiguous
    if ambiguous:
        codes, stored = codes.translate(_AMBIGUOUS_TO_N), stored.translate(_AMBIGUOUS_TO_N)
    return Decoded(codes, stored, n_count, ambiguous)


def encode(sequence: object) -> np.ndarray:
    """Encode a short sequence, by the rules of this module.

    Parameters
    ----------
    sequence : str, bytes, Seq, SeqRecord, or record of pyfaidx

    Returns
    -------
    ndarray of uint8, (n,)
        One code per base; blanks are skipped.

    Raises
    ------
    SequenceError
        At the first character that is neither a nucleotide code nor a blank, or for what is no
        sequence.
    """
    text = text_of(sequence)
    if text is None:
        raise SequenceError(f"{type(sequence).__name__} is no sequence: give a text or a record")
    try:
        decoded = decode_letters(text.encode("latin-1", "replace"))
    except InvalidLetterError as error:
        raise SequenceError(f"sequence, character {error.offset + 1}: {error}") from None
    return np.frombuffer(bytearray(decoded.codes), np.uint8)


def complement(codes: np.ndarray) -> np.ndarray:
    """Codes of the paired bases, in the same shape; N stays N."""
    return np.where(codes < N_CODE, 3 - codes, codes)


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """Codes (L,) of the other strand, read in its own direction; N stays N."""
    return complement(codes)[::-1].copy()


def _explain(letter: str) -> str:
    if letter.upper() in _NOT_NUCLEOTIDES_BUT_RESIDUES:
        return f"{letter!r} is not a nucleotide code; is this a protein sequence?"
    if letter in "-.":
        return f"{letter!r} is an alignment gap; remove the gaps from the sequence"
    if not (letter.isascii() and letter.isprintable()):
        return f"byte 0x{ord(letter):02x} is not a nucleotide code; is this a binary file?"
    return f"{letter!r} is not a nucleotide code"
