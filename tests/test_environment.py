"""pyproject.toml, environment.yml and the import statements name the same dependencies."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Where a package has another name on conda, or another name in import statements.
CONDA_NAMES = {"torch": "pytorch", "pyBigWig": "pybigwig"}
IMPORT_NAMES = {"biopython": "Bio"}

# Core dependencies that the project's owner requires and that no module imports yet.
REQUIRED_BY_OWNER = {"pandas", "pyfaidx", "pyBigWig"}


def ranges(requirements: list[str]) -> dict[str, frozenset[str]]:
    """Name -> version bounds, of requirements such as ``torch>=2.6,<2.14``."""
    found = {}
    for requirement in requirements:
        name, bounds = re.fullmatch(r"([\w.-]+)\s*(.*)", requirement).groups()
        assert name not in found, f"{name} is listed twice"
        found[name] = frozenset(filter(None, bounds.replace(" ", "").split(",")))
    return found


def imported_packages() -> set[str]:
    """Top-level names of everything that the package imports, at whatever depth."""
    names = set()
    for path in (ROOT / "pgf_genome").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.partition(".")[0])
    return names


def conda_environment() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def test_conda_environment_has_the_dependencies_and_ranges_of_pyproject() -> None:
    *from_conda, from_pip = conda_environment()["dependencies"]
    conda = ranges([*from_conda, *from_pip["pip"]])
    assert conda.pop("pip") == frozenset()
    expected = ranges(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"])
    expected = {CONDA_NAMES.get(name, name): bounds for name, bounds in expected.items()}
    assert conda == expected | {"python": frozenset([PROJECT["requires-python"]])}


def test_conda_environment_never_takes_from_the_default_channels() -> None:
    assert conda_environment()["channels"] == ["conda-forge", "bioconda", "nodefaults"]


def test_every_core_dependency_is_imported() -> None:
    imported = imported_packages()
    core = ranges(PROJECT["dependencies"])
    unused = {name for name in core if IMPORT_NAMES.get(name, name) not in imported}
    assert unused == REQUIRED_BY_OWNER


def test_every_third_party_import_is_a_core_dependency() -> None:
    core = {IMPORT_NAMES.get(name, name) for name in ranges(PROJECT["dependencies"])}
    assert imported_packages() - sys.stdlib_module_names - {"pgf_genome"} <= core
