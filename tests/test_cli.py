"""The command line as a user meets it: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyBigWig
import pysam
import pytest

import pgf_genome
from pgf_genome.workspace import workspace

MODEL = Path(__file__).parent / "oracles" / "hf_mamba_tiny"
COMMAND = [sys.executable, "-c", "from pgf_genome.cli import main; main()"]
TRACKS = ("sensitivity", "contribution", "surprisal")


def letters(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


@pytest.fixture
def attribute(command, tmp_path, monkeypatch):
    """Run ``attribute`` on records, in a folder of its own; fails unless the run succeeds."""
    monkeypatch.chdir(tmp_path)

    def run(records: dict[str, str] | str, *options, out: str | None = "out"):
        fasta = records
        if isinstance(records, dict):
            fasta = "in.fa"
            Path(fasta).write_text("".join(f">{k}\n{v}\n" for k, v in records.items()))
        place = [] if out is None else ["-o", out]
        done = command("attribute", fasta, "-m", MODEL, "-t", "1", *place, *options)
        assert done.code == 0, done.err
        return done

    return run


def scored(path: str, contig: str) -> set[int]:
    """The positions of a contig that have a row in a plain bedGraph."""
    rows = [line.split("\t") for line in Path(path).read_text().splitlines()]
    spans = [range(int(start), int(stop)) for name, start, stop, _ in rows if name == contig]
    return {position for span in spans for position in span}


def values(path: str, contig: str) -> np.ndarray:
    with pyBigWig.open(path) as file:
        return np.array(file.values(contig, 0, file.chroms(contig)), np.float32)


def names() -> set[str]:
    """What lies in the current folder."""
    return {path.name for path in Path().iterdir()}


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("before", [[], ["attribute"]])
def test_help_is_on_stdout(command, before, option):
    done = command(*before, option)
    assert done.code == 0
    assert done.out.startswith("Usage: pgf-genome")
    assert done.err == ""


def test_version_is_one_line(command):
    done = command("--version")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"pgf-genome \d+\.\d+\.\d+\n", done.out)
    assert done.out.split()[1] == pgf_genome.__version__


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["attribute", "--help"]])
def test_help_and_version_import_nothing_heavy(arguments):
    script = """
import sys
from pgf_genome.cli import main
try:
    main(sys.argv[1:])
