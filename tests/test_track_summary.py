"""What is gathered of a track for the report: exact where small, bounded where large."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgf_genome.tracks import TrackSummary
from pgf_genome.tracks.blocks import BLOCK


def test_summary_of_a_small_track_is_exact() -> None:
    summary = TrackSummary({"a": 5, "empty": 4}, bins_per_contig=2, bins=1000, min_distance=2)
    summary.add("a", 0, np.array([1, -3, np.nan, np.nan, 0], np.float32))
    result = summary.result()
    first, empty = result.envelopes
    assert (first.bin_width, first.scored) == (3, 2 + 1)
    assert (first.minimum, first.maximum, first.mean) == ((-3, 0), (1, 0), (-1, 0))
    assert (empty.scored, empty.mean) == (0, (None, None))
    assert (result.scored, result.minimum, result.maximum) == (3, -3, 1)
    assert result.mean == pytest.approx(-2 / 3)
    assert [(b.negative, b.low, b.high, b.count) for b in result.histogram if b.low] == [
        (False, 1, 1.25, 1),
        (True, 3, 3.5, 1),
    ]
    assert [(peak.position, peak.value) for peak in result.peaks] == [(1, -3)]
    json.dumps(dataclasses.asdict(result), allow_nan=False)


def test_summary_of_nothing_has_no_numbers() -> None:
    result = TrackSummary({"a": 5}).result()
    assert (result.scored, result.minimum, result.mean, result.peaks) == (0, None, None, ())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), distance=st.sampled_from([1, 8, 128]))
def test_peaks_are_apart_and_include_the_strongest(seed: int, distance: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(BLOCK + 500, dtype=np.float32)
    values[rng.random(len(values)) < rng.random()] = np.nan
    summary = TrackSummary({"a": len(values)}, peaks=7, min_distance=distance)
    summary.add("a", 0, values)
    peaks = summary.result().peaks
    magnitudes = [abs(peak.value) for peak in peaks]
    assert len(peaks) <= 7
    assert magnitudes == sorted(magnitudes, reverse=True)
    assert all(peak.value == values[peak.position] for peak in peaks)
    assert np.diff(sorted(peak.position for peak in peaks)).min(initial=distance) >= distance
    assert magnitudes[0] == np.nanmax(np.abs(values))


def test_summary_bins_are_bounded_for_a_genome_of_many_contigs() -> None:
    sizes = {f"c{i}": 10_000 + i for i in range(300)}
    envelopes = TrackSummary(sizes, bins_per_contig=50, bins=900).result().envelopes
    assert sum(len(envelope.mean) for envelope in envelopes) <= 900
    assert all(len(e.mean) == -(-e.length // e.bin_width) for e in envelopes)
