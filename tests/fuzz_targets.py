"""What `fuzz.py` runs: every parser, fed from bytes, with a check of what it accepts."""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import fuzz_readers as slow
import numpy as np
import torch
from finished import LENGTHS as RUN_LENGTHS
from finished import record, scores, write_run
from fuzz_mutations import BINARY, JSON, TEXT, Mutation
from models import SIZES, TOKENS
from safetensors.torch import save
from vcfs import HEADER, MEANING, without

from pgf_genome.browser.server import Resource, served_range
from pgf_genome.checkpoints.files import read_weights
from pgf_genome.checkpoints.load import read_checkpoint
from pgf_genome.checkpoints.tokenizer import read_vocabulary, trained_length
from pgf_genome.effects.annotate import annotate
from pgf_genome.effects.reference import Reference
from pgf_genome.engine.spool import Journal, RecordFile
from pgf_genome.errors import PgfError
from pgf_genome.intervals import parse_region, parse_site, read_stranded_bed
from pgf_genome.quantities import bytes_of
from pgf_genome.runs.run import open_run
from pgf_genome.runs.schema import encoded
from pgf_genome.sequence import BASES, Genome, counterparts, decode_fasta, new_names
from pgf_genome.sequence.annotation import read_annotation
from pgf_genome.tracks.reading import highest_position, read_track

LENGTHS = {"1": 30, "chr2": 500, "a:1-9": 9, "HLA*01:01": 12, "{x}": 7, "chr1": 4000}


class Target(NamedTuple):
    """A parser.

    Attributes
    ----------
    run : callable
        Takes the bytes and an empty folder; it may raise a PgfError only.
    seeds : sequence of bytes
        Good input.
    tokens : sequence of bytes
        Words of its format.
    ways : sequence of callable
        How the seeds are mutated.
    share : int
        Its share of the cases.
    zipped : bool
        Whether the format may be gzip.
    """

    name: str
    run: Callable[[bytes, Path], None]
    seeds: Sequence[bytes]
    tokens: Sequence[bytes] = ()
    ways: Sequence[Mutation] = TEXT
    share: int = 10
    zipped: bool = False


def _written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# --- sequences and intervals -------------------------------------------------------------------


def letters(genome: Genome) -> list[tuple[str, bytes]]:
    """Names and sequences of a genome."""
    table = bytes.maketrans(bytes(range(5)), f"{BASES}N".encode())
    return [
        (c.name, genome.codes(c.name, 0, c.length).tobytes().translate(table))
        for c in genome.contigs
    ]


def fasta(data: bytes, folder: Path) -> None:
    """Every cut into blocks reads the same, and what the slow reader reads."""
    path, block = _written(folder, "g.fa", data), 1 + sum(data[:2]) % 40
    with decode_fasta(path, folder / "codes", block=block) as genome:
        assert letters(genome) == slow.fasta(data)


FASTA = b">chr1 of a kind\nACGTNacgtnRYK\nACGT\n\n>chr2\nGGCCTTAA\nGG\n>chr3\tx\nuuaa\n"


def indexed(data: bytes, folder: Path) -> None:
    """An index never leads to another sequence than that of the record."""
    path = _written(folder, "g.fa", FASTA)
    _written(folder, "g.fa.fai", data)
    with decode_fasta(path, folder / "codes", ["chr2"]) as genome:
        assert letters(genome) == [("chr2", b"GGCCTTAAGG")]


def region(data: bytes, folder: Path) -> None:
    text = data.decode("utf-8", "surrogateescape")
    found = parse_region(text, LENGTHS)
    assert (found.contig, found.start, found.stop) == slow.region(text, LENGTHS)


def site(data: bytes, folder: Path) -> None:
    found = parse_site(data.decode("utf-8", "surrogateescape"))
    assert parse_site(str(found)) == found


def size(data: bytes, folder: Path) -> None:
    assert bytes_of(data.decode("utf-8", "surrogateescape"), "max_memory") >= 0


