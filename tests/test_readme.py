"""What the documentation and ``--help`` tell a reader to type runs as it stands there.

The fenced blocks (sh, python) of a document run in its order, in one shell, in a copy of the
checkout. What a sentence mentions of the command line has to exist.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import pysam
import pytest
from test_workflow import program

from pgf_genome.cli import commands

ROOT = Path(__file__).parents[1]
# Markdown, and notebooks.
PAGES = tuple(
    sorted(
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "docs").rglob("*")
        if path.suffix in {".md", ".ipynb"}
    )
)
ELSEWHERE = (
    "README.md",
    "CHANGELOG.md",
    "data/README.md",
    "packaging/README.md",
    "workflows/README.md",
)
DOCUMENTS = (*ELSEWHERE, *PAGES)
CARD = "pgf_genome/models/ecoli-yeast-d128/README.md"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")

# What stands in for the programs that fetch something or take long, as bash, and why.
STAND_INS = {
    "python": f'exec {sys.executable} "$@"',
    # an environment without anything in it, because PATH has this checkout already
    "python3": 'if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && touch "$3/bin/activate"\n'
    f'else exec {sys.executable} "$@"; fi',
    # downloads; a test below checks what it is asked for
    "pip": "true",
    # this suite
    "pytest": "true",
}
# Snakemake plans only; tests/test_workflow.py runs it.
PLANNED = {"snakemake": 'exec {} "$@" --dry-run', "snakefmt": 'exec {} "$@"'}


class Block(NamedTuple):
    """A fenced block; ``line`` is that of its fence in the document, from 1."""

    document: str
    line: int
    language: str
    text: str

    @property
    def script(self) -> str:
        """Its text for bash, after a line that says where it stands."""
        text = self.text
        if self.language == "python":
            text = f"python - <<'END OF PYTHON'\n{text}END OF PYTHON\n"
        return f"echo '+++ {self.document}:{self.line}'\n{text}"


def read(document: str) -> str:
    """The text of a document; the code of a notebook is one block, for its cells share names."""
    text = (ROOT / document).read_text(encoding="utf-8")
    if not document.endswith(".ipynb"):
        return text
    sources: dict[str, list[str]] = {"markdown": [], "code": []}
    for cell in json.loads(text)["cells"]:
        sources[cell["cell_type"]].append("".join(cell["source"]))
    return "\n\n".join([*sources["markdown"], "```python", *sources["code"]]) + "\n```\n"


def blocks(document: str, *languages: str) -> list[Block]:
    """The fenced blocks of a document in any of these languages."""
    text = read(document)
    return [
        Block(document, text.count("\n", 0, found.start()) + 1, *found.groups())
        for found in FENCED.finditer(text)
        if found[1] in languages
    ]


def named_commands(group: click.Group = commands, above: str = "") -> dict[str, click.Command]:
    """Every command by its whole name."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        found[f"{above}{name}"] = command
        if isinstance(command, click.Group):
            found |= named_commands(command, f"{above}{name} ")
    return found


NAMED = named_commands()


def options(command: click.Command) -> set[str]:
    flags = {"-h", "--help"}
    return flags.union(*([*each.opts, *each.secondary_opts] for each in command.params))


def mentions(document: str) -> Iterator[str]:
    """What sentences and blocks that are not run say of the command line, without its name."""
    text = read(document)
    lines = (b.text.replace("\\\n", " ").splitlines() for b in blocks(document, "text"))
    for span in chain(*lines, INLINE.findall(FENCED.sub("", text))):
        words = span.removeprefix("pgf-genome ")
        ours = span.startswith("pgf-genome ") or words.partition(" ")[0] in NAMED
        if ours and len(words.split()) > 1:
            yield words


@pytest.fixture
def run_blocks(environment, tmp_path: Path) -> Callable[[list[Block]], str]:
    """Run blocks one after the other, in one shell, in a copy of the checkout."""
    folder, programs = tmp_path / "checkout", tmp_path / "bin"
    results = shutil.ignore_patterns("results", ".snakemake")
    for name in ("data", "workflows"):
        shutil.copytree(ROOT / name, folder / name, ignore=results)
    programs.mkdir()

    def run(chosen: list[Block]) -> str:
        scripts = dict(STAND_INS)
        for name, script in PLANNED.items():
            if any(name in block.text for block in chosen):
                scripts[name] = script.format(program(name))
        for name, script in scripts.items():
            (programs / name).write_text(f"#!/bin/bash\n{script}\n")
            (programs / name).chmod(0o755)
        variables = {
            "PATH": f"{programs}{os.pathsep}{environment['PATH']}",
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "".join(block.script for block in chosen)],
            cwd=folder, env=environment | variables, text=True, check=False, timeout=600,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    return run


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_blocks_of_a_document_run_in_its_order(run_blocks, document):
    chosen = blocks(document, "sh", "bash", "python")
    if chosen:
        assert run_blocks(chosen).count("+++ ") == len(chosen)


