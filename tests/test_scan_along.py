"""States and their cotangents at every position; many short sequences in one call."""

from __future__ import annotations

import pytest
import torch
from models import assert_within, random_like
from test_scan_kernels import TOLERANCES, conv_inputs, scan_inputs
from threads import threads_as_before

from pgf_genome.scan import causal_conv, function, reference, selective_scan

SHAPES = [(1, 1, 5), (1, 2, 5), (2, 17, 5), (1, 40, 130), (3, 3, 128)]  # batch, length, width


def placed(inputs: list) -> list:
    """The same arguments, with the state in a row for every position."""
    *others, state = inputs
    return [*others, state[:, None].expand(-1, inputs[0].shape[1], *state.shape[1:])]


def values_and_cotangents(op, inputs: list, moving: tuple[int, ...]) -> list:
    """Outputs, states, and cotangents of arguments under random cotangents of both."""
    leaves = [v.detach().requires_grad_(i in moving) for i, v in enumerate(inputs)]
    outputs = op(*leaves)
    seeds = random_like([torch.empty(v.shape) for v in outputs], 1)
    seeds = [seed.to(v.dtype) for seed, v in zip(seeds, outputs, strict=True)]
    bars = torch.autograd.grad(outputs, [leaves[i] for i in moving], seeds)
    return [*(v.detach() for v in outputs), *bars]


def assert_same(op, twin, inputs: list, moving: tuple[int, ...]) -> None:
    found = values_and_cotangents(op, inputs, moving)
    expected = values_and_cotangents(twin, [v.double() for v in inputs], moving)
    for i, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert_within(TOLERANCES[inputs[0].dtype], one, other, i)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_scan_along_equals_its_equations(shape, dtype):
    inputs = placed(scan_inputs("ordinary", *shape, dtype))
    moving = (0, 1, 2, 3, 4, 8)
    assert_same(function.selective_scan_along, reference.selective_scan_along, inputs, moving)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("taps", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_convolution_along_equals_its_equations(shape, taps, dtype):
    inputs = placed(conv_inputs(*shape, taps, dtype))
    assert_same(function.causal_conv_along, reference.causal_conv_along, inputs, (0, 3))


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        (selective_scan, scan_inputs("ordinary", 2, 9, 5, torch.float64)),
        (causal_conv, conv_inputs(2, 9, 5, 4, torch.float64)),
    ],
    ids=["scan", "convolution"],
)
def test_states_along_are_those_of_shorter_tiles(op, inputs):
    """And their cotangents are those of a tile that begins where they are."""
    out, states = op(*placed(inputs))
    assert_within(1e-13, out, op(*inputs)[0])
    moving = 5 if op is selective_scan else 1  # arguments with an axis of positions
    for t in range(1, 10):
        part = [v[:, :t] if i < moving else v for i, v in enumerate(inputs)]
        assert_within(1e-13, states[:, t], op(*part)[1])
    leaves = [v.detach().requires_grad_() for v in placed(inputs)]
    (along,) = torch.autograd.grad(op(*leaves)[0].square().sum(), leaves[-1])
    for t in range(9):
        rest = [v[:, t:] if i < moving else v for i, v in enumerate(inputs[:-1])]
        before = states[:, t].detach().requires_grad_()
        (bar,) = torch.autograd.grad(op(*rest, before)[0].square().sum(), before)
        assert_within(1e-12, along[:, t], bar)


@pytest.mark.parametrize("batch", [1, 2, 3, 300])
def test_sequences_of_a_batch_are_what_they_are_alone(batch):
    """Bit by bit, however they are shared out to threads."""
    scan = scan_inputs("ordinary", batch, 4, 130, torch.float32)
    conv = conv_inputs(batch, 4, 130, 4, torch.float32)
    found = []
    with threads_as_before() as set_threads:
        for threads in (1, 2):
            set_threads(threads)
            found.append([*selective_scan(*scan), *causal_conv(*conv)])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    for b in {0, batch // 2, batch - 1}:
        alone = selective_scan(*(v if i in (5, 6, 7) else v[b : b + 1] for i, v in enumerate(scan)))
        alone += causal_conv(*(v if i in (1, 2) else v[b : b + 1] for i, v in enumerate(conv)))
        for one, other in zip(alone, found[0], strict=True):
            assert torch.equal(one[0], other[b])


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 5), (2, 3, 4, 300), (4, 1, 0)])
def test_inner_products_of_changes_equal_their_equations(shape, dtype):
    like = torch.empty(shape, dtype=dtype)
    moved, unmoved, weight = random_like([like, like[:, 0], like[:, 0]])
    found = function.inner_change(moved, unmoved, weight)
    exact = reference.inner_change(moved.double(), unmoved.double(), weight.double())
    assert found.dtype == torch.float64
    assert_within(TOLERANCES[dtype], found, exact)


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_sequences_next_to_each_other_may_share_a_state(dtype):
    *inputs, state = scan_inputs("ordinary", 6, 9, 130, dtype)
    state = state[:2]
    with torch.no_grad():
        found = selective_scan(*inputs, state)
    for expected in (
        selective_scan(*inputs, state.repeat_interleave(3, dim=0)),
        reference.selective_scan(*inputs, state),
    ):
        for one, other in zip(found, expected, strict=True):
            assert_within(TOLERANCES[dtype], one, other)
    leaf = state.clone().requires_grad_()
    (bar,) = torch.autograd.grad(selective_scan(*inputs, leaf)[0].sum(), leaf)
    (twin,) = torch.autograd.grad(reference.selective_scan(*inputs, leaf)[0].sum(), leaf)
    assert_within(TOLERANCES[dtype], bar, twin)
