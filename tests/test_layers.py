"""The layers of the package, read from its import statements."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from itertools import accumulate
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pgf_genome"

# Lowest first. A unit (module or package directly under pgf_genome) imports itself and what lies
# in lower layers; units of one layer do not know each other.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors"}),
    frozenset({"lines"}),
    frozenset(
        {
            "alphabet",
            "compiled",
            "files",
            "intervals",
            "notebook",
            "process",
            "quantities",
            "signature",
            "torch_modes",
        }
    ),
    frozenset({"pages", "scan", "sequence", "tracks", "workspace"}),
    frozenset({"mamba", "runs"}),
    frozenset({"checkpoints", "engine"}),
    frozenset({"effects", "inspection", "memory", "pretrain"}),
    frozenset({"browser", "report"}),
    frozenset({"attribution"}),
    frozenset({"experiments", "verification"}),
    frozenset({"cli"}),
)
BELOW = dict(zip(LAYERS, accumulate(LAYERS, frozenset.union, initial=frozenset()), strict=False))
UNITS = frozenset.union(*LAYERS)

# What a unit must not see although it lies lower: scan knows only tensors, mamba sees no files, the
# engine no FASTA and no run, the report knows runs and no model.
HIDDEN = {
    "scan": UNITS - {"compiled"},
    "mamba": {"files", "pages", "sequence", "tracks", "workspace"},
    "checkpoints": {"pages", "scan", "sequence", "tracks", "workspace"},
    "engine": {"pages", "runs", "sequence", "tracks", "workspace"},
    "runs": {"scan"},
    "report": UNITS
    - {"errors", "files", "intervals", "pages", "runs", "sequence", "tracks", "workspace"},
}

# What is visible all the same: the alphabet is what connects tokens and sequences.
EXCEPTIONS = {
    "mamba": {
        f"pgf_genome.sequence.{name}"
        for name in ("BASES", "N_CODE", "encode", "complement", "reverse_complement")
    }
}

# What `--help` and `--version` have no time for.
HEAVY = ("torch", "numba", "plotly", "pandas", "pysam", "transformers")


def imports(module: str, source: str) -> Iterator[str]:
    """Dotted names of what a module imports anywhere; ``from a import b`` counts as ``a.b``."""
    package = module if "." not in module else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def violations(module: str, source: str) -> list[str]:
    """The imports of a module of the package that its layer forbids.

    `module` is the dotted name; an ``__init__`` is named as such (``pgf_genome.scan.__init__``).
    """
    unit = module.split(".")[1]
    visible = {unit, "__version__"}
    for layer, below in BELOW.items():
        if unit in layer:
            visible |= below - HIDDEN.get(unit, frozenset())
    found = []
    for name in imports(module, source):
        root, _, rest = name.partition(".")
        allowed = rest.partition(".")[0] in visible or name in EXCEPTIONS.get(unit, ())
        if root == "pgf_genome" and not allowed:
            found.append(name)
    return found


def dotted(path: Path) -> str:
    """pgf_genome/scan/cpu.py -> pgf_genome.scan.cpu"""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


MODULES = {dotted(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downward(module: str) -> None:
    assert violations(module, MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pgf_genome.errors", "import pgf_genome"),
        ("pgf_genome.errors", "from pgf_genome import PgfError"),
        ("pgf_genome.__init__", "from pgf_genome.errors import PgfError"),
        ("pgf_genome.scan.cpu", "from pgf_genome.errors import PgfError"),
        ("pgf_genome.tracks.bedgraph.rows", "from pgf_genome.sequence import N_CODE"),
        ("pgf_genome.tracks.__init__", "from ..sequence import N_CODE"),
        ("pgf_genome.tracks.bigwig.writer", "from pgf_genome.sequence import N_CODE"),
        ("pgf_genome.mamba.vocabulary", "from pgf_genome.sequence import BASES, decode_fasta"),
        ("pgf_genome.mamba.vocabulary", "import pgf_genome.sequence.fasta"),
        ("pgf_genome.mamba.model", "from pgf_genome.tracks import Summary"),
        ("pgf_genome.engine.sweep", "def f():\n    from pgf_genome.sequence import Genome"),
        ("pgf_genome.engine.sweep", "from pgf_genome import attribution"),
        ("pgf_genome.pretrain", "from pgf_genome.attribution import Options"),
        ("pgf_genome.report", "from pgf_genome.attribution.values import UNITS"),
        ("pgf_genome.attribution.run", "if TYPE_CHECKING:\n    import pgf_genome.cli"),
    ],
)
def test_forbidden_import_is_found(module: str, source: str) -> None:
    assert len(violations(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("pgf_genome.errors", "import json"),
        ("pgf_genome.scan.cpu", "from pgf_genome.scan import kernels"),
        ("pgf_genome.scan.cpu", "from . import kernels"),
        ("pgf_genome.mamba.vocabulary", "from pgf_genome.sequence import BASES, N_CODE"),
        ("pgf_genome.engine.sweep", "from pgf_genome.mamba.model import CausalMamba"),
        ("pgf_genome.cli.attribute", "from pgf_genome import __version__, attribution"),
    ],
)
def test_lawful_import_passes(module: str, source: str) -> None:
    assert violations(module, source) == []


def home(name: str) -> str | None:
    """The module that a dotted name lies in; a folder stands for its ``__init__``."""
    parts = name.split(".")
    for stop in range(len(parts), 0, -1):
        for module in (".".join(parts[:stop]), ".".join([*parts[:stop], "__init__"])):
            if module in MODULES:
                return module
    return None


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Every group of modules that import each other, types included."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [error.args[1]]
    return []


def test_no_modules_import_each_other() -> None:
    graph = {}
    for module, path in MODULES.items():
        homes = map(home, imports(module, path.read_text(encoding="utf-8")))
        graph[module] = {other for other in homes if other is not None} - {module}
    assert circles(graph) == []


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert set(circles({"a": {"b"}, "b": {"c"}, "c": {"a"}})[0]) == {"a", "b", "c"}
    assert home("pgf_genome.scan.Dual") == "pgf_genome.scan.__init__"
    assert home("pgf_genome.engine.sweep.primal") == "pgf_genome.engine.sweep"
    assert home("torch.nn") is None


def test_measurements_do_not_import_their_presentation() -> None:
    """An experiment's text and figure import what was measured; the runner alone joins the two."""
    home, presentation = "pgf_genome.experiments.", ("_text", "_figure")
    found = {
        module: [
            name
            for name in imports(module, path.read_text(encoding="utf-8"))
            if name.startswith(home) and name.split(".")[2].endswith(presentation)
        ]
        for module, path in MODULES.items()
        if module.startswith(home) and not module.endswith((*presentation, ".runner"))
    }
    assert len(found) > 20
    assert {module: names for module, names in found.items() if names} == {}