finally:
    print({"torch", "numba", "numpy", "plotly"} & set(sys.modules), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stderr == "set()\n"


def test_every_output_named_in_help_is_written(command, attribute):
    promised = re.findall(
        r"^ +PREFIX(\.\S+)(?: \(\+ (\.\w+)\))?", command("attribute", "-h").out, re.M
    )
    expected = {"in.fa"}
    for name, companion in promised:
        for track in TRACKS if "<track>" in name else [""]:
            file = "out" + name.replace("<track>", track)
            expected |= {file, f"{file}{companion}"}
    done = attribute({"a": letters(90)})
    assert names() == expected
    assert len(promised) == 6
    assert done.out == ""
    *_, values, run = done.err.splitlines()
    assert "sensitivity: half of the values are below" in values
    assert "90 bases, strand both" in run


def test_default_prefix_is_the_stem_of_the_fasta_in_the_current_folder(attribute, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "chr1.v2.fa").write_text(f">a\n{letters(50)}\n")
    attribute("data/chr1.v2.fa", "--no-report", "--format", "bigwig", out=None)
    assert names() == {
        "data", *(f"chr1.v2.{end}" for end in ("chrom.sizes", "peaks.bed", "run.json")),
        *(f"chr1.v2.{t}.bw" for t in TRACKS),
    }  # fmt: skip
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["chr1.v2.fa"]


@pytest.mark.parametrize("prefix", ["new/folder/x", "with a space", "dotted.name.fa", "-dash"])
def test_prefix(attribute, prefix):
    attribute({"a": letters(50)}, out=prefix)
    assert Path(f"{prefix}.sensitivity.bedgraph.gz.tbi").is_file()
    run = json.loads(Path(f"{prefix}.run.json").read_text())
    assert set(run["files"].values()) <= {path.name for path in Path(prefix).parent.iterdir()}
    assert not list(Path().rglob("*.pgf-work"))


def test_standard_input_gives_the_bytes_of_the_file(attribute, stdin):
    text = f">a\n{letters(90)}\n>b\n{letters(40, 1)}\n"
    Path("file.fa").write_text(text)
    attribute("file.fa", "--no-compress", "--no-report", out=None)
    stdin(text)
    attribute("-", "--no-compress", "--no-report", out=None)
    for kind in (*(f"{t}.bedgraph" for t in TRACKS), *(f"{t}.bw" for t in TRACKS), "chrom.sizes"):
        assert Path(f"stdin.{kind}").read_bytes() == Path(f"file.{kind}").read_bytes()


def test_one_base_only_n_and_shorter_than_a_tile_in_one_file(attribute):
    records = {
        "one": "A",
        "none": "N" * 70,
        "gap": "N" * 200,
        "short": "ACGTACG",
        "long": letters(300),
    }
    attribute(records, "--no-compress", "--tile", "64", "--gap-length", "100")
    lengths = {name: len(text) for name, text in records.items()}
    sizes = dict(line.split("\t") for line in Path("out.chrom.sizes").read_text().splitlines())
    assert sizes == {name: str(length) for name, length in lengths.items()}
    for name in records:
        whole = set() if name in ("none", "gap") else set(range(lengths[name]))
        assert scored("out.sensitivity.bedgraph", name) == whole
        # Nothing predicts a base that is alone; elsewhere one of the strands does.
        predicted = set() if name == "one" else whole
        assert scored("out.surprisal.bedgraph", name) == predicted
    with pyBigWig.open("out.contribution.bw") as file:
        assert file.chroms() == lengths
    segments = {
        c["contig"]: c["segments"] for c in json.loads(Path("out.run.json").read_text())["contigs"]
    }
    assert segments == {"one": 1, "none": 1, "gap": 0, "short": 1, "long": 1}


@pytest.mark.parametrize("text", ["A", "N", "NNNNNNNN", "acgu"])
def test_tiny_contig_alone(attribute, text):
    attribute({"a": text})
    assert Path("out.chrom.sizes").read_text() == f"a\t{len(text)}\n"


def test_contig_is_scored_the_same_alone_and_among_others(attribute):
    text = letters(150)
    attribute({"x": letters(80, 1), "a": text, "y": letters(33, 2)}, "--tile", "64")
    attribute({"a": text}, "--tile", "64", out="alone")
    for track in TRACKS:
        together, alone = (values(f"{p}.{track}.bw", "a") for p in ("out", "alone"))
        np.testing.assert_array_equal(together, alone)


def test_no_compress_writes_the_same_rows_as_plain_text(attribute):
    attribute({"a": letters(120)})
    attribute({"a": letters(120)}, "--no-compress", out="plain")
    with pysam.TabixFile("out.sensitivity.bedgraph.gz") as file:
        assert "\n".join(file.fetch("a")) + "\n" == Path("plain.sensitivity.bedgraph").read_text()
    assert not list(Path().glob("plain.*.gz*"))


def test_track_line_is_the_first_line(attribute):
    attribute({"a": letters(60)}, "--track-line", "--no-compress")
    lines = Path("out.sensitivity.bedgraph").read_text().splitlines()
    assert lines[0].startswith('track type=bedGraph name="out sensitivity"')
    assert lines[1].startswith("a\t0\t")


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        (["--format", "bigwig"], {f"{t}.bw" for t in TRACKS}),
        (["--format", "bedgraph", "--no-compress"], {f"{t}.bedgraph" for t in TRACKS}),
        (["--format", "bigwig,bigwig"], {f"{t}.bw" for t in TRACKS}),
        (
            ["--format", "bigwig", "--track", "tism, surprisal"],
            {"tism.A.bw", "tism.C.bw", "tism.G.bw", "tism.T.bw", "surprisal.bw"},
        ),
        (["--format", "bigwig", "--track", "tism.C,sensitivity"], {"tism.C.bw", "sensitivity.bw"}),
    ],
)
def test_formats_and_tracks_asked_for_and_no_others(attribute, arguments, kinds):
    attribute({"a": letters(60)}, "--no-report", *arguments)
    if kinds & {"sensitivity.bw", "sensitivity.bedgraph"}:  # which rank positions
        kinds = {*kinds, "peaks.bed"}
    assert names() == {"in.fa", *(f"out.{kind}" for kind in {*kinds, "chrom.sizes", "run.json"})}


def test_quiet_says_nothing(attribute):
    done = attribute({"a": letters(60) + "RYK"}, "--quiet")
    assert (done.out, done.err) == ("", "")


