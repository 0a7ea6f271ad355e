"""Bad input through the real command: one line that says what and where, and nothing left."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ORACLES = Path(__file__).parent / "oracles"
MODEL = ORACLES / "hf_mamba_tiny"
GOOD = ">a\nACGTACGTAC\n>b\nGGGTTTACCA\n"
COMMAND = [sys.executable, "-c", "from pgf_genome.cli import main; main()", "attribute"]
ZIPPED = gzip.compress(b">a\n" + b"ACGTTGCA" * 99, mtime=0)
DEV_FULL = Path("/dev/full")


@pytest.fixture
def refused(command, tmp_path, monkeypatch):
    """Run ``attribute`` in an empty folder; the error, once everything else about it holds."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*arguments, code=1, model=MODEL) -> str:
        done = command("attribute", "-m", model, "-t", "1", *arguments)
        assert done.code == code
        assert done.out == ""
        assert list(folder.iterdir()) == []
        return done.error

    return run


@pytest.fixture
def good(tmp_path) -> Path:
    path = tmp_path / "good.fa"
    path.write_text(GOOD)
    return path


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("empty.fa", b"", ["is empty"]),
        ("blank.fa", b"\n\n", ["is empty"]),
        ("headless.fa", b"ACGT\n", ["no header", "starts with '>'"]),
        ("nameless.fa", b">\nACGT\n", ["line 1", "without a name"]),
        ("twice.fa", b">a\nACGT\n>a\nAC\n", ["line 3", "record 'a'", "line 1", "rename"]),
        ("hollow.fa", b">a\nACGT\n>b\n", ["line 3", "record 'b'", "no sequence", "remove"]),
        ("protein.fa", b">p\nMKVLAAGIEF\n", ["line 2", "record 'p'", "'L'", "protein"]),
        ("aligned.fa", b">p\nAC-T\n", ["record 'p'", "gap"]),
        ("cut.fa.gz", ZIPPED[:-12], ["truncated", "again"]),
        ("bad.fa.gz", ZIPPED[:-8] + bytes(8), ["damaged", "again"]),
        ("junk.fa", bytes(range(256)) * 8, ["no header"]),
        ("tail.fa", b">a\nAC\n\x00\x01\xff", ["line 3", "byte 0x00", "binary"]),
        ("reads.fq", b"@r\nACGT\n+\nIIII\n", ["FASTQ", "FASTA"]),
    ],
    ids=str,
)
def test_broken_fasta(refused, tmp_path, name, data, says):
    path = tmp_path / name
    path.write_bytes(data)
    error = refused(path)
    assert all(word in error for word in [name, *says]), error


def test_fasta_that_is_no_file(refused, tmp_path):
    error = refused(tmp_path / "absent.fa")
    assert "absent.fa" in error
    assert "No such file" in error
    assert "give a file" in error
    assert "Is a directory" in refused(tmp_path)
    assert "Is a directory" in refused(".")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--contig", "chra"], ["good.fa", "'chra'", "did you mean 'a'"]),
        (["--region", "z"], ["region 'z'", "the first: 'a', 'b'"]),
        (["--region", "z:1-5"], ["region 'z:1-5'", "no contig 'z'"]),
        (["--region", "a:5-99"], ["region 'a:5-99'", "10 bases"]),
        (["--region", "a:9-2"], ["region 'a:9-2'", "start first"]),
        (["--region", "a:0-5"], ["region 'a:0-5'", "1-based"]),
        (["--region", "a:x"], ["region 'a:x'", "START-END"]),
        (["--target", "z"], ["--target", "'z'", "no BED file", "no contig"]),
        (["--target", "a:5-99"], ["--target", "'a:5-99'", "10 bases"]),
        (["--bed", "absent.bed"], ["BED", "absent.bed", "No such file"]),
        (["--bed", "/"], ["BED", "Is a directory", "give a file"]),
    ],
)
def test_place_that_the_genome_does_not_have(refused, good, arguments, says):
    error = refused(good, *arguments)
    assert all(word in error for word in says), error