def test_the_readme_and_the_pages_have_blocks_to_run():
    assert sum(len(blocks(name, "sh", "bash", "python")) for name in DOCUMENTS) > 8


def test_a_block_that_fails_is_named(run_blocks):
    bad = Block("some.md", 7, "python", "undefined\n")
    with pytest.raises(AssertionError, match=r"\+\+\+ some.md:7\n(?s:.*)NameError"):
        run_blocks([bad])


def test_every_document_is_read():
    """Those with commands in them; a model's card tells how it was made, which takes hours."""
    folders = (ROOT / name for name in ("data", "packaging", "pgf_genome", "workflows"))
    found = chain(ROOT.glob("*.md"), *(folder.rglob("*.md") for folder in folders))
    assert {str(path.relative_to(ROOT)) for path in found} == {*ELSEWHERE, CARD}


def test_the_notebook_has_been_run_and_holds_no_scripts():
    cells = json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert kinds == {"text/plain", "text/html", "image/svg+xml"}
    assert all(output["output_type"] != "error" for output in outputs)


def test_what_is_installed_is_named_in_pyproject():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    extras = project["optional-dependencies"]
    known = {re.split("[<>=; ]", each)[0] for each in chain(*extras.values())}
    for name in (".", project["name"]):
        known |= {name, *(f"{name}[{extra}]" for extra in extras)}
    asked = {
        word.strip("'")
        for document in DOCUMENTS
        for found in re.finditer(r"pip install ([^`\n&]+)", read(document))
        for word in found[1].split()
        if not word.startswith("-")
    }
    assert {".", ".[test]", ".[workflow]"} <= asked <= known


@pytest.mark.parametrize("document", [*DOCUMENTS, CARD])
def test_commands_and_options_that_are_mentioned_exist(document):
    for words in mentions(document):
        name = next(n for n in sorted(NAMED, reverse=True) if f"{words} ".startswith(f"{n} "))
        flags = {w.partition("=")[0] for w in words.split() if w.startswith("-")}
        assert flags <= options(NAMED[name]), words


def test_options_that_are_named_alone_exist():
    known = set().union(*map(options, NAMED.values()))
    # the workflow's page names options of Snakemake
    texts = (FENCED.sub("", read(name)) for name in ("README.md", *PAGES))
    named = {option for text in texts for option in re.findall(r"`(--[\w-]+)", text)}
    assert len(named) > 10
    assert named <= known


# Examples of help that take hours, or run until Ctrl-C; tests/test_cli_options.py parses them.
LONG = ("pgf-genome experiment", "pgf-genome pretrain", "pgf-genome browse out/chr1 --gff")
# What the examples find: runs on the chromosomes of one genome.
BEFORE = [f"pgf-genome attribute genome.fa --contig chr{i} -o parts/chr{i}" for i in (1, 2)]
# Commands whose examples run first, because others read what these write.
FIRST = ("attribute", "merge")
BASES = 1600  # of a chromosome; the examples name up to 1,500


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """Stand where a reader has the files that the examples name."""
    monkeypatch.chdir(tmp_path)
    bases = {
        f"chr{i}": "".join(np.random.default_rng(i).choice(list("ACGT"), BASES)) for i in (1, 2)
    }
    Path("genome.fa").write_text("".join(f">{name}\n{text}\n" for name, text in bases.items()))
    pysam.faidx("genome.fa")
    Path("chr1.fa").write_text(f">chr1\n{bases['chr1']}\n")
    pysam.tabix_compress("chr1.fa", "chr1.fa.gz")
    ref = bases["chr1"][999]
    alt = "G" if ref == "A" else "A"
    Path("chr1.vcf").write_text(
        "##fileformat=VCFv4.2\n##contig=<ID=chr1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        f"chr1\t1000\t.\t{ref}\t{alt}\t.\t.\t.\n"
    )
    pysam.tabix_compress("chr1.vcf", "calls.vcf.gz")
    Path("genes.gff3").write_text("chr1\tx\tgene\t901\t1200\t.\t+\t.\tID=g\n")
    pysam.tabix_compress("genes.gff3", "genes.gff3.gz")
    Path("promoters.bed").write_text("chr1\t880\t900\n")


@pytest.mark.slow
@pytest.mark.usefixtures("reader")
def test_the_examples_of_help_run(command):
    given = {name: getattr(each, "examples", ()) for name, each in NAMED.items()}
    lines = [*BEFORE, *chain(*(given.pop(name) for name in FIRST)), *chain(*given.values())]
    run = [line for line in lines if not line.startswith(LONG)]
    assert len(run) > 14
    for line in run:
        done = command(*shlex.split(line.partition(" > ")[0])[1:])
        assert done.code == 0, f"{line}\n{done.err}"
