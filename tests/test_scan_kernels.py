from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from models import assert_within, random_like
from numba import njit
from torch import Tensor

from pgf_genome.scan import Dual, causal_conv, function, reference, selective_scan
from pgf_genome.scan.dual import by_equations
from pgf_genome.scan.fastmath import exp2_neg, log1p_unit

TOLERANCES = {torch.float64: 1e-12, torch.float32: 1e-5}
SCAN_NAMES = ("x", "dt", "B", "C", "z", "A", "D", "bias", "state")
CONV_NAMES = ("x", "weight", "bias", "state")
# Arguments that forward mode reaches.
SCAN_MOVING, CONV_MOVING = (0, 1, 2, 3, 4, 8), (0, 3)

# What fastmath.py promises, in units in the last place.
ACCURACY = 3

# Regime: (bias of the step size, pole).
STEP_ONE = math.log(math.expm1(1.0))
REGIMES = {
    "ordinary": (-1.0, -1.0),
    "strong decay": (STEP_ONE, -2.0),
    "very strong decay": (STEP_ONE, -50.0),
    "poles near one": (STEP_ONE, -1e-7),
    "zero step": (-1000.0, -1.0),
    "both sides of the linear branch": (20.0, -0.01),
    "large step": (500.0, -1.0),
}
# Regime, batch, length, width: the first block around the stored states' spacing of 16.
SHAPES = [("ordinary", 1, length, 5) for length in (1, 2, 15, 16, 17, 63, 64, 65)]
SHAPES += [("ordinary", 3, 17, width) for width in (1, 5, 128, 130)]
SHAPES += [(regime, 1, 65, 5) for regime in REGIMES]
SCAN_CASES = [(*shape, dtype) for shape in SHAPES for dtype in TOLERANCES]
SCAN_CASES += [("ordinary", 1, 1000, 3, dtype) for dtype in TOLERANCES]
# In float32 a decay of 1 - 1e-7 is rounded by 2e-8, which a thousand steps add up to 2e-5.
SCAN_CASES += [("poles near one", 1, 1000, 3, torch.float64)]
CONV_SHAPES = [(1, length, 5, 4) for length in (1, 2, 3, 16, 65, 1000)]
CONV_SHAPES += [(3, 17, width, taps) for width in (1, 5, 130) for taps in (1, 2, 3, 4)]


def scan_inputs(regime: str, batch: int, length: int, width: int, dtype: torch.dtype) -> list:
    """Arguments of the scan with three states per channel."""
    bias, pole = REGIMES[regime]
    shapes = [(batch, length, size) for size in (width, width, 3, 3, width)]
    shapes += [(3, width), (width,), (width,), (batch, 3, width)]
    values = random_like([torch.empty(shape, dtype=dtype) for shape in shapes])
    values[1] *= 0.1
    values[5] = pole * (1 + 0.02 * values[5])
    values[7] = bias + 0.1 * values[7]
    return values


def conv_inputs(batch: int, length: int, width: int, taps: int, dtype: torch.dtype) -> list:
    shapes = [(batch, length, width), (taps, width), (width,), (batch, taps - 1, width)]
    return random_like([torch.empty(shape, dtype=dtype) for shape in shapes])


def values_and_cotangents(op: Callable, inputs: list[Tensor]) -> list[Tensor]:
    """Outputs, final state, and cotangents of every argument under random cotangents."""
    leaves = [v.detach().requires_grad_() for v in inputs]
    outputs = op(*leaves)
    seeds = random_like([torch.empty(v.shape) for v in outputs], 1)
    seeds = [seed.to(v.dtype) for seed, v in zip(seeds, outputs, strict=True)]
    bars = torch.autograd.grad(outputs, leaves, seeds)
    return [*(v.detach() for v in outputs), *bars]


def tangents(op: Callable, inputs: list[Tensor], moving: tuple[int, ...], k: int) -> list:
    """Tangents of outputs and final state along k random directions."""
    dots = random_like([torch.empty(k, *inputs[i].shape) for i in moving], 2)
    every = [*inputs]
    for i, dot in zip(moving, dots, strict=True):
        every[i] = Dual(inputs[i], dot.to(inputs[i].dtype))
    return [moved.dots for moved in op(*every)]


