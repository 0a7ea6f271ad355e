"""Effect sizes by resampling genes, and the panels of ``experiment biology`` on planted tracks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pgf_genome.experiments import resampling
from pgf_genome.experiments.biology_panels import Scored, between_rows, codon_rows, start_rows
from pgf_genome.experiments.genes import Annotation, Gene
from pgf_genome.experiments.resampling import Sample
from pgf_genome.intervals import Interval
from pgf_genome.sequence import encode


def test_area_under_the_curve_counts_pairs_and_halves_ties():
    low, high = np.array([1.0, 2.0, 2.0, 5.0]), np.array([2.0, 4.0, 0.0])
    weights = np.ones((1, 7))
    found = resampling.auroc(Sample(low, np.arange(4)), Sample(high, np.arange(4, 7)), weights)
    pairs = [(a < b) + (a == b) / 2 for a in low for b in high]
    assert found.value == pytest.approx(np.mean(pairs))
    assert found.n == 4


def test_a_weight_counts_as_so_many_copies():
    values, unit = np.array([1.0, 4.0, 2.0, 7.0, 3.0]), np.array([0, 0, 1, 1, 2])
    other = np.array([2.0, 0.0, 5.0, 5.0, 1.0])
    weights = np.array([[1.0, 2.0, 0.0]])
    copies = np.array([0, 1, 2, 2, 3, 3])
    a, b = Sample(values, unit), Sample(other, unit)
    plain = np.ones((1, 6))
    x, y = (Sample(v[copies], np.arange(6)) for v in (values, other))
    for statistic in (resampling.difference, resampling.cohens_d, resampling.auroc):
        assert statistic(a, b, weights).value == pytest.approx(statistic(x, y, plain).value)
    for method in ("pearson", "spearman"):
        found = resampling.correlation(values, other, unit, weights, method)
        drawn = pd.Series(values[copies]), pd.Series(other[copies])
        ranked = [s.rank() for s in drawn] if method == "spearman" else drawn
        assert found.value == pytest.approx(np.corrcoef(*ranked)[0, 1])


def test_cohens_d_is_in_units_of_the_pooled_deviation():
    a, b = np.array([1.0, 2.0, 3.0]), np.array([5.0, 7.0])
    pooled = np.sqrt((2 * a.var(ddof=1) + b.var(ddof=1)) / 3)
    units = [np.arange(3), np.arange(3, 5)]
    found = resampling.cohens_d(Sample(a, units[0]), Sample(b, units[1]), np.ones((1, 5)))
    assert found.value == pytest.approx((2 - 6) / pooled)


def test_intervals_are_of_genes_not_of_bases():
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(40), 50)
    values = rng.normal(size=40)[unit]  # the bases of a gene are all alike
    found = resampling.mean(Sample(values, unit), resampling.weights_of(40, 2000, rng))
    assert found.value == pytest.approx(values.mean())
    error = values[::50].std() / np.sqrt(40)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_missing_values_are_dropped_and_nothing_has_no_mean():
    some = Sample(np.array([np.nan, 2.0]), np.array([0, 0]))
    assert resampling.mean(some, np.ones((2, 1)))[::3] == (2.0, 1)
    empty = Sample(np.array([np.nan]), np.array([0]))
    assert np.isnan(resampling.mean(empty, np.ones((2, 1))).value)


def planted(tracks: dict[str, np.ndarray], *genes: Gene, genic: tuple[Interval, ...] = ()):
    """A stretch of 600 bases in which the given genes are whole."""
    codes = np.zeros(600, np.uint8)
    for gene in genes:
        text = encode("ATG" + "GCA" * (len(gene.positions) // 3 - 2) + "TAA")
        codes[gene.positions] = text if gene.strand == "+" else 3 - text
    silent = dict.fromkeys(("contribution", "sensitivity", "surprisal"), np.zeros(600))
    covered = tuple(
        Interval("chr", int(g.positions.min()), int(g.positions.max()) + 1) for g in genes
    )
    annotation = Annotation(genes, covered + genic)
    return Scored.of(Interval("chr", 0, 600), codes, silent | tracks, annotation)


PLUS = Gene("plus", "chr", "+", np.arange(100, 220), 11)
MINUS = Gene("minus", "chr", "-", np.arange(500, 380, -1), 11)


def value_of(rows, **named) -> float:
    (row,) = [r for r in rows if all(r[key] == value for key, value in named.items())]
    return row["value"]


def test_codon_positions_are_those_of_the_genes_strand():
    track = np.full(600, 9.0)
    track[PLUS.positions] = track[MINUS.positions] = np.tile([1.0, 2.0, 6.0], 40)
    rows = list(codon_rows(planted({"sensitivity": track}, PLUS, MINUS), np.ones((3, 2))))
    for place, value in ((1, 1.0), (2, 2.0), (3, 6.0)):
        where = {"quantity": "sensitivity", "position": place}
        assert value_of(rows, statistic="mean", **where) == pytest.approx(value)
        d = value_of(rows, statistic="Cohen's d, others", **where)
        assert np.sign(d) == (1 if place == 3 else -1)


def test_bases_of_two_genes_are_left_out():
    shifted = Gene("shifted", "chr", "+", np.arange(200, 260), 11)
    scored = planted({}, PLUS, shifted)
    assert (scored.owner[200:220] == -1).all()
    assert (scored.owner[100:200] == scored.owner[100]).all()
    assert not np.isin(scored.substitutions().position, np.arange(200, 220)).any()


def test_a_gene_that_is_cut_by_the_end_is_left_out_but_genic():
    cut = Gene("cut", "chr", "+", np.arange(570, 630), 11)
    annotation = Annotation((cut,), (Interval("chr", 570, 630),))
    codes = np.zeros(600, np.uint8)
    scored = Scored.of(Interval("chr", 0, 600), codes, {}, annotation)
    assert scored.genes == ()
    assert scored.genic.nonzero()[0].tolist() == list(range(570, 600))


def test_profile_of_start_codons_is_read_along_each_strand():
    track = np.zeros(600)
    track[[100 - 9, 500 + 9]] = 4.0  # upstream of either
    track[[102, 498]] = 2.0
    rows = list(start_rows(planted({"contribution": track}, PLUS, MINUS), np.ones((3, 2))))
    profile = {"group": "profile", "quantity": "contribution"}
    for offset, value in ((-9, 4.0), (9, 0.0), (2, 2.0), (-2, 0.0)):
        assert value_of(rows, **profile, position=offset) == pytest.approx(value)
    site = {"group": "Shine-Dalgarno", "quantity": "contribution"}
    assert value_of(rows, **site, statistic="mean") == pytest.approx(4 / 7)
    assert value_of(rows, **site, statistic="Cohen's d, flanks") > 0.5


def test_surprisal_between_genes_leaves_out_genes_of_rna():
    track = np.full(600, 3.0)
    track[PLUS.positions] = track[MINUS.positions] = 1.0
    track[300:350] = 50.0
    rng = np.random.default_rng(0)
    track += 0.1 * rng.normal(size=600)
    scored = planted({"surprisal": track}, PLUS, MINUS, genic=(Interval("chr", 300, 350),))
    rows = list(between_rows(scored, np.ones((3, 2)), rng))
    outside = value_of(rows, group="between genes", statistic="mean")
    assert outside == pytest.approx(3.0, abs=0.05)
    assert value_of(rows, statistic="Cohen's d, between genes") == pytest.approx(-20, rel=0.1)
    less = value_of(rows, statistic="difference, between genes")
    assert less == pytest.approx(-2, abs=0.05)
