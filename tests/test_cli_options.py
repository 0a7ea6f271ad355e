"""Options of every command: where their defaults stand, how help shows and shells complete them."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path

import click
import numpy as np
import pytest
from click.shell_completion import CompletionItem, ShellComplete
from finished import write_run

import pgf_genome as pgf
from pgf_genome import cli
from pgf_genome.attribution.options import FORMATS, Options
from pgf_genome.cli import commands
from pgf_genome.cli.common import Command
from pgf_genome.effects.depmap import settings as depmap
from pgf_genome.effects.pulses.settings import Options as ImpulseOptions
from pgf_genome.engine.plan import DEFAULT_MEMORY
from pgf_genome.experiments.peers import METHODS
from pgf_genome.experiments.throughput_settings import PEERS, Settings
from pgf_genome.memory.settings import Settings as MemorySettings
from pgf_genome.pretrain.settings import Job, Training
from pgf_genome.quantities import bytes_of, size_text
from pgf_genome.runs.merge import merge

# defaults that are the command line's own, because the library has no such argument or no default
OWN = {"--threads", "--port", "--out"}
# what only the user knows
FREE = {"region", "contig", "genome", "at", "title", "email"}


def all_commands() -> Iterator[tuple[str, click.Command]]:
    for name, command in commands.commands.items():
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", each) for sub, each in command.commands.items())
        else:
            yield name, command


COMMANDS = dict(sorted(all_commands()))
OPTIONS = [
    pytest.param(command, param, id=f"{name} {param.opts[-1]}")
    for name, command in COMMANDS.items()
    for param in command.params
]


OUTPUT = ("x", "-o", "y")


def parsed(name: str, words: Iterable[str]) -> dict[str, object]:
    """Values by parameter, as the command gets them."""
    parent = click.Context(commands, **commands.context_settings)
    return COMMANDS[name].make_context(name, list(words), parent).params


def default_of(name: str, option: str) -> object:
    """What a command gets for an option that is not given."""
    needed = {"attribute": ["x"], "memory": ["x"]}
    needed |= dict.fromkeys(("depmap", "pretrain", "merge"), OUTPUT)
    needed["impulse"] = [*OUTPUT, "--at", "x"]
    return parsed(name, needed.get(name, ()))[option]


def test_no_command_states_a_default_of_its_own():
    stated = []
    for path in Path(cli.__file__).parent.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            for word in call.keywords if isinstance(call, ast.Call) else ():
                if word.arg == "default" and isinstance(word.value, ast.Constant):
                    names = {arg.value for arg in call.args if isinstance(arg, ast.Constant)}
                    stated += [] if names & OWN else [(path.name, ast.unparse(call))]
    assert stated == []


def test_no_help_states_a_default_by_hand():
    """In brackets stands what happens without the option, in words or as the library has it."""
    stated = []
    for path in Path(cli.__file__).parent.glob("*.py"):
        for word in ast.walk(ast.parse(path.read_text())):
            if isinstance(word, ast.keyword) and word.arg == "help":
                stated += re.findall(r"\[[\d.,]+[KMG]?\]", ast.unparse(word.value))
    assert stated == []


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("attribute", Options),
        ("depmap", depmap.Settings),
        ("depmap", depmap.Files),
        ("memory", MemorySettings),
        ("impulse", ImpulseOptions),
        ("pretrain", Training),
        ("pretrain", Job),
        ("experiment throughput", Settings),
    ],
)
def test_an_option_that_is_not_given_has_the_default_of_the_library(name, library):
    names = {param.name for param in COMMANDS[name].params} - {"threads"}
    required = {param.name for param in COMMANDS[name].params if param.required}
    shared = [each.name for each in fields(library) if each.name in names - required]
    for each in shared:
        given, theirs = default_of(name, each), getattr(library, each, None)
        assert given == theirs or (given in (None, ()) and theirs in (None, (), PEERS)), each
    assert len(shared) > 4


def test_arguments_of_functions_have_the_defaults_of_the_command():
    load, attribute = (
        inspect.signature(each).parameters for each in (pgf.load_model, pgf.attribute)
    )
    for name in ("device", "dtype"):
        assert load[name].default == default_of("attribute", name)
    assert attribute["model"].default == default_of("attribute", "model")
    assert inspect.signature(merge).parameters["formats"].default == FORMATS
    assert default_of("merge", "formats") == FORMATS
    assert tuple(METHODS) == PEERS
    assert bytes_of(size_text(DEFAULT_MEMORY)) == pytest.approx(DEFAULT_MEMORY, rel=0.03)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_every_option_once_under_a_heading_and_examples(command, name):
    text = command(*name.split(), "-h").out
    headings = [line for line in text.splitlines() if line.endswith(":") and line[0] != " "]
    assert len(headings) == len(set(headings))
    assert headings[-2:] == ["Log and help:", "Examples:"]
    for param in COMMANDS[name].params:
        if isinstance(param, click.Option):
            long = max(param.opts, key=len)
            assert len(re.findall(rf"^  (?:-\w, )?{long}(?: |$)", text, re.M)) == 1, long
            assert param.help
    assert isinstance(COMMANDS[name], Command)
    options = [param for param in COMMANDS[name].params if isinstance(param, click.Option)]
    assert len(COMMANDS[name].examples) >= (3 if len(options) > 9 else 1)


EXAMPLES = [
    pytest.param(name, example, id=example)
    for name, command in COMMANDS.items()
    for example in command.examples
]


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_examples_are_valid_command_lines(name, example):
    program, *words = shlex.split(example.partition(" > ")[0])
    count = len(name.split())
    assert (program, " ".join(words[:count])) == ("pgf-genome", name)
    parsed(name, words[count:])


def complete(*words: str) -> list[CompletionItem]:
    """What a shell is offered for the last word."""
    shell = ShellComplete(commands, {}, "pgf-genome", "_PGF_GENOME_COMPLETE")
    return shell.get_completions(list(words[:-1]), words[-1])


@pytest.mark.parametrize(("command", "param"), OPTIONS)
def test_every_value_that_is_no_number_can_be_completed(command, param):
    if param.type.name in (
        "boolean",
        "integer",
        "float",
        "integer range",
        "SIZE",
        "INT,..",
        "X,..",
    ):
        return
    offered = param.type.shell_complete(click.Context(command), param, "")
    assert bool(offered) == (param.name not in FREE)


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["attribute", "--method", "sal"], ["saliency"]),
        (["attribute", "--strand", "b"], ["both"]),
        (["attribute", "--dtype", "float"], ["float32", "float64"]),
        (["attribute", "--device", "c"], ["cpu", "cuda"]),
        (["attribute", "--objective", "lo"], ["logit:A", "logit:C", "logit:G", "logit:T"]),
        (["attribute", "--track", "surprisal,con"], ["surprisal,contribution"]),
        (["attribute", "--track", "tism.A,tism.C"], ["tism.A,tism.C"]),
        (["attribute", "--format", ""], ["bedgraph", "bigwig", "npz"]),
        (["memory", "--drive", "real,"], ["real,uniform", "real,markov"]),
        (["pretrain", "--init", "l"], ["long"]),
        (["attribute", "--model", "ecoli"], ["ecoli-yeast-d128", "ecoli"]),
    ],
)  # fmt: skip
def test_values_are_completed(words, values):
    assert [item.value for item in complete(*words)] == values


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (["attribute", "chr"], "file"),
        (["attribute", "--bed", "x"], "file"),
        (["attribute", "--scratch-dir", "x"], "dir"),
        (["pretrain", "x"], "file"),
        (["inspect", "x/"], "dir"),
    ],
)
def test_file_names_are_completed(words, kind):
    assert [item.type for item in complete(*words)] == [kind]


def test_prefixes_of_runs_are_completed(tmp_path):
    for name in ("chr1", "chr2", "other"):
        (tmp_path / f"{name}.run.json").touch()
    offered = complete("report", f"{tmp_path}/chr")
    assert [item.value for item in offered[:-1]] == [f"{tmp_path}/chr1", f"{tmp_path}/chr2"]
    assert offered[-1].type == "dir"


# A word for every option and argument that a command cannot do without.
ABSENT = {
    "attribute": ["absent.fa"],
    "memory": ["absent.fa"],
    "pretrain": ["absent.fa"],
    "merge": ["absent"],
    "mutagenesis": ["absent.fa"],
    "depmap": ["absent.fa", "-r", "a"],
    "variants": ["absent.fa", "absent.vcf"],
    "impulse": ["absent.fa", "--at", "a:1"],
    "experiment stiffness": [],
    "experiment all": [],
}


def place_option(name: str) -> str:
    return max(next(p for p in COMMANDS[name].params if "-o" in p.opts).opts, key=len)


def test_every_command_with_an_output_is_tried():
    with_output = {
        name for name, each in COMMANDS.items() if any("-o" in p.opts for p in each.params)
    }
    experiments = {name for name in with_output if name.startswith("experiment ")}
    assert with_output - experiments - {"report"} == {n for n in ABSENT if " " not in n}


@pytest.mark.parametrize("name", ABSENT)
@pytest.mark.parametrize("below", ["file", "proc"])
def test_a_place_that_takes_no_files_is_refused_before_any_work(command, tmp_path, name, below):
    (tmp_path / "file").touch()
    place = {"file": tmp_path / "file" / "x" / "y.vcf", "proc": Path("/proc/x/y.vcf")}[below]
    done = command(*name.split(), *ABSENT[name], "-o", place)
    assert done.code == 1
    assert place_option(name) in done.error
    assert "no file can be made in" in done.error


@pytest.mark.parametrize("name", ["report", "browse"])
def test_tracks_are_not_read_for_pages_that_cannot_be_written(command, tmp_path, monkeypatch, name):
    prefix = write_run(tmp_path)
    for path in tmp_path.glob("*.bw"):
        path.unlink()  # which would be another error
    options = {"report": ["-o", f"{prefix}.run.json/page.html"], "browse": []}[name]
    if name == "browse":  # a folder that takes no files is hard to have for root
        monkeypatch.setattr("tempfile.TemporaryFile", lambda dir: os.stat(f"{prefix}.run.json/y"))
    done = command(name, prefix, *options)
    assert done.code == 1
    assert {"report": "--output", "browse": "PREFIX"}[name] in done.error
    assert "no file can be made in" in done.error


def test_the_folder_of_a_page_is_made(command, tmp_path):
    prefix = write_run(tmp_path)
    assert command("report", prefix, "-o", tmp_path / "new" / "folder" / "page.html").code == 0
    assert (tmp_path / "new" / "folder" / "page.html").is_file()


@pytest.mark.parametrize("name", [name for name in ABSENT if " " not in name])
def test_the_folder_of_the_output_is_made_before_any_work(command, tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command(*name.split(), *ABSENT[name], "-o", "new/folder/x.vcf")
    assert done.code != 0
    assert "absent" in done.error
    assert (tmp_path / "new" / "folder").is_dir()


@pytest.mark.parametrize("name", ["attribute", "depmap", "memory", "merge", "impulse"])
def test_a_prefix_needs_a_name(command, tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command(name, *ABSENT[name], "-o", "new/")
    assert done.code == 2
    assert "add a name for the files, such as new/chr1" in done.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--out-prefix=~/new/x"], ["-o", "~/new/x"]])
def test_a_tilde_is_the_home_folder(command, tmp_path, monkeypatch, words):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    assert "absent.fa" in command("attribute", "absent.fa", *words).error
    assert [path.name for path in home.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


ODD = {
    "attribute": {
        "--gap-length": ["0", "-0", "9" * 30],
        "--tile": ["0", "9" * 30],
        "--context": ["-1", "5"],
        "--max-memory": ["nan", "-1G", "1e9", "0"],
        "--bin": ["1", "9" * 30, "9" * 18],
        "--threads": ["-1", "100000"],
    },
    "memory": {
        "--halo": ["nan", "-0.0", "inf", "1"],
        "--probes": ["0", "9" * 30],
        "--bases": ["9" * 30],
        "--seed": ["-1", "9" * 30],
    },
    "pretrain": {
        "--learning-rate": ["1e300", "nan", "inf", "-0.0", "-1"],
        "--warmup": ["nan", "1", "-0.0"],
        "--weight-decay": ["nan", "inf", "-1"],
        "--n-rate": ["nan", "1"],
        "--share": ["nan", "inf", "0", "-1", ",", "1,2"],
        "--checkpoint": ["nan", "inf", "-1"],
        "--seed": ["-1", "9" * 30],
        "--d-model": ["0", "9" * 30],
        "--init": ["s4d-lin", "x"],
    },
    "experiment throughput": {
        "--lengths": ["1", "-5", ",", "9" * 30],
        "--timeout": ["nan", "inf", "0", "-0.0"],
        "--seed": ["-1"],
        "--max-memory": ["0"],
    },
}


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [(name, option, v) for name, odd in ODD.items() for option, vs in odd.items() for v in vs],
)
def test_odd_values_are_refused_in_one_line_that_names_the_option(
    command, tmp_path, monkeypatch, name, option, value
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.fa").write_text(">a\n" + "ACGTTGCAAC" * 30 + "\n")
    inputs = [] if " " in name else ["in.fa"]
    done = command(*name.split(), *inputs, "-o", "out/x", option, value)
    assert (done.code, done.out) == (2, "")
    assert option in done.error


def test_sizes_that_no_memory_holds_end_in_one_line(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.fa").write_text(">a\n" + "ACGTTGCAAC" * 100 + "\n")
    done = command("pretrain", "in.fa", "-o", "out", "--d-model", "9999999", "-q")
    assert done.code == 1
    assert "error: out of memory" in done.error
    assert "choose smaller" in done.error


def test_verbose_tells_what_is_read_planned_and_written(command, tmp_path):
    fasta, model = tmp_path / "in.fa", Path(__file__).parent / "oracles" / "hf_mamba_tiny"
    fasta.write_text(">a\n" + "".join(np.random.default_rng(0).choice(list("ACGT"), 90)) + "\n")
    call = ("attribute", fasta, "-m", model, "-t", "1", "-o", tmp_path / "out")
    call += ("--format", "bigwig")
    said = command(*call, "-v").err
    expected = (
        "model hf_mamba_tiny from",
        f"read {fasta}: 1 contigs, 90 bases",
        "plan: 1 segments",
        "segment a:1-90: 1 pieces",
        "out.run.json",
    )
    for words in expected:
        assert words in said
    # the fit and what it means, values, and the run
    assert len(command(*call).err.splitlines()) == 4


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_the_same_quiet_and_verbose(name):
    ours = [p for p in COMMANDS[name].params if p.name in ("quiet", "verbose")]
    theirs = [p for p in COMMANDS["attribute"].params if p.name in ("quiet", "verbose")]
    assert [(p.opts, p.help) for p in ours] == [(p.opts, p.help) for p in theirs]
