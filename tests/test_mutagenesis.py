"""Runs of substitution effects: tracks, table, heat maps, and their error."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pysam
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import random_model, small_config

import pgf_genome as pgf
from pgf_genome.attribution import run as attribution
from pgf_genome.attribution import sampling
from pgf_genome.attribution.methods import (
    EFFECTS,
    METHODS,
    TRACKS,
    Substitutions,
    method_of,
    track_names,
)
from pgf_genome.attribution.options import Options
from pgf_genome.effects.strand import Boundaries, Strand
from pgf_genome.effects.substitutions import effects_of
from pgf_genome.engine.plan import Plan
from pgf_genome.errors import UsageError
from pgf_genome.intervals import Interval
from pgf_genome.report.heatmap import Substituted, heat_map
from pgf_genome.runs.merge import merge

GENES = "c\t.\tgene\t31\t120\t.\t+\t.\tID=g;Name=<ab&c>\n"


@pytest.fixture(scope="module")
def model():
    return random_model(small_config())


@pytest.fixture(scope="module")
def text() -> str:
    letters = np.random.default_rng(2).choice(list("ACGT"), 400)
    letters[[17, 18, 200]] = "N"
    letters[230:260] = "N"
    return "".join(letters)


@pytest.fixture
def fasta(tmp_path, text) -> Path:
    (tmp_path / "in.fa").write_text(f">c\n{text}\n>d\n{text[:90]}\n")
    return tmp_path / "in.fa"


def effects_in(done, contig: str = "c") -> np.ndarray:
    return np.stack([done.values(name, contig) for name in EFFECTS], axis=1)


@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize(("method", "near"), [("near 3", 3), ("exact", None), ("first-order", 0)])
def test_tracks_are_the_effects_of_every_segment(
    tmp_path, fasta, model, text, strand, method, near
):
    done = pgf.attribute(
        fasta, model, tmp_path / "out" / "x", method=method, strand=strand, gap_length=20, tile=37
    )
    expected = np.full((len(text), 4), np.nan)
    for start, stop in ((0, 230), (260, 400)):
        part = text[start:stop]
        expected[start:stop] = pgf.substitution_effects(model, part, 0, len(part), near, strand)
    np.testing.assert_allclose(effects_in(done), expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(
        done.values("importance", "c"), -expected.sum(axis=1) / 3, rtol=1e-5, atol=1e-6
    )
    assert done.record.title == "Substitution effects of in.fa"
    words = {"near 3": "3 bases are run again", "exact": "exact", "first-order": "first order"}
    for name in EFFECTS:
        described = done.record.tracks[name]
        assert words[method] in described.meaning
        assert ("mean over the strands" in described.meaning) == (strand == "both")
        assert described.unit == "nats of F"


@pytest.mark.parametrize("strand", ["+", "-"])
def test_targets_and_regions_of_a_later_segment(tmp_path, fasta, model, text, strand):
    done = pgf.attribute(
        fasta, model, tmp_path / "x", method="near 4", strand=strand, gap_length=20, tile=16,
        target="c:301-320", region=("c:281-290", "c:331-340"),
    )  # fmt: skip
    objective = pgf.Likelihood(positions=((40, 60),))
    for first, last in ((280, 290), (330, 340)):
        expected = pgf.substitution_effects(
            model, text[260:], first - 260, last - 260, 4, strand, objective
        )
        found = effects_in(done)[first:last]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
    assert np.isnan(effects_in(done)[290:330]).all()


@settings(max_examples=15)
@given(
    spans=st.lists(st.tuples(st.integers(0, 199), st.integers(1, 30)), min_size=1, max_size=4),
    tile=st.integers(1, 120), near=st.integers(1, 80), strand=st.sampled_from("+-"),
)  # fmt: skip
def test_any_regions_in_any_tiles(model, tmp_path_factory, text, spans, tile, near, strand):
    folder = tmp_path_factory.mktemp("run")
    (folder / "in.fa").write_text(f">c\n{text[:200]}\n")
    regions = [f"c:{start + 1}-{min(start + size, 200)}" for start, size in spans]
    done = pgf.attribute(
        folder / "in.fa", model, folder / "x", method=f"near {near}", strand=strand,
        region=regions, tile=tile, report=False, tracks="effect",
    )  # fmt: skip
    whole = pgf.substitution_effects(model, text[:200], 0, 200, near, strand)
    wanted = np.zeros(200, bool)
    for start, size in spans:
        wanted[start : start + size] = True
    expected = np.where(wanted[:, None], whole, np.nan)
    np.testing.assert_allclose(effects_in(done), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kept", range(1, 9))
def test_a_sweep_that_was_stopped_at_any_tile_ends_in_the_same_bits(model, text, tmp_path, kept):
    """As many cotangents are there as were stored; which effects are left does not follow them."""
    ids = model.tokenize(text[:230])
    x = model.one_hot(ids)[None]
    strand = Strand(model, lambda start, stop: x[:, start:stop], 230, pgf.Likelihood())
    plan, spans = Plan(230, 20), [(15, 70), (180, 195)]

    def run(folder: Path, before: int | None = None) -> dict[int, np.ndarray]:
        folder.mkdir(exist_ok=True)
        with Boundaries.open(model, folder.joinpath, "x") as boundaries:
            parts = effects_of(strand, plan, spans, 25, boundaries=boundaries, before=before)
            return {part.start: part.values for part in parts}

    whole = run(tmp_path / "whole")
    (tmp_path / "part").mkdir()
    with (
        Boundaries.open(model, (tmp_path / "whole").joinpath, "x") as there,
        Boundaries.open(model, (tmp_path / "part").joinpath, "x") as here,
    ):
        for k in range(plan.tiles - 1, plan.tiles - 1 - kept, -1):
            here.cotangents[k] = there.cotangents[k]
    rest = run(tmp_path / "part", before=70)
    assert sorted(rest) == sorted(start for start in whole if start < 70)
    for start, values in rest.items():
        assert np.array_equal(values, whole[start], equal_nan=True)


def test_the_objective_is_that_of_whole_segments_only(tmp_path, fasta, model, text):
    whole = pgf.attribute(fasta, model, tmp_path / "x", method="near 2", strand="+", contig="c")
    assert whole.record.contigs[0].objective == pytest.approx(
        pgf.adjoint(model, text).value, rel=1e-9
    )
    part = pgf.attribute(
        fasta, model, tmp_path / "y", method="near 2", strand="+", region="c:350-360", tile=64
    )
    assert part.record.contigs[0].objective is None


def test_the_error_is_that_of_the_method_against_exact_effects(tmp_path, model, text, monkeypatch):
    monkeypatch.setattr(sampling, "BASES_PER_PLACE", 8)
    (tmp_path / "in.fa").write_text(f">c\n{text[:150]}\n")
    options = {"strand": "both", "tracks": "effect", "report": False}
    done = pgf.attribute(tmp_path / "in.fa", model, tmp_path / "x", method="near 2", **options)
    (error,) = done.record.effect_errors
    exact = pgf.substitution_effects(model, text[:150], 0, 150, None, "both")
    near = pgf.substitution_effects(model, text[:150], 0, 150, 2, "both")
    drawn = np.sort(np.random.default_rng(0).integers(0, 150, 16))
    rows = np.concatenate([np.arange(at, min(at + 8, 150)) for at in drawn])
    changed = (exact[rows] != 0) & ~np.isnan(exact[rows])
    difference = (near - exact)[rows][changed]
    assert error.method == "near 2"
    assert error.substitutions == changed.sum()
    assert error.root_mean_square == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-9)
    assert error.largest == pytest.approx(np.abs(difference).max(), rel=1e-9)
    assert error.spread == pytest.approx(exact[rows][changed].std(), rel=1e-9)
    assert error.pearson == pytest.approx(
        np.corrcoef(near[rows][changed], exact[rows][changed])[0, 1], rel=1e-9
    )
    assert not pgf.attribute(
        tmp_path / "in.fa", model, tmp_path / "y", method="exact", **options
    ).record.effect_errors


def test_nothing_is_measured_too_far_from_the_targets(tmp_path, fasta, model, monkeypatch, caplog):
    monkeypatch.setattr(sampling, "LONGEST", 20)
    done = pgf.attribute(
        fasta, model, tmp_path / "x", method="near 2", target="c:1-5", region="c:300-310"
    )
    assert done.record.effect_errors == ()
    assert "not measured" in caplog.text


def test_the_table_has_a_row_for_every_scored_base(tmp_path, fasta, model, text):
    done = pgf.attribute(fasta, model, tmp_path / "x", method="near 2", tsv=True)
    with gzip.open(done.files["tsv"], "rt") as file:
        head, *rows = (line.rstrip("\n").split("\t") for line in file)
    assert head == ["#contig", "position", "base", *EFFECTS, "importance"]
    scored = [(i, letter) for i, letter in enumerate(text) if letter != "N"]
    of_c = [row for row in rows if row[0] == "c"]
    assert [(int(row[1]) - 1, row[2]) for row in of_c] == scored
    values = np.array([[float(cell) for cell in row[3:]] for row in of_c], np.float32)
    tracks = np.stack([done.values(t, "c") for t in head[3:]], axis=1)
    assert np.array_equal(values, tracks[[i for i, _ in scored]])
    with pysam.TabixFile(str(done.files["tsv"])) as table:
        (row,) = table.fetch("c", 20, 21)
    assert row.split("\t")[:3] == ["c", "21", text[20]]


def test_short_regions_have_heat_maps_with_their_genes(tmp_path, fasta, model, text):
    (tmp_path / "genes.gff").write_text(GENES)
    done = pgf.attribute(
        fasta, model, tmp_path / "x", method="near 2", region=("c:11-230", "d"),
        gff=tmp_path / "genes.gff",
    )  # fmt: skip
    maps = [done.files[f"heatmap.{number}"] for number in (1, 2)]
    first, second = (ElementTree.parse(path).getroot() for path in maps)
    cells = [t.text for t in first.iter("{http://www.w3.org/2000/svg}title")]
    letters = text[10:230]
    assert len(cells) == 3 * sum(letter != "N" for letter in letters)
    effects = effects_in(done)
    others = [base for base in "ACGT" if base != letters[0]]
    value = effects[10, "ACGT".index(others[0])]
    assert cells[0].startswith(f"11 {letters[0]}>{others[0]}: ")
    assert float(cells[0].split(": ")[1].replace("\N{MINUS SIGN}", "-")) == pytest.approx(
        value, rel=0.01
    )
    assert [t.text for t in first.iter("{http://www.w3.org/2000/svg}text")].count("<ab&c>") == 2
    assert "<ab&c>" not in [t.text for t in second.iter("{http://www.w3.org/2000/svg}text")]
    page = done.files["heatmap"].read_text()
    assert "&lt;ab&amp;c&gt;" in page
    assert str(done.record.effect_errors[0]) in page
    assert "2 bases are run again" in page


def test_long_regions_have_none_and_maps_of_an_earlier_run_go(tmp_path, fasta, model):
    options = {"method": "near 1", "strand": "+"}
    before = pgf.attribute(fasta, model, tmp_path / "x", tsv=True, **options)
    assert {"heatmap", "heatmap.1", "heatmap.2", "tsv"} <= set(before.files)
    after = pgf.attribute(fasta, model, tmp_path / "x", **options, tracks="importance")
    assert not {kind for kind in after.files if kind.startswith("heatmap")}
    assert not [*tmp_path.glob("x.heatmap*"), *tmp_path.glob("x.tsv*")]


def test_a_map_of_nothing_is_still_a_map():
    drawn = Substituted(Interval("c", 5, 8), "NNN", np.full((4, 3), np.nan))
    svg = heat_map(drawn, "nats")
    words = [each.text or "" for each in ElementTree.fromstring(svg).iter() if each.tag == "text"]
    assert words[0] == "\N{MINUS SIGN}0 to 0 nats; letters 0 to 0 nats"
    assert "<title>" not in svg
    assert "nan" not in svg


def test_runs_of_several_contigs_are_merged_with_their_errors(tmp_path, fasta, model):
    for contig in "cd":
        pgf.attribute(fasta, model, tmp_path / contig, method="near 2", contig=contig)
    merge([tmp_path / "c", tmp_path / "d"], tmp_path / "all")
    whole = pgf.open_run(tmp_path / "all")
    assert [error.method for error in whole.record.effect_errors] == ["near 2", "near 2"]
    assert "importance" in whole.tracks
    assert len(whole.logo("d:1-20").layout.shapes) > 10


def test_the_forecast_grows_with_what_is_run_again(fasta, model, tmp_path):
    times = [
        attribution.dry_run(fasta, model, Options(method=method)).scratch_bytes
        for method in ("corrected", "near 8")
    ]
    assert times[1] > times[0]


@pytest.mark.parametrize("near", [None, 0, 1, 16])
def test_a_name_stands_for_one_method(near):
    assert method_of(Substitutions(near).name) == Substitutions(near)


@pytest.mark.parametrize("name", ["near", "near -1", "near 1.5", "ism", "near 1 ", ""])
def test_other_names_are_refused(name):
    with pytest.raises(UsageError, match=r"choose from corrected, .*, near BASES, ig STEPS"):
        Options(method=name)


def test_tracks_are_those_of_the_method():
    methods = [*METHODS.values(), method_of("ig 4")]
    assert set(TRACKS) == {track for method in methods for track in method.tracks}
    assert track_names(["effect"], Substitutions(4)) == EFFECTS
    for method, track in (("near 4", "sensitivity"), ("corrected", "importance")):
        with pytest.raises(UsageError, match=f"unknown track {track}; those of method {method}"):
            Options(method=method, tracks=track)


@pytest.fixture(scope="module", params=["caduceus_ph_tiny", "caduceus_ps_tiny"])
def bidirectional(request):
    folder = Path(__file__).parent / "oracles" / request.param
    return pgf.load_model(folder, dtype=torch.float64)


@pytest.mark.parametrize("strand", ["+", "-", "both"])
@pytest.mark.parametrize("window", [None, 24])
def test_bidirectional_models_run_windows_again(tmp_path, bidirectional, text, strand, window):
    (tmp_path / "in.fa").write_text(f">c\n{text[:60]}\n")
    done = pgf.attribute(
        tmp_path / "in.fa", bidirectional, tmp_path / "x", method="exact", strand=strand,
        window=window, region=("c:1-9", "c:28-40"),
    )  # fmt: skip
    variants = [
        (t, letter, base) for t, letter in enumerate(text[:60]) for base in "ACGT" if letter != "N"
    ]
    effects = pgf.variant_effects(bidirectional, text[:60], variants, None, strand, window=window)
    expected = np.full((60, 4), np.nan)
    for (t, _, base), effect in zip(variants, effects, strict=True):
        if t < 9 or 27 <= t < 40:
            expected[t, "ACGT".index(base)] = effect
    found = effects_in(done)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert done.record.halo is None
    assert done.record.contigs[0].objective is None
    assert "around every base" in done.record.context


def test_bidirectional_models_have_no_near(fasta, tmp_path, bidirectional):
    for options, words in (
        ({"method": "near 4"}, "can only be exact"),
        ({"method": "exact", "tracks": "surprisal"}, "no surprisal"),
        ({"method": "exact", "halo": 3}, "`halo`"),
    ):
        with pytest.raises(UsageError, match=words):
            pgf.attribute(fasta, bidirectional, tmp_path / "x", **options)


def test_the_command_runs_a_bidirectional_model_exactly(command, tmp_path, fasta):
    oracle = Path(__file__).parent / "oracles" / "caduceus_ph_tiny"
    given = ("mutagenesis", fasta, "-m", oracle, "-r", "c:1-12", "--window", "30")
    done = command(*given, "-o", tmp_path / "x")
    assert done.code == 0, done.err
    assert pgf.open_run(tmp_path / "x").record.arguments["method"] == "exact"
    assert "--near can only be exact" in command(*given, "-o", tmp_path / "x", "--near", "8").error
    assert command(*given, "--dry-run").code == 0


def test_the_command_says_how_far_it_is_from_exact(command, tmp_path, fasta):
    done = command(
        "mutagenesis", fasta, "-o", tmp_path / "new" / "x", "-r", "c:1-60", "--near", "4", "--tsv"
    )
    assert done.code == 0, done.err
    assert "near 4 against exact effects of" in done.err
    run = json.loads((tmp_path / "new" / "x.run.json").read_text())
    assert run["arguments"]["method"] == "near 4"
    assert run["effect_errors"][0]["pearson"] > 0.8
    assert (tmp_path / "new" / "x.heatmap.1.svg").exists()


def test_the_command_plans_without_running(command, tmp_path, fasta):
    plan = command("mutagenesis", fasta, "-o", tmp_path / "x", "--dry-run", "--json")
    assert plan.code == 0, plan.err
    assert json.loads(plan.out)["seconds"] > 0
    assert not [*tmp_path.glob("x.*")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--near", "0"], ["near"]),
        (["--track", "sensitivity"], ["sensitivity", "effect, importance, surprisal"]),
        (["--gff", "nowhere.gff"], ["nowhere.gff"]),
    ],
)
def test_wrong_options_are_one_line(command, tmp_path, fasta, options, words):
    done = command("mutagenesis", fasta, "-o", tmp_path / "x", *options)
    assert done.code in (1, 2)
    assert all(word in done.error for word in words)
