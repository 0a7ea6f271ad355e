"""All parsers that `fuzz.py` feeds, by name."""

from __future__ import annotations

from fuzz_checkpoints import targets as of_checkpoints
from fuzz_runs import targets as of_runs
from fuzz_texts import targets as of_texts

TARGETS = {each.name: each for each in (*of_texts(), *of_checkpoints(), *of_runs())}
