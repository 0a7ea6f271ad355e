"""The report: safe, self-contained, bounded in size, right in its numbers."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from finished import record

from pgf_genome.errors import ResourceError
from pgf_genome.intervals import Interval
from pgf_genome.report import Gathered, Gathering, gathering, render, write_report
from pgf_genome.report.logo import logo
from pgf_genome.runs.record import Contig, Halo, HaloLocus, Performance, Track
from pgf_genome.runs.run import PEAKS
from pgf_genome.tracks.cutting import cut

HOSTILE = 'chr|<script>alert("x")</script><!--'
ALL = ("sensitivity", "contribution", *(f"tism.{base}" for base in "ACGT"), "surprisal")
LIMIT = 6_000_000


class Page(HTMLParser):
    """Elements, attributes and visible text of a page; scripts by their place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.tags: list[str] = []
        self.scripts: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        elif self.cdata_elem is None:
            self.text += data

    @property
    def data(self) -> dict:
        """What the page draws; its scripts are theme, plotly, what unpacks it, data, program."""
        return json.loads(self.scripts[3])


def codes_at(contig: str, start: int, stop: int) -> np.ndarray:
    return np.arange(start, stop) % 4


class Tracks:
    """Tracks of one contig each, and what a report needs of them."""

    def __init__(
        self,
        tracks: Sequence[str],
        values: dict[str, np.ndarray],
        targets: dict | None = None,
        written: dict | None = None,
    ) -> None:
        self.values = {name: np.asarray(each, np.float32) for name, each in values.items()}
        sizes = {name: len(each) for name, each in values.items()}
        work = Gathering(sizes, tracks, targets, written)
        self.tracks = tracks
        for track in tracks:
            for contig, each in self.values.items():
                for taker in work.takers(track):
                    taker.add(contig, 0, each)
        self.gathered: Gathered = work.result()

    def values_in(self, windows: Sequence[Interval]) -> list[np.ndarray]:
        pieces = ((name, 0, np.stack([v] * len(self.tracks))) for name, v in self.values.items())
        return cut(windows, pieces, len(self.tracks))

    def page(self, sequence: bool = True, took: bool = False, **changed: object) -> Page:
        """The page of a run; `changed` are fields of its record."""
        codes, sizes = codes_at if sequence else None, self.gathered.sizes
        facts = record(sizes, self.tracks, **changed)
        return Page(render(facts, self.gathered, self.values_in, codes, took))


@pytest.fixture
def hostile() -> Page:
    values = np.full(200, np.nan)
    values[[3, 198]] = 1.5, -2.5
    return Tracks(("contribution",), {HOSTILE: values, "b&c": np.full(30, np.nan)}).page(
        title="<b>mine</b>",
        model={"name": "/tmp/<img src=x>.fa", "parameters": 1234567},
        conventions={"sign": "positive & raising"},
        contigs=(Contig(HOSTILE, 200, 1, -1234.5),),
    )


def test_names_and_paths_stay_text(hostile: Page) -> None:
    assert len(hostile.scripts) == 5
    assert "img" not in hostile.tags
    assert 'alert("x")' not in "".join(hostile.scripts)
    for text in (HOSTILE, "<b>mine</b>", "/tmp/<img src=x>.fa", "positive & raising"):
        assert text in hostile.text


def test_data_cannot_end_or_open_a_script(hostile: Page) -> None:
    assert not set("<\u2028\u2029") & set(hostile.scripts[3])
    assert hostile.data["contigs"][0]["name"] == HOSTILE


def test_page_loads_nothing_from_outside(hostile: Page) -> None:
    references = {"src", "href", "srcset", "action", "data", "poster"}
    outside = [each for each in hostile.attributes if each[1] in references and each[2][:1] != "#"]
    assert outside == []
    policy = [value for tag, name, value in hostile.attributes if name == "content"]
    assert any(value and value.startswith("default-src 'none'") for value in policy)


