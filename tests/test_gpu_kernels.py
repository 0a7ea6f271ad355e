"""The Triton kernels against the equations, on a CUDA device or interpreted.

The tests marked ``gpu`` run on the device. Without one, the last test here runs the very same in
another process where Triton interprets kernels on CPU tensors.
"""

from __future__ import annotations

import pytest
import torch
from interpreter import INTERPRETED, assert_passes_interpreted, on_device, starts_interpreter
from models import assert_within, random_like
from torch import Tensor

from pgf_genome.scan import Dual, function, reference
from pgf_genome.scan import selective_scan as public_scan
from pgf_genome.scan.dual import by_equations

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-5}
SCAN_NAMES = ("x", "dt", "B", "C", "z", "A", "D", "bias", "state")
CONV_NAMES = ("x", "weight", "bias", "state")
SCAN_MOVING, CONV_MOVING = (0, 1, 2, 3, 4, 8), (0, 3)
# Small programs, so that few positions and channels make many of them.
CHUNK, BLOCK = 4, 4

# Regime: (bias of the step size, pole).
REGIMES = {
    "ordinary": (-1.0, -1.0),
    "very strong decay": (0.5, -50.0),
    "both sides of the linear branch": (20.0, -0.01),
    "huge step": (500.0, -100.0),
    "zero step": (-1000.0, -1.0),
}
LENGTHS = (1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3)
# Regime, batch, length, width, states, type.
SCAN_CASES = [("ordinary", 1, length, 3, 3, torch.float64) for length in LENGTHS]
SCAN_CASES += [("ordinary", 2, CHUNK + 1, 5, 5, torch.float32)]
SCAN_CASES += [(regime, 1, CHUNK + 1, 3, 2, torch.float32) for regime in REGIMES]
CONV_CASES = [(1, length, 3, 4, torch.float64) for length in LENGTHS]
CONV_CASES += [(2, 6, 5, taps, torch.float32) for taps in (1, 2, 4)]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, device: str) -> str:
    """Programs so small that little data makes many of them."""
    from pgf_genome.scan import gpu

    for name, value in {
        "CHUNK": CHUNK, "STEPS": 4, "ROWS": 4, "CARRIED": 2, "BLOCK": BLOCK
    }.items():  # fmt: skip
        monkeypatch.setattr(gpu, name, value)
    return device


def scan_inputs(regime, batch, length, width, states, dtype) -> list[Tensor]:
    bias, pole = REGIMES[regime]
    shapes = [(batch, length, size) for size in (width, width, states, states, width)]
    shapes += [(states, width), (width,), (width,), (batch, states, width)]
    values = random_like([torch.empty(shape, dtype=dtype) for shape in shapes])
    values[5] = pole * (1 + 0.02 * values[5])
    values[7] = bias + 0.1 * values[7]
    return values


def conv_inputs(batch, length, width, taps, dtype) -> list[Tensor]:
    shapes = [(batch, length, width), (taps, width), (width,), (batch, taps - 1, width)]
    return random_like([torch.empty(shape, dtype=dtype) for shape in shapes])


def values_and_cotangents(op, inputs: list[Tensor], device: str) -> list[Tensor]:
    """Outputs, final state, and cotangents of every argument under random cotangents."""
    leaves = [v.to(device).requires_grad_() for v in inputs]
    outputs = op(*leaves)
    seeds = random_like([torch.empty(v.shape) for v in outputs], 1)
    seeds = [seed.to(v) for seed, v in zip(seeds, outputs, strict=True)]
    return [v.detach().cpu() for v in (*outputs, *torch.autograd.grad(outputs, leaves, seeds))]


def tangents(op, inputs: list[Tensor], moving: tuple[int, ...], device: str) -> list[Tensor]:
    """Tangents of outputs and final state along two random directions."""
    inputs = [v.to(device) for v in inputs]
    dots = random_like([torch.empty(2, *inputs[i].shape) for i in moving], 2)
    for i, dot in zip(moving, dots, strict=True):
        inputs[i] = Dual(inputs[i], dot.to(inputs[i]))
    return [moved.dots.cpu() for moved in op(*inputs)]


def assert_as_reference(actual: list[Tensor], expected: list[Tensor], names) -> None:
    tolerance = TOLERANCES[actual[0].dtype]
    for name, one, other in zip(names, actual, expected, strict=True):
        assert one.isfinite().all(), name
        assert_within(tolerance, one, other, name)


def assert_derivatives_as_reference(op, slow, inputs: list[Tensor], device: str) -> None:
    names = ("out", "end", *(SCAN_NAMES if len(inputs) == len(SCAN_NAMES) else CONV_NAMES))
    expected = values_and_cotangents(slow, [v.double() for v in inputs], "cpu")
    assert_as_reference(values_and_cotangents(op, inputs, device), expected, names)