def assert_as_reference(actual: list, expected: list, names: tuple[str, ...]) -> None:
    tolerance = TOLERANCES[actual[0].dtype]
    for name, one, other in zip(names, actual, expected, strict=True):
        assert one.isfinite().all(), name
        assert_within(tolerance, one, other, name)


@pytest.mark.parametrize(("regime", "batch", "length", "width", "dtype"), SCAN_CASES)
def test_the_scan_equals_its_equations(regime, batch, length, width, dtype):
    inputs = scan_inputs(regime, batch, length, width, dtype)
    exact = [v.double() for v in inputs]
    assert_as_reference(
        values_and_cotangents(function.selective_scan, inputs),
        values_and_cotangents(by_equations(reference.selective_scan), exact),
        ("out", "end", *SCAN_NAMES),
    )
    assert_as_reference(
        tangents(function.selective_scan, inputs, SCAN_MOVING, 3),
        tangents(by_equations(reference.selective_scan), exact, SCAN_MOVING, 3),
        ("tangents of out", "tangents of end"),
    )


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize(("batch", "length", "width", "taps"), CONV_SHAPES)
def test_the_convolution_equals_its_equations(batch, length, width, taps, dtype):
    inputs = conv_inputs(batch, length, width, taps, dtype)
    exact = [v.double() for v in inputs]
    assert_as_reference(
        values_and_cotangents(function.causal_conv, inputs),
        values_and_cotangents(by_equations(reference.causal_conv), exact),
        ("out", "end", *CONV_NAMES),
    )
    assert_as_reference(
        tangents(function.causal_conv, inputs, CONV_MOVING, 3),
        tangents(by_equations(reference.causal_conv), exact, CONV_MOVING, 3),
        ("tangents of out", "tangents of end"),
    )


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 17, 5), (2, 700, 1), (3, 130, 64)])
def test_the_norm_equals_its_equation(shape, dtype):
    inputs = random_like([torch.empty(shape, dtype=dtype), torch.empty(shape[-1:], dtype=dtype)])
    exact = [v.double() for v in inputs]
    fast, slow = ((lambda *v, of=of: (of.rms_norm(*v, 1e-5),)) for of in (function, reference))
    assert_as_reference(
        values_and_cotangents(fast, inputs),
        values_and_cotangents(slow, exact),
        ("out", "x", "weight"),
    )
    for k in (1, 3):
        assert_as_reference(
            tangents(fast, inputs, (0,), k),
            tangents(by_equations(slow), exact, (0,), k),
            ("tangents of out",),
        )


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_what_does_not_move_has_derivatives_of_zero(dtype):
    for op, inputs, moving, still in (
        (function.selective_scan, scan_inputs("ordinary", 3, 17, 5, dtype), SCAN_MOVING, 8),
        (function.causal_conv, conv_inputs(3, 17, 5, 4, dtype), CONV_MOVING, 3),
    ):
        some = [i for i in moving if i != still]
        dots = dict(zip(some, random_like([inputs[i][None] for i in some]), strict=True))
        every = [Dual(v, dots[i]) if i in dots else v for i, v in enumerate(inputs)]
        found = op(*every)
        every[still] = Dual(inputs[still], torch.zeros_like(inputs[still][None]))
        for one, other in zip(found, op(*every), strict=True):
            assert torch.equal(one.dots, other.dots)


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_zero_input_is_no_special_case(dtype):
    for op, slow, inputs, still in (
        (function.selective_scan, reference.selective_scan,
         scan_inputs("ordinary", 2, 33, 5, dtype), (5, 6, 7)),
        (function.causal_conv, reference.causal_conv, conv_inputs(2, 33, 5, 4, dtype), (1, 2)),
    ):  # fmt: skip
        inputs = [v if i in still else torch.zeros_like(v) for i, v in enumerate(inputs)]
        actual = values_and_cotangents(op, inputs)
        expected = values_and_cotangents(slow, [v.double() for v in inputs])
        assert_as_reference(actual, expected, ("out", "end", *range(len(inputs))))