def test_dry_run_tells_the_cost_and_leaves_nothing(attribute, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    records = {"a": letters(150), "b": letters(10)}
    options = ["--region", "a:11-30", "--tile", "64", "--scratch-dir", scratch]
    done = attribute(records, "--dry-run", *options)
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert rows[:2] == [["contig", "start", "stop", "tiles", "write"], ["a", "0", "150", "3", "20"]]
    cost = dict(rows[2:])
    named = [name.removeprefix("# ") for name in cost]
    assert named == ["tile length", "memory", "scratch disk", "scratch folder", "time"]
    assert cost["# tile length"] == "64 bases"
    assert [int(cost["# memory"].split()[0]) > 100, "MiB" in cost["# scratch disk"]] == [True, True]
    assert done.err == ""
    assert names() == {"in.fa", "scratch"}
    assert list(scratch.iterdir()) == []


def test_dry_run_prints_json_for_programs(attribute, tmp_path):
    records = {"a": letters(150), "b": letters(10)}
    options = ["--region", "a:11-30", "--tile", "64", "--dry-run"]
    forecast = json.loads(attribute(records, *options, "--json").out)
    text = attribute(records, *options).out
    (segment,) = forecast["segments"]
    assert segment == {"contig": "a", "start": 0, "stop": 150, "tiles": 3, "write": 20}
    assert forecast["layout"] == {"tile_length": 64}
    assert f"# memory\t{forecast['memory_bytes'] / 2**20:,.0f} MiB" in text
    assert f"# scratch disk\t{forecast['scratch_bytes'] / 2**20:,.1f} MiB" in text
    assert forecast["seconds"] > 0


def test_memory_limit_shortens_the_tile(attribute):
    tiles = []
    for limit in ("460M", "0.6g", "700MiB"):
        out = attribute({"a": "ACGT"}, "--dry-run", "--max-memory", limit).out
        tiles.append(int(re.search(r"# tile length\t([\d,]+)", out)[1].replace(",", "")))
    assert tiles == sorted(tiles)
    assert tiles[0] < tiles[1]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--region", "a:11-20"], {"a": range(10, 20)}),
        (["-r", "a:11-20", "-r", "b"], {"a": range(10, 20), "b": range(90)}),
        (["--region", "a:141"], {"a": range(140, 150)}),
        (["--bed", "places.bed"], {"a": [*range(5, 9), *range(40, 50)]}),
        (["--contig", "b"], {"b": range(90)}),
        (["--region", "a:11-20", "--context", "7"], {"a": range(10, 20)}),
        (["--target", "a:50-60", "--region", "a:1-30"], {"a": range(30)}),
        (["--target", "b:50-60"], {"b": range(90)}),
    ],
)
def test_rows_only_where_asked_for(attribute, options, expected):
    Path("places.bed").write_text("track name=x\na\t5\t9\tname\na\t45\t50\na\t40\t47\n")
    attribute({"a": letters(150), "b": letters(90, 1)}, "--no-compress", "--tile", "64", *options)
    for contig in ("a", "b"):
        assert scored("out.sensitivity.bedgraph", contig) == set(expected.get(contig, ()))
        bigwig = Path("out.sensitivity.bw")
        with pyBigWig.open(str(bigwig)) as file:
            if contig in file.chroms():
                found = np.flatnonzero(~np.isnan(values(str(bigwig), contig)))
                assert set(found.tolist()) == set(expected.get(contig, ()))


def test_region_is_scored_in_view_of_the_whole_segment(attribute):
    attribute({"a": letters(150)}, "--tile", "64")
    attribute({"a": letters(150)}, "--tile", "64", "--region", "a:31-40", out="part")
    whole, part = (values(f"{prefix}.contribution.bw", "a") for prefix in ("out", "part"))
    np.testing.assert_array_equal(part[30:40], whole[30:40])


def test_context_limits_what_the_model_sees(attribute):
    text = letters(150)
    attribute({"a": text}, "--region", "a:31-40", "--context", "12")
    attribute({"a": text[18:52]}, out="cut")
    inside, cut = (values(f"{prefix}.contribution.bw", "a") for prefix in ("out", "cut"))
    np.testing.assert_allclose(inside[30:40], cut[12:22], rtol=1e-5)
    assert json.loads(Path("out.run.json").read_text())["context"] == "12 bases"


