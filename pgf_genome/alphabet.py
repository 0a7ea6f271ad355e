"""The alphabet: A=0, C=1, G=2, T=3, N=4; and the sequences that other libraries hold."""

from __future__ import annotations

from pgf_genome.errors import SequenceError

BASES = "ACGT"
N_CODE = len(BASES)


def text_of(sequence: object) -> str | None:
    """The letters of a text, a Seq or SeqRecord of Biopython, or a record of pyfaidx.

    Returns
    -------
    str or None
        None for anything else.

    Raises
    ------
    SequenceError
        If a Seq has a length and no letters.
    """
    held = getattr(sequence, "seq", sequence)
    if isinstance(held, bytes | bytearray):
        return held.decode("latin-1")
    home, kind = type(held).__module__, type(held).__name__
    if isinstance(held, str) or home == "Bio.Seq" or (home, kind) == ("pyfaidx", "FastaRecord"):
        try:
            return str(held)
        except ValueError as error:
            raise SequenceError(f"sequence of type {kind}: {error}") from None
    return None