def test_peaks_are_one_based_with_base_value_and_logo(hostile: Page) -> None:
    minus = "\N{MINUS SIGN}"
    assert f"1{HOSTILE}199G{minus}2.50" in hostile.text
    assert f"2{HOSTILE}4T1.50" in hostile.text
    labels = [value for tag, name, value in hostile.attributes if name == "aria-label"]
    labels = [value for value in labels if value and ", position " in value]
    assert len(labels) == 2
    assert labels[1] == f"{'ACGT' * 6} at {HOSTILE}, position 4"


def test_headings_of_the_table_are_buttons_that_say_how_it_is_sorted(hostile: Page) -> None:
    sorts = [value for tag, name, value in hostile.attributes if name == "aria-sort"]
    assert sorts == ["ascending", *["none"] * 4]


def test_without_the_sequence_there_are_no_logos_and_the_page_says_so() -> None:
    page = Tracks(("sensitivity",), {"a": np.arange(300)}).page(sequence=False)
    assert "there are no logos" in page.text
    assert "svg" not in page.tags
    assert page.data["letters"] is None


def test_negative_letters_hang_below_the_axis() -> None:
    drawn = logo("AC", [2.0, -1.0], 0, "x")
    up, down = re.findall(r"matrix\([\d.]+ 0 0 (\S+) \S+ (\S+)\)", drawn)
    axis = re.search(r'y1="([\d.]+)"', drawn)[1]
    assert up[1] == down[1] == axis
    assert float(up[0]) == pytest.approx(-2 * float(down[0]), rel=0.01)
    assert float(up[0]) < 0  # SVG counts downward


def test_unknown_and_unscored_bases_have_no_letter() -> None:
    assert logo("NA ", [5.0, float("nan"), float("nan")], 1, "x").count("<use") == 0


def test_facts_are_written_for_people(hostile: Page) -> None:
    assert "parameters1,234,567" in hostile.text
    assert "signpositive & raising" in hostile.text
    assert "\N{MINUS SIGN}1,234.50" in hostile.text


def test_time_and_memory_are_told_only_if_asked_for() -> None:
    tracks = Tracks(("sensitivity",), {"a": np.arange(9)})
    performance = Performance(3723.4, 1000.0, 3 << 29, 2, "cpu")
    assert "Time and memory" not in tracks.page().text
    text = tracks.page(took=True, performance=performance).text
    assert "time1\xa0h 2\xa0minbases per second1,000.00peak memory1.5\xa0GiB" in text


def test_halo_is_a_table_and_a_sentence() -> None:
    halo = Halo(8192, 1024, (HaloLocus("a", 10, 20, max_error=0.002, relative_error=0.01),))
    text = Tracks(("sensitivity",), {"a": np.arange(99)}).page(halo=halo).text
    assert "windows of 8,192 bases with 1,024 bases of halo" in text
    assert "changed by at most 0.0100 of its norm at the 1 place below" in text
    assert "a11\N{EN DASH}200.002000.0100" in text


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def test_data_holds_single_bases_where_they_fit() -> None:
    values = np.arange(200, dtype=float)
    values[50:60] = np.nan
    data = Tracks(("sensitivity",), {"a": values, "empty": np.full(5, np.nan)}).page().data
    (contig,) = data["contigs"]
    assert (contig["length"], contig["scored"], contig["levels"]) == (200, 190, [[1, 200]])
    assert contig["bases"] == "ACGT" * 50
    np.testing.assert_array_equal(floats(data["bins"][0]), values)


def test_data_holds_single_bases_around_peaks_where_bins_are_wide(monkeypatch) -> None:
    monkeypatch.setattr(gathering, "BINS", 1000)
    values = np.full(5000, 0.5)
    values[3210] = 9
    data = Tracks(("sensitivity",), {"a": values}).page().data
    assert data["contigs"][0]["levels"] == [[5, 1000]]
    ((_, start, stop),) = [window for window in data["windows"] if window[1] < 3210 < window[2]]
    assert data["peaks"][0] == [0, 3210]
    at = sum(b - a for _, a, b in data["windows"] if b <= start)
    held = floats(data["details"][0])[at : at + stop - start]
    np.testing.assert_array_equal(held, values[start:stop])


