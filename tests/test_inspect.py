from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from safetensors import safe_open

from pgf_genome.cli import commands
from pgf_genome.errors import ModelError

ORACLES = Path(__file__).parent / "oracles"


def run(*arguments: object):
    return CliRunner().invoke(commands, ["inspect", *map(str, arguments)])


def facts_of(source: object) -> dict:
    done = run(source, "--json")
    assert done.exit_code == 0
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["hf_mamba_tiny", "hf_mamba2_tiny", "caduceus_ph_tiny"])
def test_the_parameters_are_the_numbers_in_the_file(name):
    with safe_open(ORACLES / name / "model.safetensors", "np") as file:
        stored = sum(file.get_tensor(key).size for key in file.keys())  # noqa: SIM118
    assert facts_of(ORACLES / name)["parameters"] == stored


def test_a_model_of_both_strands_is_described_as_its_file_is():
    facts = facts_of(ORACLES / "caduceus_ps_tiny")
    there = facts_of(ORACLES / "caduceus_ph_tiny")
    for key in ("parameters", "sizes", "vocabulary", "tied_head", "trained_length"):
        assert facts[key] == there[key]
    assert (facts["family"], facts["strands"]) == ("caduceus-ps", "both")
    assert facts["vocabulary"]["ids"] == {"A": 7, "C": 8, "G": 9, "T": 10, "N": 11}
    assert facts["vocabulary"]["padding_rows"] == 4
    assert facts["trained_length"] == 1024
    assert facts["memory"]["window"] == 1024


def test_the_digest_of_the_bundled_model_never_changes():
    digest = "4efab26ed54967b80e5f7ec5b50c19edf1f6f7511d1ceda29491c32e373bc46c"
    assert facts_of("ecoli-yeast-d128")["sha256"] == digest


def test_lines_name_what_the_json_holds():
    lines = dict(line.split("\t") for line in run("ecoli-yeast-d128").stdout.splitlines())
    assert lines["family"] == "mamba"
    assert lines["parameters"] == "467,200"
    assert lines["vocabulary.base_order"] == "ACGT"


def test_the_base_order_of_a_model_is_seen():
    assert facts_of(ORACLES / "hf_mamba_tiny")["vocabulary"]["base_order"] == "ATCG"


def test_a_refused_directory_gives_its_reason_and_exit_code_1():
    directory = ORACLES / "reject" / "falcon_mamba"
    done = run(directory, "--json")
    assert isinstance(done.exception, ModelError)
    found = json.loads(done.stdout)
    assert found["supported"] is False
    assert "falcon_mamba" in found["reason"]
