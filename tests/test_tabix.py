"""The index beside a compressed bedGraph finds what a scan of the whole file finds."""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pysam
import pytest
from Bio import bgzf
from hypothesis import given, settings
from hypothesis import strategies as st

from pgf_genome.tracks import BedGraphWriter
from pgf_genome.tracks.bedgraph.bgzf import BLOCK_BYTES, BgzfWriter

WINDOW = 2**14
NAN = np.nan

# (positions, distinct values): rows of one base, of thousands, of whole windows, and none at all
pieces = st.lists(
    st.tuples(st.integers(1, 3 * WINDOW), st.sampled_from(["rows", "one row", "nothing"])),
    min_size=1,
    max_size=8,
)


def track(parts: list[tuple[int, str]], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = {"rows": rng.standard_normal, "one row": np.ones, "nothing": lambda n: np.full(n, NAN)}
    return np.concatenate([made[kind](length) for length, kind in parts]).astype(np.float32)


def write(path: Path, tracks: dict[str, np.ndarray], sizes: dict[str, int] | None = None) -> None:
    lengths = sizes or {contig: len(values) for contig, values in tracks.items()}
    with BedGraphWriter(path, lengths) as writer:
        for contig, values in tracks.items():
            writer.add(contig, 0, values)


def rows(path: Path) -> list[tuple[str, int, int]]:
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    fields = (line.split("\t") for line in lines)
    return [(name, int(start), int(stop)) for name, start, stop, _ in fields]


@settings(max_examples=15, deadline=None)
@given(first=pieces, second=pieces, seed=st.integers(0, 2**32 - 1), wide=st.booleans())
def test_every_region_gives_the_rows_that_overlap_it(first, second, seed, wide) -> None:
    tracks = {"chr1": track(first, seed), "empty": np.zeros(0, np.float32)}
    tracks["chr2"] = track(second, seed + 1)
    sizes = {contig: len(values) for contig, values in tracks.items()}
    if wide:
        sizes["chr2"] = 2**29
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.bedgraph.gz")
        write(path, tracks, sizes)
        written = rows(path)
        index = f"{path}{'.csi' if wide else '.tbi'}"
        with pysam.TabixFile(str(path), index=index) as tabix:
            assert tabix.contigs == list(dict.fromkeys(name for name, _, _ in written))
            for contig in tabix.contigs:
                bounds = rng.integers(0, len(tracks[contig]) + 1, (12, 2))
                edges = [(0, WINDOW), (WINDOW, 2 * WINDOW), (WINDOW - 1, WINDOW + 1)]
                for start, stop in [*np.sort(bounds, axis=1).tolist(), *edges]:
                    if start == stop:
                        continue
                    found = [tuple(line.split("\t")) for line in tabix.fetch(contig, start, stop)]
                    assert [(name, int(a), int(b)) for name, a, b, _ in found] == [
                        row for row in written
                        if row[0] == contig and row[1] < stop and row[2] > start
                    ]  # fmt: skip


@pytest.mark.parametrize(("length", "suffix"), [(2**29 - 1, ".tbi"), (2**29, ".csi")])
def test_the_tabix_program_reads_the_index(tmp_path: Path, length: int, suffix: str) -> None:
    program = os.environ.get("PGF_GENOME_TABIX") or shutil.which("tabix")
    if program is None:
        pytest.skip("tabix is not installed")
    path, last = tmp_path / "x.bedgraph.gz", length - 1
    with BedGraphWriter(path, {"a": length}) as writer:
        writer.add("a", 7, np.array([1], np.float32))
        writer.add("a", last, np.array([2], np.float32))
    assert [each.suffix for each in tmp_path.iterdir() if each != path] == [suffix]
    command = [program, str(path), f"a:{last}-{length}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"a\t{last}\t{length}\t2\n", "")


def offsets(path: Path) -> dict[int, list[int]]:
    """Bin -> first and last virtual offset, of a `.tbi` with one contig."""
    content = gzip.decompress(path.read_bytes())
    names = struct.unpack_from("<i", content, 32)[0]
    count, at, bins = struct.unpack_from("<i", content, 36 + names)[0], 40 + names, {}
    for _ in range(count):
        number, chunks = struct.unpack_from("<Ii", content, at)
        places = struct.unpack_from(f"<{2 * chunks}Q", content, at + 8)
        bins[number] = [places[0], places[-1]]
        at += 8 + 16 * chunks
    return bins


def test_bins_are_those_of_htslib(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "a.bedgraph.gz", tmp_path / "b.bedgraph.gz"
    write(ours, {"a": track([(20 * WINDOW, "rows")], 0)})
    theirs.write_bytes(ours.read_bytes())
    pysam.tabix_index(str(theirs), preset="bed")
    # of the last one htslib takes the end of the file for its end
    leaves = range(4681, 4681 + 19)
    found, wanted = offsets(Path(f"{ours}.tbi")), offsets(Path(f"{theirs}.tbi"))
    assert {leaf: found[leaf] for leaf in leaves} == {leaf: wanted[leaf] for leaf in leaves}


def test_a_query_reads_only_the_blocks_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "x.bedgraph.gz"
    write(path, {"a": track([(40 * WINDOW, "rows")], 0)})
    damaged = bytearray(path.read_bytes())
    damaged[: len(damaged) // 2] = bytes(len(damaged) // 2)
    header = path.read_bytes()[:200_000]
    damaged[: len(header)] = header
    path.write_bytes(damaged)
    with pysam.TabixFile(str(path)) as tabix:
        assert len(list(tabix.fetch("a", 39 * WINDOW, 40 * WINDOW))) == WINDOW


@pytest.mark.parametrize("length", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES + 5])
def test_bgzf_reads_back_and_ends_as_it_should(tmp_path: Path, length: int) -> None:
    text = np.random.default_rng(0).integers(0, 256, length, np.uint8).tobytes()
    path = tmp_path / "x.gz"
    with open(path, "wb") as file:
        writer = BgzfWriter(file)
        writer.write(text[:7])
        writer.write(text[7:])
        writer.finish()
    assert gzip.decompress(path.read_bytes()) == text
    assert path.read_bytes().endswith(bgzf._bgzf_eof)
    with open(path, "rb") as file:
        blocks = [(start, data) for start, _, _, data in bgzf.BgzfBlocks(file)]
    places = np.arange(0, length + 1, BLOCK_BYTES)
    found = writer.virtual_offsets(places)
    with bgzf.BgzfReader(str(path), "rb") as reader:
        for place, offset in zip(places, found.tolist(), strict=True):
            reader.seek(offset)
            assert reader.read(9) == text[place : place + 9]
    assert sum(data for _, data in blocks) == length
