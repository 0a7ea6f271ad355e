"""``experiment stiffness``, ``precision``, ``fidelity``, and the paper's own operator."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import assert_within

from pgf_genome.engine.arrays import adjoint
from pgf_genome.engine.objective import Likelihood
from pgf_genome.errors import UsageError
from pgf_genome.experiments import (
    contenders,
    fidelity_text,
    precision,
    precision_text,
    stiffness,
    stiffness_text,
)
from pgf_genome.experiments.operator import FrechetMambaOperator
from pgf_genome.experiments.runner import run
from pgf_genome.pretrain.initial import new_model
from pgf_genome.pretrain.settings import Training

SCANS = [contenders.decaying_products, contenders.log_shift, contenders.log_space]


@pytest.fixture(scope="module")
def operator():
    torch.manual_seed(0)
    return FrechetMambaOperator(3, 4).double().requires_grad_(False)


def sequences(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    draw = torch.randn(2, length, 3, generator=generator, dtype=torch.float64)
    return draw[0], draw[1]


def step_by_step(operator, u: torch.Tensor) -> torch.Tensor:
    """The operator's equations, one number after the other."""
    poles, outputs = [-math.exp(a) for a in operator.A_log], []
    state = [[0.0] * len(poles) for _ in range(u.shape[1])]
    for now in u:
        delta = [math.log1p(math.exp(v)) for v in operator.delta(now)]
        B, C = operator.B(now), operator.C(now)
        for d, row in enumerate(state):
            for n, pole in enumerate(poles):
                z = delta[d] * pole
                row[n] = math.exp(z) * row[n] + math.expm1(z) / z * float(B[n] * now[d])
        read = [
            sum(float(c) * h for c, h in zip(C, row, strict=True))
            + float(operator.skip[d] * now[d])
            for d, row in enumerate(state)
        ]
        outputs.append([float(operator.scale) * math.log1p(math.exp(y)) for y in read])
    return torch.tensor(outputs, dtype=torch.float64)


def test_the_paper_operator_is_its_equations(operator):
    u, _ = sequences(9)
    assert_within(1e-12, operator(u)[0], step_by_step(operator, u))


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 25))
def test_the_paper_operator_does_not_depend_on_its_blocks(block):
    torch.manual_seed(0)
    operator = FrechetMambaOperator(3, 4).double().requires_grad_(False)
    u, du = sequences(20)
    y, dy = operator.pgf_forward(u, du, block)
    expected = torch.func.jvp(lambda v: operator(v)[0], (u,), (du,))
    assert_within(1e-12, y, expected[0])
    assert_within(1e-12, dy, expected[1])


def test_the_tangent_of_the_paper_operator_is_a_slope(operator):
    u, du = sequences(12)
    ends = [operator(u + sign * 1e-6 * du)[0] for sign in (1, -1)]
    assert_within(1e-8, operator.pgf_forward(u, du, 5)[1], (ends[0] - ends[1]) / 2e-6)


def test_the_paper_operator_needs_something_to_run_over(operator):
    u, du = sequences(4)
    for arguments in ((u, du, 0), (u[:0], du[:0], 2), (u, du[:2], 2)):
        with pytest.raises(UsageError, match="must be"):
            operator.pgf_forward(*arguments)


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("block", [1, 7, 40])
def test_scans_are_one_function_in_double(scan, block):
    draws = np.random.default_rng(0)
    log_a, b, before = -np.array([1e-4, 0.05, 0.7]), draws.standard_normal((40, 3)), np.ones(3)
    found = contenders.in_blocks(scan, *map(torch.tensor, (log_a, b, before)), block)
    assert_within(1e-9, found, stiffness.by_loop(log_a, b, before))


@pytest.mark.parametrize("block", [16, 60])
def test_the_log_shift_scan_overflows_where_its_exponent_does(block):
    limit = math.log(torch.finfo(torch.float32).max)
    edge = limit / (block - 1)
    log_a = -torch.tensor([0.9 * edge, 0.99 * edge, 1.01 * edge, 1.1 * edge])
    b = torch.ones(block, 4)
    # exp overflows, and with it the sum: inf times an underflow is no number
    finite = contenders.log_shift(log_a, 0.5 * b, torch.zeros(4)).isfinite().all(dim=0)
    assert finite.tolist() == [True, True, False, False]
    ours = contenders.decaying_products(log_a, b, torch.zeros(4))
    assert ours.isfinite().all()