@pytest.mark.parametrize("option", ["--bed", "--target"])
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"a\t1\n", ["line 1", "2 columns", "three"]),
        (b"a\t1\t5\nb\tx\t5\n", ["line 2", "'x'", "integer"]),
        (b"a\t1.5\t5\n", ["line 1", "'1.5'", "integer"]),
        (b"a\t5\t2\n", ["line 1", "5 to 2", "START < END"]),
        (b"a\t3\t3\n", ["line 1", "3 to 3", "START < END"]),
        (b"a\t-1\t2\n", ["line 1", "-1 to 2", "0 <= START"]),
        (b"a\t1\t11\n", ["line 1", "1 to 11", "10 bases"]),
        (b"z\t1\t2\n", ["line 1", "'z'", "the first: 'a', 'b'"]),
        (b"# nothing\n", ["no intervals"]),
        (b"\xff\xfe\x00", ["not text"]),
        (gzip.compress(b"a\t1\t2\n", mtime=0)[:-6], ["truncated"]),
    ],
    ids=str,
)
def test_malformed_bed(refused, good, tmp_path, option, data, says):
    path = tmp_path / "places.bed"
    path.write_bytes(data)
    error = refused(good, option, path)
    assert all(word in error for word in ["places.bed", *says]), error


def test_target_outside_of_what_is_written(refused, good):
    assert "--target" in refused(good, "--target", "a:1-5", "--region", "b", code=2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--max-memory", "10M"], ["--max-memory 10M", "too small for one tile", "at least"]),
        (["--max-memory", "lots"], ["--max-memory", "'lots'", "800M"]),
        (["--max-memory", "9" * 400], ["--max-memory", "800M"]),
        (["--max-memory", "500M", "--tile", "65536"], ["--tile 65536", "--max-memory"]),
        (["--tile", "0"], ["--tile", "at least 1", "0"]),
        (["--tile", "x"], ["--tile", "'x'", "integer"]),
        (["--context", "-1"], ["--context", "at least 0"]),
        (["--gap-length", "0"], ["--gap-length", "at least 1"]),
        (["--strand", "x"], ["--strand", "'x'", "'+', '-', 'both'"]),
        (["--track", "nonsense"], ["track nonsense", "sensitivity"]),
        (["--track", ","], ["track", "none given"]),
        (["--format", "nonsense"], ["--format nonsense", "bedgraph"]),
        (["--format", ""], ["--format", "bedgraph"]),
        (["--objective", "nonsense"], ["--objective nonsense", "likelihood"]),
        (["--objective", "logit:X"], ["--objective logit:X", "logit:BASE"]),
        (["--objective", "logit:AC"], ["--objective logit:AC", "logit:BASE"]),
        (["--objective", "logit"], ["--objective logit", "logit:BASE"]),
        (["--objective", "norm:A"], ["--objective norm:A", "norm"]),
        (["--objective", "nonsense", "--dry-run"], ["--objective nonsense", "likelihood"]),
        (["--json"], ["--json goes with --dry-run"]),
        (["--method", "nonsense"], ["--method", "'nonsense'", "'corrected'"]),
        (["--track-line"], ["--track-line", "--no-compress"]),
        (["--device", "tpu"], ["--device", "'tpu'", "cuda:INDEX"]),
        (["--dtype", "float16"], ["--dtype", "'float32'"]),
        (["--threads", "-1"], ["--threads", "-1"]),
        (["--nope"], ["--nope", "attribute -h"]),
        (["another.fa"], ["another.fa", "attribute -h"]),
        (["-o", "."], ["--out-prefix '.'", "add a name"]),
        (["-o", ""], ["--out-prefix ''", "add a name"]),
        (["-o", "folder/"], ["--out-prefix 'folder/'", "folder/chr1"]),
    ],
)
def test_wrong_option(refused, good, arguments, says):
    error = refused(good, *arguments, code=2)
    assert all(word in error for word in says), error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [([], "Missing command"), (["attribute"], "'FASTA'"), (["nonsense"], "'nonsense'")],
)
def test_command_line_without_its_essentials(command, arguments, says):
    done = command(*arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.error
    assert "-h" in done.error


def test_gpu_that_is_not_there(refused, good):
    error = refused(good, "--device", "cuda:99")
    assert "--device cuda:99" in error
    assert "--device cpu" in error


@pytest.mark.parametrize("option", ["-o", "--scratch-dir"])
def test_place_where_nothing_can_be_written(refused, good, option):
    name = {"-o": "--out-prefix", "--scratch-dir": "--scratch-dir"}[option]
    for place in (good / "below" / "x", "/dev/null/below/x", "/proc/below/x"):
        error = refused(good, option, place)
        assert name in error
        assert str(Path(place).parent) in error
        assert "choose another place" in error
    assert "not a folder" in refused(good, option, good / "below" / "x")


def test_outputs_are_known_to_be_unwritable_before_the_run(refused, good, tmp_path):
    (tmp_path / "scratch").mkdir()
    error = refused(good, "-o", good / "x", "--scratch-dir", tmp_path / "scratch")
    assert "--out-prefix" in error
    assert list((tmp_path / "scratch").iterdir()) == []


def test_dry_run_with_an_unwritable_scratch_folder(refused, good):
    assert "--scratch-dir" in refused(good, "--dry-run", "--scratch-dir", good / "below")


@pytest.mark.parametrize("folder", sorted(p.name for p in (ORACLES / "reject").glob("*/")))
def test_unusable_checkpoint(refused, good, folder):
    assert folder in refused(good, model=ORACLES / "reject" / folder)


def test_model_that_is_no_checkpoint(refused, good, tmp_path):
    assert "absent is neither a bundled model" in refused(good, model="absent")
    assert "hf download some/model" in refused(good, model="some/model")
    assert "give the directory" in refused(good, model=good)
    assert "no config.json" in refused(good, model=tmp_path)


@pytest.mark.parametrize(
    "tokens",
    ["[PAD]\nACGTAC\nGTACGT\n", "".join(f"{a}{b}\n" for a in "ACGT" for b in "ACGT")],
    ids=["bpe", "k-mer"],
)
def test_tokens_of_more_than_one_base(refused, good, tmp_path, tokens):
    folder = tmp_path / "model"
    shutil.copytree(MODEL, folder)
    for path in folder.glob("*token*"):
        path.unlink()
    (folder / "vocab.txt").write_text(tokens)
    error = refused(good, model=folder)
    assert str(folder) in error
    assert "base" in error


@pytest.mark.parametrize(("code", "way_out"), [(errno.ENOSPC, "free space"), (errno.EIO, "disk")])
def test_disk_that_fails_while_running(command, good, tmp_path, monkeypatch, code, way_out):
    def fail(*arguments):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fail)
        done = command("attribute", good, "-m", MODEL, "-t", "1", "-o", tmp_path / "out" / "x")
    assert (done.code, done.out) == (1, "")
    assert os.strerror(code) in done.error
    assert way_out in done.error
    assert "again to resume" in done.error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x.pgf-work"]


