"""Memory does not grow with the sequence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pgf_genome.checkpoints.load import load_model
from pgf_genome.engine.plan import Cost

ORACLE = Path(__file__).parent / "oracles" / "hf_mamba_tiny"


def peak_memory(folder: Path, length: int, *options: str) -> int:
    """Bytes that a run on so many random bases held at once, in a process of its own."""
    fasta = folder / f"{length}.fa"
    letters = np.random.default_rng(0).choice(list("ACGT"), length)
    fasta.write_text(f">c\n{''.join(letters)}\n")
    command = [sys.executable, "-c", "from pgf_genome.cli import main; main()", "attribute", fasta]
    out = folder / f"{length}.out"
    subprocess.run([*command, "-o", out, "-t", "1", "-q", *options], check=True)
    run = json.loads(Path(f"{out}.run.json").read_text())
    return run["performance"]["peak_memory_bytes"]


def test_peak_memory_is_not_that_of_the_program_that_started_ours():
    held = np.ones(300 * 2**17)  # 300 MiB
    script = "from pgf_genome.process import peak_memory; print(peak_memory())"
    started = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert int(started.stdout) < held.nbytes + 150 * 2**20


@pytest.mark.slow
def test_peak_memory_is_the_same_for_a_sequence_six_times_as_long(tmp_path):
    options = ("-m", str(ORACLE), "--tile", "1024", "--strand", "+", "--no-report")
    peak_memory(tmp_path, 3000, *options)  # compiling the kernels takes memory too
    short, long = (peak_memory(tmp_path, length, *options) for length in (60_000, 360_000))
    assert long == pytest.approx(short, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("tile", [512, 4096])
def test_peak_memory_stays_below_what_the_plan_says(tmp_path, tile):
    model = load_model("ecoli-yeast-d128")
    cost = Cost.of(model.config, sum(p.numel() for p in model.parameters()), 2, 4)
    assert peak_memory(tmp_path, 3 * tile + 17, "--tile", str(tile)) < cost.memory(tile)
