"""What a report gathers: honest at every zoom, bounded, right about peaks and distances."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgf_genome.intervals import Interval
from pgf_genome.report import Gathering, gathering, pyramid
from pgf_genome.report.bins import planned
from pgf_genome.report.influence import Site, TargetDistance
from pgf_genome.report.outside import sites_table
from pgf_genome.report.pyramid import Level, levels
from pgf_genome.sequence.parts import Parts, Places
from pgf_genome.tracks import TrackSummary
from pgf_genome.tracks.cutting import cut


def pyramid_of(values: np.ndarray, bins: int) -> list[Level]:
    summary = TrackSummary({"a": len(values)}, planned({"a": [(0, len(values))]}, bins))
    summary.add("a", 0, values)
    return list(levels(summary.result().envelopes[0]))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(1, 20_000),
    bins=st.integers(1, 6000),
    in_view=st.integers(1, 300),
    unscored=st.sampled_from([0.0, 0.5, 0.999, 1.0]),
)
def test_every_level_bounds_the_scores_below_it(
    seed: int, length: int, bins: int, in_view: int, unscored: float
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(length).astype(np.float32)
    values[rng.random(length) < unscored] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pyramid, "IN_VIEW", in_view)
        found = pyramid_of(values, bins)
    assert len(found[-1]) <= in_view
    assert all(len(finer) > in_view for finer in found[:-1])
    for level in found:
        assert len(level) == -(-length // level.bins.width)
        for i in range(len(level)):
            inside = values[i * level.bins.width : (i + 1) * level.bins.width]
            inside = inside[~np.isnan(inside)]
            extremes = (level.minimum[i], level.maximum[i])
            if len(inside):
                assert extremes == (inside.min(), inside.max())
                assert level.mean[i] == pytest.approx(inside.mean(dtype=float), abs=1e-5)
            else:
                assert np.isnan([*extremes, level.mean[i]]).all()


def test_levels_grow_by_a_fixed_factor_from_single_bases() -> None:
    found = pyramid_of(np.arange(20_000, dtype=np.float32), 20_000)
    assert [level.bins.width for level in found] == [1, 4, 16]
    assert [len(level.numbers()) for level in found] == [20_000, 3 * 5000, 3 * 1250]


def test_single_bases_are_held_up_to_twice_the_number_of_bins() -> None:
    assert planned({"a": [(0, 2000)]}, 1000)["a"].width == 1
    assert planned({"a": [(0, 2001)]}, 1000)["a"].width == 3


def test_bins_are_spent_where_something_was_written() -> None:
    bins = planned({"a": [(10, 500), (4_000_000, 4_000_400)], "none": [], "b": [(0, 30)]}, 500)
    assert list(bins) == ["a", "b"]
    assert bins["a"].stretches == ((10, 500), (4_000_000, 4_000_400))
    assert bins["a"].width == 1


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.lists(st.integers(1, 900), max_size=9), min_size=1, max_size=9),
    bins=st.integers(1, 400),
    kept=st.integers(0, 12),
    longest=st.integers(1, 9),
)
def test_bins_cover_what_was_written_in_bounded_number(
    lengths: list[list[int]], bins: int, kept: int, longest: int
) -> None:
    spans = {}
    for i, each in enumerate(lengths):
        ends = np.cumsum([1 + n for n in each])
        spans[f"c{i}"] = [(stop - n, stop) for stop, n in zip(ends.tolist(), each, strict=True)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pgf_genome.report.bins.STRETCHES", kept)
        found = planned(spans, bins, longest)
    assert list(found) == [name for name, each in spans.items() if each]
    stretches = sum(len(each.stretches) for each in found.values())
    assert stretches <= len(found) + kept
    for name, each in found.items():
        for start, stop in spans[name]:
            assert any(a <= start and stop <= b for a, b in each.stretches)
    coarse = sum(sum(each.counts) for each in found.values() if each.width > 1)
    assert coarse <= bins + stretches
    assert sum(sum(each.counts) for each in found.values()) <= 2 * bins + stretches


def gathered(values: np.ndarray, *tracks: str, targets: dict | None = None):
    work = Gathering({"a": len(values)}, tracks, targets)
    for track in tracks:
        for taker in work.takers(track):
            taker.add("a", 0, values)
    return work.result()


def test_neighbours_of_a_peak_are_part_of_it() -> None:
    values = np.zeros(3000, np.float32)
    values[1000:1005] = 1, 3, 9, 3, 1
    values[2000] = 5
    peaks = gathered(values, "sensitivity").peaks
    assert [(peak.start, peak.stop) for peak in peaks] == [(1002, 1003), (2000, 2001)]


def test_windows_surround_the_peaks_within_the_contig_without_overlap() -> None:
    values = np.zeros(3000, np.float32)
    values[[5, 700, 900, 2999]] = 9, 8, 7, 6
    windows = gathered(values, "sensitivity").windows
    around = gathering.AROUND
    assert [(w.start, w.stop) for w in windows] == [
        (0, 6 + around),
        (700 - around, 901 + around),
        (2999 - around, 3000),
    ]


def test_sensitivity_ranks_the_peaks_wherever_it_stands() -> None:
    work = Gathering({"a": 10}, ("surprisal", "sensitivity"))
    for track, position in (("surprisal", 3), ("sensitivity", 7)):
        for taker in work.takers(track):
            taker.add("a", position, np.ones(1, np.float32))
    assert [peak.start for peak in work.result().peaks] == [7]


def test_contig_of_a_peak_is_drawn_though_it_is_short() -> None:
    sizes = {f"c{i}": 100 for i in range(gathering.MAX_CONTIGS)} | {"short": 50}
    work = Gathering(sizes, ("sensitivity",))
    for contig in sizes:
        values = np.full(1, 2.0 if contig == "short" else 1.0, np.float32)
        for taker in work.takers("sensitivity"):
            taker.add(contig, 0, values)
    drawn = work.result().drawn
    assert len(drawn) == gathering.MAX_CONTIGS + 1
    assert drawn[-1] == "short"


@settings(max_examples=30, deadline=None)
@given(
    edges=st.lists(st.integers(0, 60), min_size=1, max_size=8, unique=True).map(sorted),
    spans=st.lists(st.tuples(st.integers(0, 59), st.integers(1, 30)), max_size=3),
)
def test_windows_are_cut_alike_however_a_track_is_split(
    edges: list[int], spans: list[tuple[int, int]]
) -> None:
    track = np.arange(60, dtype=np.float32)[None]
    windows = [Interval("a", start, min(start + size, 60)) for start, size in spans]
    pieces = [("a", i, track[:, i:j]) for i, j in pairwise([0, *edges, 60])]
    other = [("b", 0, np.full((1, 60), 7, np.float32))]
    for window, values in zip(windows, cut(windows, [*pieces, *other], 1), strict=True):
        np.testing.assert_array_equal(values[0], np.arange(window.start, window.stop))


def test_influence_counts_distance_from_the_edges_of_the_target() -> None:
    values = np.arange(1.0, 13.0, dtype=np.float32)
    work = TargetDistance({"a": 12}, {"a": [(4, 6)]})
    work.add("a", 0, values)
    before, after = work.result()
    assert (before.label, after.label) == ("before the target", "after the target")
    assert before.mean[:3] == (4, 3, 2)  # 1, 2 and 3 bases before it
    assert after.mean[:3] == (7, 8, 9)
    assert after.maximum == (7, 8, 9, 10, 12)  # the last bin holds distances 5 and 6
    assert after.distance[:4] == (1, 2, 3, 4)


@settings(max_examples=50, deadline=None)
@given(spans=st.lists(st.tuples(st.integers(0, 39), st.integers(1, 12)), min_size=1, max_size=4))
def test_distance_is_to_the_nearest_of_several_targets(spans: list[tuple[int, int]]) -> None:
    targets = [(start, min(start + size, 40)) for start, size in spans]
    inside = {p for start, stop in targets for p in range(start, stop)}
    work = TargetDistance({"a": 40}, {"a": targets})
    for position in range(40):
        work.add("a", position, np.array([position], np.float32))
    found = work.result()
    nearest = {p: min(abs(p - q) for q in inside) for p in range(40)}
    outside = [p for p in range(40) if nearest[p]]
    assert max((max(curve.maximum) for curve in found), default=-1) == max(outside, default=-1)
    reach = max((max(curve.distance) for curve in found), default=0)
    assert reach <= max(nearest.values())


def test_sites_outside_the_target_are_the_strongest_with_their_signed_distance() -> None:
    values = np.ones(1000, np.float32)
    values[[100, 390, 450, 900]] = [3, 2, 9, 5]  # 450 is in the target, 390 near it
    values[400:500] += 5
    work = TargetDistance({"a": 1000, "b": 10}, {"a": [(400, 500)]})
    work.add("a", 0, values)
    work.result()
    found = work.sites()
    assert found[:3] == (
        Site("a", 900, 401, 5.0),
        Site("a", 100, -300, 3.0),
        Site("a", 390, -10, 2.0),
    )
    assert not any(400 <= site.position < 500 for site in found)


def test_table_of_sites_names_their_genes_if_these_are_known() -> None:
    sites = [Site("a<", 899, 1400, 5.0), Site("a<", 99, -300, 3.0)]

    places = Places({"a<": [Parts("lac<Z", "CDS", "-", ((890, 950),), "g")]})
    named = sites_table(sites, places)
    for text in ("a&lt;", ">900<", ">1,400<", ">\N{MINUS SIGN}300<", "lac&lt;Z, CDS<", "Gene"):
        assert text in named
    assert "lac&lt;Z, 791\N{NO-BREAK SPACE}downstream<" in named
    assert "Gene" not in sites_table(sites, None)
    assert sites_table([], places) == ""


def test_there_is_no_influence_without_a_target() -> None:
    assert gathered(np.ones(20, np.float32), "sensitivity").influence == ()
    spans = {"a": [(3, 5)]}
    assert gathered(np.ones(20, np.float32), "surprisal", targets=spans).influence == ()
    assert len(gathered(np.ones(20, np.float32), "sensitivity", targets=spans).influence) == 2
