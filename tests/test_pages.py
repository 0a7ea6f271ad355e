"""The HTML pages: one frame, one palette, light and dark, and colours that everyone tells apart."""

from __future__ import annotations

import json
import re
import zlib
from base64 import b64encode
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import run_page

from pgf_genome.pages import figures
from pgf_genome.pages.frame import asset, html_page, script
from pgf_genome.pages.palette import DARK, LIGHT, Palette, channels, numbers, twins

ROOT = Path(__file__).parents[1]
PALETTE, FRAME, FIGURES = (
    ROOT / "pgf_genome" / "pages" / name for name in ("palette.py", "frame.html", "figures.py")
)
NAMES = "white|black|gr[ae]y|silver|red|green|blue|orange|yellow|purple|brown|pink|cyan|magenta"
COLOUR = re.compile(
    r"(?<![&\w])#(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})\b"
    r"|\b(?:rgba?|hsla?|hwb|lab|lch|oklab|oklch)\(\s*[\d.]"
    rf"|[\"'](?:{NAMES})[\"']|:[^:;{{}}\n]*\b(?:{NAMES})\s*[;}}]"
    r"|plotly\.colors|(?:plotly|simple)_(?:white|dark)|[\"'](?:viridis|cividis|plasma)",
    re.IGNORECASE,
)


def sources() -> Iterator[Path]:
    """Everything that pages are made of."""
    for folder in ("pgf_genome", "workflows"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".js", ".css", ".html"}:
                yield path


def files_with(pattern: str | re.Pattern[str]) -> set[Path]:
    return {path for path in sources() if re.search(pattern, path.read_text(encoding="utf-8"))}


def test_no_colour_stands_outside_the_palette() -> None:
    assert files_with(COLOUR) - {FIGURES} == {PALETTE}
    # the name of a colour scale of plotly, once
    assert COLOUR.findall(FIGURES.read_text(encoding="utf-8")) == ['"Cividis']


@pytest.mark.parametrize(
    "text",
    ["color: #1f69aa", "border: 1px solid #8886;", "f'#abc'", "rgba(0, 0, 0, .5)", "line='red'",
     "p { color: white; }", 'template="plotly_white"', 'colorscale="Viridis"'],
)  # fmt: skip
def test_colour_is_found(text: str) -> None:
    assert COLOUR.search(text)


@pytest.mark.parametrize(
    "text",
    ["#peaks thead th { top: 0; }", "&#8212;", "# a comment", "white-space: nowrap;",
     'f"rgb({numbers(POSITIVE)})"', 'color("--mark") + "18"', "#browser { color-scheme: light; }"],
)  # fmt: skip
def test_what_is_no_colour_passes(text: str) -> None:
    assert not COLOUR.search(text)


