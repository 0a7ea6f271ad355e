"""Recipes for other package managers, and the papers to cite, fit the program."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
import pytest
import yaml
from test_readme import NAMED, options

import pgf_genome

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"
MODULE = PACKAGING / "nf-core" / "modules" / "nf-core" / "pgfgenome" / "attribute"
VERSION = pgf_genome.__version__


def recipe() -> dict:
    """The conda recipe as conda-build reads it."""
    text = (PACKAGING / "conda" / "meta.yaml").read_text(encoding="utf-8")
    given = {"PYTHON": "python", "pin_subpackage": lambda name, max_pin: f"{name} {max_pin}"}
    return yaml.safe_load(jinja2.Template(text).render(given))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("CITATION.cff", f"version: {VERSION}"),
        ("packaging/conda/meta.yaml", f'{{% set version = "{VERSION}" %}}'),
        (f"{MODULE.relative_to(ROOT)}/environment.yml", f'  - "bioconda::pgf-genome={VERSION}"'),
        (f"{MODULE.relative_to(ROOT)}/main.nf", f'    container "pgf-genome:{VERSION}"'),
    ],
)
def test_version_is_that_of_the_program(name, line):
    assert line in (ROOT / name).read_text(encoding="utf-8").splitlines()


def test_conda_recipe_has_what_the_linter_of_bioconda_asks_for():
    made = recipe()
    about, build = made["about"], made["build"]
    assert {"home", "license", "license_file", "summary"} <= set(about)
    assert (ROOT / about["license_file"]).is_file()
    assert build["number"] == 0
    assert build["noarch"] == "python"
    assert "skip" not in build
    assert build["run_exports"] == ["pgf-genome x.x"]
    assert made["test"]["commands"]
    source = (PACKAGING / "conda" / made["source"]["path"]).resolve()
    assert (source / "pyproject.toml").is_file()


def test_nf_core_module_gives_options_that_exist():
    text = (MODULE / "main.nf").read_text(encoding="utf-8")
    given = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))
    given.remove("--version")
    assert len(given) == 3
    assert given <= options(NAMED["attribute"])


def test_nf_core_module_describes_its_outputs():
    text = (MODULE / "main.nf").read_text(encoding="utf-8")
    described = yaml.safe_load((MODULE / "meta.yml").read_text(encoding="utf-8"))
    assert set(re.findall(r"emit: *(\w+)", text)) == set(described["output"])
    assert described["name"].upper() in text


def test_both_papers_can_be_cited():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["references"]
    values = {each["value"] for paper in cited for each in paper["identifiers"]}
    assert {"arXiv:2512.23068", "arXiv:2510.00563"} <= values


def test_every_public_name_has_its_place_in_the_api_pages():
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: pgf_genome\.(\w+)$", text, re.MULTILINE))
    # a page of all errors has this one
    assert shown | {"PgfError"} >= set(pgf_genome.__all__)
