"""``browse --serve`` in a real browser: igv.js shows what the files hold."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pysam
import pytest
from browser import Visit, run_page
from finished import PEAK, scores, sequence, write_fasta, write_run

from pgf_genome.browser import LocalServer, find_library, page_routes, read_scene

NODE_MODULES = "PGF_GENOME_NODE_MODULES"
CONTIG, POSITION = PEAK
# five bases per 50 pixels, say: wide enough for letters
NEAR = f"{CONTIG}:{POSITION - 20 + 1}-{POSITION + 20}"

# what a track holds between two positions, through the interface that its drawing goes through
VALUES = """async ([name, start, end]) => {
  const browser = await window.opened;
  const track = browser.trackViews.map((view) => view.track).find((each) => each.name === name);
  const chromosome = browser.referenceFrameList[0].chr;
  const features = await track.getFeatures(chromosome, start, end, 0.05);
  return features.map((each) => [each.start, each.end, each.value, each.sequence ?? null]);
}"""

# where on the page a base of a track is; a click there leaves what igv.js tells in window.told
AIM = """async ([name, position]) => {
  const browser = await window.opened;
  const view = browser.trackViews.find((each) => each.track.name === name);
  const {viewportElement, referenceFrame} = view.viewports[0];
  const box = viewportElement.getBoundingClientRect();
  window.told = null;
  browser.on("trackclick", (track, data) => {
    window.told = data.filter((each) => each.name).map((each) => each.value);
    return false;
  });
  const x = (position + 0.5 - referenceFrame.start) / referenceFrame.bpPerPixel;
  return [box.x + x, box.y + box.height / 2];
}"""

# colours of the pixels of a track's canvas, as [red, green, blue, count]
COLOURS = """async (name) => {
  const browser = await window.opened;
  const view = browser.trackViews.find((each) => each.track.name === name);
  const canvas = view.viewports[0].canvas;
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const counts = {};
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] === 255) {
      const key = [data[i], data[i + 1], data[i + 2]].join(",");
      counts[key] = (counts[key] ?? 0) + 1;
    }
  }
  return counts;
}"""

# of igv.js; C is drawn in pure blue, and no bar is
LETTER_COLOURS = {"A": "0,200,0", "C": "0,0,200", "G": "209,113,5", "T": "255,0,0"}
BARS = {"contribution": "31,105,170", "surprisal": "35,77,17"}


@pytest.fixture(scope="module")
def library() -> Path:
    folder = Path(os.environ.get(NODE_MODULES, "node_modules"))
    found = find_library(None, folder.parent)
    if found is None:
        pytest.skip(f"no igv.js: npm install igv, and set {NODE_MODULES} to its node_modules")
    return found


@contextmanager
def served(prefix: Path, library: Path | None, **options: object) -> Iterator[str]:
    routes = page_routes(read_scene(prefix, **options), library)
    with LocalServer(routes) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def wait_until_drawn(tab, *names: str) -> None:
    tab.evaluate("async () => { await window.opened; }")
    tab.wait_for_function(
        """async (names) => {
          const browser = await window.opened;
          const views = browser.trackViews.filter((each) => names.includes(each.track.name));
          return views.length === names.length && views.every(
            (view) => view.viewports.every((each) => each.canvas && each.featureCache));
        }""",
        arg=list(names),
    )


def value_under_cursor(tab, name: str, position: int) -> list[str]:
    tab.mouse.click(*tab.evaluate(AIM, [name, position]))
    return tab.wait_for_function("() => window.told").json_value()


def assert_quiet(visit: Visit, url: str) -> None:
    assert visit.errors == []
    assert [request for request in visit.requests if not request.startswith(url)] == []


def wanted_rows(track: str, start: int, stop: int) -> dict[int, float]:
    values = scores(track, CONTIG)[start:stop]
    return {start + i: float(value) for i, value in enumerate(values) if not np.isnan(value)}


@pytest.fixture(params=["plain", "bgzip"])
def fasta(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    plain = write_fasta(tmp_path / "g.fa")
    if request.param == "plain":
        return plain
    pysam.tabix_compress(str(plain), f"{plain}.gz")
    return Path(f"{plain}.gz")


def test_bigwig_bedgraph_and_fasta_hold_in_the_page_what_they_hold_on_disk(
    tmp_path: Path, fasta: Path, library: Path
) -> None:
    prefix = write_run(tmp_path, "my <run> #1", fasta=fasta)
    start, stop = POSITION - 15, POSITION + 15

    def script(tab) -> dict:
        wait_until_drawn(tab, "contribution", "sensitivity", "surprisal")
        held = {
            name: tab.evaluate(VALUES, [name, start, stop])
            for name in ("contribution", "sensitivity", "surprisal")
        }
        clicks = {name: value_under_cursor(tab, name, POSITION + 5) for name in held}
        colours = {name: tab.evaluate(COLOURS, name) for name in held}
        if folder := os.environ.get("PGF_GENOME_SCREENSHOTS"):
            tab.screenshot(path=Path(folder, f"browse-{fasta.suffix}.png"))
        return {"held": held, "clicks": clicks, "colours": colours}

    with served(prefix, library, region=NEAR) as url:
        visit = run_page(url, script)
        assert_quiet(visit, url)
    held = visit.result["held"]
    for name, rows in held.items():
        found = {row[0]: row[2] for row in rows if start <= row[0] < stop}
        assert all(row[1] == row[0] + 1 for row in rows)
        wanted = wanted_rows(name, start, stop)
        assert found.keys() == wanted.keys()
        assert [np.float32(found[at]) for at in wanted] == [np.float32(x) for x in wanted.values()]
    # the letters are those of the FASTA, base by base
    assert all(row[3] == sequence(CONTIG)[row[0]] for row in held["contribution"])
    for name, told in visit.result["clicks"].items():
        wanted = wanted_rows(name, POSITION + 5, POSITION + 6)[POSITION + 5]
        # positions are 1-based there, and values have four decimals
        assert told == [f"{POSITION + 6:,}", f"{wanted:.4f}"]
    drawn = set(visit.result["colours"]["contribution"])
    assert set(LETTER_COLOURS.values()) <= drawn
    assert BARS["contribution"] not in drawn
    assert BARS["surprisal"] in visit.result["colours"]["surprisal"]


def test_letters_become_bars_from_afar(tmp_path: Path, library: Path) -> None:
    prefix = write_run(tmp_path, fasta=write_fasta(tmp_path / "g.fa"))

    def script(tab) -> dict:
        wait_until_drawn(tab, "contribution")
        return tab.evaluate(COLOURS, "contribution")

    with served(prefix, library, region=CONTIG) as url:
        visit = run_page(url, script, size=(700, 600))
        assert_quiet(visit, url)
    assert BARS["contribution"] in visit.result


def test_tracks_with_renamed_contigs_meet_the_sequence(tmp_path: Path, library: Path) -> None:
    fasta = write_fasta(tmp_path / "g.fa")
    prefix = write_run(tmp_path, fasta=fasta, renamed={"c1": "chr1", "c2": "chr2"})
    start, stop = POSITION - 5, POSITION + 5

    def script(tab) -> list:
        wait_until_drawn(tab, "contribution", "sensitivity")
        names = ("contribution", "sensitivity")
        return [tab.evaluate(VALUES, [name, start, stop]) for name in names]

    with served(prefix, library) as url:
        visit = run_page(url, script)
        assert_quiet(visit, url)
    letters, bars = visit.result
    assert {row[0]: row[3] for row in letters}[POSITION] == sequence(CONTIG)[POSITION]
    assert {row[0] for row in bars} >= wanted_rows("sensitivity", start, stop).keys()


def test_annotation_is_shown(tmp_path: Path, library: Path) -> None:
    prefix = write_run(tmp_path, fasta=write_fasta(tmp_path / "g.fa"))
    gff = tmp_path / "genes.gff3"
    gff.write_text(f"##gff-version 3\n{CONTIG}\tx\tgene\t1991\t2010\t.\t+\t.\tID=g;Name=first\n")

    def script(tab) -> list:
        wait_until_drawn(tab, "genes.gff3")
        return tab.evaluate(
            """async () => {
              const browser = await window.opened;
              const track = browser.trackViews.at(-1).track;
              const found = await track.getFeatures("c1", 1980, 2020, 1);
              return found.map((each) => [each.start, each.end, each.name]);
            }"""
        )

    with served(prefix, library, gff=gff) as url:
        visit = run_page(url, script)
        assert_quiet(visit, url)
    assert visit.result == [[1990, 2010, "first"]]


def test_without_igv_js_the_page_tells_what_to_do(tmp_path: Path) -> None:
    prefix = write_run(tmp_path, fasta=write_fasta(tmp_path / "g.fa"))
    with served(prefix, None) as url:
        visit = run_page(url, "() => document.body.innerText")
        assert_quiet(visit, url)
    assert "npm install igv" in visit.result


def test_a_session_that_cannot_open_says_so(tmp_path: Path, library: Path) -> None:
    fasta = write_fasta(tmp_path / "g.fa")
    prefix = write_run(tmp_path, fasta=fasta)

    def script(tab) -> str:
        tab.wait_for_selector("#problem:not([hidden])")
        return tab.inner_text("#problem")

    with served(prefix, library) as url:
        fasta.unlink()
        visit = run_page(url, script)
    assert "igv.js could not open the session" in visit.result