def test_one_frame_and_one_place_that_embeds_plotly() -> None:
    assert files_with(r"(?i)<!doctype|<html|<head|<body") == {FRAME}
    assert files_with(r"get_plotlyjs|include_plotlyjs|full_html|write_html") == {FIGURES}


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def linear(colour: str) -> np.ndarray:
    """Red, green and blue of sRGB as amounts of light, 0 to 1."""
    part = np.array(channels(colour)) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2."""
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


# Machado, Oliveira and Fernandes 2009, severity 1, on linear light
VISION = {
    "all three cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip
# Ottosson 2020
LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]]
)  # fmt: skip
LAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]]
)  # fmt: skip


def nearest(colours: tuple[str, ...], vision: np.ndarray) -> float:
    """Smallest distance in OKLab, in hundredths, of two of the colours as that vision has them."""
    seen = [LAB @ np.cbrt(LMS @ np.clip(vision @ linear(c), 0, 1)) for c in colours]
    return 100 * min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2))


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_the_paper(palette: Palette) -> None:
    for text in (palette.ink, palette.quiet, palette.link, palette.mark):
        assert min(contrast(text, ground) for ground in (palette.paper, palette.shade)) >= 4.5
    # titles of tracks have the colours of their lines
    assert min(contrast(line, palette.paper) for line in palette.lines[:4]) >= 4.5
    drawn = (*palette.lines, *palette.bases, *palette.stops, palette.faint)
    assert [colour for colour in drawn if contrast(colour, palette.paper) < 3] == []


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_every_vision_tells_lines_and_bases_apart(palette: Palette, vision: str) -> None:
    assert nearest(palette.lines[:4], VISION[vision]) > 10
    assert nearest(palette.lines, VISION[vision]) > 5
    assert nearest(palette.bases, VISION[vision]) > 7


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_ramp_goes_from_the_first_stop_to_the_last_and_grows_lighter(palette: Palette) -> None:
    assert palette.ramp(1) == [palette.stops[0]]
    assert palette.ramp(len(palette.stops)) == list(palette.stops)
    for count in (2, 4, 24, 61):
        colours = palette.ramp(count)
        assert (len(colours), colours[0], colours[-1]) == (
            count, palette.stops[0], palette.stops[-1]
        )  # fmt: skip
        assert all(luminance(a) < luminance(b) for a, b in pairwise(colours))


def test_every_light_colour_has_one_dark_twin() -> None:
    found, dark = twins(), dict(DARK.named())
    assert {name: found[colour] for name, colour in LIGHT.named()} == dark
    for count in (1, 2, 7, 61):
        assert [found[colour] for colour in LIGHT.ramp(count)] == DARK.ramp(count)


def test_genome_browsers_get_numbers() -> None:
    assert numbers(LIGHT.lines[0]) == "31,105,170"


def test_title_is_text_and_an_offline_page_may_load_nothing() -> None:
    page = html_page("report", "<b> & co", "<p>main</p>", styles=["p { margin: 0; }"])
    assert "<title>&lt;b&gt; &amp; co</title>" in page
    assert "<h1>&lt;b&gt; &amp; co</h1>" in page
    assert "default-src 'none'" in page
    assert "p { margin: 0; }" in page
    served = html_page("browse", "x", "", served=True)
    assert "Content-Security-Policy" not in served
    assert "<script" not in served


def figure(text: str = "a") -> Any:
    drawn = figures.panels(1, 2, ["one", "two"])
    for col in (1, 2):
        drawn.add_scatter(
            x=[1, 2], y=[3, 4], name=text, line_color=LIGHT.line(0), fill="tozeroy",
            fillcolor=LIGHT.line(1) + "33", row=1, col=col,
        )  # fmt: skip
    return drawn


def test_text_of_a_figure_cannot_end_its_script() -> None:
    held = figures.embedded("f", figure("</script><script>alert(1)</script>"))
    assert held.count("</script>") == held.count("<script") == 1


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "p.html"
    main = figures.embedded("f", figure())
    path.write_text(html_page("experiment", "A page", main, scripts=figures.scripts()))
    return path


LOOK = """() => {
  const plot = document.getElementById("f"), line = plot.querySelector(".js-line");
  return {
    body: getComputedStyle(document.body).backgroundColor,
    plot: plot.querySelector(".main-svg").style.background, line: line.style.stroke,
    fill: plot.data[0].fillcolor, width: plot.layout.width,
    button: document.getElementById("theme").textContent,
  };
}"""


def expected(palette: Palette) -> dict[str, str]:
    spaced = [f"rgb({', '.join(map(str, channels(c)))})" for c in (palette.paper, palette.line(0))]
    return {"body": spaced[0], "plot": spaced[0], "line": spaced[1], "fill": palette.line(1) + "33"}


@pytest.mark.parametrize(
    ("scheme", "first", "second"), [("light", LIGHT, DARK), ("dark", DARK, LIGHT)]
)
def test_figures_follow_the_theme_and_the_button(
    page: Path, scheme: str, first: Palette, second: Palette
) -> None:
    def look(tab: Any) -> list[Any]:
        before = tab.evaluate(LOOK)
        tab.locator("#theme").click()
        return [before, tab.evaluate(LOOK)]

    visit = run_page(page, look, scheme=scheme)
    assert (visit.requests, visit.errors) == ([], [])
    for seen, palette in zip(visit.result, (first, second), strict=True):
        assert expected(palette).items() <= seen.items()
        assert seen["button"] == ("Light" if palette is DARK else "Dark")


def test_figures_print_in_light_colours_within_the_paper(page: Path, tmp_path: Path) -> None:
    def look(tab: Any) -> list[Any]:
        before = tab.evaluate(LOOK)
        tab.evaluate(f"""() => addEventListener("beforeprint", () => {{
          window.printed = ({LOOK})();
        }})""")
        tab.pdf(path=tmp_path / "page.pdf", format="A4")
        return [before, tab.evaluate("window.printed"), tab.evaluate(LOOK)]

    before, printed, after = run_page(page, look, scheme="dark").result
    assert before == after
    assert expected(LIGHT)["plot"] == printed["plot"]
    assert printed["width"] < (210 - 20) / 25.4 * 96 < before["width"]


def test_narrow_page_scrolls_its_figures_alone(page: Path) -> None:
    script = """() => [document.documentElement, document.getElementById("f")].map(
      (each) => each.scrollWidth - each.clientWidth)"""
    whole, plot = run_page(page, script, size=(400, 800)).result
    assert whole <= 0 < plot


def test_page_without_programs_is_dark_where_the_reader_has_it_so(tmp_path: Path) -> None:
    path = tmp_path / "p.html"
    path.write_text(html_page("browse", "x", "<p>main</p>", served=True))
    script = "() => getComputedStyle(document.body).backgroundColor"
    visits = {scheme: run_page(path, script, scheme=scheme) for scheme in ("light", "dark")}
    assert visits["light"].result == expected(LIGHT)["body"]
    assert visits["dark"].result == expected(DARK)["body"]


def test_what_zlib_packs_the_page_unpacks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = ["", "a", "abc" * 5000, "".join(map(chr, rng.integers(32, 127, 70_000).tolist()))]
    packed = []
    for text in texts:
        for level in (0, 1, 9):
            packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
            packed.append(
                [b64encode(packer.compress(text.encode()) + packer.flush()).decode(), text]
            )
    program = asset("pgf_genome.pages", "inflate.js")
    path = tmp_path / "p.html"
    path.write_text(html_page("test", "t", "", scripts=[script(program)]))
    check = f"""() => {json.dumps(packed)}.map(([held, text]) => text === new TextDecoder().decode(
      inflated(Uint8Array.from(atob(held), (c) => c.charCodeAt(0)), text.length)))"""
    assert run_page(path, check).result == [True] * len(packed)
