"""The Snakemake workflow, run as a user runs it."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

ROOT = Path(__file__).parents[1]
WORKFLOWS = ROOT / "workflows"
ORACLE = Path(__file__).parent / "oracles" / "hf_mamba_tiny"
GENOMES = ("first", "second")
TRACKS = ("sensitivity", "surprisal")

Snakemake = Callable[..., subprocess.CompletedProcess]


def program(name: str) -> str:
    """Where a program lies that comes with the test extra."""
    beside = Path(sys.executable).parent
    found = shutil.which(name, path=f"{beside}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed; pip install '.[test]'")
    return found


@pytest.fixture(scope="session")
def arguments() -> Callable[[Path], list[str]]:
    executable = program("snakemake")
    return lambda folder: [
        executable, "-s", str(WORKFLOWS / "Snakefile"), "-d", str(folder),
        "--configfile", str(folder / "config" / "config.yaml"),
    ]  # fmt: skip


@pytest.fixture(scope="session")
def snakemake(arguments, environment) -> Snakemake:
    """Run Snakemake in a folder that is like ``.test``."""

    def run(folder: Path, *more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*arguments(folder), *more], env=environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600,
        )  # fmt: skip

    return run


def project(folder: Path, **settings: object) -> Path:
    """A copy of ``.test`` with some keys of its configuration changed."""
    shutil.copytree(
        WORKFLOWS / ".test", folder, ignore=shutil.ignore_patterns("results", ".snakemake")
    )
    config = folder / "config" / "config.yaml"
    kept = [line for line in config.read_text().splitlines() if line.split(":")[0] not in settings]
    changed = [f"{key}: {json.dumps(value)}" for key, value in settings.items()]
    config.write_text("\n".join([*kept, *changed, ""]))
    return folder


def sheet(folder: Path, *rows: dict[str, object]) -> None:
    """Write the sample sheet of a project."""
    columns = dict.fromkeys(column for row in rows for column in row)
    with (folder / "config" / "samples.tsv").open("w", newline="") as file:
        table = csv.DictWriter(file, columns, delimiter="\t")
        table.writeheader()
        table.writerows(rows)


def jobs(printed: str, rule: str) -> list[str]:
    """What Snakemake says of the jobs of a rule before they start."""
    said = re.split(r"^\[\w{3} \w{3} .*\]$", printed, flags=re.MULTILINE)
    return [job for job in said if re.search(rf"rule {rule}:", job)]


def tracks(folder: Path, genome: str) -> dict[str, bytes]:
    """Tracks and scored VCFs with their indexes, and the table of lengths."""
    suffixes = {".bw", ".gz", ".tbi", ".sizes"}
    return {p.name: p.read_bytes() for p in folder.glob(f"{genome}.*") if p.suffix in suffixes}


def one_run(environment: dict[str, str], *words: str | Path) -> None:
    """A command of the program, without the workflow."""
    executable = shutil.which("pgf-genome", path=environment["PATH"])
    subprocess.run([executable, *words, "-t", "1", "-q"], env=environment, check=True)


def attribute(environment: dict[str, str], fasta: Path, prefix: Path, *options: str) -> None:
    """One run over a whole genome."""
    tracks = ["--no-report", "--track", ",".join(TRACKS)]
    one_run(environment, "attribute", fasta, "-o", prefix, *tracks, *options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, snakemake) -> Path:
    """The folder of a run of ``.test``."""
    folder = project(tmp_path_factory.mktemp("workflow") / "run")
    done = snakemake(folder, "--cores", "1")
    assert done.returncode == 0, done.stdout
    (folder / "printed.log").write_text(done.stdout)
    return folder


@pytest.mark.slow
def test_everything_promised_is_there(finished):
    results = finished / "results"
    kinds = ("run.json", "statistics.json", "chrom.sizes", "report.html", "peaks.bed")
    each = [*kinds, *(f"{t}.{s}" for t in TRACKS for s in ("bw", "bedgraph.gz", "bedgraph.gz.tbi"))]
    expected = {f"{genome}.{name}" for genome in GENOMES for name in each}
    found = {path.name for path in results.iterdir() if path.is_file()}
    variants = {f"first.variants.vcf.gz{suffix}" for suffix in ("", ".tbi")}
    assert found == expected | variants | {"summary.tsv", "summary.html"}
    logs = {path.relative_to(results / "logs").as_posix() for path in results.rglob("*.log")}
    assert {"attribute/first.0002.log", "plan/second.log", "merge/first.log"} <= logs
    benchmark = (results / "benchmarks" / "attribute" / "first.0000.tsv").read_text()
    assert benchmark.startswith("s\t")


@pytest.mark.slow
def test_tracks_and_variants_are_byte_for_byte_those_of_one_run(finished, environment, tmp_path):
    given = finished / "data" / "first.fa", finished / "data" / "first.vcf"
    one_run(environment, "variants", *given, "-o", tmp_path / "first.variants.vcf.gz")
    bed = finished / "data" / "second.bed"
    options = {
        "first": [],
        "second": ["--objective=entropy", "--target=plasmid:101-200", "--bed", bed],
    }
    for genome in GENOMES:
        fasta = finished / "data" / f"{genome}.fa"
        attribute(environment, fasta, tmp_path / genome, "--tile=128", *options[genome])
        assert tracks(finished / "results", genome) == tracks(tmp_path, genome)


@pytest.mark.slow
def test_contigs_are_scattered_and_parts_removed(finished):
    work = finished / "results" / "work"
    beds = {path.relative_to(work).as_posix(): path.read_text() for path in work.rglob("*.bed")}
    assert json.loads((work / "first.variants" / "groups.json").read_text()) == [
        ["chrA"], ["chrB", "chrC"], ["chrD"],
    ]  # fmt: skip
    assert beds == {
        "first.groups/0000.bed": "chrA\t0\t420\n",
        "first.groups/0001.bed": "chrB\t0\t180\nchrC\t0\t90\n",
        "first.groups/0002.bed": "chrD\t0\t200\n",
        "second.groups/0000.bed": "plasmid\t50\t250\n",
    }
    left = {path.name for path in work.iterdir()}
    kept = {f"{genome}.{kind}" for genome in GENOMES for kind in ("groups", "plan.json")}
    assert left == kept | {"first.variants"}


@pytest.mark.slow
def test_memory_is_that_of_the_dry_run_with_room_to_spare(finished):
    plan = json.loads((finished / "results" / "work" / "first.plan.json").read_text())
    planned = plan["memory_bytes"] / 2**20
    printed = jobs((finished / "printed.log").read_text(), "attribute")
    asked = [job for job in printed if "genome=first" in job]
    assert len(asked) == 3
    for job in asked:
        assert f"mem_mb={math.ceil(1.3 * planned)}," in job
        # ten minutes to start with, and twice what is planned
        assert 10 <= int(re.search(r"runtime=(\d+),", job)[1]) <= 20
        assert "gpu=0," in job


@pytest.mark.slow
def test_summary_is_that_of_the_runs(finished):
    results = finished / "results"
    with (results / "summary.tsv").open() as file:
        rows = {row["genome"]: row for row in csv.DictReader(file, delimiter="\t")}
    assert list(rows) == list(GENOMES)
    run = json.loads((results / "first.run.json").read_text())
    statistics = json.loads((results / "first.statistics.json").read_text())
    row = rows["first"]
    assert (row["bases"], row["contigs"], row["jobs"]) == ("890", "4", "3")
    assert int(row["scored"]) == statistics["sensitivity"]["scored"]
    value = sum(contig["objective"] for contig in run["contigs"])
    assert float(row["objective_value"]) == pytest.approx(value, rel=1e-9)
    # no base counts that nothing predicts or that is N, so bits are nats of F by these
    bits = -value / math.log(2) / int(row["scored"])
    assert float(row["bits_per_base"]) == pytest.approx(bits, rel=0.01)
    peak = statistics["sensitivity"]["peaks"][0]
    assert row["peaks"].startswith(f"{peak['contig']}:{peak['position'] + 1} (")
    assert rows["second"]["objective"] == "entropy"
    page = (results / "summary.html").read_text()
    assert "<td>890</td>" in page
    assert '<a href="first.report.html">report</a>' in page
    assert '<a href="first.peaks.bed">peaks</a>' in page


@pytest.mark.slow
def test_second_run_does_nothing(finished, snakemake):
    before = tracks(finished / "results", "first")
    done = snakemake(finished, "--cores", "1")
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout
    assert tracks(finished / "results", "first") == before


@pytest.mark.slow
def test_snakemake_makes_its_report(finished, snakemake):
    done = snakemake(finished, "--report", "report.html")
    assert done.returncode == 0, done.stdout
    page = (finished / "report.html").read_text()
    assert "Sensitivity of genome first" in page
    assert "One row for every genome" in page
    assert snakemake(finished, "--report", "report.zip").returncode == 0
    assert (finished / "report.zip").stat().st_size < 8_000_000


def process_of(parent: int) -> psutil.Process | None:
    """The `attribute` that writes tracks, below a Snakemake; None if there is none now."""
    for process in psutil.Process(parent).children(recursive=True):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if "attribute" in words and "--bed" in words:
            return process
    return None


def progress_of(work: Path) -> int:
    """When a job last noted how far its backward sweep is; 0 if it has not begun."""
    journals = [path.stat() for path in work.glob("*.pgf-work/*/journal")]
    return max((each.st_mtime_ns for each in journals if each.st_size), default=0)


def kill_in_the_middle(
    command: list[str], environment: dict[str, str], work: Path, whole: bool
) -> int:
    """Start Snakemake and SIGKILL `attribute` (if `whole`, Snakemake first) while it works."""
    before, deadline = progress_of(work), time.monotonic() + 120
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        while progress_of(work) == before:
            assert run.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
        victim = process_of(run.pid)
        if whole:
            run.send_signal(signal.SIGKILL)
        victim.send_signal(signal.SIGKILL)
        return run.wait()


@pytest.mark.slow
def test_killed_jobs_and_killed_workflows_resume(tmp_path, snakemake, arguments, environment):
    folder = project(tmp_path / "run")
    rng = np.random.default_rng(2)
    with (folder / "data" / "long.fa").open("w") as file:
        file.write(f">long\n{''.join(rng.choice(list('ACGT'), 10_000))}\n")
    sheet(folder, {"genome": "long", "fasta": "data/long.fa", "model": ORACLE})
    target, work = "results/long.run.json", folder / "results" / "work"
    start = [*arguments(folder), "--cores", "1", target]
    for whole in (False, True):
        assert kill_in_the_middle(start, environment, work, whole) != 0
        assert progress_of(work) > 0
    assert "--unlock" in snakemake(folder, "--cores", "1", target).stdout
    assert snakemake(folder, "--cores", "1", "--unlock").returncode == 0
    done = snakemake(folder, "--cores", "1", "--rerun-incomplete", target)
    assert done.returncode == 0, done.stdout
    options = ["--tile=128", "-m", str(ORACLE)]
    attribute(environment, folder / "data" / "long.fa", tmp_path / "long", *options)
    assert tracks(folder / "results", "long") == tracks(tmp_path, "long")


@pytest.mark.slow
def test_job_that_is_killed_is_tried_again_by_itself(tmp_path, arguments, environment):
    folder = project(tmp_path / "run", retries=1)
    rng = np.random.default_rng(2)
    with (folder / "data" / "long.fa").open("w") as file:
        file.write(f">long\n{''.join(rng.choice(list('ACGT'), 10_000))}\n")
    sheet(folder, {"genome": "long", "fasta": "data/long.fa", "model": ORACLE})
    start = [*arguments(folder), "--cores", "1", "results/long.run.json"]
    assert kill_in_the_middle(start, environment, folder / "results" / "work", False) == 0
    assert (folder / "results" / "long.surprisal.bw").exists()


@pytest.mark.slow
def test_lint_finds_nothing(tmp_path, snakemake):
    done = snakemake(project(tmp_path / "run"), "--lint")
    assert done.returncode == 0, done.stdout
    assert "in a good condition" in done.stdout


def test_snakefmt_would_change_nothing():
    done = subprocess.run(
        [program("snakefmt"), "--check", WORKFLOWS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["local", "slurm"])
def test_profiles_are_understood(tmp_path, snakemake, profile):
    folder = project(tmp_path / "run", device="cuda")
    done = snakemake(folder, "--dry-run", "--profile", str(WORKFLOWS / "profiles" / profile))
    assert done.returncode == 0, done.stdout
    plans = jobs(done.stdout, "plan")
    assert len(plans) == 2
    assert all("gpu=1" in job for job in plans)


@pytest.mark.slow
def test_slurm_gets_the_account_and_the_partitions_of_the_configuration(tmp_path, snakemake):
    settings = {"slurm_account": "me", "slurm_partition": "long", "slurm_gpu_partition": "gpus"}
    folder = project(tmp_path / "run", device="cuda", **settings)
    done = snakemake(folder, "--dry-run")
    for rule, partition in (("plan", "gpus"), ("genome", "long")):
        for job in jobs(done.stdout, rule):
            assert "slurm_account=me" in job
            assert f"slurm_partition={partition}" in job


def test_environment_of_the_jobs_gets_the_program_that_exists(tmp_path):
    pip = tmp_path / "pip"
    pip.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    pip.chmod(0o755)
    script = WORKFLOWS / "envs" / "pgf-genome.post-deploy.sh"
    variables = {"PATH": f"{tmp_path}{os.pathsep}/bin", "PGF_GENOME_SOURCE": str(ROOT)}
    done = subprocess.run(["sh", script], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == str(ROOT)
    assert "PGF_GENOME_SOURCE" in (WORKFLOWS / "rules" / "common.smk").read_text()


FIRST = {"genome": "first", "fasta": "data/first.fa"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "rows", "said"),
    [
        ({"device": "tpu"}, [FIRST], "configuration: device: 'tpu' is not one of ['cpu', 'cuda']"),
        ({"trakcs": ["tism.A"]}, [FIRST], "'trakcs' was unexpected"),
        ({"tracks": ["tism"]}, [FIRST], "'tism' is not one of ['sensitivity', 'contribution'"),
        ({"max_memory": "plenty"}, [FIRST], "(resident memory of a job, such as 1.5G)"),
        ({"samples": "nowhere.tsv"}, [FIRST], "samples: nowhere.tsv cannot be read (No such file"),
        ({}, [FIRST | {"modell": "x"}], "'modell' was unexpected"),
        ({}, [{"genome": "first"}], "'fasta' is a required property"),
        ({}, [FIRST | {"genome": "a/b"}], "'a/b' does not match"),
        (
            {},
            [FIRST | {"objective": "logit:N"}],
            "first: objective: 'logit:N' does not match",
        ),
        ({}, [FIRST | {"model": "ecoli-d12"}], "nor a bundled name (ecoli-yeast-d128)"),
        ({}, [FIRST, FIRST], "genome first is listed twice"),
        ({}, [FIRST | {"vcf": "none.vcf"}], "none.vcf"),
        ({"near": "all"}, [FIRST], "'all' is not valid under any of the given schemas"),
        ({}, [FIRST | {"genome": "# first"}], "no genome is listed"),
        ({}, [FIRST | {"fasta": "none.fa"}], "none.fa"),
    ],
)
def test_mistakes_are_told_before_anything_runs(tmp_path, snakemake, settings, rows, said):
    folder = project(tmp_path / "run", **settings)
    sheet(folder, *rows)
    done = snakemake(folder, "--cores", "1")
    assert done.returncode == 1
    printed = " ".join(done.stdout.split())
    assert said in printed
    if "WorkflowError" in printed:  # Snakemake's line, ours, and where in the Snakefiles
        lines = done.stdout[done.stdout.index("WorkflowError") :].splitlines()
        assert len([line for line in lines if line and not line.startswith("  File ")]) == 2
    assert not (folder / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize("right", [True, False])
def test_address_is_fetched_and_its_md5_checked(tmp_path, snakemake, right):
    folder = project(tmp_path / "run")
    source = tmp_path / "remote.fa.gz"
    source.write_bytes(gzip.compress((folder / "data" / "second.fa").read_bytes()))
    digest = hashlib.md5(source.read_bytes() if right else b"").hexdigest()
    sheet(folder, {"genome": "far", "fasta": source.as_uri(), "md5": digest})
    target = Path("results", "work", "far.fa")
    done = snakemake(folder, "--cores", "1", "--notemp", str(target))
    if right:
        assert done.returncode == 0, done.stdout
        assert (folder / target).read_text().startswith(">plasmid\nGCTCC")
    else:
        assert done.returncode == 1
        log = (folder / "results" / "logs" / "genome" / "far.log").read_text()
        assert all(each in log for each in ("far.download: its MD5 is", digest))