@pytest.mark.skipif(not DEV_FULL.exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    "name",
    ["sensitivity.bedgraph", "contribution.bw", "chrom.sizes", "report.html", "run.json"],
)
def test_disk_that_is_full_when_the_outputs_are_written(command, good, tmp_path, monkeypatch, name):
    out, real = tmp_path / "out", open

    def opened(path, *given, **more):
        return real(DEV_FULL if str(path).endswith(f"x.{name}.part") else path, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", opened)
        done = command("attribute", good, "-m", MODEL, "-t", "1", "-o", out / "x", "--no-compress")
    assert (done.code, done.out) == (1, "")
    error = done.err.splitlines()[-1]  # after what the log says of the fit
    assert f"x.{name}: cannot be written (No space left on device); free space" in error
    assert f"what is done is kept in {out / 'x.pgf-work'}" in error
    assert [path.name for path in out.iterdir()] == ["x.pgf-work"]


LIMITED = """
import resource, sys
from pgf_genome.cli import main
fasta, model, out, *limits = sys.argv[1:]
run = ["attribute", fasta, "-m", model, "-t", "1", "-q", "--tile", "64", "--no-compress", "-o"]
for limit in ["0", *limits]:  # the first run fills the caches of the compiler
    most = int(limit) or resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    try:
        main([*run, f"{out}/{limit}/x"])
    except SystemExit as end:
        print(limit, end.code, flush=True)
"""


def test_files_that_may_not_grow_are_a_full_disk(tmp_path):
    fasta = tmp_path / "in.fa"
    fasta.write_text(f">a\n{'ACGTTGCAAC' * 200}\n")
    limits = {"1000": "codes", "4000": "states", "1000000": "x.report.html"}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, fasta, MODEL, tmp_path, *limits],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split("\n")[:-1] == ["0 0", *(f"{limit} 1" for limit in limits)]
    errors = done.stderr.splitlines()
    assert len(errors) == len(limits), done.stderr
    for (limit, name), error in zip(limits.items(), errors, strict=True):
        assert error.startswith("pgf-genome: error: ")
        assert "File too large" in error
        assert f"{tmp_path / limit / 'x'}." in error
        assert name in error
        assert "again to resume" in error or "choose" in error
        assert list((tmp_path / limit).glob("*.part")) == []


