"""Small runs in processes of their own, that `stress.py` disturbs, and what they must end in."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from pgf_genome.cli import main

ORACLE = Path(__file__).parent / "oracles" / "hf_mamba_tiny"
LENGTHS = {"a": 700, "b": 40, "c": 450}
HANG_SECONDS = 120
# what is left beside outputs by a run that is killed
PASSING = (".pgf-lock", ".part")
FOLDERS = (".pgf-work", ".pgf-new")


@dataclass(frozen=True)
class Job:
    """A command line, whose outputs are ``x.*``; inputs are in the folder above."""

    name: str
    words: tuple[str, ...]

    @property
    def resumes(self) -> bool:
        return self.name in ("attribute", "ig", "mutagenesis", "variants")


MODEL = ("-m", "../model", "-t", "1")
JOBS = (
    Job("attribute", ("attribute", "../in.fa", *MODEL, "--tile", "64", "-o", "x", "--no-report")),
    Job("ig", ("attribute", "../in.fa", *MODEL, "--tile", "64", "--method", "ig", "--steps", "2",
               "-r", "a", "-o", "x", "--no-report")),
    Job("mutagenesis", ("mutagenesis", "../in.fa", *MODEL, "--tile", "64", "--near", "2", "-r",
                        "a:101-300", "-r", "c:1-90", "-o", "x", "--no-report", "--tsv")),
    Job("variants", ("variants", "../in.fa", "../in.vcf", *MODEL, "-o", "x.vcf.gz", "--near", "2",
                     "--tsv", "x.tsv")),
    Job("merge", ("merge", "../parts/c", "../parts/a", "-c", "../in.fa.sizes", "-o", "x")),
    Job("impulse", ("impulse", "../in.fa", *MODEL, "--at", "a:301", "-o", "x", "--tile", "64")),
    Job("report", ("report", "../parts/a", "-o", "x.html")),
    Job("depmap", ("depmap", "../in.fa", *MODEL, "-r", "a:301-330", "-o", "x", "--no-report")),
)  # fmt: skip


@dataclass
class World:
    """Inputs of a version: a FASTA, a VCF, a model, and two finished runs to merge."""

    folder: Path
    expected: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, version: int) -> World:
        chance = random.Random(version)
        folder.mkdir()
        fasta, lines = [], []
        for name, length in LENGTHS.items():
            bases = "".join(chance.choices("ACGT", k=length))
            fasta.append(f">{name}\n{bases}\n")
            for at in range(5, length, 31):
                alt = chance.choice("ACGT".replace(bases[at], ""))
                lines.append(f"{name}\t{at + 1}\t.\t{bases[at]}\t{alt}\t.\t.\t.\n")
        (folder / "in.fa").write_text("".join(fasta))
        sizes = "".join(f"{name}\t{length}\n" for name, length in LENGTHS.items())
        (folder / "in.fa.sizes").write_text(sizes)
        head = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        (folder / "in.vcf").write_text(head + "".join(lines))
        shutil.copytree(ORACLE, folder / "model", ignore=shutil.ignore_patterns("*.npz", "*.fa"))
        if version:
            path = folder / "model" / "model.safetensors"
            tensors = {name: tensor * 1.01 for name, tensor in load_file(path).items()}
            save_file(tensors, path, metadata={"format": "pt"})
        for contig in ("a", "c"):
            words = "attribute in.fa -m model -t 1 -q --no-report --track contribution --contig"
            call([*words.split(), contig, "-o", f"parts/{contig}"], folder)
        return cls(folder)

    def files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


class Child:
    """A run in a process of its own, forked from this one, which has everything in memory."""

    def __init__(self, words: Sequence[str], folder: Path, limit: Callable[[], None]) -> None:
        self.said, err = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.dup2(err, 2)
            self._be(words, folder, limit)
        os.close(err)

    def _be(self, words: Sequence[str], folder: Path, limit: Callable[[], None]) -> None:
        code = 70
        try:
            os.chdir(folder)
            with open(os.devnull, "w") as out:
                os.dup2(out.fileno(), 1)
            torch.set_num_threads(1)
            limit()
            main(words)
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException as error:  # an interrupt before `main` is ready for it
            early = isinstance(error, KeyboardInterrupt)
            code = 130 if early else 70
            if not early:
                os.write(2, f"Traceback: {error!r}".encode())
        finally:
            os._exit(code)

    def wait(self, seconds: float) -> int | None:
        """The exit status, minus the signal if one ended it; None if it still runs."""
        until = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > until:
                return None
            time.sleep(0.005)

    def kill(self, number: int) -> None:
        os.kill(self.pid, number)

    def text(self) -> str:
        with open(self.said, errors="replace") as file:
            return file.read()


def call(words: Sequence[str], folder: Path) -> None:
    child = Child(words, folder, lambda: None)
    code = child.wait(HANG_SECONDS)
    text = child.text()
    assert code == 0, text


def outputs(folder: Path) -> dict[str, bytes]:
    """Files under their final names; those that say how long a run took without their times."""
    found = {}
    for path in folder.iterdir():
        if path.is_file() and path.suffix not in PASSING:
            found[path.name] = path.read_bytes() if path.suffix != ".json" else b""
    return found
