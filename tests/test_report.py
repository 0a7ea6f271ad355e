"""The report: safe, self-contained, bounded in size, right in its numbers."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from pgf_genome.errors import ResourceError
from pgf_genome.report import MAX_CONTIGS, write_report
from pgf_genome.tracks import Summary, TrackSummary

HOSTILE = 'chr|<script>alert("x")</script>'


class Page(HTMLParser):
    """Elements, attributes and visible text of a page; scripts by their id or place."""

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


def summary_of(sizes: dict[str, int], values: dict[str, np.ndarray]) -> Summary:
    summary = TrackSummary(sizes)
    for contig, scores in values.items():
        summary.add(contig, 0, scores.astype(np.float32))
    return summary.result()


@pytest.fixture
def hostile_page(tmp_path: Path) -> Page:
    sizes = {HOSTILE: 200, "b&c": 30}
    values = np.full(200, np.nan)
    values[[3, 198]] = 1.5, -2.5
    summaries = {"contribution": summary_of(sizes, {HOSTILE: values})}
    run = {
        "title": "<b>mine</b>",
        "fasta_path": "/tmp/<img src=x>.fa",
        "conventions": {"sign": "positive & raising"},
        "bases": 1234567,
        "contigs": [{"contig": HOSTILE, "objective_value": -1234.5}],
    }
    path = tmp_path / "r.html"
    write_report(path, run, summaries, lambda contig, start, stop: ("ACGT" * 50)[start:stop])
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
    return Page(path.read_text(encoding="utf-8"))


def test_names_and_paths_stay_text(hostile_page: Page) -> None:
    assert len(hostile_page.scripts) == 3
    assert "img" not in hostile_page.tags
    assert 'alert("x")' not in "".join(hostile_page.scripts)
    for text in (HOSTILE, "<b>mine</b>", "/tmp/<img src=x>.fa", "positive & raising"):
        assert text in hostile_page.text


def test_page_loads_nothing_from_outside(hostile_page: Page) -> None:
    references = {"src", "href", "srcset", "action", "data", "poster"}
    assert [a for a in hostile_page.attributes if a[1] in references] == []
    policy = [value for tag, name, value in hostile_page.attributes if name == "content"]
    assert any(value and value.startswith("default-src 'none'") for value in policy)


def test_positions_are_one_based_with_their_sequence(hostile_page: Page) -> None:
    text = hostile_page.text
    assert f"{HOSTILE}199\N{MINUS SIGN}2.5ACGTACGTACGT" in text
    assert f"{HOSTILE}41.5       ACGTACGTACGTAC" in text


def test_facts_are_written_for_people(hostile_page: Page) -> None:
    assert "bases1,234,567" in hostile_page.text
    assert "conventions: sign" in hostile_page.text
    assert "\N{MINUS SIGN}1,234.50" in hostile_page.text


def test_data_holds_the_envelopes_with_gaps(hostile_page: Page) -> None:
    data = json.loads(hostile_page.scripts[1])
    (contig,) = data["contigs"]
    bins = contig["tracks"][0]
    assert (contig["length"], contig["width"], len(bins["mean"])) == (200, 1, 200)
    assert bins["mean"][3] == bins["minimum"][3] == bins["maximum"][3] == 1.5
    assert [i for i, value in enumerate(bins["mean"]) if value is not None] == [3, 198]


def test_report_of_a_run_without_scores_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    write_report(path, {}, {"surprisal": summary_of({"n": 10}, {})})
    page = Page(path.read_text(encoding="utf-8"))
    assert "1 contig, 10 bases, 0 of them scored" in page.text
    assert json.loads(page.scripts[1])["contigs"] == []


def test_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    summaries = {"sensitivity": summary_of({"a": 500}, {"a": np.arange(500)})}
    for name in ("1.html", "2.html"):
        write_report(tmp_path / name, {"version": "1"}, summaries)
    assert (tmp_path / "1.html").read_bytes() == (tmp_path / "2.html").read_bytes()


def test_size_is_bounded_for_many_contigs_and_tracks(tmp_path: Path) -> None:
    sizes = {f"scaffold_{i}": 6000 for i in range(MAX_CONTIGS + 30)}
    rng = np.random.default_rng(0)
    summary = summary_of(sizes, {contig: rng.standard_normal(n) for contig, n in sizes.items()})
    tracks = [
        "sensitivity",
        "contribution",
        "surprisal",
        "saliency",
        *(f"tism.{b}" for b in "ACGT"),
    ]
    path = tmp_path / "r.html"
    write_report(path, {}, dict.fromkeys(tracks, summary), lambda contig, start, stop: "A" * 21)
    assert path.stat().st_size < 8_000_000
    page = path.read_text(encoding="utf-8")
    assert len(re.findall("<option ", page)) == MAX_CONTIGS
    assert "30 contigs are not listed here" in page


def test_unwritable_place_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"r\.html: cannot be written"):
        write_report(tmp_path / "nowhere" / "r.html", {}, {})
