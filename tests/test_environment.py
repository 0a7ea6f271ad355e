"""pyproject.toml, the conda environments and the import statements name the same dependencies."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT, BUILD = PYPROJECT["project"], PYPROJECT["build-system"]
JOBS = "workflows/envs/pgf-genome.yaml"  # of the workflow

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


def conda_lists(name: str) -> dict[str, list[str]]:
    """The lists of a file by key: the little YAML that environments and recipes consist of."""
    lists: dict[str, list[str]] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if text.endswith(":"):
            items = lists.setdefault(text.removeprefix("- ").removesuffix(":"), [])
        elif text.startswith("- "):
            items.append(text.removeprefix("- "))
    return lists


def under_conda(requirements: list[str]) -> dict[str, frozenset[str]]:
    """`ranges` of requirements of pip, as conda calls them, with Python."""
    named = {CONDA_NAMES.get(name, name): bounds for name, bounds in ranges(requirements).items()}
    return named | {"python": frozenset([PROJECT["requires-python"]])}


def test_conda_environment_has_the_dependencies_and_ranges_of_pyproject() -> None:
    lists = conda_lists("environment.yml")
    conda = ranges(lists["dependencies"] + lists["pip"])
    assert conda.pop("pip") == frozenset()
    test = PROJECT["optional-dependencies"]["test"]
    assert conda == under_conda(PROJECT["dependencies"] + test)


def test_environment_of_the_workflow_has_what_the_program_needs_to_be_installed_and_run() -> None:
    conda = ranges(conda_lists(JOBS)["dependencies"])
    assert conda.pop("pip") == frozenset()
    assert conda == under_conda(PROJECT["dependencies"] + BUILD["requires"])


def test_conda_recipe_has_the_dependencies_and_ranges_of_pyproject() -> None:
    lists = conda_lists("packaging/conda/meta.yaml")
    host = ranges(lists["host"])
    assert host.pop("pip") == frozenset()
    assert host == under_conda(BUILD["requires"])
    assert ranges(lists["run"]) == under_conda(PROJECT["dependencies"])


@pytest.mark.parametrize("name", ["environment.yml", JOBS])
def test_conda_environments_never_take_from_the_default_channels(name: str) -> None:
    assert conda_lists(name)["channels"] == ["conda-forge", "bioconda", "nodefaults"]


def test_every_core_dependency_is_imported_or_excused() -> None:
    imported = imported_packages()
    core = ranges(PROJECT["dependencies"])
    unused = {name for name in core if IMPORT_NAMES.get(name, name) not in imported}
    assert unused == set(NOT_IMPORTED)


def test_every_third_party_import_is_a_core_dependency() -> None:
    core = {IMPORT_NAMES.get(name, name) for name in ranges(PROJECT["dependencies"])}
    assert imported_packages() - sys.stdlib_module_names - {"pgf_genome", *OPTIONAL} <= core