def test_formats_of_tracks_do_not_know_each_other() -> None:
    rooms = ("pgf_genome.tracks.bedgraph.", "pgf_genome.tracks.bigwig.")
    found = {
        module: list(imports(module, path.read_text(encoding="utf-8")))
        for module, path in MODULES.items()
        if module.startswith(rooms)
    }
    assert len(found) > 8
    for room, other in (rooms, rooms[::-1]):
        names = [name for module in found if module.startswith(room) for name in found[module]]
        assert [name for name in names if f"{name}.".startswith(other)] == []


def test_every_unit_has_its_layer() -> None:
    units = {module.split(".")[1] for module in MODULES} - {"__init__"}
    assert units == UNITS
    assert sum(map(len, LAYERS)) == len(UNITS)


def test_public_names_come_from_the_modules_that_define_them() -> None:
    package = importlib.import_module("pgf_genome")
    homes = {name: getattr(package, name).__module__ for name in package.__all__}
    assert homes == package._HOMES


@pytest.mark.parametrize("module", ["pgf_genome", "pgf_genome.cli"])
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def source_files() -> list[Path]:
    """Everything that people write and read here, data and documents aside."""
    suffixes = {".py", ".js", ".css", ".html", ".smk"}
    folders = [ROOT / name for name in ("pgf_genome", "data", "workflows", "tests")]
    paths = [path for folder in folders for path in folder.rglob("*")]
    return sorted(path for path in paths if path.suffix in suffixes or path.name == "Snakefile")


def test_no_source_file_exceeds_400_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in source_files()}
    assert {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > 400} == {}


def test_no_module_is_a_drawer_for_the_rest() -> None:
    names = [path.relative_to(ROOT).with_suffix("") for path in source_files()]
    assert [name for name in names if {"utils", "util"} & set(name.parts)] == []