def assert_tangents_as_reference(op, slow, inputs: list[Tensor], device: str) -> None:
    moving = SCAN_MOVING if len(inputs) == len(SCAN_NAMES) else CONV_MOVING
    expected = tangents(by_equations(slow), [v.double() for v in inputs], moving, "cpu")
    assert_as_reference(tangents(op, inputs, moving, device), expected, ("out", "end"))


class TestOnTheDevice:
    pytestmark = on_device

    @pytest.mark.parametrize(("regime", "batch", "length", "width", "states", "dtype"), SCAN_CASES)
    def test_the_scan_equals_its_equations(
        self, small, regime, batch, length, width, states, dtype
    ):
        inputs = scan_inputs(regime, batch, length, width, states, dtype)
        assert_derivatives_as_reference(
            function.selective_scan, reference.selective_scan, inputs, small
        )

    @pytest.mark.parametrize(
        ("regime", "batch", "length", "width", "states", "dtype"), SCAN_CASES[4:7]
    )
    def test_the_tangents_of_the_scan_equal_theirs(
        self, small, regime, batch, length, width, states, dtype
    ):
        inputs = scan_inputs(regime, batch, length, width, states, dtype)
        assert_tangents_as_reference(
            function.selective_scan, reference.selective_scan, inputs, small
        )

    @pytest.mark.parametrize(("batch", "length", "width", "taps", "dtype"), CONV_CASES)
    def test_the_convolution_equals_its_equations(self, small, batch, length, width, taps, dtype):
        inputs = conv_inputs(batch, length, width, taps, dtype)
        fast, slow = function.causal_conv, reference.causal_conv
        assert_derivatives_as_reference(fast, slow, inputs, small)
        assert_tangents_as_reference(fast, slow, inputs, small)

    def test_two_tiles_are_one(self, small):
        inputs = scan_inputs("ordinary", 1, 9, 3, 3, torch.float64)

        def two_tiles(*args: Tensor) -> tuple[Tensor, Tensor]:
            head, middle = function.selective_scan(*(v[:, :6] for v in args[:5]), *args[5:])
            tail, end = function.selective_scan(*(v[:, 6:] for v in args[:5]), *args[5:8], middle)
            return torch.cat([head, tail], dim=1), end

        for one, other in zip(
            values_and_cotangents(two_tiles, inputs, small),
            values_and_cotangents(function.selective_scan, inputs, small),
            strict=True,
        ):
            assert_within(1e-13, one, other)

    def test_equal_calls_give_equal_bytes(self, small):
        inputs = scan_inputs("ordinary", 1, 5, 5, 3, torch.float32)
        first, second = (
            values_and_cotangents(function.selective_scan, inputs, small) for _ in range(2)
        )
        assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))

    def test_what_is_trained_changes_no_other_cotangent(self, small):
        from pgf_genome.scan import gpu

        inputs = scan_inputs("ordinary", 1, 5, 5, 3, torch.float64)
        *primals, state = [v.to(small) for v in inputs]
        out, end, stored = gpu.scan_forward(*primals, state)
        outer = (primals, stored, torch.ones_like(out), torch.ones_like(end))
        assert_weights_alone_differ(outer, gpu.scan_adjoint, (5, 6, 7))
        past, weight, bias = (v.to(small) for v in conv_inputs(2, 11, 5, 4, torch.float64)[:3])
        out_bar = torch.ones_like(gpu.conv_forward(past, weight, bias))
        assert_weights_alone_differ(((past, weight, bias), out_bar), gpu.conv_adjoint, (1, 2))

    def test_sizes_as_they_are_run(self, device):
        inputs = scan_inputs("ordinary", 1, 129, 33, 5, torch.float32)
        out, end = function.selective_scan(*(v.to(device) for v in inputs))
        exact = reference.selective_scan(*(v.double() for v in inputs))
        assert_within(1e-5, out.cpu(), exact[0])
        assert_within(1e-5, end.cpu(), exact[1])

    @pytest.mark.skipif(INTERPRETED, reason="slow when interpreted")
    @pytest.mark.parametrize("regime", REGIMES)
    @pytest.mark.parametrize("length", [1, 127, 128, 129, 515])
    def test_sizes_as_they_are_run_and_all_derivatives(self, device, regime, length):
        inputs = scan_inputs(regime, 2, length, 40, 16, torch.float32)
        assert_derivatives_as_reference(public_scan, reference.selective_scan, inputs, device)
        assert_tangents_as_reference(public_scan, reference.selective_scan, inputs, device)


def assert_weights_alone_differ(given, adjoint, weights: tuple[int, ...]) -> None:
    """Cotangents of the weights are there on request; the others are the same either way."""
    inputs, *outer = given
    trained, frozen = (adjoint(*inputs, *outer, flag) for flag in (True, False))
    for i, (one, other) in enumerate(zip(trained, frozen, strict=True)):
        if i in weights:
            assert one.abs().min() > 0
            assert other is None
        else:
            assert torch.equal(one, other)


@starts_interpreter
def test_interpreted_kernels_equal_their_equations():
    assert_passes_interpreted(__file__)