@pytest.fixture(scope="module")
def stiff(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stiffness")
    return run("stiffness", folder, True, steps=256, blocks=(16, 256), points=9, threads=1)


def test_stiffness_breaks_the_log_shift_scan_at_the_fast_end_only(stiff):
    table = stiff.table
    shift = table[table["scan"] == stiffness_text.LOG_SHIFT]
    predicted = shift["exponent"] > shift["exponent_limit"]
    clear = (shift["exponent"] / shift["exponent_limit"] - 1).abs() > 0.05
    assert (predicted == ~shift["finite"])[clear].all()
    assert shift[shift["A_log"] == -8]["finite"].all()
    assert not shift[(shift["A_log"] == 8) & (shift["delta"] == 0.1)]["finite"].any()
    ours = table[table["scan"] == stiffness_text.OURS]
    assert ours["finite"].all()
    assert ours["error"].max() < 1e-4
    assert [c.verdict for c in stiff.claims] == ["holds", "does not hold", "holds"]


def test_stiffness_is_told_from_its_table(stiff):
    doctored = stiff.table.assign(finite=True, error=1e-7)
    told = stiffness_text.findings(doctored)
    assert {c.verdict for c in told.claims} == {"holds"}
    assert "0 of 36" in told.paragraph
    assert set(told.shown["breaks from A_log"]) == {"never"}


@pytest.mark.parametrize(
    "options", [{"points": 1}, {"blocks": (0,)}, {"deltas": (-1,)}, {"dtype": "int8"}]
)
def test_stiffness_refuses_what_it_cannot_compute(options):
    with pytest.raises(UsageError):
        stiffness.Settings(**options)


def test_the_model_of_precision_is_ours():
    model = new_model(Training(d_model=8, n_layer=2, d_state=3)).double().requires_grad_(False)
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 4, 40))
    found = precision.gradient(model, ids, lambda part, t: t)
    expected = adjoint(model, ids, Likelihood(targets="fixed", positions=((35, 40),)))
    assert_within(1e-12, found, expected.gradient)


@pytest.fixture(scope="module")
def rounded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("precision")
    return run("precision", folder, length=256, layers=1, width=16, threads=1)


def test_precision_is_lost_in_decays_and_states_and_not_in_products(rounded):
    bad = precision_text.intolerable(rounded.table, "bfloat16")
    assert {"decay", "state"} <= set(bad)
    assert "products" not in bad
    exact = rounded.table[rounded.table["part"] == precision_text.NOTHING]
    assert exact["far_error"].max() < 1e-5
    verdicts = {c.statement: c.verdict for c in rounded.claims}
    assert verdicts["products in bfloat16"] == "holds"
    assert verdicts["everything in bfloat16"] == "does not hold"


def test_precision_is_told_from_its_table(rounded):
    doctored = rounded.table.assign(far_error=1e-5)
    assert {c.verdict for c in precision_text.claims(doctored)} == {"holds"}
    assert "beyond 2%: none." in precision_text.paragraph(doctored)
    lost = rounded.table.assign(finite=rounded.table["dtype"] != "float16")
    assert precision_text.intolerable(lost, "float16") == list(precision_text.PARTS)
    with pytest.raises(UsageError, match="int8"):
        precision.Settings(dtypes=("int8",))


@pytest.fixture(scope="module")
def faithful(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fidelity")
    options = {"lengths": (64, 512), "tiles": (16, 512), "width": 8, "layers": 1, "threads": 1}
    return run("fidelity", folder, **options)


def test_fidelity_is_rounding_at_every_length_and_tile(faithful):
    for name, bound in fidelity_text.ROUNDING.items():
        assert faithful.table[faithful.table["type"] == name]["error"].max() < bound, name
    halves = faithful.table[faithful.table["type"] == "bfloat16 products"]
    assert halves["error"].min() > 1e-5
    # on two lengths an exponent is mostly noise
    assert {c.verdict for c in faithful.claims} <= {"holds", "holds in part"}


def test_fidelity_is_told_from_its_table(faithful):
    growing = faithful.table.assign(error=1e-9 * faithful.table["length"])
    assert {c.verdict for c in fidelity_text.claims(growing)} == {"holds in part"}
    assert {c.verdict for c in fidelity_text.claims(growing.assign(error=0.5))} == {"does not hold"}