def test_scratch_that_is_too_small_is_noticed_before_the_run(refused, tmp_path, monkeypatch):
    good = tmp_path / "good.fa"
    good.write_text(f">a\n{'ACGT' * 5_000}\n")
    usage = shutil.disk_usage("/")._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    error = refused(good)
    assert "GiB of scratch" in error
    assert "--scratch-dir" in error


def test_closed_standard_input(tmp_path):
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *COMMAND, "-", "-m", MODEL, "-t", "1"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "pgf-genome: error: standard input is closed; give a FASTA file or pipe one in"
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "code"), [(["--tile", "0"], 2), (["--contig", "z"], 1)])
def test_verbose_shows_where_an_error_comes_from(command, good, tmp_path, arguments, code):
    done = command(
        "attribute", good, "-m", MODEL, "-t", "1", "-o", tmp_path / "x", "-v", *arguments
    )
    assert done.code == code
    assert "Traceback (most recent call last)" in done.err
    assert done.err.splitlines()[-1].startswith("pgf-genome: error: ")


def test_bug_is_one_line_that_asks_for_a_report(command, good, tmp_path, monkeypatch):
    monkeypatch.setattr("pgf_genome.attribution.run.attribute", lambda *args, **options: 1 // 0)
    done = command("attribute", good, "-m", MODEL, "-t", "1", "-o", tmp_path / "x")
    assert (done.code, done.out) == (1, "")
    assert "unexpected ZeroDivisionError" in done.error
    assert "-v" in done.error


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_iupac_codes_give_one_warning_with_their_number(
    command, tmp_path, monkeypatch, stdin, source
):
    text = ">a\nACGTRRYNACGTKACGT\n>b\nWACGT\n"
    (tmp_path / "in.fa").write_text(text)
    stdin(text)
    fasta, name = {"file": (tmp_path / "in.fa",) * 2, "stdin": ("-", "standard input")}[source]
    done = command("attribute", fasta, "-m", MODEL, "-t", "1", "-o", tmp_path / "x")
    assert done.code == 0
    warnings = [line for line in done.err.splitlines() if "IUPAC" in line]
    assert warnings == [
        f"pgf-genome: {name}: 5 IUPAC codes other than N are read as N and not scored"
    ]
    quiet = command("attribute", fasta, "-m", MODEL, "-t", "1", "-o", tmp_path / "x", "-q")
    assert "IUPAC" not in quiet.err
