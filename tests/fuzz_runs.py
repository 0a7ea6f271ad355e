"""Parsers of what a run keeps and leaves, and the requests of its local server."""

from __future__ import annotations

import io
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import fuzz_readers as slow
import numpy as np
import torch
from finished import LENGTHS as RUN_LENGTHS
from finished import record, scores, write_run
from fuzz_mutations import BINARY, JSON
from fuzz_target import COLUMNS, LENGTHS, Target, written
from test_runs import full

from pgf_genome.browser.server import Resource, _Handler, served_range
from pgf_genome.engine.spool import Journal, RecordFile
from pgf_genome.errors import PgfError
from pgf_genome.runs.run import open_run
from pgf_genome.runs.schema import encoded
from pgf_genome.tracks.reading import highest_position, read_track

STORED = [torch.arange(5, dtype=torch.float64), torch.ones(3)]
IDENTITY = "a run"


@cache
def spool_seeds() -> list[bytes]:
    """A file with records 0 and 1, and a journal with records 4 and 5."""
    with tempfile.TemporaryDirectory() as folder:
        with RecordFile(Path(folder, "r"), 52, IDENTITY) as records:
            records.write(0, STORED)
            records.write(1, STORED)
        with Journal(Path(folder, "j"), 52, IDENTITY) as journal:
            journal.write(4, STORED)
            journal.write(5, STORED)
        return [Path(folder, name).read_bytes() for name in "rj"]


def spool(data: bytes, folder: Path) -> None:
    """A record is what was written, or it is not there."""
    path = written(folder, "spool", data)
    with RecordFile(path, 52, IDENTITY) as records:
        read = [found for n in (0, 1, 2) if (found := records.read(n, STORED)) is not None]
    with Journal(path, 52, IDENTITY) as journal:
        read += journal.records(STORED).values()
    for found in read:
        assert all(torch.equal(*pair) for pair in zip(found, STORED, strict=True))
    if not read:
        raise PgfError("no record is whole")


def run_json(data: bytes, folder: Path) -> None:
    written(folder, "p.run.json", data)
    run = open_run(folder / "p")
    assert json.loads(json.dumps(run.run)) is not None
    json.dumps(encoded(run.record), ensure_ascii=False).encode()
    assert all(path.parent == folder for path in run.files.values())
    run._repr_html_().encode()
    str(run.record.gap), run.record.targets, run.record.fasta_names, run.sizes


@cache
def run_seeds() -> list[bytes]:
    facts = [record({"a": 9, "b": 4}, ["sensitivity"]), full()]
    return [json.dumps({"schema": 1} | encoded(each)).encode() for each in facts]


BEDGRAPH = b"1\t0\t2\t0.5\n1\t2\t3\t-1e-05\nchr2\t10\t20\t3\nchr1\t3990\t4000\t0\n"
IN_ORDER = {name: LENGTHS[name] for name in ("1", "chr2", "chr1")}


def bedgraph(data: bytes, folder: Path) -> None:
    """The values of the rows, and nothing else."""
    name = "t.bedgraph.gz" if data.startswith(b"\x1f\x8b") else "t.bedgraph"
    pieces = list(read_track(written(folder, name, data), IN_ORDER))
    read = {c: np.full(n, np.nan, np.float32) for c, n in IN_ORDER.items()}
    expected = {c: each.copy() for c, each in read.items()}
    for contig, start, values in pieces:
        assert 0 <= start <= start + len(values) <= IN_ORDER[contig]
        read[contig][start : start + len(values)] = values
    for contig, start, stop, value in slow.bedgraph(data):
        expected[contig][start:stop] = value
    for contig in IN_ORDER:
        np.testing.assert_array_equal(read[contig], expected[contig])


@cache
def bigwig_seeds() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        prefix = write_run(Path(folder))
        return [Path(f"{prefix}.surprisal.bw").read_bytes()]


def bigwig(data: bytes, folder: Path) -> None:
    """Values that are read are those that were written; a damaged index may leave some out."""
    path = written(folder, "t.bw", data)
    highest_position(path, RUN_LENGTHS)
    for contig, start, values in read_track(path, RUN_LENGTHS):
        assert 0 <= start <= start + len(values) <= RUN_LENGTHS[contig]
        truth = scores("surprisal", contig)[start : start + len(values)]
        scored = ~np.isnan(values)
        np.testing.assert_array_equal(values[scored], truth[scored])


class _Connection:
    """What a request came in on, and what goes out."""

    def __init__(self, data: bytes) -> None:
        self.data, self.sent = data, io.BytesIO()

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self.data)

    def sendall(self, data: bytes) -> None:
        self.sent.write(data)

    def settimeout(self, _: float) -> None:
        pass

    def setsockopt(self, *_: object) -> None:
        pass


class _Server(NamedTuple):
    routes: dict[str, Resource]


SERVER = _Server({"/w/": Resource(b"page"), "/w/files/0/a b.bw": Resource(b"data")})


def request(data: bytes, folder: Path) -> None:
    """Every answer is whole or a refusal, and nothing but the routes is answered with a body."""
    connection = _Connection(data)
    _Handler(connection, ("127.0.0.1", 1), SERVER)  # type: ignore[arg-type]
    answer = connection.sent.getvalue()
    if b" 200 OK" not in answer and b" 206 Partial" not in answer:
        raise PgfError("no file")


def byte_range(data: bytes, folder: Path) -> None:
    status, start, stop = served_range(data.decode("latin-1"), 1000)
    assert 0 <= start <= stop <= 1000
    assert status in (200, 206, 416)


REQUEST = b"GET /w/files/0/a%20b.bw HTTP/1.1\r\nHost: 127.0.0.1:80\r\nRange: bytes=0-2\r\n\r\n"


def targets() -> list[Target]:
    """The parsers of this module."""
    return [
        Target("spool", spool, spool_seeds(), [b"\0" * 8], BINARY, share=10),
        Target("run.json", run_json, run_seeds(), [b'"NaN"'], JSON, share=8),
        Target(
            "bedGraph", bedgraph, [BEDGRAPH, b"track x\n" + BEDGRAPH], COLUMNS, share=3, zipped=True
        ),
        Target("bigWig", bigwig, bigwig_seeds(), (), BINARY, share=8),
        Target(
            "request",
            request,
            [REQUEST, REQUEST.replace(b"GET /w/files/0/a%20b.bw", b"HEAD /w/")],
            [
                b"..",
                b"/",
                b"%2e",
                b"http://",
                b"//",
                b"GET ",
                b"Host: ",
                b"\r\n",
                b"If-Range: x\r\n",
                b"[::1]",
                b"bytes=",
            ],
            share=8,
        ),
        Target(
            "byte range",
            byte_range,
            [b"bytes=0-99", b"bytes=-5", b"bytes=9-"],
            [b"bytes=", b"-", b","],
            share=10,
        ),
    ]