def test_influence_has_a_panel_only_when_there_is_some() -> None:
    assert (
        "Influence and distance" not in Tracks(("sensitivity",), {"a": np.arange(99)}).page().text
    )
    aimed = Tracks(("sensitivity",), {"a": np.arange(99)}, {"a": [(40, 50)]}).page()
    assert "Influence and distance" in aimed.text
    assert [each["label"] for each in aimed.data["influence"]] == [
        "before the target",
        "after the target",
    ]


def test_report_of_a_run_without_scores_can_be_written() -> None:
    page = Tracks(("surprisal",), {"n": np.full(10, np.nan)}).page()
    assert "10 in 1 contig" in page.text
    assert page.data["contigs"] == []
    assert "table" in page.tags


def test_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("1.html", "2.html"):
        tracks = Tracks(("sensitivity",), {"a": np.arange(500)})
        facts = record({"a": 500}, ["sensitivity"])
        write_report(tmp_path / name, facts, tracks.gathered, tracks.values_in, codes_at)
    assert (tmp_path / "1.html").read_bytes() == (tmp_path / "2.html").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"1.html", "2.html"}


class Chromosome:
    """What 250 million scored bases leave behind, without passing through all of them."""

    def __init__(self, sizes: dict[str, int], tracks: Sequence[str]) -> None:
        rng = np.random.default_rng(0)
        work = Gathering(sizes, tracks)
        for track in tracks:
            for contig, length in sizes.items():
                scattered = np.linspace(0, length - 1, max(120 // len(sizes), 1), dtype=int)
                for start in scattered.tolist():
                    value = rng.standard_normal(1, np.float32)
                    for taker in work.takers(track):
                        taker.add(contig, start, value)
        self.gathered = work.result()
        for summary in self.gathered.summaries.values():
            for envelope in summary.envelopes:
                full = tuple(rng.standard_normal(len(envelope.mean)).tolist())
                for name in ("minimum", "maximum", "mean"):
                    object.__setattr__(envelope, name, full)
                object.__setattr__(envelope, "count", (envelope.bins.width,) * len(full))

    def values_in(self, windows: Sequence[Interval]) -> list[np.ndarray]:
        count = len(self.gathered.summaries)
        return [np.ones((count, window.length), np.float32) for window in windows]


@pytest.mark.parametrize(
    "sizes",
    [
        {"chr1": 250_000_000},
        {"fits": 2 * gathering.BINS // len(ALL) - 5000, "short": 5000},
        {f"a_long_name_of_scaffold_{i}": 3000 + i for i in range(700)},
    ],
    ids=["250 Mb", "base resolution", "700 contigs"],
)
@pytest.mark.parametrize("tracks", [ALL[:1], ALL], ids=["1 track", "7 tracks"])
def test_size_is_bounded_for_any_genome(sizes: dict[str, int], tracks: Sequence[str]) -> None:
    made = Chromosome(sizes, tracks)
    text = render(record(sizes, tracks), made.gathered, made.values_in, codes_at)
    assert len(text.encode()) < LIMIT
    drawn = len(Page(text).data["contigs"])
    assert min(len(sizes), gathering.MAX_CONTIGS) <= drawn
    assert drawn <= gathering.MAX_CONTIGS + PEAKS


def test_contigs_that_are_not_listed_are_counted() -> None:
    sizes = {f"c{i}": np.ones(50) for i in range(gathering.MAX_CONTIGS + 30)}
    page = Tracks(("sensitivity",), sizes).page()
    assert "30 contigs are not listed here" in page.text
    assert page.tags.count("option") == gathering.MAX_CONTIGS


def test_unwritable_place_is_a_clear_error(tmp_path: Path) -> None:
    tracks = Tracks(("sensitivity",), {"a": np.arange(5)})
    facts = record({"a": 5}, ["sensitivity"])
    with pytest.raises(ResourceError, match=r"r\.html: cannot be written"):
        write_report(tmp_path / "nowhere" / "r.html", facts, tracks.gathered, tracks.values_in)


def test_table_of_peaks_leaves_the_effects_of_bases_to_the_overview() -> None:
    tracks = {name: Track(name, "nats", "") for name in ALL}
    tracks["contribution"] = Track("Contribution of the observed base", "nats", "")
    text = Tracks(ALL, {"a": np.arange(300)}).page(tracks=tracks).text
    assert "RankContigPositionBasesensitivityContributionsurprisalLogo" in text
    text = Tracks(ALL[2:4], {"a": np.arange(300)}).page().text
    assert "RankContigPositionBaseTism.a" in text


def test_page_opens_on_what_was_written_and_names_its_regions() -> None:
    values = np.full(9000, np.nan)
    values[2000:2100] = values[7000:7050] = 1.5
    written = {"a": ((2000, 2100), (7000, 7050)), "b": ()}
    tracks = Tracks(("sensitivity",), {"a": values, "b": np.full(9, np.nan)}, None, written)
    page = tracks.page()
    (contig,) = page.data["contigs"]
    assert contig["stretches"] == [[2000, 2100], [7000, 7050]]
    assert contig["levels"] == [[1, 150]]
    assert "a:2,001-2,100a:7,001-7,050" in page.text


@pytest.mark.parametrize(
    ("track", "strand", "tile", "said", "side"),
    [
        ("contribution", "+", 64, "A letter stands upright where this base helps; it", "right"),
        ("contribution", "-", 64, "A letter stands upright where this base helps; it", "left"),
        ("contribution", "-", None, "A letter stands upright where this", "left and right"),
        ("sensitivity", "both", 64, "Sensitivity: its length. A value is in nats; F is", None),
    ],
)
def test_legend_is_three_sentences_on_sign_unit_and_strand(
    track: str, strand: str, tile: int | None, said: str, side: str | None
) -> None:
    tracks = {track: Track(track.capitalize(), "nats", "its length", "this base helps")}
    made = Tracks((track,), {"a": np.arange(99)})
    page = made.page(tracks=tracks, strand=strand, tile_length=tile, objective="entropy")
    assert said in page.text
    assert "F is the objective, entropy, of everything that was read." in page.text
    labels = {value for tag, name, value in page.attributes if name == "aria-label"}
    assert (f"A base acts on what lies to its {side}" in labels) == (side is not None)


def test_target_is_in_the_data_with_its_mean() -> None:
    page = Tracks(("sensitivity",), {"a": np.arange(99)}, {"a": [(40, 50)]}).page(
        contigs=(Contig("a", 99, 1, 0.0, targets=((40, 50),)),)
    )
    assert (page.data["targets"], page.data["inside"]) == ([[[40, 50]]], 44.5)
    assert "Shaded: the target" in page.text


def test_reports_of_a_folder_share_a_copy_of_plotly_if_asked_to(tmp_path: Path) -> None:
    tracks = Tracks(("sensitivity",), {"a": np.arange(50)})
    facts = record({"a": 50}, ["sensitivity"])
    for name in ("1.html", "2.html"):
        write_report(tmp_path / name, facts, tracks.gathered, tracks.values_in, plotly="shared")
    (library,) = tmp_path.glob("*.js")
    page = Page((tmp_path / "1.html").read_text())
    assert ("script", "src", library.name) in page.attributes
    assert library.stat().st_size > 1_000_000 > (tmp_path / "1.html").stat().st_size


def test_all_n_has_no_figures_and_says_why() -> None:
    page = Tracks(("sensitivity",), {"n": np.full(10, np.nan)}).page()
    assert "No base has a score" in page.text
    assert not {"overview", "distribution"} & {v for _, name, v in page.attributes if name == "id"}
