"""Derivatives along several directions beside a value, against torch's own forward mode."""

from __future__ import annotations

import pytest
import torch
from models import assert_within, random_like
from torch.nn import functional

from pgf_genome.scan.dual import Dual, by_equations

SHAPE = (2, 5, 4)

OPERATIONS = {
    "sum": lambda a, b: a + b,
    "sum with a tensor": lambda a, b: a + torch.arange(4.0).double() + b,
    "product": lambda a, b: a * b,
    "index": lambda a, b: a[..., -1, :] + b[..., [3, 0, 0, 1]][..., 2, :],
    "new axis": lambda a, b: a[..., None].expand(*a.shape, 3).flatten(-2),
    "flip": lambda a, b: a.flip(-2) + b.flip(-1),
    "split": lambda a, b: a.split((1, 3), dim=-1)[1] + b.split((3, 1), dim=-1)[0],
    "chunk": lambda a, b: a.chunk(2, dim=-1)[1] + b.chunk(2, dim=-1)[0],
    "clamp": lambda a, b: a.clamp(-0.5, 0.25),
    "clamp to a side": lambda a, b: b.clamp(0.0, float("inf")),
    "cat": lambda a, b: torch.cat([a, b], dim=-2),
    "cat with a tensor": lambda a, b: torch.cat([torch.ones(SHAPE).double(), b], dim=-3),
    "log_softmax": lambda a, b: torch.log_softmax(a, dim=-1),
    "layer_norm": lambda a, b: functional.layer_norm(
        a, (4,), torch.arange(1.0, 5).double(), torch.ones(4).double(), 1e-3
    ),
    "clone": lambda a, b: a.clone(),
}


@pytest.fixture
def pair():
    """Two values that move along three directions."""
    values = random_like([torch.empty(SHAPE).double()] * 2)
    dots = random_like([torch.empty(3, *SHAPE).double()] * 2, 1)
    return [Dual(*v) for v in zip(values, dots, strict=True)]


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_has_the_derivatives_that_torch_gives(pair, name):
    found, expected = OPERATIONS[name](*pair), by_equations(OPERATIONS[name])(*pair)
    assert_within(1e-15, found.value, expected.value)
    assert_within(1e-14, found.dots, expected.dots)


def test_torchs_own_forward_mode_takes_tensors_beside_moving_ones(pair):
    still = torch.full(SHAPE, 2.0).double()
    product, total = by_equations(lambda a, b: (a * b, a + b))(still, pair[1])
    assert torch.equal(product.dots, 2 * pair[1].dots)
    assert torch.equal(total.dots, pair[1].dots)
    assert torch.equal(by_equations(torch.add)(still, still), 2 * still)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a: a.flip(0),
        lambda a: a.split((1, 1), dim=0),
        lambda a: a.chunk(2, dim=1),
        lambda a: a.flatten(1),
        lambda a: a[0],
        lambda a: a[:, -1],
        lambda a: torch.cat([a, a], dim=0),
        lambda a: torch.log_softmax(a, dim=2),
    ],
)
def test_an_axis_that_is_not_counted_from_the_end_is_refused(pair, wrong):
    with pytest.raises(IndexError, match="from the end"):
        wrong(pair[0])


def test_an_operation_without_a_rule_is_refused(pair):
    with pytest.raises(TypeError, match="sin"):
        torch.sin(pair[0])


def test_derivatives_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 3\) of a value of shape \(2,\)"):
        Dual(torch.ones(2), torch.ones(2, 3))
