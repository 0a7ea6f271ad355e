"""The command ``depmap``: its files, what they hold, and what is refused."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import run_page
from test_influence import copying_model

import pgf_genome as pgf
from pgf_genome.alphabet import BASES
from pgf_genome.effects.definitions import DEFINITIONS
from pgf_genome.effects.depmap import page as depmap_page
from pgf_genome.effects.depmap.page import Page, coded
from pgf_genome.effects.depmap.pairs import COLUMNS, Pair, strongest
from pgf_genome.effects.depmap.run import map_regions
from pgf_genome.effects.depmap.settings import DEFINITIONS as DEFINITION_NAMES
from pgf_genome.effects.depmap.settings import Files, Settings
from pgf_genome.intervals import Interval

MODEL = Path(__file__).parent / "oracles" / "hf_mamba_tiny"
GFF = (
    "one\tx\tgene\t41\t75\t.\t+\t.\tID=g1;Name=thr<A\n"
    "one\tx\ttRNA\t81\t200\t.\t-\t.\tID=t1;gene=leuT\n"
    "two\tx\tgene\t1\t9\t.\t+\t.\tID=g2\n"
)


@pytest.fixture(scope="module")
def genome(tmp_path_factory) -> Path:
    """Two contigs, of which the first has an N, and a gap of 30 N between positions 120 and 150."""
    folder = tmp_path_factory.mktemp("genome")
    letters = np.random.default_rng(0).choice(list(BASES), 300)
    letters[45], letters[120:150] = "N", "N"
    text = "".join(letters)
    (folder / "g.fa").write_text(f">one\n{text}\n>two|x\n{text[:60]}\n")
    (folder / "g.gff").write_text(GFF)
    (folder / "g.bed").write_text("one\t40\t70\none\t160\t181\n")
    return folder / "g.fa"


@pytest.fixture
def depmap(command, genome, tmp_path):
    """Run the command with the tiny model; the outcome, and the prefix of its files."""

    def run(*words: str):
        prefix = tmp_path / "out" / "x"
        done = command(
            *("depmap", genome, "-m", MODEL, "-o", prefix, "-t", "1", "--dtype", "float64"), *words
        )
        return done, f"{prefix}.depmap"

    return run


def text_of(genome: Path) -> str:
    return genome.read_text().splitlines()[1]


def mapped(genome: Path, start: int, stop: int, **options: Any) -> np.ndarray:
    """The map of a region of the first contig, by the library, of its segment alone."""
    import torch

    model, text = pgf.load_model(MODEL, dtype=torch.float64), text_of(genome)
    origin, end = options.pop("segment", (0, 300))
    return pgf.dependency_map(model, text[origin:end], start - origin, stop - origin, **options)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), {}),
        (("--definition", "frobenius-apc"), {"definition": "frobenius-apc"}),
        (("--definition", "jacobian-inf", "--first-order"),
         {"definition": "jacobian-inf", "first_order": True}),
        (("--strand", "-"), {"strand": "-"}),
        (("--gap-length", "30"), {"segment": (0, 120)}),
    ],
)  # fmt: skip
def test_the_arrays_are_those_of_the_library(depmap, genome, words, options):
    done, prefix = depmap("-r", "one:41-70", "--no-report", "--blocks", *words)
    assert done.code == 0, done.err
    with np.load(f"{prefix}.npz") as arrays:
        held = dict(arrays)
    expected = mapped(genome, 40, 70, **options)
    np.testing.assert_allclose(held["map"], expected, rtol=1e-9, atol=1e-12)
    of_blocks = {k: v for k, v in options.items() if k != "definition"} | {"blocks": True}
    np.testing.assert_allclose(held["blocks"], mapped(genome, 40, 70, **of_blocks), atol=1e-11)
    assert held["map"].dtype == held["blocks"].dtype == np.float64
    assert np.isnan(held["map"][5]).all()  # the N
    assert (held["contig"], held["start"], held["stop"]) == ("one", 40, 70)
    assert held["sequence"] == text_of(genome)[40:70]
    assert held["strand"] == options.get("strand", "both")
    assert held["definition"] == options.get("definition", "logodds-max")
    assert held["model_sha256"] == pgf.load_model(MODEL).digest


def test_several_regions_have_files_of_their_own_and_one_list_of_pairs(depmap, genome):
    bed, again = genome.with_name("g.bed"), "one:161-181"
    done, prefix = depmap(
        "-b", bed, "-r", again, "-r", "two|x:11-30", "--no-report", "--pairs", "7"
    )
    assert done.code == 0, done.err
    facts = json.loads(Path(f"{prefix}.json").read_text())
    names = ["x.depmap.one_161-181.npz", "x.depmap.one_41-70.npz", "x.depmap.two_x_11-30.npz"]
    assert [each["file"] for each in facts["regions"]] == names
    assert sorted(p.name for p in Path(prefix).parent.iterdir()) == sorted(
        [*names, "x.depmap.bedpe", "x.depmap.json"]
    )
    for name, span in zip(names, [(160, 181), (40, 70)], strict=False):
        with np.load(Path(prefix).parent / name) as arrays:
            np.testing.assert_allclose(arrays["map"], mapped(genome, *span), rtol=1e-9, atol=1e-12)
    lines = Path(f"{prefix}.bedpe").read_text().splitlines()
    assert lines[0] == "#" + "\t".join(COLUMNS)
    assert [line.split("\t")[0] for line in lines[1:]] == ["one"] * 14 + ["two|x"] * 7


def test_pairs_are_the_strongest_of_the_map(depmap, genome):
    done, prefix = depmap("-r", "one:41-70", "--pairs", "12", "--min-distance", "3", "--no-report")
    assert done.code == 0, done.err
    cells, text = mapped(genome, 40, 70), text_of(genome)
    rows = [line.split("\t") for line in Path(f"{prefix}.bedpe").read_text().splitlines()[1:]]
    assert len(rows) == 12
    either = np.nan_to_num(np.triu(np.maximum(cells, cells.T), 3))
    assert [float(row[7]) for row in rows] == pytest.approx(
        np.sort(either[either > 0])[::-1][:12], rel=1e-5
    )
    for row in rows:
        first, second = int(row[1]), int(row[4])
        assert (int(row[2]), int(row[5])) == (first + 1, second + 1)
        assert row[8:12] == [".", ".", text[first], text[second]]
        assert row[6] == f"{text[first]}{first + 1}-{text[second]}{second + 1}"
        there = cells[first - 40, second - 40], cells[second - 40, first - 40]
        assert (float(row[12]), float(row[13])) == pytest.approx(there, rel=1e-5)


def test_equal_inputs_give_equal_bytes(depmap):
    files = []
    for _ in range(2):
        done, prefix = depmap("-r", "one:41-60")
        assert done.code == 0, done.err
        files.append([Path(f"{prefix}.{end}").read_bytes() for end in ("npz", "bedpe", "html")])
    assert files[0] == files[1]


def test_what_was_done_is_told(depmap, genome):
    done, prefix = depmap("-r", "one:41-60", "--strand", "+", "--gff", genome.with_name("g.gff"))
    assert "1 region, logodds-max, strand +" in done.err
    facts = json.loads(Path(f"{prefix}.json").read_text())
    assert facts["version"] == pgf.__version__
    assert facts["settings"]["strand"] == facts["strand"] == "+"
    assert facts["files"]["region"] == ["one:41-60"]
    assert facts["performance"]["peak_memory_bytes"] > 0
    assert facts["regions"][0]["bases"] == 20
    assert facts["unit"] == "bits"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "give a --region, or a BED file"),
        (("-r", "three"), 1, "there is no contig 'three'"),
        (("-r", "one:5-900"), 1, "is not a range within one"),
        (("-r", "one:110-130", "--gap-length", "30"), 1, "reaches into an assembly gap"),
        (("-r", "one:10-20", "--gff", "absent.gff"), 1, "cannot read the GFF file absent.gff"),
        (("-b", "absent.bed"), 1, "cannot read the BED file absent.bed"),
    ],
)
def test_what_cannot_be_mapped_is_refused_in_one_line(depmap, words, code, said):
    done, prefix = depmap(*words)
    assert done.code == code
    assert said in done.error
    left = Path(prefix).parent
    assert not left.exists() or list(left.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--pairs", "-1"),
        ("--pairs", "9" * 30),
        ("--min-distance", "0"),
        ("--gap-length", "0"),
        ("--definition", "max"),
        ("--strand", "plus"),
        ("--dtype", "half"),
    ],
)
def test_odd_values_are_refused_in_one_line_that_names_the_option(depmap, option, value):
    done, _ = depmap("-r", "one:1-20", option, value)
    assert (done.code, done.out) == (2, "")
    assert option in done.error


def test_the_function_has_the_definitions_and_defaults_of_the_command():
    assert tuple(DEFINITIONS) == DEFINITION_NAMES
    function = inspect.signature(pgf.dependency_map).parameters
    for name in ("definition", "first_order", "blocks", "strand"):
        assert function[name].default == getattr(Settings, name)


def test_a_region_without_end_is_refused(command, tmp_path):
    (tmp_path / "long.fa").write_text(">a\n" + "ACGT" * 5000 + "\n")
    done = command("depmap", tmp_path / "long.fa", "-m", MODEL, "-r", "a", "-o", tmp_path / "x")
    assert done.code == 2
    assert "region a:1-20000: a map of 20,000 bases has 400,000,000 cells" in done.error


def test_a_bidirectional_model_is_refused_in_words(command, genome, tmp_path):
    model = MODEL.with_name("caduceus_ps_tiny")
    done = command("depmap", genome, "-m", model, "-r", "one:1-20", "-o", tmp_path / "x")
    assert done.code == 2
    assert "needs a causal model; caduceus_ps_tiny is bidirectional" in done.error


def test_a_planted_dependency_is_a_diagonal_and_the_strongest_pairs(tmp_path):
    letters = "".join(np.random.default_rng(0).choice(list(BASES), 200))
    (tmp_path / "a.fa").write_text(f">a\n{letters}\n")
    files = Files(str(tmp_path / "x"), region=("a:51-120",))
    settings = Settings(strand="+", report=False, pairs=53)
    map_regions(tmp_path / "a.fa", copying_model(layers=2, taps=9), files, settings)
    rows = [line.split("\t") for line in files.path("bedpe").read_text().splitlines()[1:]]
    assert sorted((int(row[1]), int(row[4])) for row in rows) == [
        (i, i + 17) for i in range(50, 103)
    ]


def test_strongest_pairs_of_nothing():
    assert strongest(np.full((4, 4), np.nan), 5, 1) == []
    assert strongest(-np.ones((4, 4)), 5, 1) == []
    assert strongest(np.ones((4, 4)), 0, 1) == []
    assert strongest(np.ones((4, 4)), 2, 3) == [Pair(0, 3, 1.0, 1.0)]


def decoded(largest: float, text: str, steps: int, n: int) -> np.ndarray:
    """As the page reads it."""
    import zlib
    from base64 import b64decode

    codes = np.frombuffer(zlib.decompress(b64decode(text)), np.uint8).astype(float)
    half = steps / 2
    root = (codes - 1 - half) / half if largest < 0 else (codes - 1) / steps
    values = abs(largest) * root * np.abs(root)
    return np.where(codes == 0, np.nan, values).reshape(n, n)


@pytest.mark.parametrize("steps", depmap_page.STEPS)
@pytest.mark.parametrize("sign", [0, 1])
def test_cells_of_the_page_are_rounded_in_their_square_root(steps, sign):
    rng = np.random.default_rng(0)
    cells = rng.exponential(size=(30, 30)) ** 3 - sign * rng.exponential(size=(30, 30))
    cells[7] = np.nan
    found = decoded(*coded(cells, steps), steps, 30)
    assert np.array_equal(np.isnan(found), np.isnan(cells))
    signed, scale = (lambda v: np.sign(v) * np.sqrt(np.abs(v))), np.sqrt(np.nanmax(np.abs(cells)))
    error = np.nanmax(np.abs(signed(found) - signed(cells)))
    assert error <= 1.0001 * scale / steps * (1 + sign) / 2


def test_a_page_has_its_limit(monkeypatch):
    cells = np.random.default_rng(0).random((40, 40))
    sizes = [len(coded(cells, steps)[1]) for steps in depmap_page.STEPS]
    monkeypatch.setattr(depmap_page, "ROOM", sizes[0] + sizes[2])
    described = {"title": "t", "unit": "bits", "definition": "d", "method": "exact",
                 "strand": "+", "model": {"name": "m"}}  # fmt: skip
    page = Page(described, 4)
    for k in range(3):
        page.add(Interval("a", 40 * k, 40 * k + 40), "A" * 40, cells, [], [])
    assert [each["steps"] for each in page._regions] == [254, 62]
    assert "1 regions are not on this page" in page.html()


LOOK = """async () => {
  const plot = document.getElementById("map");
  return {
    side: [plot.data[0].z.length, plot.data[0].z[0].length],
    text: plot.data[0].text[0][3],
    letters: plot.layout.yaxis.ticktext || [],
    genes: plot.layout.annotations.map((each) => each.text),
    shapes: plot.layout.shapes.length,
    regions: [...document.querySelectorAll("#region option")].map((each) => each.textContent),
    pairs: document.querySelectorAll("#pairs tbody tr").length,
    ground: getComputedStyle(document.body).backgroundColor,
  };
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_regions_values_sequence_and_genes(depmap, genome, scheme):
    done, prefix = depmap(
        *("-r", "one:1-119", "-r", "two|x:11-30", "--gff", genome.with_name("g.gff"))
    )
    assert done.code == 0, done.err

    def look(tab: Any) -> list[Any]:
        tab.wait_for_function("() => document.getElementById('map').data")
        whole = tab.evaluate(LOOK)
        tab.evaluate("() => Plotly.relayout('map', {'xaxis.range': [40.5, 80.5], "
                     "'yaxis.range': [80.5, 40.5]})")  # fmt: skip
        tab.wait_for_function("() => document.getElementById('map').layout.yaxis.ticktext")
        zoomed = tab.evaluate(LOOK)
        tab.locator("#region").select_option("1")
        tab.wait_for_function("() => document.getElementById('map').data[0].z.length === 20")
        return [whole, zoomed, tab.evaluate(LOOK)]

    visit = run_page(Path(f"{prefix}.html"), look, scheme=scheme)
    assert (visit.requests, visit.errors) == ([], [])
    whole, zoomed, other = visit.result
    cells, text = mapped(genome, 0, 119), text_of(genome)
    assert whole["side"] == [119, 119]
    assert whole["regions"] == ["one:1-119", "two|x:11-30"]
    assert whole["genes"] == ["thr&lt;A", "leuT"]
    assert whole["letters"] == []
    assert whole["pairs"] == 20
    assert zoomed["side"] == [40, 40]
    assert [letter[-8] for letter in zoomed["letters"]] == list(text[40:80])
    first, value = zoomed["text"].split("<br>")
    assert first == f"{text[40]} 41 → {text[43]} 44"
    number, unit = value.split()
    assert unit == "bits"
    assert float(number) == pytest.approx(cells[40, 43], abs=0.02 * np.nanmax(cells))
    assert other["side"] == [20, 20]
    assert other["shapes"] == 0
