"""A strand reads its own way, and brings positions and values back to the contig."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgf_genome.sequence import Strand, decode_fasta


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strand")
    (folder / "in.fa").write_text(">a\nACGT\n>c\nAACCGGNTTT\n")
    with decode_fasta(folder / "in.fa", folder / "codes") as genome:
        yield genome


def text(codes: np.ndarray) -> str:
    return "".join("ACGTN"[code] for code in codes)


@pytest.mark.parametrize(("sign", "bases"), [("+", "CCGGNT"), ("-", "ANCCGG")])
def test_codes_are_read_in_the_direction_of_the_strand(genome, sign, bases):
    strand = Strand(genome, "c", 2, 8, sign)
    assert text(strand.codes(0, 6)) == bases
    assert text(strand.codes(1, 3)) == bases[1:3]


def test_positions_are_counted_from_the_end_at_which_a_strand_begins(genome):
    assert Strand(genome, "c", 2, 8, "+").origin == 2
    assert Strand(genome, "c", 2, 8, "-").origin == 2
    assert Strand(genome, "c", 1, 4, "-").origin == 6


@given(
    edges=st.lists(st.integers(0, 10), min_size=4, max_size=4).map(sorted),
    sign=st.sampled_from("+-"),
)
def test_spans_go_to_the_contig_and_back(genome, edges, sign):
    start, first, last, stop = edges
    strand = Strand(genome, "c", start, stop, sign)
    own = strand.of_contig((first, last))
    assert strand.in_contig(own) == (first, last)
    assert own[1] - own[0] == last - first
    plus = Strand(genome, "c", start, stop, "+").codes(first - start, last - start)
    bases = np.eye(5)[strand.codes(*own)][:, :4]  # one-hot, nothing for N
    assert np.array_equal(strand.on_plus(bases), np.eye(5)[plus][:, :4])
    where = np.arange(last - first)
    assert strand.on_plus(where).tolist() == where[:: 1 if sign == "+" else -1].tolist()


def test_what_is_no_strand_is_refused(genome):
    with pytest.raises(ValueError, match=r"'\+' or '-', not 'both'"):
        Strand(genome, "c", 0, 3, "both")
