"""What is gathered of a track for the report: exact where small, bounded where large."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgf_genome.tracks import Bins, Strongest, TrackSummary
from pgf_genome.tracks.blocks import BLOCK
from pgf_genome.tracks.histogram import MANY, Histogram


def test_summary_of_a_small_track_is_exact() -> None:
    bins = {"a": Bins(((0, 5),), 3), "empty": Bins(((0, 4),), 4)}
    summary = TrackSummary({"a": 5, "empty": 4}, bins)
    summary.add("a", 0, np.array([1, -3, np.nan, np.nan, 0], np.float32))
    result = summary.result()
    first, empty = result.envelopes
    assert (first.contig, first.scored) == ("a", 2 + 1)
    assert (first.minimum, first.maximum, first.mean) == ((-3, 0), (1, 0), (-1, 0))
    assert (empty.scored, empty.mean) == (0, (None,))
    assert (result.scored, result.minimum, result.maximum) == (3, -3, 1)
    assert result.mean == pytest.approx(-2 / 3)
    assert [(b.negative, b.low, b.high, b.count) for b in result.histogram if b.low] == [
        (False, 1, 1.25, 1),
        (True, 3, 3.5, 1),
    ]
    json.dumps(dataclasses.asdict(result), allow_nan=False)


def test_summary_of_nothing_has_no_numbers() -> None:
    result = TrackSummary({"a": 5}).result()
    assert (result.scored, result.minimum, result.mean) == (0, None, None)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), distance=st.sampled_from([1, 8, 128]))
def test_peaks_are_apart_and_include_the_strongest(seed: int, distance: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(BLOCK + 500, dtype=np.float32)
    values[rng.random(len(values)) < rng.random()] = np.nan
    strongest = Strongest({"a": len(values)}, 7, distance)
    strongest.add("a", 0, values)
    peaks = strongest.result()
    magnitudes = [abs(peak.value) for peak in peaks]
    assert len(peaks) <= 7
    assert magnitudes == sorted(magnitudes, reverse=True)
    assert all(peak.value == values[peak.position] for peak in peaks)
    assert np.diff(sorted(peak.position for peak in peaks)).min(initial=distance) >= distance
    assert magnitudes[0] == np.nanmax(np.abs(values))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.sampled_from([1, 50, MANY + 5]))
def test_quantiles_are_those_of_the_sorted_values_to_one_per_cent(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_cauchy(count).astype(np.float32)
    histogram = Histogram()
    for part in np.array_split(values, 3):
        histogram.add(part)
    levels = (0.001, 0.3, 0.5, 0.999)
    exact = np.quantile(values, levels, method="inverted_cdf")
    np.testing.assert_allclose(histogram.quantiles(levels), exact, rtol=0.008)
    assert histogram.total == count


def test_positions_that_can_be_no_peak_are_left_out() -> None:
    strongest = Strongest({"a": 6}, 5, 1, lambda contig, start, stop: np.arange(start, stop) == 2)
    strongest.add("a", 0, np.array([0, 1, -9, 3, np.nan, 0], np.float32))
    assert [(peak.position, peak.value) for peak in strongest.result()] == [(3, 3), (1, 1)]


def test_bins_lie_in_the_stretches_alone() -> None:
    sizes = {"a": 3 * BLOCK, "b": 9}
    stretches = ((1, 4), (BLOCK - 2, BLOCK + 3), (2 * BLOCK, 2 * BLOCK + 1))
    summary = TrackSummary(sizes, {"a": Bins(stretches, 2)})
    for start, stop in stretches:
        summary.add("a", start, np.arange(start, stop, dtype=np.float32))
    (envelope,) = summary.result().envelopes
    assert envelope.minimum == (1, 3, BLOCK - 2, BLOCK, BLOCK + 2, 2 * BLOCK)
    assert envelope.maximum == (2, 3, BLOCK - 1, BLOCK + 1, BLOCK + 2, 2 * BLOCK)
    assert envelope.count == (2, 1, 2, 2, 1, 1)
