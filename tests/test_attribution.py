"""From gradients to tracks: formulas, strands, gaps, regions, targets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pybigtools
import pyBigWig
import pysam
import pytest
import torch

import pgf_genome as pgf
from pgf_genome.attribution.methods import GRADIENT_TRACKS as TRACKS
from pgf_genome.attribution.values import Scores, mean_of_strands, tracks_of
from pgf_genome.sequence import encode, reverse_complement

ORACLE = Path(__file__).parent / "oracles" / "hf_mamba_tiny"
ACGT = "ACGT"


@pytest.fixture(scope="module")
def model():
    return pgf.load_model(ORACLE, dtype=torch.float64)


@pytest.fixture(scope="module")
def text() -> str:
    letters = np.random.default_rng(5).choice(list(ACGT), 400)
    letters[[17, 18, 200]] = "N"
    return "".join(letters)


def run(tmp_path: Path, model, records: dict[str, str], name: str = "out", **options):
    fasta = tmp_path / "in.fa"
    fasta.write_text("".join(f">{k}\n{v}\n" for k, v in records.items()))
    options = {"tile": 64, "tracks": TRACKS, "report": False} | options
    return pgf.attribute(fasta, model, tmp_path / name, **options)


def read(done, track: str, contig: str = "c") -> np.ndarray:
    with pyBigWig.open(str(done.files[f"{track}.bigwig"])) as file:
        return np.array(file.values(contig, 0, file.chroms(contig)), np.float32)


def bases_of(model) -> list[int]:
    return list(model.vocabulary.base_ids)


def expected(model, text: str, gradient: np.ndarray, nats: np.ndarray) -> dict[str, np.ndarray]:
    """Every track by its definition, one position after the other."""
    table = {name: np.full(len(text), np.nan, np.float32) for name in TRACKS}
    for t, letter in enumerate(text):
        if letter == "N":
            continue
        g, r = gradient[t], ACGT.index(letter)
        centred = g - g.mean()
        table["sensitivity"][t] = np.linalg.norm(centred)
        table["contribution"][t] = centred[r]
        table["surprisal"][t] = nats[t] / np.log(2)
        for a, base in enumerate(ACGT):
            table[f"tism.{base}"][t] = g[a] - g[r]
    return table


def surprisal_in_nats(model, text: str) -> np.ndarray:
    ids = model.tokenize(text)
    log_p = pgf.log_probs(model, ids)
    ahead = -log_p[np.arange(len(ids) - 1), ids[1:].numpy()]
    return np.concatenate([[np.nan], ahead])


def test_plus_strand_tracks_equal_their_definitions(tmp_path, model, text):
    done = run(tmp_path, model, {"c": text}, strand="+")
    gradient = pgf.adjoint(model, model.tokenize(text)).gradient[:, bases_of(model)]
    for name, values in expected(model, text, gradient, surprisal_in_nats(model, text)).items():
        np.testing.assert_allclose(read(done, name), values, rtol=1e-6, atol=1e-6, err_msg=name)
    assert done.run["contigs"][0]["objective"] == pytest.approx(
        pgf.adjoint(model, model.tokenize(text)).value, rel=1e-12
    )


def test_both_strands_average_gradients_before_tracks_are_derived(tmp_path, model, text):
    done = run(tmp_path, model, {"c": text}, strand="both")
    back = text[::-1].translate(str.maketrans("ACGT", "TGCA"))
    plus, minus = (pgf.adjoint(model, model.tokenize(s)).gradient for s in (text, back))
    plus, minus = plus[:, bases_of(model)], minus[::-1, bases_of(model)][:, ::-1]
    here, there = surprisal_in_nats(model, text), surprisal_in_nats(model, back)[::-1]
    nats = np.nanmean([here, there], axis=0)
    for name, values in expected(model, text, (plus + minus) / 2, nats).items():
        np.testing.assert_allclose(read(done, name), values, rtol=1e-6, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("objective", ["likelihood", "entropy", "norm"])
def test_reverse_complement_gives_mirror_image(tmp_path, model, text, objective):
    back = text[::-1].translate(str.maketrans("ACGT", "TGCA"))
    here = run(tmp_path, model, {"c": text}, "here", objective=objective)
    there = run(tmp_path, model, {"c": back}, "there", objective=objective)
    for name in ("sensitivity", "contribution", "surprisal"):
        np.testing.assert_allclose(read(here, name), read(there, name)[::-1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        read(here, "tism.A"), read(there, "tism.T")[::-1], rtol=1e-5, atol=1e-5
    )


def test_contribution_is_minus_a_quarter_of_summed_tism(tmp_path, model, text):
    done = run(tmp_path, model, {"c": text})
    total = sum(read(done, f"tism.{base}") for base in ACGT)
    np.testing.assert_allclose(read(done, "contribution"), -total / 4, rtol=1e-4, atol=1e-5)


def test_saliency_is_the_raw_gradient_at_the_observed_base(tmp_path, model, text):
    done = run(tmp_path, model, {"c": text}, strand="+", method="saliency")
    gradient = pgf.adjoint(model, model.tokenize(text)).gradient[:, bases_of(model)]
    codes = np.minimum(encode(text), 3)
    raw = np.where(encode(text) == 4, np.nan, gradient[np.arange(len(text)), codes])
    np.testing.assert_allclose(read(done, "contribution"), raw.astype("f4"), rtol=1e-5)


def test_bedgraph_and_bigwig_hold_equal_values_by_independent_readers(tmp_path, model, text):
    done = run(tmp_path, model, {"c": text, "d": text[100:]}, tracks=("contribution",))
    found = {name: np.full(n, np.nan, np.float32) for name, n in (("c", 400), ("d", 300))}
    last = ("", 0)
    with pysam.TabixFile(str(done.files["contribution.bedgraph"])) as file:
        for contig in file.contigs:
            for row in file.fetch(contig):
                name, start, stop, value = row.split("\t")
                assert (name, int(start)) >= last
                assert int(start) < int(stop) <= found[name].size
                found[name][int(start) : int(stop)] = np.float32(value)
                last = (name, int(stop))
    bigwig = pybigtools.open(str(done.files["contribution.bigwig"]))
    for name, values in found.items():
        other = np.array(bigwig.values(name, 0, values.size, fillna=None), np.float32)
        np.testing.assert_array_equal(values, other)
        np.testing.assert_array_equal(values, read(done, "contribution", name))
    assert np.isnan(found["c"][[17, 18, 200]]).all()
    assert np.isnan(found["c"]).sum() == 3


def test_gap_restarts_the_model_and_has_no_rows(tmp_path, model, text):
    gapped = text[:150] + "N" * 50 + text[200:]
    done = run(tmp_path, model, {"c": gapped}, strand="+", gap_length=50)
    alone = run(tmp_path, model, {"c": text[201:]}, "alone", strand="+")
    values = read(done, "contribution")
    assert np.isnan(values[150:201]).all()
    np.testing.assert_allclose(values[201:], read(alone, "contribution"), rtol=1e-6)
    assert np.isnan(read(done, "surprisal")[201])
    short = run(tmp_path, model, {"c": gapped}, "short", strand="+", gap_length=52)
    assert not np.isnan(read(short, "surprisal")[201])


def test_region_limits_rows_but_not_what_the_model_sees(tmp_path, model, text):
    whole = read(run(tmp_path, model, {"c": text}, "whole"), "contribution")
    part = read(run(tmp_path, model, {"c": text}, "part", region=["c:101-150"]), "contribution")
    np.testing.assert_array_equal(part[100:150], whole[100:150])
    assert np.isnan(part[:100]).all()
    assert np.isnan(part[150:]).all()


def test_context_limits_what_the_model_sees(tmp_path, model, text):
    part = run(tmp_path, model, {"c": text}, "part", region=["c:101-150"], context=20)
    alone = run(tmp_path, model, {"c": text[80:170]}, "alone")
    np.testing.assert_allclose(
        read(part, "contribution")[100:150], read(alone, "contribution")[20:70], rtol=1e-6
    )
    assert part.run["context"] == "20 bases"


def test_target_restricts_the_objective_on_both_strands(tmp_path, model, text):
    done = run(tmp_path, model, {"c": text, "other": text}, target=["c:301-320"])
    back = text[::-1].translate(str.maketrans("ACGT", "TGCA"))
    plus = pgf.adjoint(model, model.tokenize(text), pgf.Likelihood(positions=((300, 320),)))
    minus = pgf.adjoint(model, model.tokenize(back), pgf.Likelihood(positions=((80, 100),)))
    mean = (plus.gradient + minus.gradient[::-1][:, _complement_rows(model)]) / 2
    values = expected(model, text, mean[:, bases_of(model)], np.zeros(len(text)))
    np.testing.assert_allclose(
        read(done, "sensitivity"), values["sensitivity"], rtol=1e-5, atol=1e-7
    )
    with pyBigWig.open(str(done.files["sensitivity.bigwig"])) as file:
        assert list(file.chroms()) == ["c"]


def _complement_rows(model) -> list[int]:
    rows = list(range(model.config.vocab_rows))
    a, c, g, t = model.vocabulary.base_ids
    rows[a], rows[c], rows[g], rows[t] = t, g, c, a
    return rows


def test_region_reads_the_same_with_and_without_an_index(tmp_path, model, text):
    records = {"c": text, "other": text[50:]}
    plain = run(tmp_path, model, records, "plain", region=["other:11-40"], formats=("bedgraph",))
    pysam.faidx(str(tmp_path / "in.fa"))
    found = pgf.attribute(
        tmp_path / "in.fa", model, tmp_path / "indexed", region=["other:11-40"], tile=64,
        tracks=TRACKS, report=False, formats=("bedgraph",),
    )  # fmt: skip
    for kind in (*(f"{track}.bedgraph" for track in TRACKS), "chrom.sizes"):
        assert found.files[kind].read_bytes() == plain.files[kind].read_bytes()
    assert plain.files["chrom.sizes"].read_text() == "other\t350\n"


def test_python_callable_is_an_objective(tmp_path, model, text):
    done = run(tmp_path, model, {"c": text}, strand="+", objective=_first_logit)
    ours = run(tmp_path, model, {"c": text}, "ours", strand="+", objective=pgf.SquaredNorm())
    np.testing.assert_allclose(read(done, "contribution"), read(ours, "contribution"), rtol=1e-6)


def _first_logit(tile):
    return tile.hidden.double().square().sum()


def test_one_base_only_n_and_shorter_than_a_tile_work(tmp_path, model):
    records = {"one": "A", "gap": "N" * 9, "short": "ACGTNACG"}
    done = run(tmp_path, model, records, gap_length=5)
    assert np.isfinite(read(done, "sensitivity", "one")).all()
    assert np.isnan(read(done, "surprisal", "one")).all()
    assert np.isnan(read(done, "sensitivity", "gap")).all()
    assert np.isfinite(read(done, "sensitivity", "short")).sum() == 7


def test_mean_of_strands_keeps_the_only_log_probability():
    codes = encode("AC")
    plus = Scores(np.ones((2, 4)), np.array([np.nan, -1.0]), codes)
    minus = Scores(np.zeros((2, 4)), np.array([-3.0, -2.0]), codes)
    merged = mean_of_strands([plus, minus])
    np.testing.assert_array_equal(merged.log_p, [-3.0, -1.5])
    np.testing.assert_array_equal(merged.by_base, np.full((2, 4), 0.5))


def test_tracks_of_leaves_unscored_bases_without_a_value():
    scores = Scores(np.eye(4)[:3], np.array([-1.0, -1.0, np.nan]), encode("ANG"))
    table = tracks_of(scores, ("sensitivity", "surprisal"))
    assert np.isnan(table[:, 1]).all()
    assert np.isnan(table[1, 2])
    np.testing.assert_allclose(table[0, [0, 2]], np.sqrt(0.75), rtol=1e-6)


def test_run_json_tells_how_to_read_and_repeat_the_run(tmp_path, model, text):
    done = run(tmp_path, model, {"c": text})
    found = json.loads(Path(done.files["run"]).read_text())
    assert found["model"]["sha256"] == model.digest
    assert found["strand"] == "both"
    assert found["contigs"][0]["length"] == 400
    assert "nats" in found["conventions"]["sensitivity"]
    assert found["performance"]["peak_memory_bytes"] > 2**20
    assert reverse_complement(encode("AN")).tolist() == [4, 3]
