"""Fixtures that more than one test module uses."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, settings
from interpreter import INTERPRETED
from models import random_model, small_config

from pgf_genome.cli import main
from pgf_genome.mamba.model import CausalMamba
from pgf_genome.scan import function

# No test depends on how fast a busy machine is.
settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")

ROOT = Path(__file__).parents[1]
SHARED = ROOT / ".." / "shared"


def _folder(variable: str, default: Path) -> Path:
    folder = Path(os.environ.get(variable, default)).resolve()
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; set {variable} to the folder")
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real genomes."""
    return _folder("PGF_GENOME_TEST_DATA", SHARED / "data")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Results and times of the small models here gain nothing from more threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """No test outlives a power failure, and to be ready for one takes milliseconds a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def tiny_model() -> CausalMamba:
    """A random model in float64."""
    return random_model(small_config())


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the tensors of a Triton test live; interpreted kernels take those of the CPU."""
    if not INTERPRETED:
        return "cuda"
    from pgf_genome.scan import gpu

    monkeypatch.setattr(function, "kernels", lambda tensor: gpu)
    return "cpu"


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_reaches_children() -> None:
    """A shell's background jobs ignore it, and so would every program started here."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Outcome(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The error, which is one line; click's usage line may stand above it."""
        lines = [line for line in self.err.splitlines() if not line.startswith("Usage: ")]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("pgf-genome: error: ")
        return lines[0]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Outcome]]:
    """Run ``pgf-genome`` in this process; a call takes its arguments."""
    root, ours = logging.getLogger(), logging.getLogger("pgf_genome")
    handlers, levels = root.handlers[:], (root.level, ours.level)

    def run(*arguments: str | os.PathLike[str]) -> Outcome:
        root.handlers[:] = []  # as in a fresh process, so that the command sets up its own
        with pytest.raises(SystemExit) as end:
            main([os.fspath(argument) for argument in arguments])
        return Outcome(end.value.code, *capsys.readouterr())

    yield run
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a shell with the `pgf-genome` of this checkout on its path."""
    folder = tmp_path_factory.mktemp("bin")
    shim = folder / "pgf-genome"
    shim.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from pgf_genome.cli import main\nmain()\n"
    )
    shim.chmod(0o755)
    caches = {"XDG_CACHE_HOME": str(folder / "cache")}
    return os.environ | caches | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Give this process a standard input that holds a text."""

    def hold(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return hold