def bed(data: bytes, folder: Path) -> None:
    read = read_stranded_bed(_written(folder, "i.bed", data), LENGTHS)
    rows = [(e.interval.contig, e.interval.start, e.interval.stop, e.strand) for e in read]
    assert rows == slow.bed(data, LENGTHS)


def alias(data: bytes, folder: Path) -> None:
    path = _written(folder, "names.txt", data)
    named = counterparts(path, LENGTHS)
    assert set(named.values()) <= set(LENGTHS)
    names = new_names(path, LENGTHS)
    assert len(set(names.values())) == len(LENGTHS)


GFF3 = (
    b"##gff-version 3\nchr1\tx\tgene\t11\t400\t.\t+\t.\tID=gene-a;Name=thrA%2C\n"
    b"chr1\tx\tmRNA\t11\t400\t.\t+\t.\tID=t;Parent=gene-a\n"
    b"chr1\tx\tCDS\t11\t100\t.\t+\t0\tID=cds-a;Parent=t;gene=thrA;transl_table=11\n"
    b"chr1\tx\tCDS\t201\t400\t.\t+\t1\tID=cds-a;Parent=t\n"
    b"chr2\tx\tCDS\t21\t80\t.\t-\t0\tID=cds-b;pseudo=true\n##FASTA\n>chr1\nACGT\n"
)
GTF = (
    b'chr1\tx\tgene\t11\t400\t.\t+\t.\tgene_id "a"; gene_name "thrA";\n'
    b'chr1\tx\tCDS\t11\t97\t.\t+\t0\tgene_id "a"; transcript_id "t"; note "b";\n'
    b'chr1\tx\tstop_codon\t98\t100\t.\t+\t0\tgene_id "a"; transcript_id "t";\n'
)


def gff(data: bytes, folder: Path) -> None:
    read = read_annotation(_written(folder, "g.gff", data), LENGTHS, {c: c for c in LENGTHS}.get)
    for contig, genes in read.genes.items():
        assert all(0 <= a < b <= LENGTHS[contig] for a, b, _ in genes.of(0, LENGTHS[contig]))
    for contig, parts in read.coding.items():
        assert all(0 <= a < b <= LENGTHS[contig] for a, b, _ in parts.of(0, LENGTHS[contig]))
        assert all(cds.positions.size for _, _, cds in parts.of(0, LENGTHS[contig]))


# --- VCF ---------------------------------------------------------------------------------------

CONTIGS = {"1": "ACGTTGCAAGGCTTAACCGGTTAACGATCG", "chr2": "ggccttNaacc", "3": "ACGT"}
RECORDS = (
    "1\t3\trs1\tG\tA,T\t5\tPASS\tAC=1\tGT\t0|1\n1\t4\t.\tTT\tT\t.\t.\t.\n"
    "chr2\t2\t.\tg\tGA\t.\t.\tDB\n7\t1\t.\tA\t<DEL>\t.\t.\t.\n3\t4\t.\tT\t*,C\t.\t.\t.\n"
)


@cache
def reference(folder: Path) -> Reference:
    """The genome of `CONTIGS`."""
    text = "".join(f">{name}\n{bases}\n" for name, bases in CONTIGS.items())
    path = folder.with_name(f"{folder.name}-genome")
    path.write_text(text)
    genome = decode_fasta(path, path.with_suffix(".codes"))
    for each in (path, path.with_suffix(".codes")):
        each.unlink()  # the genome holds it open
    return Reference(genome)


def annotated(path: Path, folder: Path) -> tuple[bytes, int]:
    """The output for a VCF, scored without a model, and its number of records."""
    out = folder / "out.vcf"
    summary = annotate(
        path,
        reference(folder),
        lambda contig, variants, report: (len(v.alt) for v in variants),
        MEANING,
        [str(out), str(folder / "out.tsv")],
        folder,
    )
    return out.read_bytes(), summary.records


