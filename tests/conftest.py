"""Fixtures that more than one test module uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[1] / ".." / "shared"


def _folder(variable: str, default: Path) -> Path:
    folder = Path(os.environ.get(variable, default)).resolve()
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set {variable} to the folder")
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real genomes."""
    return _folder("PGF_GENOME_TEST_DATA", SHARED / "data")


@pytest.fixture(scope="session")
def oracles() -> Path:
    """The folder of reference outputs of upstream implementations."""
    return _folder("PGF_GENOME_ORACLES", SHARED / "oracles")
