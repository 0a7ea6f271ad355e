"""Runs over different contigs, merged into what one run would have written."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished import record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pgf_genome as pgf
from pgf_genome.errors import IntegrityError, PgfError, SequenceError, UsageError
from pgf_genome.runs.merge import merge
from pgf_genome.runs.record import Fasta, Halo, HaloLocus, Track
from pgf_genome.runs.storing import write_record
from pgf_genome.tracks import BedGraphWriter, BigWigWriter

ORACLE = Path(__file__).parent / "oracles" / "hf_mamba_tiny"
NAN = float("nan")
VALUES = {"b": [1.5, NAN, -2, -2], "a": [NAN, NAN, 0.25], "c": [NAN]}


def write_run(prefix: Path, values: Mapping[str, Sequence[float]], **changed: Any) -> Path:
    """A finished run with a track ``x``; `changed` are fields of its record."""
    sizes = {contig: len(row) for contig, row in values.items()}
    write_tracks(prefix, values, sizes)
    write_record(prefix, record(sizes, ["x"], **changed))
    return prefix


def write_tracks(prefix: Path, values: Mapping[str, Sequence[float]], sizes: Mapping[str, int]):
    with (
        BigWigWriter(f"{prefix}.x.bw", sizes) as bigwig,
        BedGraphWriter(f"{prefix}.x.bedgraph.gz", sizes) as bedgraph,
    ):
        for contig, row in values.items():
            for writer in (bigwig, bedgraph):
                writer.add(contig, 0, np.array(row, np.float32))


def tracks(prefix: Path) -> dict[str, bytes]:
    """Tracks, their indexes and the table of lengths by suffix."""
    suffixes = {".bw", ".gz", ".tbi", ".sizes"}
    found = prefix.parent.glob(f"{prefix.name}.*")
    return {p.name.removeprefix(prefix.name): p.read_bytes() for p in found if p.suffix in suffixes}


@pytest.fixture(scope="module")
def genome(tmp_path_factory) -> Path:
    """A FASTA with a contig that has no score, and `attribute` run over the whole of it."""
    rng = np.random.default_rng(5)
    folder = tmp_path_factory.mktemp("genome")
    letters = {name: "".join(rng.choice(list("ACGTN"), n)) for name, n in (("z", 300), ("y", 90))}
    records = letters | {"gap": "N" * 40, "x": letters["y"][::-1]}
    (folder / "in.fa").write_text("".join(f">{n}\n{bases}\n" for n, bases in records.items()))
    attribute(folder, "whole")
    return folder


def attribute(folder: Path, name: str, *contigs: str) -> Path:
    prefix = folder / name
    pgf.attribute(
        folder / "in.fa", ORACLE, prefix, contig=contigs, tile=64, report=False, gap_length=20
    )
    return prefix


@pytest.mark.parametrize(
    "groups", [["z y gap x"], ["z", "y", "gap", "x"], ["x y", "gap z"], ["y gap", "z x"]]
)
def test_merged_tracks_are_byte_for_byte_those_of_one_run(genome, tmp_path, groups):
    parts = [attribute(genome, f"{i}of{len(groups)}", *g.split()) for i, g in enumerate(groups)]
    merge(parts, tmp_path / "whole", genome / "whole.chrom.sizes")
    assert tracks(tmp_path / "whole") == tracks(genome / "whole")
    merged, single = (
        json.loads((folder / "whole.run.json").read_text()) for folder in (tmp_path, genome)
    )
    same = ("title", "version", "model", "objective", "strand", "tile_length", "context")
    for key in (*same, "conventions", "contigs"):
        assert merged[key] == single[key]
    own = set(single["varying"]) - {"formats", "compress"}
    arguments = {key: single["arguments"][key] for key in single["arguments"].keys() - own}
    assert merged["arguments"] == arguments
    assert sum(part["contigs"] for part in merged["parts"]) == 4


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.lists(st.sampled_from([NAN, 0.0, 1.0, -3.5]), min_size=1, max_size=20),
        min_size=1,
        max_size=6,
    ),
    data=st.data(),
)
def test_any_distribution_of_contigs_over_runs_gives_the_same_tracks(tmp_path, rows, data):
    values = {f"c{i}": row for i, row in enumerate(rows)}
    owner = {contig: data.draw(st.integers(0, 2)) for contig in values}
    sizes = tmp_path / "in.fai"
    sizes.write_text("".join(f"{contig}\t{len(row)}\t9\t9\n" for contig, row in values.items()))
    parts = [
        write_run(tmp_path / f"p{k}", {c: row for c, row in values.items() if owner[c] == k})
        for k in sorted(set(owner.values()))
    ]
    write_tracks(tmp_path / "whole", values, {contig: len(row) for contig, row in values.items()})
    merge(parts, tmp_path / "merged", sizes)
    merged = tracks(tmp_path / "merged")
    del merged[".chrom.sizes"]
    assert merged == tracks(tmp_path / "whole")


def test_values_survive_where_blocks_of_reading_meet(tmp_path):
    row = np.random.default_rng(1).standard_normal(140_000).astype(np.float32)
    row[65_530:65_540] = NAN
    values = {"long": row, "short": [2.0]}
    write_tracks(tmp_path / "whole", values, {"long": len(row), "short": 1})
    merge([write_run(tmp_path / "p", values)], tmp_path / "merged", formats=["bigwig"])
    assert (tmp_path / "merged.x.bw").read_bytes() == (tmp_path / "whole.x.bw").read_bytes()
    assert not (tmp_path / "merged.x.bedgraph.gz").exists()


def test_without_a_table_contigs_keep_the_order_of_the_runs(tmp_path):
    first = write_run(tmp_path / "p", {"b": VALUES["b"], "c": VALUES["c"]})
    second = write_run(tmp_path / "q", {"a": VALUES["a"]})
    merge([first, second], tmp_path / "m")
    assert (tmp_path / "m.chrom.sizes").read_text() == "b\t4\nc\t1\na\t3\n"


def test_facts_of_the_parts_are_kept_and_added_up(tmp_path):
    halo = Halo(9, 1, (HaloLocus("b", 0, 4, 0.5, 0.1),))
    first = write_run(tmp_path / "p", {"b": VALUES["b"], "c": VALUES["c"]}, halo=halo)
    halo = Halo(9, 1, (HaloLocus("a", 0, 3, 0.25, 0.1),))
    second = write_run(tmp_path / "q", {"a": VALUES["a"]}, halo=halo)
    (tmp_path / "sizes").write_text("a\t3\nb\t4\nc\t1\n")
    merge([first, second], tmp_path / "m", tmp_path / "sizes")
    run = json.loads((tmp_path / "m.run.json").read_text())
    assert [contig["contig"] for contig in run["contigs"]] == ["a", "b", "c"]
    assert [locus["max_error"] for locus in run["halo"]["loci"]] == [0.25, 0.5]
    assert run["bases"] == {"written": 8, "read": 8}
    assert run["performance"] == {
        "seconds": 4.0, "bases_per_second": 100.0, "peak_memory_bytes": 20, "threads": 1,
        "device": "cpu",
    }  # fmt: skip
    assert [part["sha256_of_bases"] for part in run["parts"]] == ["bc", "a"]
    statistics = json.loads((tmp_path / "m.statistics.json").read_text())["x"]
    assert (statistics["scored"], statistics["minimum"], statistics["maximum"]) == (4, -2, 1.5)
    assert statistics["mean"] == (1.5 - 2 - 2 + 0.25) / 4
    assert statistics["peaks"][0] == {"contig": "b", "position": 2, "value": -2.0}


def test_what_was_merged_merges_again(tmp_path):
    parts = [write_run(tmp_path / name, {name: VALUES[name]}) for name in "bac"]
    merge(parts[:2], tmp_path / "ba")
    merge([tmp_path / "ba", parts[2]], tmp_path / "again")
    merge(parts, tmp_path / "once")
    assert tracks(tmp_path / "again") == tracks(tmp_path / "once")
    again, once = (
        json.loads((tmp_path / f"{name}.run.json").read_text()) for name in ("again", "once")
    )
    assert again["parts"] == once["parts"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model": {"name": "m", "sha256": "34"}}, r'model.sha256 is "34" where .*p.run.json has'),
        ({"objective": "entropy"}, 'objective is "entropy"'),
        ({"strand": "+"}, 'strand is "\\+"'),
        ({"fasta": Fasta("other.fa")}, 'fasta.name is "other.fa"'),
        ({"tile_length": 64}, "tile_length is 64 where .* has null"),
        ({"arguments": {"method": "saliency", "target": []}}, 'arguments.method is "saliency"'),
        ({"tracks": {"y": Track("Y", "nats", "more")}}, "tracks.x is null"),
        ({"halo": Halo(9, 1, ())}, "halo is .* where .* has null"),
        (
            {"arguments": {"target": ["a:1-2"], "method": "corrected"}},
            r'arguments.target is \["a:1-2"\]',
        ),
    ],
)
def test_runs_that_are_not_of_one_whole_are_refused(tmp_path, changed, said):
    first = write_run(tmp_path / "p", {"a": VALUES["a"]})
    second = write_run(tmp_path / "q", {"b": VALUES["b"]}, **changed)
    with pytest.raises(UsageError, match=rf"q.run.json: .*{said}"):
        merge([first, second], tmp_path / "m")


def test_contig_in_two_runs_is_refused(tmp_path):
    parts = [write_run(tmp_path / name, {"a": VALUES["a"]}) for name in "pq"]
    with pytest.raises(UsageError, match=r"q.run.json: contig a is in .*p.run.json as well"):
        merge(parts, tmp_path / "m")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("{", "not the run.json of a finished run"),
    ],
)
def test_run_that_is_missing_or_no_run_is_named(tmp_path, content, said):
    if content is not None:
        (tmp_path / "p.run.json").write_text(content)
    with pytest.raises(IntegrityError, match=rf"p.run.json: {said}"):
        merge([tmp_path / "p"], tmp_path / "m")


def damage_missing(path: Path) -> None:
    path.unlink()


def damage_other_run(path: Path) -> None:
    with BigWigWriter(path, {"other": 9}):
        pass


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def damage_no_bigwig(path: Path) -> None:
    path.write_bytes(b"a\t0\t1\t0.5\n" * 50)


@pytest.mark.parametrize(
    ("damage", "error", "said"),
    [
        (damage_missing, UsageError, "no such file; .* --format bigwig"),
        (damage_other_run, IntegrityError, "its contigs are not those of the run"),
        (damage_cut, IntegrityError, "cannot be read"),
        (damage_no_bigwig, IntegrityError, "cannot be read"),
    ],
)
def test_bigwig_that_cannot_be_used_is_named_and_nothing_is_left(tmp_path, damage, error, said):
    part = write_run(tmp_path / "p", VALUES)
    damage(tmp_path / "p.x.bw")
    with pytest.raises(error, match=rf"p.x.bw: .*{said}"):
        merge([part], tmp_path / "out" / "m")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (None, "cannot be read"),
        ("b\t4\nc\t1\n", "no such contig where .* has contig a with 3 bases"),
        ("a\t5\nb\t4\nc\t1\n", "5 bases where .* has contig a with 3 bases"),
        ("a\t3\nb\n", "line 2: not a name and a length"),
        ("a 3\n", "line 1: not a name and a length"),
    ],
)
def test_table_of_lengths_that_does_not_fit_is_refused(tmp_path, table, said):
    part = write_run(tmp_path / "p", VALUES)
    if table is not None:
        (tmp_path / "sizes").write_text(table)
    with pytest.raises(SequenceError, match=said):
        merge([part], tmp_path / "m", tmp_path / "sizes")


@pytest.mark.parametrize(
    ("out", "options", "said"),
    [
        ("p", {}, "it is one of the runs to merge"),
        ("m", {"formats": ["wig"]}, "unknown format wig: choose from bedgraph, bigwig"),
        ("m", {"formats": []}, "no format: choose from"),
    ],
)
def test_outputs_that_cannot_be_meant_are_refused(tmp_path, out, options, said):
    part = write_run(tmp_path / "p", VALUES)
    with pytest.raises(UsageError, match=said):
        merge([part], tmp_path / out, **options)


def test_folder_that_cannot_be_written_is_named(tmp_path):
    part = write_run(tmp_path / "p", VALUES)
    (tmp_path / "file").write_text("")
    with pytest.raises(PgfError, match=r"no file can be made in .*file \(it is not a folder"):
        merge([part], tmp_path / "file" / "m")


def test_memory_does_not_grow_with_the_contig(tmp_path):
    def peak(bases: int) -> int:
        part = write_run(tmp_path / "p", {"a": np.arange(bases, dtype=np.float32)})
        tracemalloc.start()
        merge([part], tmp_path / "m", formats=["bigwig"])
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(6_000_000) - peak(3_000_000) < 1_000_000  # three million scores take twelve


def test_every_output_named_in_help_is_written(command, tmp_path):
    promised = re.findall(r"^ +OUT(\.\S+)(?: \(\+ (\.\w+)\))?", command("merge", "-h").out, re.M)
    (tmp_path / "in").mkdir()
    parts = [write_run(tmp_path / "in" / name, {name: VALUES[name]}) for name in "bac"]
    done = command("merge", *parts, "-o", tmp_path / "out" / "m")
    assert (done.code, done.out) == (0, "")
    assert done.err == f"pgf-genome: 3 runs merged; 5 files: {tmp_path}/out/m.*\n"
    expected = {f"m{name}{more}" for name, also in promised for more in {"", also}}
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == {name.replace("<track>", "x") for name in expected}


def test_error_is_one_line(command, tmp_path):
    done = command("merge", tmp_path / "p", "-o", tmp_path / "m")
    assert done.code == 1
    assert "p.run.json: cannot be read (No such file or directory)" in done.error


def test_plain_bedgraph_is_that_of_the_compressed(command, tmp_path):
    part = write_run(tmp_path / "p", VALUES)
    assert command("merge", part, "-o", tmp_path / "m", "--no-compress", "-q").err == ""
    assert (tmp_path / "m.x.bedgraph").read_text() == "b\t0\t1\t1.5\nb\t2\t4\t-2\na\t2\t3\t0.25\n"
