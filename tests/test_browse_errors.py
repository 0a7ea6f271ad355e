"""What `browse` says of runs, references and options that it cannot use."""

from __future__ import annotations

from pathlib import Path

import pytest
from finished import write_fasta, write_run

from pgf_genome.browser import read_scene
from pgf_genome.errors import IntegrityError, ResourceError, SequenceError, UsageError


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return write_run(tmp_path, fasta=write_fasta(tmp_path / "g.fa"))


def test_missing_run_and_damaged_run(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"none\.run\.json: cannot be read"):
        read_scene(tmp_path / "none")
    for text, reason in (("{", "Expecting"), ("{}", "title is missing"), ("[]", "is a list")):
        (tmp_path / "bad.run.json").write_text(text)
        with pytest.raises(IntegrityError, match=reason):
            read_scene(tmp_path / "bad")


def test_missing_track_is_named(prefix: Path) -> None:
    Path(f"{prefix}.surprisal.bw").unlink()
    with pytest.raises(ResourceError, match=r"run\.surprisal\.bw: run\.json lists this track"):
        read_scene(prefix)


def test_a_damaged_bigwig_is_named(prefix: Path) -> None:
    Path(f"{prefix}.contribution.bw").write_bytes(b"no bigWig")
    with pytest.raises(IntegrityError, match=r"run\.contribution\.bw: cannot be read"):
        read_scene(prefix)


def test_unknown_fasta_asks_for_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give `fasta`, or `genome`"):
        read_scene(write_run(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x1f\x8b\x08\x00" + bytes(20), "the gzip data is"),
        (b">c1\nACGT\nA\nACGT\n", "cannot be indexed"),
        (b">c1\nACGT\n", "4 bases where the run has contig c1 with 3,000 bases"),
        (b">x\nACGT\n", "no such contig where the run has contig c1"),
    ],
)
def test_unfit_fasta_is_one_clear_line(
    tmp_path: Path, prefix: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "other.fa"
    path.write_bytes(content)
    with pytest.raises(SequenceError, match=r"other\.fa: ") as caught:
        read_scene(prefix, fasta=path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*.part"))


def test_other_bad_options(tmp_path: Path, prefix: Path) -> None:
    with pytest.raises(SequenceError, match="there is no contig 'c9'"):
        read_scene(prefix, region="c9:1-5")
    with pytest.raises(ResourceError, match=r"`gff` .*no such file"):
        read_scene(prefix, gff=tmp_path / "none.gff3")
    with pytest.raises(UsageError, match=r"must end in \.gff3, \.gff, \.gtf or \.bed"):
        read_scene(prefix, gff=tmp_path / "g.fa")
    with pytest.raises(SequenceError, match=r"gone\.fa: cannot be read"):
        read_scene(prefix, fasta=tmp_path / "gone.fa")


def test_command_writes_sessions_and_says_which(prefix: Path, command) -> None:
    done = command("browse", prefix)
    assert (done.code, done.out) == (0, "")
    assert f"wrote {prefix}.igv.json" in done.err
    assert command("browse", prefix, "-q").err == ""


def test_command_errors_are_one_line(tmp_path: Path, prefix: Path, command) -> None:
    assert "cannot be read" in command("browse", tmp_path / "none").error
    options = ["--igv-js", tmp_path / "none.js"]
    assert "none.js: no such file" in command("browse", prefix, "--serve", *options).error
    needless = command("browse", prefix, "--port", "8000")
    assert (needless.code, "for --serve; give it too" in needless.error) == (2, True)