def vcf(data: bytes, folder: Path) -> None:
    """Every record is kept, in order and byte by byte but for what is added to it."""
    text, rows = slow.vcf(data) or (b"", [])
    if text.startswith(b"BCF\x02"):
        bcf(data, folder)
        return
    output, records = annotated(_written(folder, "in.vcf", data), folder)
    assert records == len(rows)
    alleles = sum(len(row[4].split(b",")) for row in rows)
    assert (folder / "out.tsv").read_bytes().count(b"\n") == alleles + 1
    if b"PGF_" not in text and not re.search(rb"\t(\t|\r|\n|$)", text):  # empty INFO becomes "."
        assert without(output) == text.removeprefix(b"\xef\xbb\xbf")


def bcf(data: bytes, folder: Path) -> None:
    annotated(_written(folder, "in.bcf", data), folder)


@cache
def bcf_seeds() -> list[bytes]:
    """A BCF, compressed and not."""
    import tempfile

    import pysam

    head = HEADER.replace("#CHROM", "##contig=<ID=1,length=30>\n##contig=<ID=3>\n#CHROM")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.vcf")
        path.write_text(head + "1\t3\trs1\tG\tA,T\t5\tPASS\t.\n3\t4\t.\tT\t*,C\t.\t.\t.\n")
        bcf_path = f"{folder}/a.bcf"
        with (
            pysam.VariantFile(str(path)) as read,
            pysam.VariantFile(bcf_path, "wb", header=read.header) as out,
        ):
            for each in read:
                out.write(each)
        packed = Path(folder, "a.bcf").read_bytes()
    return [packed, gzip.decompress(packed)]


# --- checkpoints -------------------------------------------------------------------------------


@cache
def checkpoint() -> tuple[dict, bytes, list[str]]:
    """Configuration, weights and tokens of a small model."""
    from models import random_model, small_config

    model = random_model(small_config(), torch.float32)
    c = {
        "architectures": ["MambaForCausalLM"], "model_type": "mamba", "vocab_size": 7,
        "hidden_size": 6, "num_hidden_layers": 2, "intermediate_size": SIZES["d_inner"],
        "state_size": SIZES["d_state"], "conv_kernel": SIZES["d_conv"], "use_bias": False,
        "time_step_rank": SIZES["dt_rank"], "layer_norm_epsilon": 1e-5, "use_conv_bias": True,
        "hidden_act": "silu", "tie_word_embeddings": model.config.tied, "ssm_cfg": None,
    }  # fmt: skip
    tensors = {f"backbone.{name}": t.contiguous() for name, t in model.state_dict().items()}
    if "backbone.lm_head.weight" in tensors:
        tensors["lm_head.weight"] = tensors.pop("backbone.lm_head.weight")
    return c, save(tensors), list(TOKENS)


def native() -> dict:
    """The same sizes as mamba_ssm states them."""
    return {
        "d_model": 6, "n_layer": 2, "vocab_size": 7, "rms_norm": True, "fused_add_norm": True,
        "residual_in_fp32": True, "pad_vocab_size_multiple": 1, "tie_embeddings": False,
        "ssm_cfg": {"d_state": 3, "expand": 2, "dt_rank": 2, "layer": "Mamba1"},
    }  # fmt: skip


def config(data: bytes, folder: Path) -> None:
    _, weights, tokens = checkpoint()
    _written(folder, "config.json", data)
    if not (folder / "model.safetensors").exists():
        _written(folder, "model.safetensors", weights)
        _written(folder, "vocab.txt", "\n".join(tokens).encode())
    read_checkpoint(folder)


TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer_config.json")
VOCAB = {"<unk>": 0, "A": 1, "C": 2, "G": 3, "T": 4, "N": 5}
TOKENIZER = {
    "added_tokens": [{"id": 6, "content": "<pad>"}],
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, None]},
    "model": {"type": "WordLevel", "vocab": VOCAB, "unk_token": "<unk>"},
}
UNIGRAM = {"normalizer": None, "model": {"vocab": [[t, 0.5] for t in VOCAB], "merges": []}}
CADUCEUS = {
    "tokenizer_class": "CaduceusTokenizer",
    "model_max_length": 131072,
    "characters": list("ACGTN"),
    "added_tokens_decoder": {"3": {"content": "[MASK]"}, "4": {"content": "[PAD]"}},
}


def tokenizer(data: bytes, folder: Path) -> None:
    """The same bytes as each of the files of a tokenizer."""
    refusals = []
    for name in TOKENIZERS:
        path = _written(folder, name, data)
        try:
            vocabulary = read_vocabulary(folder, 16)
            assert len(set(vocabulary.base_ids)) == 4
            assert max(vocabulary.base_ids) < 16
            trained_length(folder)
        except PgfError as error:
            refusals.append(error)
        path.unlink()
    if len(refusals) == len(TOKENIZERS):
        raise refusals[sum(data[:9]) % len(refusals)]


def safetensors(data: bytes, folder: Path) -> None:
    _written(folder, "model.safetensors", data)
    for tensor in read_weights(folder).values():
        assert tensor.dtype is torch.int64 or tensor.isfinite().all()


EXECUTED: list[object] = []
TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}


def plant(*anything: object) -> object:
    """What a pickle must never call."""
    EXECUTED.append(anything)
    return anything


def pickled(data: bytes, folder: Path) -> None:
    _written(folder, "pytorch_model.bin", data)
    try:
        for name, tensor in read_weights(folder).items():
            assert isinstance(name, str)
            assert isinstance(tensor, torch.Tensor)
    finally:
        assert not EXECUTED, "code of a pickle was run"


def zipped_pickle(opcodes: bytes) -> bytes:
    """The zip file of torch.save with another pickle in it."""
    import zipfile

    held, file = io.BytesIO(), io.BytesIO()
    torch.save(TENSORS, held)
    with zipfile.ZipFile(held) as read, zipfile.ZipFile(file, "w") as out:
        for each in read.infolist():
            out.writestr(each, opcodes if each.filename.endswith(".pkl") else read.read(each))
    return file.getvalue()


def opcodes(data: bytes, folder: Path) -> None:
    """A pickle of any opcodes, in a whole zip file."""
    pickled(zipped_pickle(data), folder)