def test_contig_whose_name_reads_like_a_region_of_another(attribute):
    attribute({"a": letters(10), "a:1-10": letters(30)}, "--contig", "a", "--no-compress")
    assert scored("out.sensitivity.bedgraph", "a") == set(range(10))
    assert scored("out.sensitivity.bedgraph", "a:1-10") == set()


def test_run_json_tells_what_was_done(attribute):
    attribute({"a": letters(150), "b": letters(90, 1)}, "--contig", "b", "--track", "tism.A")
    run = json.loads(Path("out.run.json").read_text())
    assert run["version"] == pgf_genome.__version__
    assert run["model"]["name"] == "hf_mamba_tiny"
    assert run["model"]["dtype"] == "float32"
    assert re.fullmatch("[0-9a-f]{64}", run["model"]["sha256"])
    assert re.fullmatch("[0-9a-f]{64}", run["fasta"]["sha256_of_bases"])
    assert run["fasta"]["name"] == "in.fa"
    assert (run["objective"], run["strand"]) == ("likelihood", "both")
    assert run["context"] == "whole segments"
    (contig,) = run["contigs"]
    assert (contig["contig"], contig["length"], contig["segments"]) == ("b", 90, 1)
    assert contig["objective"] < 0
    assert run["arguments"]["contig"] == ["b"]
    assert run["arguments"]["tracks"] == ["tism.A"]
    assert run["arguments"]["gap_length"] == 10_000
    assert "0-based half-open" in run["conventions"]["coordinates"]
    assert "nats" in run["conventions"]["tism.A"]
    assert set(run["performance"]) == {
        "seconds", "bases_per_second", "peak_memory_bytes", "threads", "device"
    }  # fmt: skip
    assert run["performance"]["device"] == "cpu"
    assert run["performance"]["peak_memory_bytes"] > 2**20
    assert run["files"] == {
        "tism.A.bedgraph": "out.tism.A.bedgraph.gz",
        "tism.A.bigwig": "out.tism.A.bw",
        "chrom.sizes": "out.chrom.sizes",
        "report": "out.report.html",
        "run": "out.run.json",
    }


def test_equal_runs_give_equal_bytes(attribute):
    for folder in ("first", "second"):
        attribute({"a": letters(150), "b": letters(90, 1)}, "--tile", "64", out=f"{folder}/x")
    first, second = (sorted(Path(folder).iterdir()) for folder in ("first", "second"))
    assert [path.name for path in first] == [path.name for path in second]
    runs = []
    for one, other in zip(first, second, strict=True):
        if one.suffix != ".json":
            assert one.read_bytes() == other.read_bytes(), one.name
            continue
        runs = [json.loads(path.read_text()) for path in (one, other)]
        for run in runs:
            del run["performance"]
    assert runs[0] == runs[1]


def test_two_prefixes_of_one_name_share_a_scratch_folder(attribute):
    scratch = Path("scratch")
    Path("first").mkdir()
    with workspace(Path("first/x"), scratch, resume=True):
        attribute({"a": letters(60)}, "--scratch-dir", scratch, out="second/x")
    assert Path("second/x.run.json").is_file()
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_keeps_the_work_and_a_running_prefix_refuses_a_second_run(
    command, tmp_path, stop
):
    fasta, out = tmp_path / "in.fa", tmp_path / "out"
    fasta.write_text(f">a\n{letters(2_000_000)}\n")
    call = ["attribute", fasta, "-m", MODEL, "-t", "1", "--tile", "256", "-o", out / "x"]
    with subprocess.Popen([*COMMAND, *call], stderr=subprocess.PIPE, text=True) as running:
        try:
            for _ in range(600):
                stored = [path.stat().st_size for path in out.glob("x.pgf-work/*/states")]
                if sum(stored) > 100_000 or running.poll() is not None:
                    break
                time.sleep(0.1)
            second = command(*call)
            running.send_signal(stop)
            said = running.stderr.read()
            running.wait(60)
        finally:
            running.kill()
    assert (second.code, second.out) == (1, "")
    assert "another run is writing the same outputs" in second.error
    assert "--out-prefix" in second.error
    assert running.returncode == 130
    # on a slow machine compiling the kernels is announced
    lines = [line for line in said.splitlines() if line and "compiling kernels" not in line]
    assert len(lines) == 1
    assert lines[0].endswith(f"to resume; what is done is kept in {out / 'x.pgf-work'}")
    assert [path.name for path in out.iterdir()] == ["x.pgf-work"]
    assert list(out.glob("x.pgf-work/*/states"))
