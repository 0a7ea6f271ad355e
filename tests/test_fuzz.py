"""Every parser returns or refuses in one line, whatever it is given; see fuzz.py for more cases."""

from __future__ import annotations

import pytest
from fuzz import case_of, run_here
from fuzz_targets import TARGETS

CASES = 200


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_input_is_read_or_refused(name: str) -> None:
    tally = run_here(TARGETS[name], 1, range(CASES))
    assert tally.defects == {}
    assert tally.cases == CASES
    assert tally.accepted > 0
    assert tally.refused > 0 or name == "byte range"


def test_a_case_is_made_of_its_seed_target_and_number() -> None:
    bed, fasta = TARGETS["BED"], TARGETS["FASTA"]
    assert case_of(bed, 3, 17) == case_of(bed, 3, 17)
    assert len({case_of(t, s, n) for t in (bed, fasta) for s in (1, 2) for n in range(9)}) > 30