def test_a_zero_step_leaves_the_state_as_it_was():
    inputs = scan_inputs("zero step", 2, 40, 5, torch.float64)
    assert torch.equal(function.selective_scan(*inputs)[1], inputs[-1])


@pytest.mark.parametrize("which", [0, 1])
def test_a_cotangent_of_one_output_alone_is_enough(which):
    for op, slow, inputs in (
        (function.selective_scan, reference.selective_scan,
         scan_inputs("ordinary", 2, 20, 5, torch.float64)),
        (function.causal_conv, reference.causal_conv, conv_inputs(2, 20, 5, 3, torch.float64)),
    ):  # fmt: skip
        bars = []
        for f in (op, slow):
            leaves = [v.clone().requires_grad_() for v in inputs]
            total = f(*leaves)[which].sin().sum()
            bars.append(
                torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
            )
        for one, other in zip(*bars, strict=True):
            assert_within(1e-12, one, other)


def test_what_is_trained_changes_no_cotangent():
    for op, inputs, weights, moving in (
        (function.selective_scan, scan_inputs("ordinary", 2, 20, 5, torch.float64), (5, 6, 7),
         SCAN_MOVING),
        (function.causal_conv, conv_inputs(2, 20, 5, 3, torch.float64), (1, 2), CONV_MOVING),
    ):  # fmt: skip
        every = cotangents_of(op, inputs, range(len(inputs)))
        for chosen in (moving, *((weight,) for weight in weights)):
            for i, bar in zip(chosen, cotangents_of(op, inputs, chosen), strict=True):
                assert torch.equal(bar, every[i])


def cotangents_of(op: Callable, inputs: list[Tensor], chosen: Iterable[int]) -> tuple[Tensor, ...]:
    """Of the chosen arguments alone; the others are constants."""
    leaves = [v.clone().requires_grad_(i in chosen) for i, v in enumerate(inputs)]
    total = sum(v.sin().sum() for v in op(*leaves))
    return torch.autograd.grad(total, [leaves[i] for i in chosen])


def everything(inputs: list[Tensor]) -> list[Tensor]:
    """All that the kernels of an operation compute; nine arguments are the scan's."""
    scan = len(inputs) == len(SCAN_NAMES)
    op = function.selective_scan if scan else function.causal_conv
    moving = SCAN_MOVING if scan else CONV_MOVING
    return values_and_cotangents(op, inputs) + tangents(op, inputs, moving, 2)


BOTH = pytest.mark.parametrize(
    "inputs",
    [scan_inputs("ordinary", 2, 37, 300, torch.float32), conv_inputs(2, 37, 300, 4, torch.float32)],
    ids=["scan", "convolution"],
)


@BOTH
def test_results_do_not_depend_on_the_number_of_threads(inputs):
    before = torch.get_num_threads()
    try:
        runs = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            runs.append(everything(inputs))
    finally:
        torch.set_num_threads(before)
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


def transposed(value: Tensor) -> Tensor:
    """The same values with the last axis slowest."""
    return value.movedim(-1, 0).contiguous().movedim(0, -1)


def spaced(value: Tensor) -> Tensor:
    """The same values with gaps between them."""
    return value.repeat_interleave(2, dim=-1)[..., ::2]


