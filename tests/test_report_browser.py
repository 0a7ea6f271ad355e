"""The report in a real browser: offline, without errors, panels in step, a table that sorts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import run_page
from finished import record
from test_report import Tracks, codes_at

from pgf_genome.report import gathering, write_report
from pgf_genome.runs.record import Contig
from pgf_genome.sequence.parts import Parts, Places

LENGTH = 60_000
SUMMIT = 41_234


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A contig in bins of 12 bases, and a short one, with a target."""
    rng = np.random.default_rng(0)
    first = rng.standard_exponential(LENGTH)
    first[SUMMIT] = 50
    first[20_000:22_000] = np.nan
    path = tmp_path_factory.mktemp("page") / "r.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathering, "BINS", 15_300)
        tracks = Tracks(
            ("sensitivity", "contribution", "surprisal"),
            {"one|<b>": first, "two:2": rng.standard_exponential(900)},
            {"one|<b>": [(30_000, 30_100)]},
        )
    sizes, aims = tracks.gathered.sizes, {"one|<b>": ((30_000, 30_100),)}
    contigs = tuple(Contig(name, n, 1, 0.0, targets=aims.get(name)) for name, n in sizes.items())
    facts = record(sizes, tracks.tracks, title="A & B", contigs=contigs)
    genes = [
        Parts("thr<A>", "CDS", "-", ((2000, 2800),), "a"),
        Parts("far", "CDS", "+", ((8, 9),), "b"),
    ]
    places = Places({"one|<b>": genes[:1], "two:2": genes[1:]})
    write_report(path, facts, tracks.gathered, tracks.values_in, codes_at, places=places)
    return path


# for every panel but that of genes: the range of its axis, and first and last position drawn in it
PANELS = """() => {
  const plot = document.getElementById("overview");
  return [...new Set(plot.data.filter((t) => t.xaxis === "x").map((t) => t.yaxis))]
    .filter((y) => y !== plot.layout.xaxis.anchor).map((y) => {
    const x = plot.data.filter((t) => t.yaxis === y && t.text).flatMap((t) => t.x);
    return [...plot._fullLayout.xaxis.range, Math.min(...x), Math.max(...x)];
  });
}"""


def drag(tab: Any, subplot: str, start: float, stop: float) -> None:
    """Drag over a panel between two fractions of its width."""
    box = tab.locator(f"#overview .{subplot} .nsewdrag, #overview .nsewdrag[data-subplot={subplot}]"
                      ).first.bounding_box()  # fmt: skip
    height = box["y"] + box["height"] / 2
    tab.mouse.move(box["x"] + start * box["width"], height)
    tab.mouse.down()
    tab.mouse.move(box["x"] + (start + stop) / 2 * box["width"], height, steps=4)
    tab.mouse.move(box["x"] + stop * box["width"], height, steps=4)
    tab.mouse.up()
    tab.wait_for_timeout(400)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_asks_for_nothing_and_has_no_error(page: Path, scheme: str) -> None:
    visit = run_page(page, "() => document.querySelectorAll('.main-svg').length", scheme=scheme)
    assert (visit.requests, visit.errors) == ([], [])
    assert visit.result > 0


def test_panels_zoom_together_by_mouse_and_by_the_strip(page: Path) -> None:
    def look(tab: Any) -> list[Any]:
        whole = tab.evaluate(PANELS)
        drag(tab, "x2y4", 0.5, 0.75)
        brushed = tab.evaluate(PANELS)
        drag(tab, "xy2", 0.2, 0.4)
        zoomed = tab.evaluate(PANELS)
        tab.locator("#whole").click()
        return [whole, brushed, zoomed, tab.evaluate(PANELS)]

    visit = run_page(page, look)
    whole, brushed, zoomed, back = visit.result
    assert visit.errors == []
    assert whole == back
    for panels in (whole, brushed, zoomed):
        assert len(panels) == 3
        assert panels[0] == panels[1] == panels[2]
    assert whole[0][:2] == [0.5, LENGTH + 0.5]
    assert brushed[0][0] == pytest.approx(LENGTH / 2, rel=0.02)
    assert brushed[0][1] == pytest.approx(LENGTH * 0.75, rel=0.02)
    assert brushed[0][1] - brushed[0][0] > 4 * (zoomed[0][1] - zoomed[0][0]) > 0


