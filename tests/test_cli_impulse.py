"""``pgf-genome impulse`` as a user meets it: what it writes on both strands, what it refuses."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pyBigWig
import pytest
from browser import run_page
from models import copying_model, random_model, small_config

import pgf_genome as pgf
from pgf_genome.effects.pulses.run import run
from pgf_genome.effects.pulses.settings import Options
from pgf_genome.errors import IntegrityError, SequenceError, UsageError
from pgf_genome.intervals import Site, parse_site
from pgf_genome.sequence import reverse_complement

ORACLES = Path(__file__).parent / "oracles"
CAUSAL, TWO_WAY = ORACLES / "hf_mamba_tiny", ORACLES / "caduceus_ph_tiny"
LENGTH, GAP, SITE = 700, (450, 480), 200


def letters(length: int, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


CONTIG = letters(LENGTH)
CONTIG = CONTIG[:300] + "NN" + CONTIG[302 : GAP[0]] + "N" * 30 + CONTIG[GAP[1] :]
REF = CONTIG[SITE]
ALTS = [base for base in "ACGT" if base != REF]
CHANGE = f"{REF}>{ALTS[0]}"
NAME = f"one-{SITE + 1}-{REF}-{ALTS[0]}"


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "in.fa"
    path.write_text(f">zero\n{letters(90, 2)}\n>one\n{CONTIG}\n>a:b|c/1\n{letters(60, 1)}\n")
    return path


@pytest.fixture
def impulse(command, fasta, tmp_path):
    """Run it on the FASTA; fails unless it succeeds. Returns the summary and its folder."""

    def call(*options, prefix="out/x"):
        where = tmp_path / prefix
        done = command(
            "impulse", fasta, "-m", CAUSAL, "-t", "1", "--tile", "64", "-o", where, *options
        )
        assert (done.code, done.out) == (0, ""), done.err
        return json.loads(Path(f"{where}.impulse.json").read_text()), where.parent

    return call


def values(path: Path, contig: str = "one") -> np.ndarray:
    with pyBigWig.open(str(path)) as file:
        return np.array(file.values(contig, 0, file.chroms()[contig]))


def by_definition(text: str, position: int, base: str, kind: str = "substitution") -> np.ndarray:
    """Both tracks (2, L) of a segment on its own strand, from the response in memory."""
    model = pgf.load_model(CAUSAL)
    found = pgf.impulse(model, text, position, base, kind)[:, list(model.vocabulary.base_ids)]
    tracks = np.full((2, len(text)), np.nan)
    for at in range(position + 1, len(text)):
        if text[at] != "N":
            tracks[:, at] = np.linalg.norm(found[at - 1]), found[at - 1, "ACGT".index(text[at])]
    return tracks


def other_strand(text: str) -> str:
    codes = reverse_complement(np.array(["ACGTN".index(letter) for letter in text], np.uint8))
    return "".join("ACGTN"[code] for code in codes)


@pytest.mark.parametrize("kind", ["substitution", "tangent"])
@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("gap_length", [10_000, 20])
def test_tracks_are_the_response_on_each_strand_up_to_the_gap(impulse, kind, strand, gap_length):
    options = ("--kind", kind, "--strand", strand, "--gap-length", gap_length)
    summary, folder = impulse("--at", f"one:{SITE + 1}:{CHANGE}", *map(str, options))
    stop = GAP[0] if gap_length == 20 else LENGTH
    segment = CONTIG[:stop]
    expected = np.full((2, LENGTH), np.nan)
    if strand != "-":
        plus = by_definition(segment, SITE, ALTS[0], kind)
        expected[:, SITE + 1 : stop] = plus[:, SITE + 1 :]
    if strand != "+":
        minus = by_definition(other_strand(segment), stop - 1 - SITE, other_strand(ALTS[0]), kind)[
            :, ::-1
        ]
        expected[:, :SITE] = minus[:, :SITE]
    for track, wanted in zip(("impulse", "change"), expected, strict=True):
        found = values(folder / f"x.{track}.{NAME}.bw")
        assert np.array_equal(np.isnan(found), np.isnan(wanted))
        assert np.nanmax(np.abs(found - wanted)) < 2e-5 * np.nanmax(np.abs(wanted))
    assert [each["strand"] for each in summary["impulses"]] == {"both": ["-", "+"]}.get(
        strand, [strand]
    )


def test_bedgraph_and_bigwig_say_the_same_and_a_rerun_gives_the_same_bytes(impulse):
    outputs = []
    for _ in range(2):
        summary, folder = impulse("--at", f"one:{SITE + 1}", "--strand", "both")
        files = {name: folder / file for name, file in summary["files"].items()}
        outputs.append({name: path.read_bytes() for name, path in files.items()})
    assert outputs[0] == outputs[1]
    names = {f"one-{SITE + 1}-{REF}-{alt}" for alt in ALTS}
    assert set(files) == {"furthest", "page"} | {
        f"{track}.{name}.{form}"
        for track in ("impulse", "change")
        for name in names
        for form in ("bedgraph", "bigwig")
    }
    found = values(files[f"impulse.{NAME}.bigwig"])
    with gzip.open(files[f"impulse.{NAME}.bedgraph"], "rt") as lines:
        for line in lines:
            contig, start, stop, value = line.split()
            assert contig == "one"
            assert np.allclose(found[int(start) : int(stop)], float(value), rtol=1e-5)
    assert {path.name for path in folder.iterdir()} == {
        "x.impulse.json",
        *(path.name for path in files.values()),
        *(f"{path.name}.tbi" for path in files.values() if path.suffix == ".gz"),
    }


def test_several_sites_are_those_of_runs_of_their_own(impulse):
    sites = [f"one:{SITE + 1}:{CHANGE}", "zero:5", "one:501", "zero:5", "a:b|c/1:60"]
    at = [word for site in sites for word in ("--at", site)]
    summary, folder = impulse(*at, "--strand", "both", "--gap-length", "20", "--format", "bigwig")
    names = [each["site"] for each in summary["impulses"]]
    assert len(names) == 2 * (1 + 3 + 3 + 3)
    assert len(set(names)) == len(names) // 2
    together = {path.name[2:]: path for path in folder.glob("*.bw")}
    assert len(together) == 2 * len(set(names))
    assert sum("a%3Ab%7Cc%2F1-60-" in name for name in together) == 6
    for number, site in enumerate(set(sites)):
        prefix = f"alone{number}/y"
        _, own = impulse(
            "--at", site, "--strand", "both", "--gap-length", "20", "--format", "bigwig",
            prefix=prefix,
        )  # fmt: skip
        contig = site.split(":")[0] if site[0] != "a" else "a:b|c/1"
        for path in own.glob("*.bw"):
            one, many = values(path, contig), values(together[path.name[2:]], contig)
            assert np.array_equal(np.isnan(one), np.isnan(many))
            if not np.isnan(one).all():
                assert np.allclose(one, many, atol=2e-5 * np.nanmax(np.abs(one)), equal_nan=True)


def test_the_table_lists_bases_above_the_floor_from_the_furthest_in(impulse):
    summary, folder = impulse("--at", f"one:{SITE + 1}:{CHANGE}", "--strand", "both")
    header, *rows = (
        line.split("\t") for line in (folder / "x.impulse.tsv").read_text().splitlines()
    )
    assert header == ["site", "strand", "distance", "contig", "pos", "base", "response", "change"]
    tracks = [values(folder / f"x.{track}.{NAME}.bw") for track in ("impulse", "change")]
    floor = summary["noise"]["floor"]
    assert floor == 2 * summary["noise"]["largest"] > 0
    for sign in "-+":
        own = [row for row in rows if row[1] == sign]
        distances = [int(row[2]) for row in own]
        assert distances == sorted(set(distances), reverse=True)
        side = np.arange(LENGTH) < SITE if sign == "-" else np.arange(LENGTH) > SITE
        above = np.flatnonzero(side & (np.nan_to_num(tracks[0]) > floor))
        assert distances[0] == np.abs(above - SITE).max()
        described = next(each for each in summary["impulses"] if each["strand"] == sign)
        assert described["above_floor"] == len(above)
        assert described["furthest_above_floor"]["distance"] == distances[0]
        assert (
            sum(each["scored"] for each in described["bins"]) == np.isfinite(tracks[0][side]).sum()
        )
    for site, sign, distance, contig, pos, base, response, change in rows:
        at = int(pos) - 1
        assert (site, contig) == (f"one:{SITE + 1}:{CHANGE}", "one")
        assert int(distance) == (at - SITE if sign == "+" else SITE - at)
        assert base == CONTIG[at]
        assert float(response) == pytest.approx(tracks[0][at], rel=1e-5)
        assert float(change) == pytest.approx(tracks[1][at], rel=1e-5)


def test_a_planted_dependency_is_where_the_response_is_largest(tmp_path):
    """A model that copies the base of 17 positions before, over gaps of its own memory."""
    fasta = tmp_path / "in.fa"
    fasta.write_text(f">one\n{letters(500)}\n")
    model = copying_model(layers=2, taps=9)
    said = run(fasta, model, tmp_path / "x", Options(at="one:101", strand="both"))
    assert len(said) == 6
    for line in said:
        assert "17 bases downstream;" in line or "17 bases upstream;" in line
    summary = json.loads((tmp_path / "x.impulse.json").read_text())
    for each in summary["impulses"]:
        best = max((part["largest"] for part in each["bins"]), key=lambda p: p["response"])
        assert best["distance"] == each["furthest_above_floor"]["distance"] == 17


def test_the_summary_says_what_was_run(impulse, fasta):
    summary, _ = impulse("--at", "one:5", "--kind", "tangent", "--dtype", "float64")
    model = pgf.load_model(CAUSAL)
    assert summary["version"] == pgf.__version__
    assert summary["model"] == {
        "name": model.name, "sha256": model.digest, "dtype": "float64",
    }  # fmt: skip
    assert summary["arguments"]["kind"] == "tangent"
    assert summary["arguments"]["at"] == ["one:5"]
    assert summary["noise"]["floor"] < 1e-12
    assert "to first order" in summary["conventions"]["impulse"]
    assert set(summary["performance"]) == {"seconds", "peak_memory_bytes", "device"}


def test_a_site_at_the_end_has_no_response(impulse):
    summary, folder = impulse("--at", f"one:{LENGTH}", "--no-compress")
    assert [each["bins"] for each in summary["impulses"]] == [[]] * 3
    assert (folder / "x.impulse.tsv").read_text().count("\n") == 1
    base = CONTIG[-1]
    alt = next(each for each in "ACGT" if each != base)
    assert (folder / f"x.impulse.one-{LENGTH}-{base}-{alt}.bedgraph").read_text() == ""


def test_progress_adds_up_to_the_whole(fasta, tmp_path):
    seen = []
    options = Options(at=("one:401", "one:10"), strand="both", tile=64, gap_length=20)
    run(
        fasta, pgf.load_model(CAUSAL), tmp_path / "x", options, 1, lambda *bases: seen.append(bases)
    )
    assert {total for _, total in seen} == {sum(done for done, _ in seen)} == {2 * GAP[0]}


def test_a_model_that_overflows_is_an_error_and_leaves_no_summary(fasta, tmp_path):
    model = random_model(small_config())
    model.norm_f.weight.data.fill_(math.inf)
    with pytest.raises(IntegrityError, match=r"one:2-700: a prediction is not finite"):
        run(fasta, model, tmp_path / "x", Options(at="one:5"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.fa"]


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (f"one:{LENGTH + 1}", f"outside of one, which has {LENGTH} bases"),
        ("one:301", "the FASTA has N there"),
        (f"one:201:{ALTS[0]}>{REF}", f"the FASTA has {REF} there, not {ALTS[0]}"),
        (f"one:201:{REF}>{REF}", "is what is there"),
        (f"one:201:{REF}>N", "not one base of A, C, G, T in place of another"),
        (f"one:201:{REF}>AC", "not one base of A, C, G, T in place of another"),
        ("one:201:>A", "is not a site"),
        ("oen:201", "there is no contig 'oen'; did you mean 'one'?"),
        ("one", "'one' is not a site; write chr1:1,001"),
        ("one:0", "'one:0' is not a site"),
        ("one:1-5", "is not a site"),
        ("one:201:A", "is not a site"),
        ("", "'' is not a site"),
    ],
)
def test_a_site_that_does_not_go_with_the_sequence_is_refused(
    command, fasta, tmp_path, at, message
):
    done = command("impulse", fasta, "-m", CAUSAL, "--at", at, "-o", tmp_path / "o" / "x")
    assert (done.code, done.out) == (1, "")
    assert message in done.error
    assert list((tmp_path / "o").glob("*")) == []


@pytest.mark.parametrize(
    ("text", "site", "written"),
    [
        ("chr1:1,001", Site("chr1", 1000), "chr1:1001"),
        ("chr1:7:a>g", Site("chr1", 6, "A", "G"), "chr1:7:A>G"),
        ("HLA-A*01:01:3", Site("HLA-A*01:01", 2), "HLA-A*01:01:3"),
        ("a:5:5:A>T", Site("a:5", 4, "A", "T"), "a:5:5:A>T"),
    ],
)
def test_a_site_is_read_and_written(text, site, written):
    assert parse_site(text) == site
    assert str(site) == written
    assert parse_site(written) == site


@pytest.mark.parametrize("text", ["chr1", "chr1:", ":5", "chr1:x", "chr1:5-9", "chr1:5:A>C>G"])
def test_what_is_no_site_is_refused(text):
    with pytest.raises(SequenceError, match="is not a site; write chr1:1,001"):
        parse_site(text)


def test_a_bidirectional_model_is_refused_in_words(command, fasta, tmp_path):
    done = command("impulse", fasta, "-m", TWO_WAY, "--at", "one:5", "-o", tmp_path / "x")
    assert done.code == 2
    assert "impulse needs a causal model; caduceus_ph_tiny is bidirectional" in done.error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": ()}, "`at` names none"),
        ({"kind": "step"}, "`kind` must be substitution or tangent"),
        ({"strand": "plus"}, r"`strand` must be \+, -, both, not 'plus'"),
        ({"formats": ("wig",)}, "`formats` wig: choose from bedgraph, bigwig"),
        ({"formats": ()}, "`formats` names none"),
        ({"gap_length": 0}, "`gap_length` must be at least 1"),
        ({"tile": 0}, "`tile` must be at least 1"),
    ],
)
def test_options_are_checked_by_the_library(options, message):
    with pytest.raises(UsageError, match=message):
        Options(**({"at": "one:5"} | options))


def test_what_was_found_is_logged(command, fasta, tmp_path):
    call = ("impulse", fasta, "-m", CAUSAL, "--at", f"one:201:{CHANGE}", "-o", tmp_path / "x")
    (said,) = command(*call).err.splitlines()
    assert said.startswith(f"pgf-genome: one:201 {CHANGE}: largest response ")
    assert "above the noise floor of" in said
    assert command(*call, "-q").err == ""


LOOK = """() => {
  const plot = document.getElementById("response");
  return {
    names: [...new Set(plot.data.map((line) => line.name))],
    types: ["xaxis", "xaxis2", "yaxis"].map((axis) => plot._fullLayout[axis].type),
    rows: [...document.querySelectorAll("table")].map((table) => table.rows.length),
    paper: getComputedStyle(document.body).backgroundColor,
  };
}"""


def test_the_page_draws_the_responses_and_the_floor_on_logarithmic_axes(impulse):
    _, folder = impulse("--at", f"one:{SITE + 1}:{CHANGE}", "--strand", "both")
    rows = (folder / "x.impulse.tsv").read_text().count("\n")
    papers = []
    for scheme in ("light", "dark"):
        visit = run_page(folder / "x.impulse.html", LOOK, scheme=scheme)
        assert (visit.requests, visit.errors) == ([], [])
        assert visit.result["types"] == ["log"] * 3
        assert visit.result["names"] == [
            f"one:201 {CHANGE}", "noise floor of float32", "rms error of a prediction",
        ]  # fmt: skip
        assert visit.result["rows"] == [3, rows]
        papers.append(visit.result["paper"])
    assert papers[0] != papers[1]