@BOTH
@pytest.mark.parametrize("layout", [transposed, spaced])
def test_results_do_not_depend_on_the_layout_of_the_inputs(inputs, layout):
    names = ("out", "end", *(SCAN_NAMES if len(inputs) > len(CONV_NAMES) else CONV_NAMES))
    expected, actual = everything(inputs), everything([layout(v) for v in inputs])
    for name, one, other in zip((*names, "out'", "end'"), actual, expected, strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("which", [0, 1, 2, 3, 4, 8])
def test_a_nan_in_the_scan_reaches_the_output(which):
    inputs = scan_inputs("ordinary", 1, 3, 2, torch.float32)
    inputs[which].view(-1)[0] = torch.nan
    assert function.selective_scan(*inputs)[0][0, 0].isnan().any()


@pytest.mark.parametrize("which", range(4))
def test_a_nan_in_the_convolution_reaches_the_output(which):
    inputs = conv_inputs(1, 4, 2, 3, torch.float32)
    inputs[which].view(-1)[0] = torch.nan
    assert function.causal_conv(*inputs)[0].isnan().any()


def test_torchs_own_forward_mode_is_refused_and_not_zero():
    x, *others = conv_inputs(2, 4, 2, 3, torch.float64)
    with pytest.raises(RuntimeError, match="setup_context"):
        torch.func.jvp(lambda x: function.causal_conv(x, *others)[0], (x,), (x,))
    with torch.autograd.forward_ad.dual_level():
        moving = torch.autograd.forward_ad.make_dual(x, x)
        with pytest.raises(NotImplementedError, match="forward"):
            function.causal_conv(moving, *others)


def joined_and_split(op: Callable, inputs: list[Tensor], tiled: tuple[int, ...], cut: int) -> tuple:
    """Values and cotangents of one tile, and of two with the state handed over at ``cut``."""

    def two_tiles(*args: Tensor) -> tuple[Tensor, Tensor]:
        first = [v[:, :cut] if i in tiled else v for i, v in enumerate(args)]
        second = [v[:, cut:] if i in tiled else v for i, v in enumerate(args)]
        head, middle = op(*first)
        tail, end = op(*second[:-1], middle)
        return torch.cat([head, tail], dim=1), end

    return values_and_cotangents(op, inputs), values_and_cotangents(two_tiles, inputs)


@st.composite
def cuts(draw) -> tuple[int, int]:
    length = draw(st.integers(2, 70))
    return length, draw(st.integers(1, length - 1))


@settings(deadline=None, max_examples=40)
@given(cuts(), st.sampled_from([*REGIMES]))
def test_two_tiles_of_the_scan_are_one(length_and_cut, regime):
    length, cut = length_and_cut
    inputs = scan_inputs(regime, 2, length, 3, torch.float64)
    for one, other in zip(
        *joined_and_split(selective_scan, inputs, (0, 1, 2, 3, 4), cut), strict=True
    ):
        assert_within(1e-13, one, other)


@settings(deadline=None, max_examples=40)
@given(cuts(), st.integers(1, 5))
def test_two_tiles_of_the_convolution_are_one(length_and_cut, taps):
    length, cut = length_and_cut
    inputs = conv_inputs(2, length, 3, taps, torch.float64)
    for one, other in zip(*joined_and_split(causal_conv, inputs, (0,), cut), strict=True):
        assert_within(1e-13, one, other)


@njit
def every_exp2(values, out):
    for i in range(values.size):
        out[i] = exp2_neg(values[i])


@njit
def every_log1p(values, out):
    for i in range(values.size):
        out[i] = log1p_unit(values[i])


def units_in_the_last_place(actual: np.ndarray, exact: np.ndarray) -> float:
    return float((np.abs(actual - exact) / np.spacing(exact.astype(actual.dtype))).max())


@pytest.mark.parametrize(("dtype", "lowest"), [(np.float32, -126), (np.float64, -1022)])
def test_the_exponential_is_as_accurate_as_stated_over_its_range(dtype, lowest):
    normal = -np.concatenate(
        [np.linspace(0, -lowest, 20_001), np.arange(0, -lowest, 0.5), np.logspace(-30, 2, 2_001)]
    ).astype(dtype)
    out = np.empty_like(normal)
    every_exp2(normal, out)
    exact = np.exp2(normal.astype(np.longdouble))
    assert units_in_the_last_place(out, exact) <= ACCURACY
    below = np.array([lowest - 1, 2 * lowest, -1e6, -np.finfo(dtype).max, -np.inf], dtype)
    every_exp2(below, out)
    assert (out[: below.size] == 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_logarithm_is_as_accurate_as_stated_over_its_range(dtype):
    values = np.concatenate([np.linspace(0, 1, 20_001), np.logspace(-30, 0, 2_001)]).astype(dtype)
    out = np.empty_like(values)
    every_log1p(values, out)
    assert units_in_the_last_place(out, np.log1p(values.astype(np.longdouble))) <= ACCURACY