def test_extremes_are_drawn_at_every_zoom(page: Path) -> None:
    script = f"""() => [{LENGTH}, 30000, 9000, 900, 300, 60].map((span) => {{
      show(0, {SUMMIT} - span / 3, {SUMMIT} + span * 2 / 3);
      const traces = document.getElementById("overview").data.filter((t) => t.yaxis === "y");
      const top = Math.max(...traces.flatMap((t) => [...t.y].filter((y) => y !== null)));
      return [top, document.getElementById("resolution").textContent];
    }})"""
    visit = run_page(page, script)
    assert visit.errors == []
    assert [top for top, _ in visit.result] == [50] * 6
    texts = [text for _, text in visit.result]
    assert "bins of 48 bases; zoom in for finer ones" in texts[0]
    assert "one value per base, around a listed position" in texts[-1]
    assert all("Base resolution ends 128 bases from the listed" in text for text in texts)


def test_values_are_drawn_bin_by_bin_and_logos_letter_by_letter(page: Path) -> None:
    script = """() => [
      data.contigs[1].levels[0].width, valuesOf(1, 0, data.contigs[1].levels[0], 0, 900),
      [...document.querySelectorAll("#peaks .logo")].map((logo) =>
        [...logo.querySelectorAll("use")].filter((letter) =>
          letter.getBoundingClientRect().height > 0).length),
    ]"""
    visit = run_page(page, script)
    width, drawn, letters = visit.result
    rng = np.random.default_rng(0)
    rng.standard_exponential(LENGTH)
    values = rng.standard_exponential(900).astype(np.float32)
    assert width > 1
    for start, stop, low, high, mean in zip(*drawn.values(), strict=True):
        inside = values[start:stop]
        assert low <= inside.min()
        assert inside.max() <= high
        if stop - start in (1, width):
            assert (low, high) == (inside.min(), inside.max())
            assert mean == pytest.approx(inside.mean(), rel=1e-5)
    assert np.all(np.array(drawn["start"][1:]) == drawn["stop"][:-1])
    assert len(letters) == gathering.PEAKS
    assert min(letters) > 20


def test_table_sorts_by_its_headings_and_says_so(page: Path) -> None:
    def look(tab: Any) -> list[Any]:
        def state() -> list[Any]:
            return tab.evaluate("""() => {
              const table = document.getElementById("peaks");
              const cells = [...table.tBodies[0].rows].map((row) => row.cells);
              return [cells.map((c) => Number(c[2].dataset.value)),
                [...table.tHead.rows[0].cells].map((c) => c.getAttribute("aria-sort"))];
            }""")

        states = [state()]
        for key in ("Enter", "Enter"):
            tab.locator("#peaks thead button", has_text="Position").press(key)
            states.append(state())
        return states

    ranked, falling, rising = run_page(page, look).result
    assert falling[0] == sorted(ranked[0], reverse=True)
    assert rising[0] == sorted(ranked[0])
    assert ranked[0] not in (falling[0], rising[0])
    assert [state[1][2] for state in (ranked, falling, rising)] == [
        "none", "descending", "ascending"
    ]  # fmt: skip
    assert falling[1].count("none") == len(falling[1]) - 2  # the logos do not sort


def test_row_shows_its_position_with_letters(page: Path) -> None:
    def look(tab: Any) -> list[Any]:
        tab.locator("#peaks tr[data-peak='0'] .go").click()
        letters = "document.querySelectorAll('#overview .shapelayer path').length"
        return [tab.locator("#region").input_value(), tab.evaluate(letters)]

    visit = run_page(page, look)
    region, letters = visit.result
    assert visit.errors == []
    assert region == f"one|<b>:{SUMMIT + 1 - 60:,}-{SUMMIT + 1 + 60:,}"
    assert letters > 100


def test_lane_shows_the_genes_in_view_with_their_names(page: Path) -> None:
    def look(tab: Any) -> list[Any]:
        tab.locator("#region").fill("thr<A>")
        tab.locator("#region").press("Enter")
        return tab.evaluate("""() => {
          const plot = document.getElementById("overview");
          const lane = plot.data.filter((t) => t.yaxis === plot.layout.xaxis.anchor);
          return lane.map((t) => [t.mode, t.x.filter((x) => x).length, (t.text || [])[0]]);
        }""")

    visit = run_page(page, look)
    assert visit.errors == []
    other, bar, name, hover = visit.result
    assert other == ["lines", 0, None]
    assert bar == ["lines", 6, None]  # an arrow
    assert name == ["text", 1, "thr&lt;A>"]
    assert hover[2] == "<b>thr&lt;A></b> (strand \N{MINUS SIGN}) 2,001\N{EN DASH}2,800"