@cache
def pickle_seeds() -> tuple[list[bytes], list[bytes]]:
    """Weight files in the zip and in the older form; the pickle within the first."""
    import zipfile

    new, old = io.BytesIO(), io.BytesIO()
    torch.save(TENSORS, new)
    torch.save(TENSORS, old, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(new) as read:
        inner = read.read(next(n for n in read.namelist() if n.endswith(".pkl")))
    return [new.getvalue(), old.getvalue()], [inner]


OPCODES = (
    b"\x80\x02", b"\x80\x04", b"}", b"]", b")", b"(", b"t", b"\x85", b"\x86", b"\x87", b"R", b"b",
    b"N", b"\x88", b"K\x01", b"K\x02", b"M\xff\xff", b"J\xff\xff\xff\x7f", b"\x8a\x08" + b"\xff" * 8,
    b"q\x00", b"q\x01", b"h\x00", b"h\x01", b"r\xff\xff\xff\x7f", b"j\xff\xff\xff\x7f", b"s", b"u",
    b"a", b"e", b"0", b"1", b"2", b".", b"Q", b"Ppersistent\n", b"X\x01\x00\x00\x00a",
    b"X\xff\xff\xff\x7f", b"\x8c\x01a", b"\x8e" + b"\xff" * 8, b"B\xff\xff\xff\x7f", b"G" + b"\x7f" * 8,
    b"cfuzz_targets\nplant\n", b"\x8c\x0cfuzz_targets\x8c\x05plant\x93", b"(ifuzz_targets\nplant\n",
    b"cos\nsystem\n", b"cbuiltins\neval\n", b"cbuiltins\ngetattr\n", b"ctorch\nload\n",
    b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"cbuiltins\nbytearray\n",
    b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_parameter\n", b"ctorch\nTensor\n",
    b"ctorch\nSize\n", b"c_codecs\nencode\n", b"ctorch.serialization\n_get_layout\n", b"o", b"\x81",
    b"\x92", b"\x94", b"\x95" + b"\xff" * 8, b"\x8f", b"\x90", b"\x91", b"\x82\x01", b"\x83\x01\x01",
)  # fmt: skip

# --- files of runs -----------------------------------------------------------------------------

STORED = [torch.arange(5, dtype=torch.float64), torch.ones(3)]
IDENTITY = "a run"


@cache
def spool_seeds() -> list[bytes]:
    """A file with records 0 and 1, and a journal with records 4 and 5."""
    import tempfile

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
    path = _written(folder, "spool", data)
    with RecordFile(path, 52, IDENTITY) as records:
        read = [found for n in (0, 1, 2) if (found := records.read(n, STORED)) is not None]
    with Journal(path, 52, IDENTITY) as journal:
        read += journal.records(STORED).values()
    for found in read:
        assert all(torch.equal(*pair) for pair in zip(found, STORED, strict=True))
    if not read:
        raise PgfError("no record is whole")


def run_json(data: bytes, folder: Path) -> None:
    _written(folder, "p.run.json", data)
    run = open_run(folder / "p")
    assert json.loads(json.dumps(run.run)) is not None
    json.dumps(encoded(run.record), ensure_ascii=False).encode()
    assert all(path.parent == folder for path in run.files.values())
    run._repr_html_().encode()
    str(run.record.gap), run.record.targets, run.record.fasta_names, run.sizes


@cache
def run_seeds() -> list[bytes]:
    from test_runs import full

    facts = [record({"a": 9, "b": 4}, ["sensitivity"]), full()]
    return [json.dumps({"schema": 1} | encoded(each)).encode() for each in facts]


BEDGRAPH = b"1\t0\t2\t0.5\n1\t2\t3\t-1e-05\nchr2\t10\t20\t3\nchr1\t3990\t4000\t0\n"
IN_ORDER = {name: LENGTHS[name] for name in ("1", "chr2", "chr1")}


def bedgraph(data: bytes, folder: Path) -> None:
    """The values of the rows, and nothing else."""
    name = "t.bedgraph.gz" if data.startswith(b"\x1f\x8b") else "t.bedgraph"
    pieces = list(read_track(_written(folder, name, data), IN_ORDER))
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
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        prefix = write_run(Path(folder))
        return [Path(f"{prefix}.surprisal.bw").read_bytes()]


def bigwig(data: bytes, folder: Path) -> None:
    """Values that are read are those that were written; a damaged index may leave some out."""
    path = _written(folder, "t.bw", data)
    highest_position(path, RUN_LENGTHS)
    for contig, start, values in read_track(path, RUN_LENGTHS):
        assert 0 <= start <= start + len(values) <= RUN_LENGTHS[contig]
        written = scores("surprisal", contig)[start : start + len(values)]
        scored = ~np.isnan(values)
        np.testing.assert_array_equal(values[scored], written[scored])


# --- requests ----------------------------------------------------------------------------------


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
    from pgf_genome.browser.server import _Handler

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


def _targets() -> list[Target]:
    words = [name.encode() for name in LENGTHS]
    numbers = [b"0", b"1", b"9", b"10", b"1,000", b"29", b"30"]
    columns = [b"\t", b"\n", b" ", b"#", b"track ", b"browser ", b"+", b"-", *words, *numbers]
    return [
        Target("region", region, [b"chr1:500-900", b"{a:1-9}:2-3", b"HLA*01:01:1-9", b"1"],
               [b":", b"-", b",", b"{", b"}", *words, *numbers], share=60),
        Target("site", site, [b"chr1:1,001:A>G", b"a:1-9:3"], [b":", b">", b"ACGT", *words, *numbers],
               share=20),
        Target("size", size, [b"1.5G", b"800M"], [b"K", b"T", b"iB", b"."], share=5),
        Target("FASTA", fasta, [FASTA, FASTA.replace(b"\n", b"\r\n")],
               [b">", b">chr1\n", b"ACGT", b"N" * 9, b"\n", b"-", b"*"], share=25, zipped=True),
        Target("FASTA index", indexed, [b"chr1\t17\t16\t13\t14\nchr2\t10\t42\t8\t9\nchr3\t4\t62\t4\t5\n"],
               columns, share=10),
        Target("BED", bed, [b"1\t0\t9\nchr2\t10\t20\tx\t5\t-\n", b"track x\nchr1 0 4000\n"], columns,
               share=25, zipped=True),
        Target("alias", alias, [
            b"".join(b"%s\tn%d\n" % (w, i) for i, w in enumerate(words)),
            b"# ucsc\tncbi\n" + b"".join(b"u%d\t%s\n" % (i, w) for i, w in enumerate(words)),
            b"# Sequence-Name\tGenBank-Accn\tUCSC-style-name\n1\tna\tchrI\n"], columns, share=20,
            zipped=True),
        Target("GFF", gff, [GFF3, GTF], [b"ID=", b"Parent=", b";", b"gene", b"CDS", b"transl_table=",
               b'gene_id "', b'"', b"%0A", *columns], share=20, zipped=True),
        Target("VCF", vcf, [(HEADER + RECORDS).encode(), (HEADER + RECORDS).replace("\n", "\r\n").encode()],
               [b"<DEL>", b"*", b".", b"]1:3]A", b",", b";", b"PGF_EFFECT=1", b"A", b"T", b"N", *columns],
               share=8, zipped=True),
        Target("BCF", bcf, bcf_seeds(), [b"BCF\x02\x02"], BINARY, share=4),
        Target("config.json", config, [json.dumps(c).encode() for c in (checkpoint()[0], native())],
               (), JSON, share=6),
        Target("tokenizer", tokenizer, [json.dumps(c).encode() for c in (VOCAB, TOKENIZER, UNIGRAM, CADUCEUS)]
               + [b"\n".join(t.encode() for t in VOCAB)], [b"[UNK]\n", b"A\n", b"acgt", b'{"A":0}'],
               JSON, share=10),
        Target("safetensors", safetensors, [save(TENSORS), checkpoint()[1]],
               [b'"F32"', b'"I64"', b'"shape":[', b"[0,8]"], (*BINARY, *TEXT), share=10),
        Target("pickle", pickled, pickle_seeds()[0], OPCODES, (*BINARY, *TEXT), share=5),
        Target("pickle opcodes", opcodes, pickle_seeds()[1], OPCODES, (*BINARY, *TEXT), share=5),
        Target("spool", spool, spool_seeds(), [b"\0" * 8], BINARY, share=10),
        Target("run.json", run_json, run_seeds(), [b'"NaN"'], JSON, share=8),
        Target("bedGraph", bedgraph, [BEDGRAPH, b"track x\n" + BEDGRAPH], columns, share=3, zipped=True),
        Target("bigWig", bigwig, bigwig_seeds(), (), BINARY, share=8),
        Target("request", request, [REQUEST, REQUEST.replace(b"GET /w/files/0/a%20b.bw", b"HEAD /w/")],
               [b"..", b"/", b"%2e", b"http://", b"//", b"GET ", b"Host: ", b"\r\n", b"If-Range: x\r\n",
                b"[::1]", b"bytes="], share=8),
        Target("byte range", byte_range, [b"bytes=0-99", b"bytes=-5", b"bytes=9-"], [b"bytes=", b"-", b","],
               share=10),
    ]  # fmt: skip


TARGETS = {target.name: target for target in _targets()}
