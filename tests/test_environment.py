"""pyproject.toml, environment.yml and the import statements name the same dependencies."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Where a package has another name on conda, or another name in import statements.
CONDA_NAMES = {"torch": "pytorch", "pyBigWig": "pybigwig", "isal": "python-isal"}
IMPORT_NAMES = {"biopython": "Bio"}

# Core dependencies that no module imports, and why they are listed all the same.
NOT_IMPORTED = {
    "pyfaidx": "required by the project's owner; pysam reads the index of a FASTA",
}

# What is imported where it is needed and may be missing.
OPTIONAL = {
    "triton": "comes with the CUDA builds of torch",
    "transformers": "a peer of the throughput experiment",
    "mambapy": "a peer of the throughput experiment",
    "mamba_ssm": "a peer of the throughput experiment",
    "huggingface_hub": "downloads hub ids; what is in its cache is read without it",
}


def ranges(requirements: list[str]) -> dict[str, frozenset[str]]:
    """Name -> version bounds, of requirements such as ``torch>=2.6,<2.14``."""
    found = {}
    for requirement in requirements:
        name, bounds = re.fullmatch(r"([\w.-]+)\s*([^;]*).*", requirement).groups()
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


def conda_lists() -> dict[str, list[str]]:
    """The lists of environment.yml by key: the little YAML that it consists of, no more."""
    lists: dict[str, list[str]] = {}
    for line in (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text.endswith(":"):
            items = lists.setdefault(text.removeprefix("- ").removesuffix(":"), [])
        elif text.startswith("- "):
            items.append(text.removeprefix("- "))
    return lists


def test_conda_environment_has_the_dependencies_and_ranges_of_pyproject() -> None:
    lists = conda_lists()
    conda = ranges(lists["dependencies"] + lists["pip"])
    assert conda.pop("pip") == frozenset()
    expected = ranges(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"])
    expected = {CONDA_NAMES.get(name, name): bounds for name, bounds in expected.items()}
    assert conda == expected | {"python": frozenset([PROJECT["requires-python"]])}


def test_conda_environment_never_takes_from_the_default_channels() -> None:
    assert conda_lists()["channels"] == ["conda-forge", "bioconda", "nodefaults"]


def test_every_core_dependency_is_imported_or_excused() -> None:
    imported = imported_packages()
    core = ranges(PROJECT["dependencies"])
    unused = {name for name in core if IMPORT_NAMES.get(name, name) not in imported}
    assert unused == set(NOT_IMPORTED)


def test_every_third_party_import_is_a_core_dependency() -> None:
    core = {IMPORT_NAMES.get(name, name) for name in ranges(PROJECT["dependencies"])}
    assert imported_packages() - sys.stdlib_module_names - {"pgf_genome", *OPTIONAL} <= core