def test_region_field_understands_what_it_shows(page: Path) -> None:
    expected = {
        "two:2:11-20": "two:2:11-20",
        "two:2": "two:2:1-900",
        "1-100,000": "two:2:1-900",
        "one|<b>:500": "one|<b>:440-560",
        "one|<b>": "one|<b>:1-60,000",
        "THR<a>": "one|<b>:1,901-2,900",
        "far": "two:2:1-121",
        "nowhere:1-5": None,
        "20-10": None,
        "<img src=x>": None,
    }

    def look(tab: Any) -> list[Any]:
        found = []
        for text in expected:
            tab.locator("#region").fill(text)
            tab.locator("#region").press("Enter")
            valid = tab.evaluate("() => document.getElementById('region').validity.valid")
            found.append(tab.locator("#region").input_value() if valid else None)
        return found

    visit = run_page(page, look)
    assert visit.errors == []
    assert dict(zip(expected, visit.result, strict=True)) == expected


STATE = """() => [document.documentElement.dataset.theme,
  getComputedStyle(document.querySelector("#overview .main-svg")).backgroundColor,
  ...["overview", "distribution"].map((id) => document.getElementById(id).layout.width)]"""


def test_page_prints_in_light_colours_within_the_paper_and_then_is_as_before(
    page: Path, tmp_path: Path
) -> None:
    def look(tab: Any) -> list[Any]:
        before = tab.evaluate(STATE)
        tab.evaluate(f"""() => addEventListener("beforeprint", () => {{
          window.printed = ({STATE})();
        }})""")
        tab.pdf(path=tmp_path / "page.pdf", format="A4")
        return [before, tab.evaluate("window.printed"), tab.evaluate(STATE)]

    visit = run_page(page, look, scheme="dark")
    before, printed, after = visit.result
    a4_within_a_centimetre = (210 - 20) / 25.4 * 96
    assert visit.errors == []
    assert before == after
    assert before[0] == "dark"
    assert printed[:2] == ["light", "rgb(255, 255, 255)"]
    assert max(printed[2:]) < a4_within_a_centimetre < min(before[2:])


def test_narrow_window_has_no_sideways_scroll(page: Path) -> None:
    script = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert run_page(page, script, size=(700, 900)).result <= 0


def test_address_opens_a_region_which_the_links_and_the_copy_have_too(page: Path) -> None:
    def look(tab: Any) -> list[Any]:
        # as a browser without rights to the clipboard
        tab.evaluate(
            "() => { navigator.clipboard.writeText = async (t) => { window.copied = t; }; }"
        )
        tab.locator("#copy").click()
        return [tab.evaluate("window.copied"), tab.locator("#igv").get_attribute("href"),
                tab.locator("#ucsc").is_visible()]  # fmt: skip

    visit = run_page(f"{page.resolve().as_uri()}#two%3A2:11-20", look)
    assert visit.errors == []
    place = "two%3A2%3A11-20"
    assert visit.result == ["two:2:11-20", f"http://localhost:60151/goto?locus={place}", False]


def test_target_is_shaded_on_a_logarithmic_axis(page: Path) -> None:
    script = """() => {
      const { layout } = document.getElementById("overview");
      document.getElementById("logarithmic").click();
      const after = document.getElementById("overview").layout.yaxis.type;
      return [layout.shapes.filter((s) => s.x0 === 30000.5 && s.x1 === 30100.5).length,
        layout.yaxis.type, after];
    }"""
    assert run_page(page, script).result == [3, "log", "linear"]


@pytest.mark.parametrize("beside", [True, False], ids=["there", "missing"])
def test_page_with_shared_plotly_draws_or_says_what_is_missing(
    tmp_path: Path, beside: bool
) -> None:
    tracks = Tracks(("sensitivity",), {"a": np.arange(50)})
    facts = record({"a": 50}, ["sensitivity"])
    write_report(tmp_path / "r.html", facts, tracks.gathered, tracks.values_in, plotly="shared")
    if not beside:
        next(tmp_path.glob("*.js")).unlink()
    script = """() => [document.querySelector("#overview .main-svg") !== null,
      document.body.innerText]"""
    drawn, text = run_page(tmp_path / "r.html", script).result
    assert (drawn, "The figures of this page need plotly-" in text) == (beside, not beside)
